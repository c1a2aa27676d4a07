"""Segment and score a whole dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_nucseg.core.boundaries import LEAST_IOU, measure_boundaries
from napari_nucseg.core.boundary_counts import Spacing
from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.images import Labels, read_image_header
from napari_nucseg.core.matching import check_threshold, match
from napari_nucseg.core.overlap import find_overlap
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.presets import DEFAULT_RULE, ScoreRule
from napari_nucseg.core.scoring import Score, score_matching
from napari_nucseg.core.segmenting import Segmenter, check_image
from napari_nucseg.core.summaries import Summary, summarise
from napari_nucseg.runs.object_records import Columns, join, object_columns
from napari_nucseg.runs.papers import latex_table, markdown_table
from napari_nucseg.runs.records import field_row, summary_record, summary_rows
from napari_nucseg.runs.saving import (
    check_parquet,
    write_columns,
    write_json,
    write_labels,
    write_parquet,
    write_table,
    write_text,
)


@dataclass(frozen=True)
class Benchmark:
    """What a run found.

    Attributes
    ----------
    scores : tuple of Score
        One a field, in the dataset's order.
    summary : Summary
        Of all fields.
    objects : dict of str to list
        A row for every object of all fields, see `object_columns`.
    provenance : dict
        How the last field's labels were made.
    seconds_per_field : float
        Mean time of network and post-processing.
    """

    scores: tuple[Score, ...]
    summary: Summary
    objects: Columns
    provenance: dict[str, Any]
    seconds_per_field: float


def run_benchmark(
    dataset: Dataset,
    segmenter: Segmenter,
    params: SegmentParams,
    out: Path,
    *,
    rule: ScoreRule = DEFAULT_RULE,
    parquet: bool = False,
    report: Callable[[int, int, str], None],
) -> Benchmark:
    """Segment every field, score it, and write labels and tables.

    Parameters
    ----------
    dataset : Dataset
        Fields with ground truth.
    segmenter : Segmenter
        Image to labels.
    params : SegmentParams
        Thresholds and diameter.
    out : Path
        Folder of the results: ``labels/<stem>.tif``; ``fields.csv`` and ``objects.csv``, a row
        each; ``summary.json``, ``.csv``, ``.md`` and ``.tex``.
    rule : ScoreRule
        How fields are scored.
    parquet : bool
        Write ``objects.parquet``, too.
    report : callable
        Called with (fields done, fields in all, name of the next) before each field.

    Raises
    ------
    ValueError
        If a field lacks its image or ground truth, or cannot be read.
    """
    check_threshold(rule.threshold)
    if parquet:
        check_parquet()
    _require_truth(dataset)
    has_scale = _has_scale(dataset)
    runs = []
    for done, field in enumerate(dataset.fields):
        report(done, len(dataset.fields), field.name)
        segmented = _segment(field, segmenter, params, out)
        runs.append(_score(field, segmented, rule, has_scale))
    report(len(runs), len(runs), "")
    result = _gather(runs, rule)
    _write(dataset, result, out)
    if parquet:
        write_parquet(out / "objects.parquet", result.objects)
    return result


@dataclass(frozen=True)
class _Run:
    """What became of one field."""

    score: Score
    objects: Columns
    provenance: dict[str, Any]


def _segment(
    field: Field, segmenter: Segmenter, params: SegmentParams, out: Path
) -> tuple[Labels, dict[str, Any]]:
    image = field.read_image().data
    check_image(image, str(field.image))
    segmentation = segmenter(image, params, lambda done, total: None)
    provenance = {**segmentation.provenance.as_dict(), "image": field.stem}
    write_labels(out / "labels" / f"{field.stem}.tif", segmentation.labels, provenance)
    return segmentation.labels, provenance


def _score(
    field: Field, segmented: tuple[Labels, dict[str, Any]], rule: ScoreRule, has_scale: bool
) -> _Run:
    labels, provenance = segmented
    truth = field.read_truth()
    size = _pixel_size(field) if has_scale else None
    overlap = find_overlap(truth, labels)
    matching = match(overlap, rule.threshold, rule.preset.strict)
    boundaries = measure_boundaries(
        truth,
        labels,
        overlap,
        spacing=None if size is None else Spacing((size, size)),
        least=min(LEAST_IOU, rule.threshold),
    )
    return _Run(
        score_matching(matching, rule.preset, boundaries),
        object_columns(field.stem, truth, labels, matching, pixel_size=size),
        provenance,
    )


def _has_scale(dataset: Dataset) -> bool:
    """Whether all pixels have a known size: distances in pixels and in um cannot be pooled."""
    return all(_pixel_size(field) is not None for field in dataset.fields)


def _pixel_size(field: Field) -> float | None:
    return None if field.image is None else read_image_header(field.image).pixel_size


def _gather(runs: Sequence[_Run], rule: ScoreRule) -> Benchmark:
    scores = tuple(run.score for run in runs)
    return Benchmark(
        scores,
        summarise(scores, rule.empty_as_one),
        join([run.objects for run in runs]),
        runs[-1].provenance,
        sum(run.provenance["seconds"] for run in runs) / len(runs),
    )


def _require_truth(dataset: Dataset) -> None:
    if not dataset.has_images:
        raise ValueError(f"{dataset.name}: there are masks but no images; add the folder images/")
    if dataset.without_mask:
        first = dataset.without_mask[0].stem
        raise ValueError(
            f"{dataset.name}: {len(dataset.without_mask)} of its {len(dataset.fields)} fields have "
            f"no mask, the first is {first}; add the folder masks/ or segment without scoring"
        )


def _write(dataset: Dataset, result: Benchmark, out: Path) -> None:
    pairs = zip(dataset.fields, result.scores, strict=True)
    write_table(out / "fields.csv", [field_row(field, score) for field, score in pairs])
    write_columns(out / "objects.csv", result.objects)
    write_table(out / "summary.csv", summary_rows(result.summary))
    write_text(out / "summary.md", markdown_table(result.summary, dataset.name))
    write_text(out / "summary.tex", latex_table(result.summary, dataset.name))
    made = {key: value for key, value in result.provenance.items() if key != "image"}
    write_json(
        out / "summary.json",
        {
            "dataset": dataset.name,
            "fields": len(dataset.fields),
            "empty_fields": result.summary.empty,
            "absent_fields": list(dataset.absent),
            **summary_record(result.summary),
            "segmentation": {**made, "seconds": result.seconds_per_field},
        },
    )

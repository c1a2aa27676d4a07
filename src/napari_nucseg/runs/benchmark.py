"""Segment and score a whole dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.matching import check_threshold
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.scoring import Score, Summary, score, summarise
from napari_nucseg.core.segmenting import Segmenter, check_image
from napari_nucseg.runs.records import field_row, summary_record
from napari_nucseg.runs.saving import write_json, write_labels, write_table


@dataclass(frozen=True)
class Benchmark:
    """What a run found.

    Attributes
    ----------
    scores : tuple of Score
        One a field, in the dataset's order.
    summary : Summary
        Of all fields.
    provenance : dict
        How the last field's labels were made.
    seconds_per_field : float
        Mean time of network and post-processing.
    """

    scores: tuple[Score, ...]
    summary: Summary
    provenance: dict[str, Any]
    seconds_per_field: float


def run_benchmark(
    dataset: Dataset,
    segmenter: Segmenter,
    params: SegmentParams,
    out: Path,
    *,
    threshold: float = 0.5,
    report: Callable[[int, int, str], None],
) -> Benchmark:
    """Segment every field, score it, and write labels, ``fields.csv`` and ``summary.json``.

    Parameters
    ----------
    dataset : Dataset
        Fields with ground truth.
    segmenter : Segmenter
        Image to labels.
    params : SegmentParams
        Thresholds and diameter.
    out : Path
        Folder of the results: ``labels/<stem>.tif``, ``fields.csv``, ``summary.json``.
    threshold : float
        Least IoU of a match.
    report : callable
        Called with (fields done, fields in all, name of the next) before each field.

    Raises
    ------
    ValueError
        If a field lacks its image or ground truth, or cannot be read.
    """
    check_threshold(threshold)
    _require_truth(dataset)
    scores, provenances = [], []
    for done, field in enumerate(dataset.fields):
        report(done, len(dataset.fields), field.name)
        field_score, provenance = _run_field(field, segmenter, params, out, threshold)
        scores.append(field_score)
        provenances.append(provenance)
    report(len(scores), len(scores), "")
    result = Benchmark(
        tuple(scores),
        summarise(scores),
        provenances[-1],
        sum(provenance["seconds"] for provenance in provenances) / len(provenances),
    )
    _write(dataset, result, out)
    return result


def _run_field(
    field: Field, segmenter: Segmenter, params: SegmentParams, out: Path, threshold: float
) -> tuple[Score, dict[str, Any]]:
    truth = field.read_truth()
    image = field.read_image().data
    check_image(image, str(field.image))
    segmentation = segmenter(image, params, lambda done, total: None)
    provenance = {**segmentation.provenance.as_dict(), "image": field.stem}
    write_labels(out / "labels" / f"{field.stem}.tif", segmentation.labels, provenance)
    return score(truth, segmentation.labels, threshold), provenance


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

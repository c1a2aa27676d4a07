"""Scores and nuclei as plain records: rows of a table, and objects of a JSON file.

An undefined ratio is None: null in JSON, an empty cell in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.object_pixels import find_geometry, refuse_many
from napari_nucseg.array_types import Labels
from napari_nucseg.io.fields import Field
from napari_nucseg.metrics.matching import AP_THRESHOLDS, Matching, Preset
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import UNDEFINED, Interval, ScoreKey, Spread, Summary
from napari_nucseg.metrics.verdicts import ObjectVerdicts, Verdict, classify

Record = dict[str, Any]
Columns = dict[str, list[Any]]
"""Columns of equal length by name."""

_PUBLISHED = ("dice", "iou", "precision", "recall", "f1", "tp", "fp", "fn", "tn", "percentage")
"""Columns of the table of fields that was published for the test split of BBBC039."""
_THEIR_NAMES = {"f1": "dice", "percentage": "accuracy"}
"""Those of them that have another name here."""


def score_record(score: Score) -> dict[str, Record]:
    """Return counts and ratios of a score by group; "boundaries" only if they were measured."""
    ratios, objects = score.ratios(), score.objects
    record = {
        "pixels": asdict(score.pixels) | _plain(ratios["pixels"]),
        "objects": {
            "preset": score.preset.name,
            "hit": score.preset.hit,
            "threshold": score.threshold,
            "tp": objects.tp,
            "fp": objects.fp,
            "fn": objects.fn,
            "count_error": score.count_error,
        }
        | _plain(ratios["objects"]),
        "verdicts": _verdict_record(score),
        "caicedo": asdict(score.caicedo),
    }
    if score.boundaries is not None:
        record["boundaries"] = {"pairs": score.boundaries.pairs} | _plain(ratios["boundaries"])
    if score.ignored is not None:
        record["ignored"] = asdict(score.ignored)
    return record


def summary_record(summary: Summary, corrected_by_hand: int = 0) -> dict[str, Any]:
    """Return the pooled score, and of every ratio mean, range and intervals over fields.

    Parameters
    ----------
    summary : Summary
        Pooled scores and spread over the fields.
    corrected_by_hand : int
        Number of nuclei, on both sides, that were edited before they were scored.
    """
    parts: dict[str, dict[str, Record]] = {
        part: {group: {} for group, _ in summary.spread}
        for part in ("mean", "range", "mean_interval", "pooled_interval")
    }
    for (group, name), one in summary.spread.items():
        parts["mean"][group][name] = defined(one.mean)
        parts["range"][group][name] = _bounds((one.low, one.high))
        parts["mean_interval"][group][name] = _bounds(one.interval)
        parts["pooled_interval"][group][name] = _bounds(summary.intervals[group, name])
    return {
        "fields": summary.fields,
        "empty_fields": summary.empty,
        "corrected_by_hand": corrected_by_hand,
        "pooled": score_record(summary.pooled),
        **parts,
        "by_threshold": _records_at(summary),
        "mean_absolute_count_error": summary.count_error.mean,
        "reported": _plain(summary.reported),
    }


def summary_rows(summary: Summary) -> list[Record]:
    """Return a row for every ratio: pooled and mean of fields, with intervals and range.

    Those of objects at an IoU threshold stand there at that of the summary, and then at each of
    `AP_THRESHOLDS`. Of the absolute count error, last, there is the mean of fields alone.
    """
    pooled, chosen = summary.pooled, summary.pooled.threshold
    pooled_at, rows = pooled.ratios_at(), list[Record]()

    def add(
        key: ScoreKey, t: float | None, value: float, spread: Spread, interval: Interval = UNDEFINED
    ) -> None:
        row = {"group": key[0], "score": key[1], "threshold": t, "pooled": defined(value)}
        row |= dict(zip(("pooled_low", "pooled_high"), map(defined, interval), strict=True))
        rows.append(row | spread_record(spread) | {"preset": pooled.preset.name})

    for metric in pooled.metrics:
        key, value = metric.key, metric.compute(pooled)
        add(key, metric.iou_for(chosen), value, summary.spread[key], summary.intervals[key])
    for (t, name), spread in summary.spread_at.items():
        if t != chosen:
            key, interval = ("objects", name), summary.intervals_at[t, name]
            add(key, t, pooled_at[t, name], spread, interval)
    add(("objects", "absolute_count_error"), None, math.nan, summary.count_error)
    return rows


def field_row(
    field: Field, score: Score, made: Mapping[str, Any] | None = None, corrected_by_hand: int = 0
) -> Record:
    """Return a field's row of ``fields.csv``; None where something is not known.

    Parameters
    ----------
    field : Field
        The field; its name is written, and its split if that is known.
    score : Score
        Scores of the field's prediction.
    made : mapping, optional
        Provenance of the field's predicted labels.
    corrected_by_hand : int
        Number of its nuclei, on both sides, that were edited before they were scored.
    """
    made = made or {}
    return {
        **field.place,
        **_score_row(score),
        "diameter_px": made.get("diameter"),
        "suspect": "; ".join(made.get("suspect", ())),
        "corrected_by_hand": corrected_by_hand,
    }


def _score_row(score: Score) -> Record:
    """Return the scores of a field: the columns of a published table first, and then all others."""
    objects, ratios = score.objects, score.ratios()
    pixels = _plain(ratios["pixels"])
    ignored = {} if score.ignored is None else asdict(score.ignored)
    known = pixels | asdict(score.pixels)
    known |= {theirs: pixels[ours] for theirs, ours in _THEIR_NAMES.items()}
    return {
        **{name: known[name] for name in _PUBLISHED},
        **pixels,
        "nuclei": objects.tp + objects.fn,
        "predicted": objects.tp + objects.fp,
        "preset": score.preset.name,
        "threshold": score.threshold,
        "object_tp": objects.tp,
        "object_fp": objects.fp,
        "object_fn": objects.fn,
        "count_error": score.count_error,
        **{f"object_{name}": value for name, value in _plain(ratios["objects"]).items()},
        **{
            f"ap_{threshold:.2f}": defined(counts.ap)
            for threshold, counts in zip(AP_THRESHOLDS, score.by_threshold, strict=True)
        },
        **{f"verdict_{name}": count for name, count in asdict(score.verdicts).items()},
        **{f"caicedo_{name}": count for name, count in asdict(score.caicedo).items()},
        **_plain(ratios.get("boundaries", {})),
        **{f"ignored_{side}": count for side, count in ignored.items()},
    }


def spread_record(spread: Spread) -> Record:
    """Return the columns of a mean of fields, its interval and its range."""
    return {
        "mean_of_fields": defined(spread.mean),
        "mean_low": defined(spread.interval[0]),
        "mean_high": defined(spread.interval[1]),
        "least": defined(spread.low),
        "largest": defined(spread.high),
        "fields": spread.count,
    }


def _records_at(summary: Summary) -> list[Record]:
    """Return counts, ratios and means of the objects at each of `AP_THRESHOLDS`."""
    pooled = summary.pooled.ratios_at()
    means = {key: spread.mean for key, spread in summary.spread_at.items()}
    return [
        {
            "threshold": t,
            "tp": counts.tp,
            "fp": counts.fp,
            "fn": counts.fn,
            "pooled": _plain({name: value for (at, name), value in pooled.items() if at == t}),
            "mean": _plain({name: mean for (at, name), mean in means.items() if at == t}),
        }
        for t, counts in zip(AP_THRESHOLDS, summary.pooled.by_threshold, strict=True)
    ]


def _verdict_record(score: Score) -> Record:
    counts, prefix = asdict(score.verdicts), "predicted_"
    predicted = {n.removeprefix(prefix): c for n, c in counts.items() if n.startswith(prefix)}
    true = {name: count for name, count in counts.items() if not name.startswith(prefix)}
    return {**true, "predicted": {"spurious": counts["spurious"], **predicted}}


def _plain(ratios: Mapping[str, float]) -> dict[str, float | None]:
    return {name: defined(value) for name, value in ratios.items()}


def _bounds(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval[0]) else list(interval)


def defined(value: float) -> float | None:
    """Return a ratio, or None for one that is undefined."""
    return None if math.isnan(value) else value


def object_columns(
    field: str,
    truth: Labels,
    predicted: Labels,
    matching: Matching,
    preset: Preset,
    *,
    pixel_size: float | None = None,
) -> Columns:
    """List the objects of a field, the true ones first; a ValueError if they are too many.

    Parameters
    ----------
    field : str
        Name of the field, the same in all rows.
    truth, predicted : ndarray of integers, shape (height, width)
        The labels that were matched.
    matching : Matching
        Matched pairs of true and predicted objects.
    preset : Preset
        Rule of scores that they were matched by.
    pixel_size : float, optional
        Edge of a pixel in micrometres.

    Returns
    -------
    dict of str to list
        ``field``; ``side``, "truth" or "predicted"; ``object``, the label's own number;
        ``verdict``; ``beside_error``, whether a match is beside another object's split or merge;
        ``iou`` with the partner, or the best there is; ``area_px``, ``centroid_y_px`` and
        ``centroid_x_px``; with the pixel size ``area_um2``, ``centroid_y_um`` and
        ``centroid_x_um``; ``partners``, tuples of numbers of the other side;
        ``preset`` and ``threshold``, the rule of scores and the IoU that verdicts are by. A
        centroid counts from the middle of the field's first pixel.
    """
    refuse_many(overlap := matching.overlap)
    verdicts = classify(matching)
    true = _side(field, "truth", truth, verdicts.truth, overlap.truth_areas, pixel_size)
    found = "predicted", predicted, verdicts.predicted, overlap.predicted_areas
    columns = join([true, _side(field, *found, pixel_size)])
    count, threshold = len(columns["object"]), matching.threshold
    return columns | {"preset": [preset.name] * count, "threshold": [threshold] * count}


def join(tables: Sequence[Mapping[str, list[Any]]]) -> Columns:
    """Put tables of the same columns under one another."""
    return {name: [cell for table in tables for cell in table[name]] for name in tables[0]}


def _side(
    field: str,
    side: str,
    labels: Labels,
    verdicts: ObjectVerdicts,
    areas: NDArray[np.int64],
    pixel_size: float | None,
) -> Columns:
    places, count = find_geometry(labels, verdicts.ids), len(verdicts.ids)
    columns = {
        "field": [field] * count,
        "side": [side] * count,
        "object": verdicts.ids.tolist(),
        "verdict": [Verdict(code).word for code in verdicts.codes.tolist()],
        "beside_error": verdicts.beside.tolist(),
        "iou": verdicts.ious.tolist(),
        "area_px": areas.tolist(),
        "centroid_y_px": places.y.tolist(),
        "centroid_x_px": places.x.tolist(),
    }
    if pixel_size is not None:
        columns["area_um2"] = (areas * pixel_size**2).tolist()
        columns["centroid_y_um"] = (places.y * pixel_size).tolist()
        columns["centroid_x_um"] = (places.x * pixel_size).tolist()
    return columns | {"partners": list(verdicts.partners)}

"""Scores as plain records: rows of a table, and objects of a JSON file.

An undefined ratio is None: null in JSON, an empty cell in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from napari_nucseg.core.fields import Field
from napari_nucseg.core.scoring import AP_THRESHOLDS, Score, Summary

Record = dict[str, Any]


def score_record(score: Score) -> dict[str, Record]:
    """Return counts and ratios of a score under "pixels", "objects" and "verdicts"."""
    ratios = score.ratios()
    objects = score.objects
    return {
        "pixels": asdict(score.pixels) | _plain(ratios["pixels"]),
        "objects": {
            "threshold": score.threshold,
            "tp": objects.tp,
            "fp": objects.fp,
            "fn": objects.fn,
        }
        | _plain(ratios["objects"]),
        "verdicts": _verdict_record(score),
    }


def summary_record(summary: Summary) -> dict[str, dict[str, Any]]:
    """Return the pooled score, and the mean and the range of fields of every ratio."""
    mean: dict[str, Record] = {"pixels": {}, "objects": {}}
    extent: dict[str, Record] = {"pixels": {}, "objects": {}}
    for (group, name), spread in summary.spread.items():
        mean[group][name] = _defined(spread.mean)
        extent[group][name] = None if spread.count == 0 else [spread.low, spread.high]
    return {"pooled": score_record(summary.pooled), "mean": mean, "range": extent}


def field_row(field: Field, score: Score) -> Record:
    """Return a field's row of ``fields.csv``: the pixel columns first, then those by object."""
    pixels, objects = score.pixels, score.objects
    return {
        "stem": field.stem,
        "well": field.well,
        "site": field.site,
        "split": field.split,
        "dice": _defined(pixels.dice),
        "iou": _defined(pixels.iou),
        "precision": _defined(pixels.precision),
        "recall": _defined(pixels.recall),
        "f1": _defined(pixels.dice),
        "tp": pixels.tp,
        "fp": pixels.fp,
        "fn": pixels.fn,
        "tn": pixels.tn,
        "percentage": _defined(pixels.accuracy),
        "nuclei": objects.tp + objects.fn,
        "predicted": objects.tp + objects.fp,
        "threshold": score.threshold,
        "object_tp": objects.tp,
        "object_fp": objects.fp,
        "object_fn": objects.fn,
        **{f"object_{name}": value for name, value in _plain(score.ratios()["objects"]).items()},
        **{
            f"ap_{threshold:.2f}": _defined(counts.ap)
            for threshold, counts in zip(AP_THRESHOLDS, score.by_threshold, strict=True)
        },
        **{f"verdict_{name}": count for name, count in asdict(score.verdicts).items()},
    }


def _verdict_record(score: Score) -> Record:
    counts = asdict(score.verdicts)
    prefix = "predicted_"
    predicted = {n.removeprefix(prefix): c for n, c in counts.items() if n.startswith(prefix)}
    true = {name: count for name, count in counts.items() if not name.startswith(prefix)}
    return {**true, "predicted": {"spurious": counts["spurious"], **predicted}}


def _plain(ratios: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _defined(value) for name, value in ratios.items()}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value

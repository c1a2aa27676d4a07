"""Scores as tables for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_nucseg.core.scoring import OBJECT_RATIOS, PIXEL_RATIOS, Score, Spread, Summary

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    ("pixels", "dice"): "Dice (= F1)",
    ("pixels", "iou"): "IoU",
    ("pixels", "precision"): "Precision",
    ("pixels", "recall"): "Recall",
    ("pixels", "accuracy"): "Accuracy",
    ("objects", "precision"): "Precision",
    ("objects", "recall"): "Recall",
    ("objects", "f1"): "F1",
    ("objects", "ap"): "AP",
    ("objects", "mean_ap"): "AP .50:.95",
    ("objects", "sq"): "SQ",
    ("objects", "rq"): "RQ",
    ("objects", "pq"): "PQ",
}
"""How each ratio is called wherever people read it."""
GROUPS = {"pixels": "Pixels", "objects": "Nuclei"}
RATIOS = tuple(
    [("pixels", name) for name in PIXEL_RATIOS] + [("objects", name) for name in OBJECT_RATIOS]
)


def as_number(value: float) -> str:
    """Three decimals; "empty" for what is undefined."""
    return "empty" if math.isnan(value) else f"{value:.3f}"


def as_spread(spread: Spread) -> str:
    """Mean and range of fields."""
    if spread.count == 0:
        return "empty"
    return f"{spread.mean:.3f} ({spread.low:.3f}-{spread.high:.3f})"


def score_table(score: Score) -> Table:
    """Table of one score."""
    table = _table("Score")
    ratios = score.ratios()
    for group, name in RATIOS:
        table.add_row(GROUPS[group], TITLES[group, name], as_number(ratios[group][name]))
    table.caption = describe_verdicts(score)
    return table


def summary_table(summary: Summary) -> Table:
    """Table of many fields: pooled, mean and range."""
    table = _table("Pooled", "Mean of fields (range)")
    ratios = summary.pooled.ratios()
    for group, name in RATIOS:
        table.add_row(
            GROUPS[group],
            TITLES[group, name],
            as_number(ratios[group][name]),
            as_spread(summary.spread[group, name]),
        )
    table.caption = describe_verdicts(summary.pooled)
    return table


def describe_verdicts(score: Score) -> str:
    """Count the verdicts in a sentence."""
    v = score.verdicts
    return (
        f"{v.matched} nuclei matched at IoU {score.threshold:g} ({v.loose} loosely), {v.missed} "
        f"missed, {v.merged} merged, {v.split} split, {v.off} off, {v.tangled} tangled; "
        f"{v.spurious} spurious"
    )


def _table(*columns: str) -> Table:
    from rich.table import Table  # not for the score panel, which has a table of its own

    table = Table("", "", caption_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table

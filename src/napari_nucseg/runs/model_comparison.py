"""Several models on the same fields, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from napari_nucseg.core.summaries import Key
from napari_nucseg.runs.records import Record, defined
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.tables import GROUPS, RATIOS, as_number, as_spread, title

SHOWN: tuple[Key, ...] = (
    *(("pixels", name) for name in ("dice", "iou", "precision", "recall", "accuracy")),
    *(("objects", name) for name in ("mean_ap", "f1", "precision", "recall", "pq", "aji")),
)
"""Scores that are compared; all are in the table that is written."""


def comparison_table(results: Mapping[str, Benchmark]) -> list[tuple[str, ...]]:
    """Return a column a model: mean of fields and range; the header first."""
    rows: list[tuple[str, ...]] = [("Mean of fields (range)", *results)]
    for group, name in SHOWN:
        cells = [as_spread(result.summary.spread[group, name]) for result in results.values()]
        rows.append((f"{GROUPS[group]}: {title(group, name)}", *cells))
    rows.append(
        ("Seconds a field", *(as_number(one.seconds_per_field) for one in results.values()))
    )
    return rows


def comparison_rows(results: Mapping[str, Benchmark]) -> list[Record]:
    """Return a row for every model and score, without times."""
    rows = []
    for model, result in results.items():
        pooled = result.summary.pooled.ratios()
        for group, name in RATIOS:
            spread = result.summary.spread[group, name]
            rows.append(
                {
                    "model": model,
                    "group": group,
                    "score": name,
                    "pooled": defined(pooled[group][name]),
                    "mean_of_fields": defined(spread.mean),
                    "mean_low": defined(spread.interval[0]),
                    "mean_high": defined(spread.interval[1]),
                    "least": defined(spread.low),
                    "largest": defined(spread.high),
                    "fields": spread.count,
                }
            )
    return rows

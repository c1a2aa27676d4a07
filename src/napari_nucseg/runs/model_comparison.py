"""Several models on the same fields, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from napari_nucseg.core.summaries import Key, Summary, summarise
from napari_nucseg.runs.records import Record, defined
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.tables import GROUPS, RATIOS, as_number, as_spread, title

SHOWN: tuple[Key, ...] = (
    *(("pixels", name) for name in ("dice", "iou", "precision", "recall", "accuracy")),
    *(("objects", name) for name in ("mean_ap", "f1", "precision", "recall", "pq", "aji")),
)
"""Scores that are compared; all are in the table that is written."""


def comparison_table(results: Mapping[str, Benchmark]) -> list[tuple[str, ...]]:
    """Return a column a model: mean and range of the fields that all have done; the header first.

    If they have none in common, each column is of the model's own fields, and the header says so.
    """
    rows: list[tuple[str, ...]] = [(_heading(results), *results)]
    summaries = _summaries(results).values()
    for group, name in SHOWN:
        cells = [as_spread(summary.spread[group, name]) for summary in summaries]
        rows.append((f"{GROUPS[group]}: {title(group, name)}", *cells))
    rows.append(
        ("Seconds a field", *(as_number(one.seconds_per_field) for one in results.values()))
    )
    return rows


def comparison_rows(results: Mapping[str, Benchmark]) -> list[Record]:
    """Return a row for every model and score, of the same fields as the table, without times."""
    rows = []
    for model, summary in _summaries(results).items():
        pooled = summary.pooled.ratios()
        for group, name in RATIOS:
            spread = summary.spread[group, name]
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


def _summaries(results: Mapping[str, Benchmark]) -> dict[str, Summary]:
    """Sum up each model over the fields that all have done, so that like stands beside like."""
    common = _common(results)
    return {
        model: result.summary
        if len(common) in (0, len(result.scores))
        else summarise([result.scores[stem] for stem in common], result.empty_as_one)
        for model, result in results.items()
    }


def _heading(results: Mapping[str, Benchmark]) -> str:
    """Say what the means are of."""
    common = _common(results)
    if not common:
        return "Mean of each one's own fields (range); they have none in common"
    if any(len(result.scores) > len(common) for result in results.values()):
        fields = "1 field" if len(common) == 1 else f"{len(common)} fields"
        return f"Mean of the {fields} that all have done (range)"
    return "Mean of fields (range)"


def _common(results: Mapping[str, Benchmark]) -> list[str]:
    """List the fields that no model failed at."""
    first, *others = (result.scores for result in results.values())
    return [stem for stem in first if all(stem in scores for scores in others)]

"""Scores that others published for the splits of BBBC039, to stand beside ours.

They are in ``published.json``. Its pixel scores, pooled and as mean and range of fields, are of a
course report (F. Kloda, 2025) that scored Cellpose-SAM on the test split as it comes; they are
computed from its table of fields. The scores of nuclei are others' reports; there AP is the mean
over fields, and a field without nuclei counts 1 if nothing is predicted. Of each model they are
AP .50:.95, AP at each IoU of `_AP`, and F1 at 0.5; null where none was told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from napari_nucseg.io.fields import Dataset
from napari_nucseg.metrics.registry import find_metric
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Spread, Summary
from napari_nucseg.report.text import as_spread
from napari_nucseg.wording import as_number

_FIELDS = {"test": 50, "validation": 50}
_AP = {0.5: 0, 0.75: 5, 0.9: 8}
"""IoU threshold to its number in `Score.by_threshold`."""
PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))

Rows = list[tuple[str, ...]]
"""Rows of cells, the header first."""


def published_split(dataset: Dataset) -> str | None:
    """Name the split that a dataset is, whole, if scores of it were published."""
    splits = splits_of_bbbc039(dataset)
    split = splits.pop() if len(splits) == 1 else None
    if split is None or len(dataset.fields) != _FIELDS.get(split) or dataset.absent:
        return None
    return split


def splits_of_bbbc039(dataset: Dataset) -> set[str | None]:
    """Name the splits of BBBC039 that fields are of; None for fields that are not of BBBC039."""
    return {None if field.well is None else field.split for field in dataset.fields}


def pixel_table(model: str, summary: Summary, split: str) -> Rows:
    """Stand a run beside the course report; no rows where it says nothing of the split.

    If some fields failed, the header says on how many the run's scores stand.
    """
    if split != "test":
        return []
    ours = f"{_on_fields(model, summary.fields, split)}, mean (range)"
    header = ("Pixels", ours, PUBLISHED["pixels"]["model"], "Pooled", "Pooled, published")
    pooled = summary.pooled.ratios()["pixels"]
    rows: Rows = [header]
    for name, theirs in PUBLISHED["pixels"]["scores"].items():
        metric = find_metric("pixels", name)
        told = as_spread(Spread(theirs["mean"], theirs["low"], theirs["high"], _FIELDS[split]))
        rows.append(
            (
                metric.heading,
                as_spread(summary.spread[metric.key]),
                told,
                as_number(pooled[name]),
                as_number(theirs["pooled"]),
            )
        )
    return rows


def object_table(model: str, scores: Sequence[Score], split: str) -> Rows:
    """Stand a run beside published scores of nuclei.

    Parameters
    ----------
    model : str
        Name of the model that ran.
    scores : sequence of Score
        Scores of the fields that the model has done; if some failed, its row says how many these
        are.
    split : str
        Name of the split, as `published_split` gives it.
    """
    ours = [_mean([score.mean_ap for score in scores])]
    ours += [_mean([score.by_threshold[at].ap for score in scores]) for at in _AP.values()]
    ours += [_mean([score.at_half.f1 for score in scores])]
    rows: Rows = [
        ("Nuclei", "AP .50:.95", *(f"AP {t:g}" for t in _AP), "F1 0.5"),
        (_on_fields(model, len(scores), split), *map(as_number, ours)),
    ]
    for other, *told in PUBLISHED["nuclei"][split]:
        rows.append((other, *("" if value is None else as_number(value) for value in told)))
    return rows


def _on_fields(model: str, done: int, split: str) -> str:
    """Name a model, and how much of the split it has done unless that is all."""
    count = _FIELDS[split]
    return model if done == count else f"{model}, {done} of {count} fields"


def _mean(values: Sequence[float]) -> float:
    """Return the mean of fields; an undefined one, of a field without nuclei, counts 1."""
    return fmean(1.0 if math.isnan(value) else value for value in values)

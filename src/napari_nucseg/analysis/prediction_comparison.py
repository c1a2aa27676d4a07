"""Several predictions of the same fields against one ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.score_records import Record, defined
from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.ignoring import Ignored, leave_out
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.registry import Metric
from napari_nucseg.metrics.score import Score, ScoreRule, score_matching, with_ignored
from napari_nucseg.metrics.summary import ScoreKey, Spread, Summary, compare_fields, summarise
from napari_nucseg.progress import Progress

ReadField = Callable[[int], Labels]
"""Number of a field to its labels."""


@dataclass(frozen=True)
class TrueFields:
    """What predictions are compared with.

    Attributes
    ----------
    read : callable
        Reads the ground truth of a field.
    planes : sequence of int
        Numbers of the fields, which all predictions have.
    ignored : callable or None
        Tells what is not counted in a field of any prediction; None to go by the rule.
    """

    read: ReadField
    planes: Sequence[int]
    ignored: Callable[[int], Ignored | None] | None = None


@dataclass(frozen=True)
class ScoredField:
    """A field of one prediction: its score, and which true objects it found.

    Attributes
    ----------
    score : Score
        Scores of the field by the rule of the comparison.
    ids : ndarray of int64, shape (n,)
        Labels of the true objects, ascending.
    found : ndarray of bool, shape (n,)
        Whether each true object has a match.
    ious : ndarray of float64, shape (n,)
        IoU of each true object with its best predicted object.
    """

    score: Score
    ids: NDArray[np.int64]
    found: NDArray[np.bool_]
    ious: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredPrediction:
    """A prediction that was scored.

    Attributes
    ----------
    name : str
        Name of the prediction for the screen.
    fields : mapping
        Number of a field to what it gave.
    summary : Summary
        Pooled scores and spread over the fields.
    differences : mapping
        Ratio to how much larger it is than that of the first prediction.
    """

    name: str
    fields: Mapping[int, ScoredField] = field(repr=False)
    summary: Summary = field(repr=False)
    differences: Mapping[ScoreKey, Spread] = field(repr=False)


@dataclass(frozen=True)
class Disagreement:
    """A true object that one prediction found and another did not.

    Attributes
    ----------
    plane : int
        Number of the field in the stack.
    label : int
        Label of the object in the ground truth.
    in_first : bool
        Whether the first prediction found it; else the second did.
    ious : tuple of float
        Best IoU in the first and in the second.
    """

    plane: int
    label: int
    in_first: bool
    ious: tuple[float, float]


def compare_predictions(
    truth: TrueFields,
    predictions: Mapping[str, ReadField],
    rule: ScoreRule,
    progress: Progress,
    known: Mapping[str, Mapping[int, ScoredField]] | None = None,
) -> list[ScoredPrediction]:
    """Score predictions of the same fields, and compare all with the first.

    Parameters
    ----------
    truth : TrueFields
        The fields, with their ground truth.
    predictions : mapping
        Name of a prediction to what reads it.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    known : mapping, optional
        Name of a prediction to its fields that need not be scored again.
    """
    before = known or {}
    results: dict[str, dict[int, ScoredField]] = {name: {} for name in predictions}
    for done, plane in enumerate(truth.planes):
        progress(done, len(truth.planes), "Scoring predictions")
        left = [name for name in predictions if plane not in before.get(name, {})]
        true = np.array(truth.read(plane)) if left else None
        ignore = rule.ignored if truth.ignored is None else truth.ignored(plane)
        for name, read in predictions.items():
            results[name][plane] = (
                before[name][plane]
                if true is None or name not in left
                else _score(true, np.array(read(plane)), rule, ignore)
            )
    scores = {name: [part.score for part in parts.values()] for name, parts in results.items()}
    first = next(iter(scores.values()))
    return [
        ScoredPrediction(
            name, results[name], summarise(own, rule.empty_as_one), compare_fields(own, first)
        )
        for name, own in scores.items()
    ]


def disagreements(first: ScoredPrediction, second: ScoredPrediction) -> list[Disagreement]:
    """List the true objects that only one of two predictions found."""
    found = []
    for plane, one in first.fields.items():
        other = second.fields[plane]
        for row in np.flatnonzero(one.found != other.found).tolist():
            ious = (float(one.ious[row]), float(other.ious[row]))
            found.append(Disagreement(plane, int(one.ids[row]), bool(one.found[row]), ious))
    return found


def prediction_rows(
    all_scored: Sequence[ScoredPrediction], made: Mapping[str, str]
) -> list[Record]:
    """Return a row for every prediction and score.

    Parameters
    ----------
    all_scored : sequence of ScoredPrediction
        All of the same fields.
    made : mapping
        Name of a prediction to how it was made.
    """
    return [
        {
            "prediction": scored.name,
            "made": made.get(scored.name, ""),
            "group": group,
            "score": name,
            "mean_of_fields": defined(spread.mean),
            "mean_low": defined(spread.interval[0]),
            "mean_high": defined(spread.interval[1]),
            "difference": defined(scored.differences[group, name].mean),
            "difference_low": defined(scored.differences[group, name].interval[0]),
            "difference_high": defined(scored.differences[group, name].interval[1]),
            "fields": spread.count,
        }
        for scored in all_scored
        for (group, name), spread in scored.summary.spread.items()
    ]


def best_of(all_scored: Sequence[ScoredPrediction], metric: Metric) -> int:
    """Return which prediction has the best mean of a score."""
    means = np.array([scored.summary.spread[metric.key].mean for scored in all_scored])
    if np.isnan(means).all():
        return 0
    return int(np.nanargmax(means) if metric.better == "high" else np.nanargmin(means))


def _score(
    truth: Labels, predicted: Labels, rule: ScoreRule, ignore: Ignored | None
) -> ScoredField:
    kept = None if ignore is None else leave_out(truth, predicted, ignore)
    labels = (truth, predicted) if kept is None else (kept.truth, kept.predicted)
    overlap = find_overlap(*labels)
    matching = match(overlap, rule.threshold, rule.preset.strict)
    n = len(overlap.truth_ids)
    found, ious = np.zeros(n, dtype=np.bool_), np.zeros(n)
    found[matching.truth_index] = True
    np.maximum.at(ious, overlap.truth_index, overlap.ious)
    score = score_matching(matching, rule.preset)
    score = score if kept is None else with_ignored(kept, score)
    return ScoredField(score, overlap.truth_ids, found, ious)

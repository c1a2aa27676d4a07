"""Scores of many fields: pooled, and as a mean of fields, each with a bootstrap interval.

A field without any object on either side has no ratios: it is left out of means, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.registry import GROUPS, find_metric
from napari_nucseg.metrics.score import Score
from napari_nucseg.wording import as_interval, as_number, counted

RESAMPLES = 1000
"""Times that the fields are drawn anew, with replacement, for an interval."""
SEED = 0
LEVEL = 95
"""Per cent of the resampled values that lie within an interval."""

Interval = tuple[float, float]
ScoreKey = tuple[str, str]
"""Group and name of a ratio."""
KeyAt = tuple[float, str]
"""IoU threshold and name of a ratio."""
UNDEFINED: Interval = (math.nan, math.nan)

_KEPT = ("threshold", "preset", "unit")
"""What is not counted, and the same in all fields."""


@dataclass(frozen=True)
class Spread:
    """A value over fields.

    Attributes
    ----------
    mean, low, high : float
        Mean, least and largest of the fields.
    count : int
        Number of fields where the value is defined.
    interval : tuple of float
        Bootstrap interval of the mean; undefined with fewer than two fields.
    """

    mean: float
    low: float
    high: float
    count: int
    interval: Interval = UNDEFINED


@dataclass(frozen=True)
class Summary:
    """Several fields: their pooled score, and each ratio as a mean of fields.

    Attributes
    ----------
    pooled : Score
        Counts added over the fields, then divided.
    spread : mapping
        Group and name of a ratio to its `Spread`; undefined fields left out.
    intervals : mapping
        Group and name of a ratio to the bootstrap interval of the pooled one.
    spread_at, intervals_at : mapping
        Spread and interval of precision, recall, F1 and AP, by one of `AP_THRESHOLDS` and name.
    count_error : Spread
        Spread of the absolute count error over the fields.
    fields : int
        Number of fields that were scored.
    empty : int
        Fields without an object on either side.
    """

    pooled: Score
    spread: Mapping[ScoreKey, Spread]
    intervals: Mapping[ScoreKey, Interval]
    spread_at: Mapping[KeyAt, Spread]
    intervals_at: Mapping[KeyAt, Interval]
    count_error: Spread
    fields: int
    empty: int

    @property
    def reported(self) -> dict[str, float]:
        """What the preset reports: its ratio as mean of fields, and pooled where it pools."""
        preset = self.pooled.preset
        found = {"mean of fields": self.spread["objects", preset.ratio].mean}
        if preset.pools:
            found["pooled"] = self.pooled.ratios()["objects"][preset.ratio]
        return found

    def __str__(self) -> str:
        """Write a line for each score: pooled, mean of fields, and the interval of the mean."""
        lines = [f"{counted(self.fields, 'field')}, {self.empty} of them without nuclei."]
        lines.append(f"{'':<29}{'pooled':>6}{'mean':>8}  {LEVEL} % of the mean")
        group = ""
        for metric in self.pooled.metrics:
            head = "" if metric.group == group else GROUPS[metric.group]
            title, spread = metric.title_at(self.pooled.threshold), self.spread[metric.key]
            pooled, mean = as_number(metric.compute(self.pooled)), as_number(spread.mean)
            row = f"{head:<9}{title:<20}{pooled:>6}{mean:>8}  {as_interval(spread.interval)}"
            lines.append(row.rstrip())
            group = metric.group
        return "\n".join(lines)


def summarise(scores: Sequence[Score], empty_as_one: bool = False) -> Summary:
    """Pool the scores of fields and take each ratio's mean, range and bootstrap intervals.

    Parameters
    ----------
    scores : sequence of Score
        One a field, all by one threshold and preset.
    empty_as_one : bool
        Let a field without an object on either side count as faultless in means, which is 1 of
        most scores, as some papers do, instead of leaving it out. Pooled scores need no such rule.

    Raises
    ------
    ValueError
        If there is no score, or they cannot be pooled.

    Notes
    -----
    The intervals are percentiles of 1,000 draws of as many fields with replacement, the same
    draws for every ratio and every call (Efron 1979). They tell what other fields of the same
    kind could have given, not what other nuclei of these fields could have.
    """
    if not scores:
        raise ValueError("there is no field to summarise; score at least one")
    pooled = reduce(add, scores)
    ratios, ratios_at = [_flat(field) for field in scores], [field.ratios_at() for field in scores]
    values, values_at = _table(ratios), _table(ratios_at)
    empty = np.array([field.areas.true + field.areas.predicted == 0 for field in scores])
    if empty_as_one:
        best = np.array([metric.best for metric in pooled.metrics])
        values = np.where(np.isnan(values) & empty[:, None], best, values)
        values_at[empty] = [find_metric("objects", name).best for _, name in ratios_at[0]]
    drawn = _draw(len(scores))
    draws = pool_draws(scores, drawn) if len(scores) > 1 else pooled
    errors = np.array([[abs(field.count_error)] for field in scores], dtype=np.float64)
    return Summary(
        pooled,
        dict(zip(ratios[0], _spreads(values, drawn), strict=True)),
        {key: _interval(np.asarray(value)) for key, value in _flat(draws).items()},
        dict(zip(ratios_at[0], _spreads(values_at, drawn), strict=True)),
        {key: _interval(np.asarray(value)) for key, value in draws.ratios_at().items()},
        _spreads(errors, drawn)[0],
        len(scores),
        int(empty.sum()),
    )


def compare_fields(scores: Sequence[Score], reference: Sequence[Score]) -> dict[ScoreKey, Spread]:
    """Compare two segmentations of the same fields, field by field.

    Parameters
    ----------
    scores, reference : sequence of Score
        Scores of the same fields in the same order, one a field.

    Returns
    -------
    dict
        Group and name of a ratio to how much larger it is than the reference's: mean, range and
        bootstrap interval of the fields' differences (paired: a draw takes a field's two scores
        together). Fields where either ratio is undefined are left out.
    """
    ours, theirs = [_flat(score) for score in scores], [_flat(score) for score in reference]
    differences = _table(ours) - _table(theirs)
    return dict(zip(ours[0], _spreads(differences, _draw(len(scores))), strict=True))


def _flat(score: Score) -> dict[ScoreKey, float]:
    return {metric.key: metric.compute(score) for metric in score.metrics}


def _table(fields: Sequence[Mapping[Any, float]]) -> NDArray[np.float64]:
    """Return a row for each field."""
    return np.array([list(ratios.values()) for ratios in fields], dtype=np.float64)


def _draw(fields: int) -> NDArray[np.int64]:
    """Return how often each field is in each draw, shape (draws, fields)."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(fields, np.full(fields, 1 / fields), size=RESAMPLES)


def _spreads(values: NDArray[np.float64], drawn: NDArray[np.int64]) -> list[Spread]:
    """Summarise each column, leaving out fields where it is undefined."""
    defined = ~np.isnan(values)
    sums, counts = drawn @ np.where(defined, values, 0), drawn @ defined
    means = np.divide(sums, counts, out=np.full(sums.shape, math.nan), where=counts > 0)
    return [
        _spread(column[there], mean)
        for column, there, mean in zip(values.T, defined.T, means.T, strict=True)
    ]


def _spread(values: NDArray[np.float64], means: NDArray[np.float64]) -> Spread:
    if not len(values):
        return Spread(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(values) / len(values)
    interval = _interval(means) if len(values) > 1 else UNDEFINED
    return Spread(mean, float(values.min()), float(values.max()), len(values), interval)


def _interval(values: NDArray[np.float64]) -> Interval:
    """Return the percentiles that hold `LEVEL` per cent of the defined draws, if there are any."""
    defined = values[~np.isnan(values)]
    if values.ndim == 0 or not len(defined):
        return UNDEFINED
    low, high = np.percentile(defined, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def pool_draws(scores: Sequence[Score], drawn: NDArray[np.int64]) -> Score:
    """Pool the fields of each draw.

    Parameters
    ----------
    scores : sequence of Score
        Scores of n fields, by one threshold and preset.
    drawn : ndarray of int64, shape (draws, n)
        Number of times that each field is in each draw.

    Returns
    -------
    Score
        Pooled score, whose counts and ratios are arrays of shape (draws,).
    """
    counts = np.array([list(_numbers(score)) for score in scores], dtype=np.float64)
    pooled: Score = _rebuilt(scores[0], iter((drawn @ counts).T))
    return pooled


def _numbers(value: Any) -> Iterator[float]:
    """Walk through all that is counted, always in the same order."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name not in _KEPT:
                yield from _numbers(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    elif value is not None:
        yield value


def _rebuilt(pattern: Any, numbers: Iterator[NDArray[np.float64]]) -> Any:
    """Put numbers in the places where `_numbers` found those of the pattern."""
    if is_dataclass(pattern):
        parts = {
            field.name: getattr(pattern, field.name)
            if field.name in _KEPT
            else _rebuilt(getattr(pattern, field.name), numbers)
            for field in fields(pattern)
        }
        make: Callable[..., Any] = type(pattern)
        return make(**parts)
    if isinstance(pattern, tuple):
        return tuple(_rebuilt(part, numbers) for part in pattern)
    return None if pattern is None else next(numbers)

"""Pool many draws of the same fields, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.scoring import Score

_KEPT = ("threshold", "preset", "unit")
"""What is not counted, and the same in all fields."""


def pool_draws(scores: Sequence[Score], drawn: NDArray[np.int64]) -> Score:
    """Pool the fields of each draw.

    Parameters
    ----------
    scores : sequence of Score
        Of n fields, by one threshold and preset.
    drawn : ndarray of int64, shape (draws, n)
        How often each field is in each draw.

    Returns
    -------
    Score
        Its counts, and hence its ratios, are arrays of shape (draws,).
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

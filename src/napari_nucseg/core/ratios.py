"""Counts that are added field by field, and ratios of them.

A ratio of nothing is undefined: NaN here, null in files, "empty" on the screen. With objects on
one side alone it is 0.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Summed:
    """Base of dataclasses of counts that are added to pool fields."""

    def __add__(self, other: Self) -> Self:
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)  # type: ignore[arg-type]
        }
        return type(self)(**sums)


def ratio(part: float, whole: float, seen: float) -> float:
    """Divide; NaN where nothing was seen at all, 0 where only this ratio has nothing below.

    Parameters
    ----------
    part, whole, seen : float
        Or arrays of one shape, where many draws of fields are pooled at once.
    """
    if isinstance(whole, np.ndarray):
        return _ratios(np.asarray(part, dtype=np.float64), whole, np.asarray(seen))
    if seen == 0:
        return math.nan
    return part / whole if whole else 0.0


def _ratios(part: NDArray[np.float64], whole: NDArray[Any], seen: NDArray[Any]) -> Any:
    result = np.where(seen == 0, math.nan, 0.0)
    return np.divide(part, whole, out=result, where=(whole != 0) & (seen != 0))

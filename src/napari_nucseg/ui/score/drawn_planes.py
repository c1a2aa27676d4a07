"""An array whose fields are drawn when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Draw = Callable[[int], NDArray[np.uint8] | None]
"""Number of a field to its picture of shape (height, width), or None for a blank one."""


class DrawnPlanes:
    """Looks like an array of shape (..., height, width); a stack has more than is looked at.

    Parameters
    ----------
    shape : tuple of int
        (..., height, width).
    draw : callable
        Draws a field as it is to be shown now.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...], draw: Draw) -> None:
        self.shape = shape
        self.draw = draw
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Pixels of all fields."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def forget(self) -> None:
        """Draw anew what is looked at next."""
        self._last = None

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [part for part in key if not isinstance(part, np.ndarray)]:
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            rest = (slice(None),) * (self.ndim - len(key) + 1)
            key = key[:at] + rest + key[at + 1 :]
        stack = self.shape[:-2]
        numbers = np.arange(int(np.prod(stack))).reshape(stack)
        wanted = np.asarray(numbers[key[: len(stack)]])
        inside = key[len(stack) :]
        planes = [self._plane(int(number))[inside] for number in wanted.flat]
        return np.stack(planes).reshape((*wanted.shape, *planes[0].shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def _plane(self, number: int) -> NDArray[np.uint8]:
        if self._last is None or self._last[0] != number:
            drawn = self.draw(number)
            blank = np.zeros(self.shape[-2:], dtype=self.dtype)
            self._last = (number, blank if drawn is None else drawn)
        return self._last[1]

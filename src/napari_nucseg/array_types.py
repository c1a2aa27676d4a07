"""Types of arrays that all floors speak of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]
"""Label image: 0 is background, every other value one object."""
Window = tuple[slice, slice]
"""Rows and columns of a field."""
Box = tuple[slice, ...]
"""Part of an array: first element and the one after the last, along each axis."""


class Windowed(Protocol):
    """An image, or labels, of which any part can be read without the rest."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, height and width last."""

    def read(self, box: Box, /) -> NDArray[Any]:
        """Return the pixels of a box."""

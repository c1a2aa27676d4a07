"""Cutting a field into tiles that a network can hold, and turning it over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flip = tuple[bool, bool]
"""Whether an image is turned over along y, and along x."""
FLIPS: tuple[Flip, ...] = ((False, False), (True, False), (False, True), (True, True))


def tile_starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    """Place the fewest tiles that cover an edge and overlap their neighbours enough.

    Parameters
    ----------
    length : int
        Length of the edge, in pixels.
    size : int
        Length of a tile along it, in pixels.
    overlap : int
        Least number of pixels that a tile shares with the next.

    Returns
    -------
    tuple of int
        First pixel of each tile, in order and evenly spread: the first tile starts at 0 and the
        last one ends with the edge. An edge no longer than a tile gets one, which may reach
        beyond it.

    Raises
    ------
    ValueError
        If the overlap is negative or leaves no pixel of a tile to itself.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"tiles of {size} px cannot overlap by {overlap} px")
    if length <= size:
        return (0,)
    steps = math.ceil((length - size) / (size - overlap))
    return tuple(step * (length - size) // steps for step in range(steps + 1))


def flip(image: NDArray[Any], sides: Flip) -> NDArray[Any]:
    """Turn an image of shape (..., height, width) over."""
    y, x = (slice(None, None, -1 if side else 1) for side in sides)
    return image[..., y, x]


def flip_flows(output: NDArray[np.float32], sides: Flip) -> NDArray[np.float32]:
    """Turn flows along y and x and a cell probability over, shape (3, height, width).

    A flow that is turned over along an axis points the other way along it.
    """
    signs = np.array([-1 if side else 1 for side in sides] + [1], dtype=np.float32)
    return flip(output, sides) * signs[:, None, None]

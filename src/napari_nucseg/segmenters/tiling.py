"""Cutting a field into tiles that a network can hold."""

from __future__ import annotations

import math


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

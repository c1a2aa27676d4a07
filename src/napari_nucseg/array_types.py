"""Types of arrays and paths that all floors speak of; boxes in arrays, pixels within lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

StrPath = str | os.PathLike[str]
PATHS = (str, os.PathLike)
"""What a path may be given as."""
Labels = NDArray[np.integer[Any]]
"""Label image: 0 is background, every other value one object."""
Window = tuple[slice, slice]
"""Rows and columns of a field."""
Box = tuple[slice, ...]
"""Part of an array: first element and the one after the last, along each axis."""
Ring = NDArray[np.float64]
"""Corners of a closed line, shape (corners, 2): x and y; the first is not repeated at the end."""
_FARTHEST = 1e15
"""Pixels from the origin to the farthest corner of an outline that is believed."""
_MOST_CROSSINGS = 2**26
"""Rows that the lines of one outline may cross in all; a nucleus of 100 px crosses 200."""


class Windowed(Protocol):
    """An image, or labels, of which any part can be read without the rest."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, height and width last."""

    def read(self, box: Box, /) -> NDArray[Any]:
        """Return the pixels of a box."""


def as_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Return the array that a script gave, and refuse what it may have given in its place.

    Parameters
    ----------
    name : str
        What the array is for, such as image; errors name it.
    given : array_like
        The array.

    Raises
    ------
    ValueError
        If it is the path of a file, a segmentation and not its labels, or of unequal rows.
    """
    if isinstance(given, PATHS):
        raise ValueError(
            f"{name} is the path {os.fspath(given)!r}; give the array that is read from it, by "
            "napari_nucseg.open(path).fields[0].read_image().data or read_truth()"
        )
    if hasattr(given, "labels"):
        raise ValueError(f"{name} is a segmentation; give its labels, such as found.labels")
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers ({error})") from error


def whole_box(shape: Sequence[int]) -> Box:
    """Return the box that holds all of an array.

    >>> whole_box((2, 3))
    (slice(0, 2, None), slice(0, 3, None))
    """
    return tuple(slice(0, length) for length in shape)


def parts_of(shape: Sequence[int], size: Sequence[int]) -> Iterator[Box]:
    """Cut an array into boxes of a size, in the order of their first elements."""
    axes = (
        [slice(first, min(first + edge, length)) for first in range(0, length, edge)]
        for length, edge in zip(shape, size, strict=True)
    )
    yield from product(*axes)


def within(box: Box, whole: Box) -> Box:
    """Return where a box lies within another one that holds it.

    >>> within((slice(5, 7),), (slice(4, 9),))
    (slice(1, 3, None),)
    """
    return tuple(
        slice(one.start - around.start, one.stop - around.start)
        for one, around in zip(box, whole, strict=True)
    )


def intersect(box: Box, other: Box) -> Box:
    """Return what two boxes share; intervals that end before they begin if it is nothing."""
    both = zip(box, other, strict=True)
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in both)


def number_in_raster_order(labels: Labels) -> NDArray[np.int32]:
    """Renumber the objects 1 to n in the order of their first pixels.

    Parameters
    ----------
    labels : ndarray of integers, of any shape
        0 is background, numbers may have gaps.

    Returns
    -------
    ndarray of int32, of the same shape
        The same objects, numbered from 1 in the order of their first pixels.
    """
    foreground = labels > 0
    _, first, index = np.unique(labels[foreground], return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int32)
    numbers[np.argsort(first)] = np.arange(1, len(first) + 1)
    numbered = np.zeros(labels.shape, dtype=np.int32)
    numbered[foreground] = numbers[index]
    return numbered


def pixels_within(rings: Sequence[Ring], shape: tuple[int, ...]) -> tuple[Labels, Labels]:
    """Find the pixels whose centre lies within an odd number of rings.

    The first pixel's centre is at 0.5, 0.5. A centre on a line belongs to what is to its right
    and below, so that outlines that share a line share no pixel.

    Returns
    -------
    rows, columns : ndarray of int
        Where the pixels are.

    Raises
    ------
    ValueError
        If a corner is no finite number or too far away, or lines cross rows too often.

    Examples
    --------
    >>> square = np.array([[1, 1], [3, 1], [3, 2], [1, 2]], float)
    >>> [found.tolist() for found in pixels_within([square], (4, 4))]
    [[1, 1], [1, 2]]
    """
    height, width = shape
    row, x = _crossings(rings, height)
    if not len(row):
        return np.zeros(0, int), np.zeros(0, int)
    column = np.ceil(x - 0.5).clip(0, width).astype(int)
    top, left = int(row.min()), int(column.min())
    high, wide = int(row.max()) - top + 1, int(column.max()) - left + 1
    flips = np.bincount((row - top) * wide + column - left, minlength=high * wide)
    inside = np.cumsum(flips.reshape(high, wide), axis=1) % 2 == 1
    rows, columns = np.nonzero(inside)
    return rows + top, columns + left


def _crossings(rings: Sequence[Ring], height: int) -> tuple[Labels, NDArray[np.float64]]:
    """Find where lines cross the middles of rows: numbers of rows, and x."""
    start = np.concatenate([np.asarray(ring, float) for ring in rings])
    stop = np.concatenate([np.roll(np.asarray(ring, float), -1, axis=0) for ring in rings])
    if not np.isfinite(start).all():
        raise ValueError("a corner of an outline is no finite number; save the outlines again")
    if np.abs(start).max(initial=0) > _FARTHEST:
        raise ValueError("a corner of an outline lies beyond any image; save the outlines again")
    low, high = np.minimum(start[:, 1], stop[:, 1]), np.maximum(start[:, 1], stop[:, 1])
    first, last = (np.ceil(y - 0.5).clip(0, height).astype(int) for y in (low, high))
    count = last - first
    if count.sum() > _MOST_CROSSINGS:
        raise ValueError("an outline goes up and down too often to be that of a nucleus")
    line = np.repeat(np.arange(len(count)), count)
    row = first[line] + np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    (x0, y0), (x1, y1) = start[line].T, stop[line].T
    return row, x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)

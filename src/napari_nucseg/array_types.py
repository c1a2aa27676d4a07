"""Types of arrays and paths that all floors speak of, and boxes in arrays."""

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

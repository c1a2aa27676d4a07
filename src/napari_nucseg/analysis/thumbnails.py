"""Thumbnails: small pictures of single objects, each with its partners and surroundings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from napari_nucseg.analysis.comparison import LabelPair
from napari_nucseg.analysis.drawing import VERDICT_COLOURS, dim
from napari_nucseg.analysis.objects import Objects
from napari_nucseg.array_types import Window
from napari_nucseg.metrics.boundaries import find_outlines
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.progress import Progress

THUMBNAIL = 84
"""Edge of an object's small picture in pixels."""
_LEAST_WINDOW, _SURROUNDINGS = 48, 1.6
"""Least edge in pixels of the part of a field that a nucleus is shown in, and its edge by its."""
_DASH, _FOUND_COLOUR = 3, (255, 255, 255)
"""Pixels of a dash of the prediction's outline, and its colour."""


def window_around(box: Sequence[int], shape: tuple[int, ...]) -> Window:
    """Return the rows and columns of a square part of a field around a box, with surroundings.

    Parameters
    ----------
    box : sequence of int
        First row, first column, and row and column after the last.
    shape : tuple of int
        Height and width of the field; the part lies within, and is cut only where it is larger.

    Examples
    --------
    >>> window_around((0, 90, 10, 100), (100, 100))
    (slice(0, 48, None), slice(52, 100, None))
    """
    top, left, bottom, right = map(int, box)
    side = max(_LEAST_WINDOW, math.ceil(_SURROUNDINGS * max(bottom - top, right - left)))
    parts = []
    for low, high, length in ((top, bottom, shape[-2]), (left, right, shape[-1])):
        start = max(0, min((low + high - side) // 2, length - side))
        parts.append(slice(start, min(start + side, length)))
    return parts[0], parts[1]


def picture_pair(
    grey: NDArray[np.uint8],
    true: NDArray[np.bool_],
    found: NDArray[np.bool_],
    verdict: Verdict,
    size: int,
) -> NDArray[np.uint8]:
    """Draw an object and its partners as a small square picture.

    Parameters
    ----------
    grey : ndarray of uint8, shape (height, width)
        Part of a field, as `dim` returns the field.
    true, found : ndarray of bool, shape (height, width)
        Pixels of the true and of the predicted objects that are outlined.
    verdict : Verdict
        Verdict on the object. The truth has a line of two pixels in its colour, the prediction a
        dashed white one of one pixel.
    size : int
        Height and width of the picture in pixels.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB picture; what lies outside the field is black.
    """
    side = max(grey.shape)
    at = np.arange(size) * side // size
    room = [(0, side - length) for length in grey.shape]
    true, found = (np.pad(one, room)[np.ix_(at, at)] for one in (true, found))
    picture = np.repeat(np.pad(grey, room)[np.ix_(at, at)][..., None], 3, axis=2)
    line = find_outlines(true.astype(np.uint8), at_border=False)
    line |= find_outlines((true & ~line).astype(np.uint8), at_border=False)
    picture[line] = ImageColor.getrgb(VERDICT_COLOURS[verdict])
    y, x = np.indices(found.shape)
    dashes = (y + x) // _DASH % 2 == 0
    picture[find_outlines(found.astype(np.uint8), at_border=False) & dashes] = _FOUND_COLOUR
    return picture


@dataclass(frozen=True)
class Cut:
    """What a thumbnail shows: it is another one if any of this is.

    Attributes
    ----------
    plane : int
        Number of the field.
    true, found : tuple of int
        Labels of the true and of the predicted objects that are outlined.
    code : int
        Verdict on the object that it is of.
    box : tuple of int
        First row, first column, and row and column after the last.
    """

    plane: int
    true: tuple[int, ...]
    found: tuple[int, ...]
    code: int
    box: tuple[int, ...]

    @classmethod
    def of(cls, objects: Objects, row: int) -> Cut:
        """Tell what the thumbnail of an object shows."""
        mine, others = (int(objects.label[row]),), objects.partners_of(row)
        true, found = (mine, others) if objects.is_true[row] else (others, mine)
        box = tuple(objects.box[row].tolist())
        return cls(int(objects.plane[row]), true, found, int(objects.code[row]), box)


def cut_out(
    read: Callable[[int], LabelPair],
    read_image: Callable[[int], NDArray[Any]] | None,
    wanted: Sequence[Cut],
    progress: Progress,
) -> dict[Cut, NDArray[np.uint8]]:
    """Draw thumbnails; each field is read once.

    Parameters
    ----------
    read : callable
        Reads a field's true and predicted labels.
    read_image : callable or None
        Reads a field's intensities; None where there is no image.
    wanted : sequence of Cut
        What to draw.
    progress : Progress
        Called before each field; may raise to stop.
    """
    drawn = {}
    for plane in sorted({cut.plane for cut in wanted}):
        progress(0, 1, "Cutting")
        truth, predicted = read(plane)
        grey = np.zeros(truth.shape, np.uint8) if read_image is None else dim(read_image(plane))
        for cut in (cut for cut in wanted if cut.plane == plane):
            part = window_around(cut.box, truth.shape)
            sides = np.isin(truth[part], cut.true), np.isin(predicted[part], cut.found)
            drawn[cut] = picture_pair(grey[part], *sides, Verdict(cut.code), THUMBNAIL)
    return drawn

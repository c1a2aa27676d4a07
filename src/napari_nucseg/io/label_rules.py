"""What is taken for labels: numbers, colourings and binary masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.sources import Source
from napari_nucseg.wording import counted

SEG = "_seg"
"""What Cellpose puts behind an image's stem."""
NPY_SUFFIXES = (".npy",)
MAX_PIECES = 8
"""Pieces a value on average above which a grey picture is a photograph and no label image."""
MAX_MASK_VALUES = 32
"""Values, and pieces, up to which a picture is a colouring whatever it looks like."""
_SPECK = 2
"""Pixels of the median piece up to which a picture in colour is a photograph, or was smoothed."""
_BUSY_INSIDE = 1 / 8
"""Share of neighbours within objects that differ: 0.04 in DSB2018's labels, 0.3 in its images."""
_BUSY = {1: 32, 2: 8}
"""Share of pixels, as one in so many, that differ from their left neighbours in what has to be
looked at closely; by bytes a pixel."""
_WHITE = (255, 65_535)
"""The one number of many a binary mask."""

_MOST = 1 / 2
"""Share of a picture from which what holds all its corners, too, may be its background."""
WHITE_GROUND = "it holds no black, and white covers most of it: white was taken for the background"

BINARY = "it looks like a binary mask"
SEPARATED = "a binary mask, of which each piece was taken for a nucleus"


@dataclass(frozen=True)
class LabelImage:
    """Labels, and what the user should know of them.

    Attributes
    ----------
    data : ndarray of integers
        0 is background.
    notes : tuple of str
        Doubts whether they were read for what they are.
    is_binary : bool
        Whether all objects have one number, so that components may be meant.
    """

    data: Labels
    notes: tuple[str, ...] = ()
    is_binary: bool = False


class Likeness(Enum):
    """What a picture of which nothing else is known looks like."""

    NUMBERS = "labels"
    COLOURING = "labels in colour"
    BINARY = "a binary mask"


def find_likeness(picture: NDArray[Any], *, in_colour: bool) -> Likeness | None:
    """Tell what kind of labels a picture looks like; None if it may be anything else.

    Parameters
    ----------
    picture : ndarray, shape (height, width) or, in colour, (height, width, samples)
        Values as they are in the file.
    in_colour : bool
        Whether the last axis holds red, green, blue and perhaps transparency.

    Examples
    --------
    >>> find_likeness(np.array([[0, 1, 1, 1], [0, 0, 0, 0], [2, 2, 2, 0]]), in_colour=False)
    <Likeness.NUMBERS: 'labels'>
    """
    numbers = number_colours(picture) if in_colour else picture
    values = np.unique(numbers)
    if picture.dtype.kind not in "bui" or 0 not in values[:1] or len(values) == 1:
        return None
    if len(values) == 2:
        return Likeness.BINARY
    inside = (numbers[:, 1:] != 0) & (numbers[:, :-1] != 0)
    differ = np.count_nonzero(inside & (numbers[:, 1:] != numbers[:, :-1]))
    from skimage.measure import label  # a panel that opens would wait for it

    sizes = np.bincount(label(numbers, connectivity=2).ravel())[1:]
    may_scatter = in_colour and len(values) <= MAX_MASK_VALUES  # else they are rings, or edges
    is_scattered = len(sizes) > 2 * len(values) and not may_scatter
    is_busy = differ > _BUSY_INSIDE * np.count_nonzero(inside)
    if is_busy or is_scattered or np.median(sizes) <= _SPECK:
        return None
    return Likeness.COLOURING if in_colour else Likeness.NUMBERS


def decode_colouring(picture: NDArray[Any]) -> LabelImage:
    """Label the 8-connected components of equal colour; black is background.

    Where there is no black and most is white, in colour, white is.

    Parameters
    ----------
    picture : ndarray, shape (height, width) or (height, width, samples)
        Grey, or red, green, blue and perhaps transparency, which does not count.

    Returns
    -------
    LabelImage
        Numbers from 1, int32, shape (height, width).

    Raises
    ------
    ValueError
        If components are specks, as in a photograph.

    Examples
    --------
    >>> decode_colouring(np.array([[0, 3, 3, 1], [0, 0, 3, 0], [1, 0, 0, 0]], np.uint8)).data
    array([[0, 1, 1, 2],
           [0, 0, 1, 0],
           [3, 0, 0, 0]], dtype=int32)
    """
    from skimage.measure import label  # a panel that opens would wait for it

    colours, notes = number_colours(picture), tuple[str, ...]()
    if picture.ndim == 3 and colours.all():
        is_white = (picture[..., :3] == np.iinfo(picture.dtype).max).all(axis=-1)
        if np.count_nonzero(is_white) > _MOST * is_white.size:
            colours, notes = np.where(is_white, 0, colours), (WHITE_GROUND,)
    pieces = np.asarray(label(colours, connectivity=2), dtype=np.int32)
    count = int(pieces.max(initial=0))
    if count > MAX_MASK_VALUES and np.median(np.bincount(pieces.ravel())[1:]) <= _SPECK:
        raise ValueError(
            f"not a mask: most of its {count} pieces of one colour are specks, as in a photograph "
            "or where edges were smoothed"
        )
    return LabelImage(pieces, (*notes, *_doubt_background(pieces)))


def take_labels(data: NDArray[Any], *, components: bool = False) -> LabelImage:
    """Take numbers for labels, one a nucleus, in one piece or several.

    Parameters
    ----------
    data : ndarray of numbers, shape (..., height, width)
        Whole numbers from 0 of any type, or truth values.
    components : bool
        Whether the pieces of a binary mask are nuclei of their own.

    Raises
    ------
    ValueError
        If there are fractions or negative numbers, or it is a photograph.
    """
    labels = _whole_numbers(data)
    largest = labels.max(initial=0)
    if largest == 0:
        return LabelImage(labels)
    is_binary = not ((labels != 0) & (labels != largest)).any()
    if not is_binary:
        _refuse_photograph(labels)
        return LabelImage(labels, _doubt_background(labels))
    pieces = count_pieces(labels)
    is_mask = data.dtype == bool or largest in _WHITE
    ground = _doubt_background(labels)
    if pieces == 1 and not is_mask:
        return LabelImage(labels, ground)  # one nucleus, however it is taken
    if components:
        return LabelImage(separate_components(labels), (SEPARATED, *ground), True)
    where = "in one piece, which is" if pieces == 1 else f"in {pieces} pieces, which are"
    note = f"{BINARY}: it holds one number, {largest}, {where} taken for "
    return LabelImage(labels, (note + "one nucleus", *ground), True)


def separate_components(labels: Labels) -> Labels:
    """Give each piece of what is not background, corners included, a number of its own."""
    from skimage.measure import label  # a panel that opens would wait for it

    return np.asarray(label(labels != 0, connectivity=labels.ndim), dtype=np.int32)


def put_together(masks: Iterable[tuple[str, NDArray[np.bool_]]]) -> LabelImage:
    """Give masks of one nucleus each numbers in order; a pixel in several belongs to the first.

    Parameters
    ----------
    masks : iterable of (str, ndarray of bool)
        Name of at least one mask, and the mask itself, of shape (height, width).

    Raises
    ------
    ValueError
        If shapes differ; the message names the mask.

    Examples
    --------
    >>> one, other = np.array([[True, True, False]]), np.array([[False, True, True]])
    >>> put_together([("a", one), ("b", other)]).data.tolist()
    [[1, 1, 2]]
    """
    labels, shared = np.zeros(0, np.int32), 0
    for number, (name, inside) in enumerate(masks, start=1):
        if number == 1:
            labels = np.zeros(inside.shape, np.int32)
        if inside.shape != labels.shape:
            raise ValueError(
                f"{name}: a mask of shape {inside.shape}, and others of its folder have "
                f"{labels.shape}; put masks of one field into a folder"
            )
        shared += int(np.count_nonzero(inside & (labels != 0)))
        labels[inside & (labels == 0)] = number
    note = f"{counted(shared, 'pixel')} in more than one mask, and given to the first of them"
    return LabelImage(labels, (note,) if shared else ())


def count_pieces(labels: Labels) -> int:
    """Count the pieces of what is not background, corners included."""
    return int(separate_components(labels).max(initial=0))


def number_colours(picture: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """Return one number a colour, 0 for black."""
    if picture.ndim == 2:
        return picture
    red, others = picture[..., 0], picture[..., 1:3]
    if picture.shape[-1] < 3 or not others.any() or (others == red[..., None]).all():
        return red
    weights = np.array([1, 2**16, 2**32], np.int64)
    return np.asarray(picture[..., :3].astype(np.int64) @ weights)


def _whole_numbers(data: NDArray[Any]) -> Labels:
    if data.dtype == bool:
        return data.astype(np.uint8)
    if data.dtype.kind == "f":
        largest = np.abs(data).max(initial=0)  # NaN if there is one
        if not (data == np.rint(data)).all() or not largest < np.float64(2**63):
            raise ValueError(
                f"not a label image: it holds {data.dtype} values with fractions, NaN or of no "
                "sensible size, labels are whole numbers from 0; save it as an integer TIFF"
            )
        data = data.astype(np.int64)
    if data.dtype.kind not in "iu":
        raise ValueError(f"not a label image: it holds {data.dtype} values, not whole numbers")
    least = int(data.min(initial=0))
    if least < 0:
        raise ValueError(
            f"not a label image: it holds {least} in {np.count_nonzero(data == least)} pixels "
            f"({data.dtype}), labels are whole numbers from 0; give these pixels 0 if they are "
            "background or to be left out, or a number of their own"
        )
    return data


def _doubt_background(labels: Labels) -> tuple[str, ...]:
    """Say which label covers most of a plane and all its corners, as backgrounds do."""
    for number, plane in enumerate(labels.reshape(-1, *labels.shape[-2:]), start=1):
        corners = np.unique(plane[[0, 0, -1, -1], [0, -1, 0, -1]]) if plane.size else plane
        if len(corners) != 1 or corners[0] == 0:
            continue
        share = np.mean(plane == corners[0])
        if share > _MOST:
            where = f"plane {number}" if labels.ndim > 2 else "it"
            return (
                f"label {corners[0]} covers {100 * share:.0f} % of {where} and all corners: is it "
                "the background? Background is 0",
            )
    return ()


def _refuse_photograph(labels: Labels) -> None:
    """Refuse numbers that change from pixel to pixel, as intensities do.

    Planes are looked at one by one, since their nuclei may be numbered anew in each.
    """
    changes = np.count_nonzero(labels[..., 1:] != labels[..., :-1])
    if changes <= labels.size / _BUSY[min(labels.dtype.itemsize, 2)]:
        return
    from skimage.measure import label  # a panel that opens would wait for it

    planes = labels.reshape(-1, *labels.shape[-2:])
    pieces = sum(int(label(plane, connectivity=2).max(initial=0)) for plane in planes)
    values = sum(len(np.unique(plane)) for plane in planes)
    if pieces > MAX_PIECES * values:
        raise ValueError(
            f"not a label image: its {values} grey values lie in {pieces} pieces, as in a "
            "photograph"
        )


def is_seg(source: Source) -> bool:
    """Whether a file is Cellpose's by its name."""
    return source.suffix in NPY_SUFFIXES and source.stem.endswith(SEG)

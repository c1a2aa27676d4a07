"""Mending labels with a click or a line: delete, merge, split, add, and propose a nucleus.

Each function looks at labels, leaves them as they are, and returns the `Change` that mends them.
Places are in pixels, in the order of the labels' axes; the nearest pixel counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_nucseg.analysis.corrections import Change, box_of, change_in, free_number
from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.flows import find_object

Mask = NDArray[np.bool_]
LARGEST_GAP = 5
"""Pixels between two nuclei that merging bridges at most."""


def label_at(labels: Labels, at: Sequence[float]) -> int:
    """Return the label of the nucleus at a place.

    Raises
    ------
    ValueError
        If the place is outside of the labels, or there is background.

    Examples
    --------
    >>> label_at(np.array([[0, 4], [0, 4]]), (1.2, 0.8))
    4
    """
    pixel = _pixel(labels, at)
    label = int(labels[pixel])
    if not label:
        raise ValueError(f"there is no nucleus at {_in_words(pixel)}; click on a nucleus")
    return label


def delete(labels: Labels, at: Sequence[float]) -> Change:
    """Remove the nucleus at a place.

    Parameters
    ----------
    labels : ndarray of integers, of two axes or more
        0 is background.
    at : sequence of float
        The place, one number an axis.

    Raises
    ------
    ValueError
        What `label_at` raises.

    Examples
    --------
    >>> change = delete(np.array([[1, 1, 0], [0, 0, 2]]), (0, 1))
    >>> change.after.tolist(), change.gone
    ([[0, 0]], (1,))
    """
    return change_in(labels, np.where(labels == label_at(labels, at), 0, labels))


def merge(labels: Labels, first: int, second: int) -> Change:
    """Make two nuclei one, which keeps the number of the first.

    Parameters
    ----------
    labels : ndarray of integers, of two axes or more
        0 is background.
    first, second : int
        Labels of the nuclei; they need not touch.

    Raises
    ------
    ValueError
        If a nucleus is not there, both are one, they are farther apart, or another lies between.

    Notes
    -----
    A gap of up to `LARGEST_GAP` pixels is bridged: background that a morphological closing of
    both would fill becomes part of the nucleus, and so does the line between their nearest
    pixels.

    Examples
    --------
    >>> change = merge(np.array([[1, 1, 0, 2, 2]]), 1, 2)
    >>> change.after.tolist(), change.gone
    ([[1, 1, 1]], (2,))
    """
    from scipy import ndimage

    if first == second:
        raise ValueError(f"nucleus {first} was chosen twice; choose two nuclei to merge")
    box = box_of(_mask_of(labels, first) | _mask_of(labels, second), LARGEST_GAP)
    own = labels[box]
    bridge = _bridge(own == first, own == second, (first, second))
    merged = own.copy()
    merged[(own == second) | (bridge & (own == 0))] = first
    pieces, _ = ndimage.label(merged == first, np.ones((3,) * merged.ndim))
    if bridge.any() and not np.intersect1d(pieces[own == first], pieces[own == second]).size:
        between = int(own[bridge & (merged != first)].max())
        raise ValueError(
            f"nucleus {between} lies between nuclei {first} and {second}; merge it with one of "
            "them, or delete it first"
        )
    return change_in(labels, merged, box)


def split(labels: Labels, line: ArrayLike) -> Change:
    """Divide the nucleus that a line crosses.

    Parameters
    ----------
    labels : ndarray of integers, of two axes or more
        0 is background.
    line : array_like of float, shape (n, 2)
        Points along y and x; the line cuts all planes of a volume. Of several nuclei the one is
        divided in which it has the most pixels.

    Returns
    -------
    Change
        The largest part keeps the number, each other one gets a new one. Where the line ends
        before it has cut the nucleus, a watershed goes on from its sides; see `cut_along`.

    Raises
    ------
    ValueError
        If the line crosses no nucleus, or runs along its edge.

    Examples
    --------
    >>> change = split(np.full((2, 5), 3), [(-1, 2), (2, 2)])
    >>> change.applied_to(np.full((2, 5), 3)).tolist()
    [[3, 3, 3, 4, 4], [3, 3, 3, 4, 4]]
    """
    from napari_nucseg.segmenters.splitting import cut_along, draw_line

    points = _points(line, 2, "line")
    under = np.broadcast_to(draw_line(points, labels.shape[-2:]), labels.shape)
    numbers, hits = np.unique(labels[under & (labels > 0)], return_counts=True)
    if not len(numbers):
        raise ValueError("the line crosses no nucleus; draw it across the one to be split")
    number = int(numbers[hits.argmax()])
    box = box_of(labels == number)
    parts = cut_along(labels[box] == number, points - [part.start for part in box[-2:]])
    if parts.max() < 2:
        raise ValueError(
            f"the line runs along nucleus {number} and not across it; draw it from one side of the "
            "nucleus to the other"
        )
    result = labels[box].copy()
    for part in range(2, parts.max() + 1):
        result[parts == part] = free_number(labels, part - 2)
    return change_in(labels, result, box)


def add(labels: Labels, polygon: ArrayLike) -> Change:
    """Make what a lasso encloses a new nucleus; other nuclei are not overwritten.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background; of a volume give the plane that was drawn in.
    polygon : array_like of float, shape (n, 2)
        Corners along y and x; the last is joined to the first.

    Raises
    ------
    ValueError
        If it has fewer than three corners, or encloses no pixel of background.

    Examples
    --------
    >>> change = add(np.array([[0, 0, 5], [0, 0, 5]]), [(-1, -1), (-1, 3), (3, 3), (3, -1)])
    >>> change.after.tolist(), change.come
    ([[6, 6], [6, 6]], (6,))
    """
    from skimage.draw import polygon as pixels_in

    corners = _points(polygon, 3, "outline")
    if labels.ndim != 2:
        raise ValueError(f"labels of {labels.ndim} axes; give the plane that was drawn in")
    inside = np.zeros(labels.shape, dtype=np.bool_)
    inside[pixels_in(corners[:, 0], corners[:, 1], labels.shape)] = True
    new = inside & (labels == 0)
    if not new.any():
        raise ValueError(
            "the outline encloses no background pixel of the image; draw it around a nucleus that "
            "has no label"
        )
    return change_in(labels, np.where(new, free_number(labels), labels))


def propose(flows: Flows, labels: Labels, at: Sequence[float]) -> Change | None:
    """Add the nucleus that a network's flows and cell probability have at a place.

    Parameters
    ----------
    flows : Flows
        What the network said of the field; it is not run again.
    labels : ndarray of integers, shape (height, width)
        Labels of the same field; other nuclei are not overwritten.
    at : sequence of float
        The place along y and x.

    Returns
    -------
    Change or None
        The new nucleus; None if the network saw nothing there, or only a part of one that has a
        label. Thresholds are looser than those of a segmentation; see `find_object`.

    Raises
    ------
    ValueError
        If the place is outside, a nucleus is there, or the flows are of another field.
    """
    from scipy import ndimage

    pixel = _pixel(labels, at)
    if labels.shape != flows.cellprob.shape:
        raise ValueError(
            f"the labels are {labels.shape} px and the flows {flows.cellprob.shape} px; segment "
            "this field again"
        )
    if labels[pixel]:
        raise ValueError(
            f"nucleus {int(labels[pixel])} is at {_in_words(pixel)} already; click where none is"
        )
    found = find_object(flows, (pixel[0], pixel[1]))
    if found is None or 2 * np.count_nonzero(labels[found]) >= np.count_nonzero(found):
        return None
    pieces, _ = ndimage.label(found & (labels == 0))
    return change_in(labels, np.where(pieces == pieces[pixel], free_number(labels), labels))


def _pixel(labels: Labels, at: Sequence[float]) -> tuple[int, ...]:
    place = np.asarray(at, dtype=np.float64)
    if place.shape != (labels.ndim,) or not np.isfinite(place).all():
        raise ValueError(f"the place is {at}; give {labels.ndim} numbers, one an axis")
    pixel = tuple(np.floor(place + 0.5).astype(int).tolist())
    if any(not 0 <= at < length for at, length in zip(pixel, labels.shape, strict=True)):
        raise ValueError(
            f"{_in_words(pixel)} is outside of the labels, which are {labels.shape} px; click "
            "inside the image"
        )
    return pixel


def _in_words(pixel: Sequence[int]) -> str:
    names = "tzyx"[-len(pixel) :]
    return ", ".join(f"{name} = {place}" for name, place in zip(names, pixel, strict=True))


def _points(points: ArrayLike, least: int, what: str) -> NDArray[np.float64]:
    found = np.asarray(points, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise ValueError(f"the {what} has shape {found.shape}; give points along y and x, (n, 2)")
    if len(found) < least:
        raise ValueError(f"the {what} has {len(found)} points; draw at least {least}")
    return found


def _mask_of(labels: Labels, number: int) -> Mask:
    mask = np.asarray(labels == number, dtype=np.bool_)
    if number <= 0 or not mask.any():
        raise ValueError(f"there is no nucleus {number}; choose one that has a label")
    return mask


def _bridge(one: Mask, other: Mask, numbers: tuple[int, int]) -> Mask:
    """Mark what lies between two nuclei; nothing if they touch by a face."""
    from scipy import ndimage

    distances, nearest = ndimage.distance_transform_edt(~one, return_indices=True)
    gap = float(distances[other].min())
    if gap > LARGEST_GAP + 1:
        raise ValueError(
            f"nuclei {numbers[0]} and {numbers[1]} are {gap - 1:.0f} px apart, and nuclei are "
            f"merged over at most {LARGEST_GAP} px; paint what lies between them first"
        )
    bridge = np.zeros(one.shape, dtype=np.bool_)
    if gap <= 1:
        return bridge
    end = np.unravel_index(np.where(other, distances, np.inf).argmin(), one.shape)
    start = nearest[(slice(None), *end)]
    steps = np.linspace(start, np.array(end), int(np.ceil(gap)) + 1)
    bridge[tuple(np.floor(steps + 0.5).astype(int).T)] = True
    radius = int(np.ceil(gap))
    ball = (np.indices((2 * radius + 1,) * one.ndim) - radius) ** 2
    # Around the box nothing is marked, so that closing takes the border for background
    padded = np.pad(one | other, radius)
    closed = ndimage.binary_closing(padded, ball.sum(axis=0) <= radius**2)
    inside = tuple(slice(radius, -radius) for _ in range(one.ndim))
    return np.asarray(bridge | (closed[inside] & ~(one | other)), dtype=np.bool_)

"""Objects as numbers on the pixels of a field, on the CPU: making, dropping and filling them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_nucseg.segmenters.dynamics.compiling import compiled

LEAST_HITS_OF_SEED = 11
LEAST_HITS_OF_OBJECT = 3
"""Points that must end on a pixel for it to start an object, and to be part of one."""
PEAK_RADIUS = 2
"""A seed is hit as often as any pixel of the square around it with this radius."""
REACH = 5
"""How far from its seed, in pixels, an object's points may end."""


def label_meetings(
    points: NDArray[np.intp], ends: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Give the points that ended together one number, as `cellpose.dynamics.get_masks_torch` does.

    Parameters
    ----------
    points, ends : ndarray of int, shape (n,)
        Start and end of each point, as indices into the flattened field.
    shape : tuple of int
        Height and width of the field.

    Returns
    -------
    ndarray of int32, shape (height, width)
        An object's number at the places that its points started from.
    """
    hits = np.zeros((shape[0] + 2 * REACH, shape[1] + 2 * REACH), dtype=np.int32)
    _count_hits(ends, shape[1], hits[REACH:, REACH:])
    seeds = np.flatnonzero(hits >= LEAST_HITS_OF_SEED)
    most_near = hits.take(_around(seeds, hits.shape, PEAK_RADIUS)).max(axis=1)
    seeds = seeds[hits.take(seeds) == most_near]
    # torch leaves seeds that are hit alike in any order, so that its labels can differ here
    seeds = seeds[np.argsort(hits.take(seeds), kind="stable")]
    owners = _grow(hits, seeds)[REACH:-REACH, REACH:-REACH]
    labels = np.zeros(shape, dtype=np.int32)
    labels.ravel()[points] = owners.take(ends)
    return labels


@compiled
def _count_hits(ends: NDArray[np.int64], width: int, hits: NDArray[np.int32]) -> None:
    for end in ends:
        hits[end // width, end % width] += 1


def _grow(hits: NDArray[np.int32], seeds: NDArray[np.intp]) -> NDArray[np.int32]:
    """Give each seed what is hit enough around it; later seeds take from earlier ones."""
    side = 2 * REACH + 1
    squares = _around(seeds, hits.shape, REACH)
    enough = (hits.take(squares) >= LEAST_HITS_OF_OBJECT).reshape(-1, side, side)
    grown = np.zeros_like(enough)
    grown[:, REACH, REACH] = True
    beside = np.ones((1, 3, 3), dtype=np.bool_)
    grown = binary_dilation(grown, beside, iterations=REACH, mask=enough).reshape(squares.shape)
    owners = np.zeros(hits.shape, dtype=np.int32)
    owners.ravel()[squares[grown]] = np.nonzero(grown)[0] + 1
    return owners


def _around(places: NDArray[np.intp], shape: tuple[int, ...], radius: int) -> NDArray[np.intp]:
    """Return the pixels of the squares around places, all as indices into the flattened field."""
    steps = np.arange(-radius, radius + 1)
    return places[:, None] + (steps[:, None] * shape[1] + steps).ravel()


def keep_sizes(labels: NDArray[np.int32], least: int, most: int) -> None:
    """Drop objects with too few or too many pixels, in place, and renumber the others."""
    sizes = _sizes(labels)
    kept = (least <= sizes) & (sizes <= most)
    present = np.flatnonzero(sizes)
    if present[0] > 0:  # without background Cellpose takes the first object for it
        kept[present[0]] = sizes[present[0]] <= most
    _renumber(labels, kept)


def keep_numbers(labels: NDArray[np.int32], kept: NDArray[np.bool_]) -> None:
    """Drop objects 1 to n that are not kept, in place, and renumber the others."""
    _renumber(labels, np.concatenate(([False], kept)))


def bounding_boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return each object's first row, row after the last, and so for columns: (n, 4)."""
    height, width = labels.shape
    boxes = np.tile(np.array([height, 0, width, 0]), (labels.max(), 1))
    _widen(boxes, labels)
    return boxes


@compiled
def _widen(boxes: NDArray[np.int64], labels: NDArray[np.int32]) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            i = labels[y, x] - 1
            if i >= 0:
                boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), max(boxes[i, 1], y + 1)
                boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], x), max(boxes[i, 3], x + 1)


def fill_holes(labels: NDArray[np.int32]) -> None:
    """Give an object what it encloses, other objects too, one object after the other."""
    for i, (top, bottom, left, right) in enumerate(bounding_boxes(labels).tolist()):
        own = labels[top:bottom, left:right]
        # around the box a ring of background, and around that one where nothing spreads
        enclosed = np.zeros((bottom - top + 4, right - left + 4), dtype=np.bool_)
        enclosed[1:-1, 1:-1] = True
        enclosed[2:-2, 2:-2] = own != i + 1
        stack = np.empty(enclosed.size, dtype=np.intp)
        _spread_background(enclosed.ravel(), enclosed.shape[1], stack)
        own[enclosed[2:-2, 2:-2]] = i + 1


@compiled
def _spread_background(enclosed: NDArray[np.bool_], width: int, stack: NDArray[np.intp]) -> None:
    """Clear what the first corner reaches over sides of pixels, not corners."""
    stack[0] = width + 1
    count = 1
    while count > 0:
        count -= 1
        place = stack[count]
        for beside in (place - width, place - 1, place + 1, place + width):
            if enclosed[beside]:
                enclosed[beside] = False
                stack[count] = beside
                count += 1


def _sizes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the pixels of each number, as `numpy.bincount` does, but without a copy as int64."""
    sizes = np.zeros(labels.max(initial=0) + 1, dtype=np.int64)
    _count(labels.ravel(), sizes)
    sizes[0] = labels.size - sizes.sum()
    return sizes


@compiled
def _count(labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> None:
    for i in range(len(labels)):
        if labels[i] > 0:
            sizes[labels[i]] += 1


def _renumber(labels: NDArray[np.int32], kept: NDArray[np.bool_]) -> None:
    """Renumber the kept objects in the order of their first pixels; the others become 0."""
    _renumber_flat(labels.ravel(), kept, np.zeros(len(kept), dtype=np.int32))


@compiled
def _renumber_flat(
    labels: NDArray[np.int32], kept: NDArray[np.bool_], numbers: NDArray[np.int32]
) -> None:
    count = 0
    for i in range(len(labels)):
        old = labels[i]
        if old > 0:
            if kept[old] and numbers[old] == 0:
                count += 1
                numbers[old] = count
            labels[i] = numbers[old]

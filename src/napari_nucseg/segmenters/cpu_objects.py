"""Objects as numbers on the pixels of a field, on the CPU: making, dropping and filling them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.cpu_compiling import compiled

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
        Where points started and ended, as indices into the flattened field.
    shape : tuple of int
        Height and width of the field.

    Returns
    -------
    ndarray of int32, shape (height, width)
        An object's number at the places that its points started from.
    """
    hits = np.bincount(ends, minlength=shape[0] * shape[1]).reshape(shape)
    hits = np.pad(hits, REACH)
    seeds = np.flatnonzero(hits >= LEAST_HITS_OF_SEED)
    seeds = seeds[_are_peaks(hits, seeds)]
    # torch leaves seeds that are hit alike in any order, so that its labels can differ here
    seeds = seeds[np.argsort(hits.ravel()[seeds], kind="stable")]
    owners = _grow(hits, seeds)[REACH:-REACH, REACH:-REACH]
    labels = np.zeros(shape, dtype=np.int32)
    labels.ravel()[points] = owners.ravel()[ends]
    return labels


def keep_sizes(labels: NDArray[np.int32], least: int, most: int) -> None:
    """Drop objects with too few or too many pixels, in place, and renumber the others."""
    sizes = np.bincount(labels.ravel())
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
        _fill_box(labels[top:bottom, left:right], i + 1)


@compiled
def _fill_box(labels: NDArray[np.int32], number: int) -> None:
    """Fill one object in its box; background spreads over sides of pixels, not corners."""
    height, width = labels.shape[0] + 4, labels.shape[1] + 4
    # around the box a ring of background, and around that one where nothing spreads
    enclosed = np.zeros(height * width, dtype=np.bool_)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            in_box = 2 <= y < height - 2 and 2 <= x < width - 2
            enclosed[y * width + x] = not (in_box and labels[y - 2, x - 2] == number)
    stack = np.empty(height * width, dtype=np.int64)
    stack[0] = width + 1
    enclosed[stack[0]] = False
    count = 1
    while count > 0:
        count -= 1
        place = stack[count]
        for beside in (place - width, place - 1, place + 1, place + width):
            if enclosed[beside]:
                enclosed[beside] = False
                stack[count] = beside
                count += 1
    for y in range(2, height - 2):
        for x in range(2, width - 2):
            if enclosed[y * width + x]:
                labels[y - 2, x - 2] = number


@compiled
def _renumber(labels: NDArray[np.int32], kept: NDArray[np.bool_]) -> None:
    """Renumber the kept objects in the order of their first pixels; the others become 0."""
    numbers = np.zeros(len(kept), dtype=np.int32)
    count = 0
    flat = labels.ravel()
    for i in range(len(flat)):
        old = flat[i]
        if old > 0:
            if kept[old] and numbers[old] == 0:
                count += 1
                numbers[old] = count
            flat[i] = numbers[old]


@compiled
def _are_peaks(hits: NDArray[np.int64], places: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which places, indices into the flattened field, are hit as often as any near them."""
    width = hits.shape[1]
    peaks = np.ones(len(places), dtype=np.bool_)
    for i in range(len(places)):
        row, column = places[i] // width, places[i] % width
        for y in range(row - PEAK_RADIUS, row + PEAK_RADIUS + 1):
            for x in range(column - PEAK_RADIUS, column + PEAK_RADIUS + 1):
                if hits[y, x] > hits[row, column]:
                    peaks[i] = False
    return peaks


@compiled
def _grow(hits: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.int32]:
    """Give each seed what is hit enough around it; later seeds take from earlier ones."""
    owners = np.zeros(hits.shape, dtype=np.int32)
    side = 2 * REACH + 1
    for i in range(len(seeds)):
        y, x = seeds[i] // hits.shape[1] - REACH, seeds[i] % hits.shape[1] - REACH
        grown = _grow_seed(hits[y : y + side, x : x + side])
        for row in range(side):
            for column in range(side):
                if grown[row, column]:
                    owners[y + row, x + column] = i + 1
    return owners


@compiled
def _grow_seed(hits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Grow from the middle of a square, in `REACH` rounds, over pixels that are hit enough."""
    side = 2 * REACH + 1
    rounds = np.full((side, side), REACH + 1)
    rounds[REACH, REACH] = 0
    for i in range(1, REACH + 1):
        # nothing farther than `i` can be reached in `i` rounds
        for y in range(REACH - i, REACH + i + 1):
            for x in range(REACH - i, REACH + i + 1):
                if rounds[y, x] > i and hits[y, x] >= LEAST_HITS_OF_OBJECT:
                    for row in range(max(y - 1, 0), min(y + 2, side)):
                        for column in range(max(x - 1, 0), min(x + 2, side)):
                            if rounds[row, column] < i:
                                rounds[y, x] = i
    return rounds <= REACH

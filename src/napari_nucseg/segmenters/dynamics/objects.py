"""Objects as numbers on the pixels of a field, on the CPU: making, dropping and checking them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_nucseg.segmenters.dynamics.compiling import compiled, share_out
from napari_nucseg.system_info import cores

Numbers = NDArray[np.int32]
Mask = NDArray[np.bool_]
Heat = NDArray[np.float64]
Vectors = NDArray[np.float32]
LEAST_HITS_OF_SEED = 11
LEAST_HITS_OF_OBJECT = 3
"""Points that must end on a pixel for it to start an object, and to be part of one."""
PEAK_RADIUS = 2
"""A seed is hit as often as any pixel of the square around it with this radius."""
REACH = 5
"""How far from its seed, in pixels, an object's points may end."""
PORTIONS_PER_CORE = 4
"""Objects differ in size, so the cores get them in more portions than there are cores."""
_FIVE = np.float32(5)


def label_meetings(
    points: NDArray[np.intp], ends: NDArray[np.int64], shape: tuple[int, ...]
) -> Numbers:
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
def _count_hits(ends: NDArray[np.int64], width: int, hits: Numbers) -> None:
    for end in ends:
        hits[end // width, end % width] += 1


def _grow(hits: Numbers, seeds: NDArray[np.intp]) -> Numbers:
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


def keep_sizes(labels: Numbers, least: int, most: int) -> None:
    """Drop objects with too few or too many pixels, in place, and renumber the others."""
    sizes = _sizes(labels)
    kept = (least <= sizes) & (sizes <= most)
    present = np.flatnonzero(sizes)
    if present[0] > 0:  # without background Cellpose takes the first object for it
        kept[present[0]] = sizes[present[0]] <= most
    _renumber(labels.ravel(), kept, np.zeros_like(kept, np.int32))


def keep_numbers(labels: Numbers, kept: Mask) -> None:
    """Drop objects 1 to n that are not kept, in place, and renumber the others."""
    with_background = np.concatenate(([False], kept))
    _renumber(labels.ravel(), with_background, np.zeros_like(with_background, np.int32))


def bounding_boxes(labels: Numbers) -> NDArray[np.int64]:
    """Return each object's first row, row after the last, and so for columns: (n, 4)."""
    height, width = labels.shape
    boxes = np.tile(np.array([height, 0, width, 0]), (labels.max(), 1))
    _widen(boxes, labels)
    return boxes


@compiled
def _widen(boxes: NDArray[np.int64], labels: Numbers) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            i = labels[y, x] - 1
            if i >= 0:
                boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), max(boxes[i, 1], y + 1)
                boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], x), max(boxes[i, 3], x + 1)


def fill_holes(labels: Numbers) -> None:
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
def _spread_background(enclosed: Mask, width: int, stack: NDArray[np.intp]) -> None:
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


def _sizes(labels: Numbers) -> NDArray[np.int64]:
    """Count the pixels of each number, as `numpy.bincount` does, but without a copy as int64."""
    sizes = np.zeros(labels.max(initial=0) + 1, dtype=np.int64)
    _count(labels.ravel(), sizes)
    sizes[0] = labels.size - sizes.sum()
    return sizes


@compiled
def _count(labels: Numbers, sizes: NDArray[np.int64]) -> None:
    for i in range(len(labels)):
        if labels[i] > 0:
            sizes[labels[i]] += 1


@compiled
def _renumber(labels: Numbers, kept: Mask, numbers: Numbers) -> None:
    """Renumber the kept objects in the order of their first pixels; the others become 0."""
    count = 0
    for i in range(len(labels)):
        old = labels[i]
        if old > 0:
            if kept[old] and numbers[old] == 0:
                count += 1
                numbers[old] = count
            labels[i] = numbers[old]


def flow_errors(labels: Numbers, vectors: Vectors) -> Heat:
    """Compare each object with its flows, as `cellpose.dynamics.flow_error` does.

    Parameters
    ----------
    labels : ndarray of int32, shape (height, width)
        Objects 1 to n, each with a pixel.
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, times 5.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean squared distance of the network's vectors from those that lead out of heat: the
        object's centre is heated, and the heat spreads for as many rounds as in the field's
        largest object.
    """
    heat = heat_objects(labels)
    sums = np.zeros((2, int(labels.max(initial=0))))
    _compare(labels, heat, vectors, sums[0], sums[1])
    return np.asarray(sums[0] / sums[1])


def heat_objects(labels: Numbers) -> Heat:
    """Heat every object; the result has a margin of one pixel."""
    boxes = bounding_boxes(labels)
    count = len(boxes)
    heat = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2))
    if count == 0:
        return heat
    heights, widths = boxes[:, 1] - boxes[:, 0] + 2, boxes[:, 3] - boxes[:, 2] + 2
    rounds, largest = 2 * int((heights + widths - 2).max()), int((heights * widths).max())
    numbered = np.column_stack([np.arange(1, count + 1), boxes])

    def heat_some(some: slice) -> None:
        inside, scratch = np.zeros(largest, np.bool_), np.zeros((2, largest))
        _heat(labels, numbered[some], rounds, inside, scratch, heat)

    share_out(heat_some, count, math.ceil(count / (PORTIONS_PER_CORE * cores())))
    return heat


@compiled
def _heat(
    labels: Numbers, boxes: NDArray[np.int64], rounds: int, inside: Mask, scratch: Heat, heat: Heat
) -> None:
    """Heat objects, each by its number and in its box, in an even number of rounds."""
    now, then = scratch[0], scratch[1]
    for i in range(len(boxes)):
        number, top, bottom = boxes[i, 0], boxes[i, 1], boxes[i, 2]
        left, right = boxes[i, 3], boxes[i, 4]
        width = right - left + 2
        size = (bottom - top + 2) * width
        for k in range(size):
            inside[k], now[k], then[k] = False, 0.0, 0.0
        for y in range(top, bottom):
            row = (y - top + 1) * width + 1
            for x in range(right - left):
                inside[row + x] = labels[y, left + x] == number
        # the box is worked through as one long row, which compiles to wider instructions
        long_row, centre = inside[width + 1 : size - width - 1], _centre(inside[:size], width)
        _spread(long_row, width, centre, rounds, now, then)
        # boxes overlap: another thread may write beside the object
        for y in range(top, bottom):
            row = (y - top + 1) * width + 1
            for x in range(right - left):
                if inside[row + x]:
                    heat[y + 1, left + x + 1] = now[row + x]


@compiled
def _centre(inside: Mask, width: int) -> int:
    """Find the pixel of an object nearest to its mean place, as an index into the flat box."""
    count = sum_y = sum_x = 0
    for k in range(len(inside)):
        if inside[k]:
            count += 1
            sum_y += k // width - 1  # counted in the box without its margin: a half rounds to even
            sum_x += k % width - 1
    mean_y = int(np.rint(sum_y / count)) + 1
    mean_x = int(np.rint(sum_x / count)) + 1
    nearest, least = 0, inside.size * inside.size
    for k in range(len(inside)):
        if inside[k]:
            y, x = k // width - mean_y, k % width - mean_x
            if y * y + x * x < least:
                nearest, least = k, y * y + x * x
    return nearest


@compiled
def _spread(inside: Mask, width: int, centre: int, rounds: int, now: Heat, then: Heat) -> None:
    """Heat the centre and average, round by round."""
    for _ in range(rounds):
        now[centre] += 1.0
        _average(now, inside, width, then)
        now, then = then, now


@compiled
def _average(heat: Heat, inside: Mask, width: int, result: Heat) -> None:
    """Average over nine neighbours; outside the object it stays 0."""
    above, level, below, out = heat, heat[width:], heat[2 * width :], result[width + 1 :]
    for k in range(len(inside)):
        # the order of the sum is Cellpose's, so that it rounds alike
        total = level[k + 1] + above[k + 1] + below[k + 1] + level[k] + level[k + 2]
        total = total + above[k] + above[k + 2] + below[k] + below[k + 2]
        out[k] = total / 9.0 if inside[k] else 0.0


@compiled
def _compare(labels: Numbers, heat: Heat, vectors: Vectors, sums: Heat, sizes: Heat) -> None:
    """Add up each object's squared distances from the flows out of the heat, and its pixels."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            i = labels[y, x] - 1
            if i >= 0:
                # beyond the object's edge this reads the heat of the next one, as Cellpose does
                flow_y = heat[y + 2, x + 1] - heat[y, x + 1]
                flow_x = heat[y + 1, x + 2] - heat[y + 1, x]
                length = 1e-60 + np.sqrt(flow_y * flow_y + flow_x * flow_x)
                error_y = flow_y / length - vectors[0, y, x] / _FIVE
                error_x = flow_x / length - vectors[1, y, x] / _FIVE
                sums[i] += error_y * error_y + error_x * error_x
                sizes[i] += 1

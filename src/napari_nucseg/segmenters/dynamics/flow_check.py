"""How far a network's flows are from those of the objects' shapes, on the CPU."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.dynamics.compiling import compiled, share_out
from napari_nucseg.segmenters.dynamics.objects import bounding_boxes
from napari_nucseg.system_info import cores

PORTIONS_PER_CORE = 4
"""Objects differ in size, so the cores get them in more portions than there are cores."""
_FIVE = np.float32(5)


def flow_errors(labels: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
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
    count = int(labels.max(initial=0))
    sums, sizes = np.zeros(count), np.zeros(count)
    _compare(labels, heat, vectors, sums, sizes)
    return sums / sizes


def heat_objects(labels: NDArray[np.int32]) -> NDArray[np.float64]:
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
        _heat(
            labels,
            numbered[some],
            rounds,
            np.zeros(largest, np.bool_),
            np.zeros((2, largest)),
            heat,
        )

    share_out(heat_some, count, math.ceil(count / (PORTIONS_PER_CORE * cores())))
    return heat


@compiled
def _heat(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    rounds: int,
    inside: NDArray[np.bool_],
    scratch: NDArray[np.float64],
    heat: NDArray[np.float64],
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
        _spread(
            inside[width + 1 : size - width - 1],
            width,
            _centre(inside[:size], width),
            rounds,
            now,
            then,
        )
        # boxes overlap: another thread may write beside the object
        for y in range(top, bottom):
            row = (y - top + 1) * width + 1
            for x in range(right - left):
                if inside[row + x]:
                    heat[y + 1, left + x + 1] = now[row + x]


@compiled
def _centre(inside: NDArray[np.bool_], width: int) -> int:
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
def _spread(
    inside: NDArray[np.bool_],
    width: int,
    centre: int,
    rounds: int,
    now: NDArray[np.float64],
    then: NDArray[np.float64],
) -> None:
    """Heat the centre and average, round by round."""
    for _ in range(rounds):
        now[centre] += 1.0
        _average(now, inside, width, then)
        now, then = then, now


@compiled
def _average(
    heat: NDArray[np.float64], inside: NDArray[np.bool_], width: int, result: NDArray[np.float64]
) -> None:
    """Average over nine neighbours; outside the object it stays 0."""
    above, level, below, out = heat, heat[width:], heat[2 * width :], result[width + 1 :]
    for k in range(len(inside)):
        # the order of the sum is Cellpose's, so that it rounds alike
        total = level[k + 1] + above[k + 1] + below[k + 1] + level[k] + level[k + 2]
        total = total + above[k] + above[k + 2] + below[k] + below[k + 2]
        out[k] = total / 9.0 if inside[k] else 0.0


@compiled
def _compare(
    labels: NDArray[np.int32],
    heat: NDArray[np.float64],
    vectors: NDArray[np.float32],
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> None:
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

"""How far a network's flows are from those of the objects' shapes, on the CPU."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.machine import cores
from napari_nucseg.segmenters.cpu_compiling import compiled, share_out
from napari_nucseg.segmenters.cpu_objects import bounding_boxes

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
    boxes = bounding_boxes(labels)
    count = len(boxes)
    if count == 0:
        return np.zeros(0)
    rounds = 2 * int((boxes[:, 1] - boxes[:, 0] + boxes[:, 3] - boxes[:, 2] + 2).max())
    heat = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2))

    def heat_some(some: slice) -> None:
        for i in range(some.start, some.stop):
            top, bottom, left, right = boxes[i].tolist()
            own = labels[top:bottom, left:right] == i + 1
            box = heat[top + 1 : bottom + 1, left + 1 : right + 1]
            # boxes overlap: another thread may write beside the object
            np.copyto(box, _heat(own, rounds), where=own)

    share_out(heat_some, count, math.ceil(count / (PORTIONS_PER_CORE * cores())))
    sums, sizes = np.zeros(count), np.zeros(count)
    _compare(labels, heat, vectors, sums, sizes)
    return sums / sizes


def _heat(own: NDArray[np.bool_], rounds: int) -> NDArray[np.float64]:
    """Heat an object in its box, in an even number of rounds."""
    inside = np.zeros((own.shape[0] + 2, own.shape[1] + 2), dtype=np.bool_)
    inside[1:-1, 1:-1] = own
    centre, width = _centre(inside), inside.shape[1]
    # the box is worked through as one long row, which compiles to wider instructions
    row = inside.ravel()[width + 1 : -width - 1]
    heat, spare = np.zeros(inside.shape), np.zeros(inside.shape)
    _spread(row, width, centre, rounds, heat.ravel(), spare.ravel())
    return heat[1:-1, 1:-1]


@compiled
def _centre(inside: NDArray[np.bool_]) -> int:
    """Find the pixel of an object nearest to its mean place, as an index into the flat box."""
    height, width = inside.shape
    count = sum_y = sum_x = 0
    for y in range(height):
        for x in range(width):
            if inside[y, x]:
                count += 1
                sum_y += y - 1  # counted in the box without its margin: a half rounds to even
                sum_x += x - 1
    mean_y = int(np.rint(sum_y / count)) + 1
    mean_x = int(np.rint(sum_x / count)) + 1
    nearest, least = 0, inside.size * inside.size
    for y in range(height):
        for x in range(width):
            distance = (y - mean_y) * (y - mean_y) + (x - mean_x) * (x - mean_x)
            if inside[y, x] and distance < least:
                nearest, least = y * width + x, distance
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
    heat: NDArray[np.float64],
    inside: NDArray[np.bool_],
    width: int,
    result: NDArray[np.float64],
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

"""Labels from flows on the CPU, as `cellpose.dynamics.compute_masks` makes them, but faster.

The parts, in order: following here, then `objects`. They round as torch does where that decides
about labels; the tests say where Cellpose's own result is left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.dynamics.compiling import compiled_with_fma, share_out
from napari_nucseg.segmenters.dynamics.objects import (
    fill_holes,
    flow_errors,
    keep_numbers,
    keep_sizes,
    label_meetings,
)

POINTS_AT_ONCE = 8192
ROUND = 6
"""Steps between looks at which points met or came to rest; most circles are 1, 2 or 3 long."""
SLOTS = 2 * POINTS_AT_ONCE
"""Slots of the table in which points meet: a power of 2."""

# numba takes these for constants; a Python number would make the arithmetic float64
_HALF, _ONE, _TWO, _FIVE = (np.float32(number) for number in (0.5, 1, 2, 5))
# what scatters the bits of places over the table
_MIXING, _MIXED = (np.uintp(0x9E3779B1), np.uintp(0x85EBCA77)), np.uintp(4096)
_SLOTS = np.uintp(SLOTS)


def follow(
    vectors: NDArray[np.float32], inside: NDArray[np.bool_], points: NDArray[np.intp], steps: int
) -> NDArray[np.int64]:
    """Move points with the flow, as `cellpose.dynamics.follow_flows` does.

    Parameters
    ----------
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, times 5.
    inside : ndarray of bool, shape (height, width)
        Pixels where the flow counts; elsewhere it is taken for 0.
    points : ndarray of int, shape (n,)
        Start of each point, as an index into the flattened field.
    steps : int
        Number of steps that each point moves.

    Returns
    -------
    ndarray of int64, shape (n,)
        Where each point ends, as an index into the flattened field.
    """
    height, width = inside.shape
    ends = np.zeros(len(points), dtype=np.int64)
    if height == 1 or width == 1:  # there Cellpose divides by 0, and all points end in the corner
        return ends
    flows = _prepare(vectors, inside)

    def follow_some(some: slice) -> None:
        ys, xs = np.divmod(points[some], width)
        places = np.zeros((2, 2, len(ys)), dtype=np.float32)
        places[0] = _places(ys, height), _places(xs, width)
        # numba takes negative indices from the end, which costs time unless there are none
        everyone = np.arange(len(ys), dtype=np.uintp)
        _follow(flows, steps, places, everyone, everyone.copy(), np.zeros(SLOTS, dtype=np.uintp))
        ends[some] = _pixels_at(places[0, 0], height) * width + _pixels_at(places[0, 1], width)

    share_out(follow_some, len(points), POINTS_AT_ONCE)
    return ends


def _prepare(vectors: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale flows to a field that reaches from -1 to 1, and surround them with 0."""
    height, width = inside.shape
    flows = np.zeros((2, height + 2, width + 2), dtype=np.float32)
    inner = flows[:, 1:-1, 1:-1]
    np.multiply(vectors, inside.astype(np.float32), out=inner)
    inner /= _FIVE
    inner[0] *= np.float32(2 / (height - 1))
    inner[1] *= np.float32(2 / (width - 1))
    return flows


def _places(pixels: NDArray[np.intp], length: int) -> NDArray[np.float32]:
    """Return where pixels are along an axis, from -1 at the first to 1 at the last."""
    return pixels.astype(np.float32) / np.float32(length - 1) * _TWO - _ONE


def _pixels_at(places: NDArray[np.float32], length: int) -> NDArray[np.int64]:
    return ((places + _ONE) * _HALF * np.float32(length - 1)).astype(np.int64)


@compiled_with_fma
def _follow(
    flows: NDArray[np.float32],
    steps: int,
    places: NDArray[np.float32],
    moving: NDArray[np.uintp],
    met: NDArray[np.uintp],
    table: NDArray[np.uintp],
) -> None:
    """Move points until their steps are up, but none along a way that is known.

    All but the flows is written to: places now and a round ago, shape (2, 2, n); who moves; who
    met whom; and a table of places.

    A point's next place depends on nothing but its place. So where points meet, one goes on for
    all; and a point that is back where it was a round ago is so after every round, to the last.
    """
    ys, xs, before, bits = places[0, 0], places[0, 1], places[1], places[0].view(np.uint32)
    count = len(moving)
    for _ in range(steps % ROUND):
        _advance(flows, ys, xs, moving, count)
    for _ in range(steps // ROUND):
        for i in range(count):
            before[0, i], before[1, i] = ys[moving[i]], xs[moving[i]]
        for _ in range(ROUND):
            _advance(flows, ys, xs, moving, count)
        for slot in range(len(table)):
            table[slot] = 0
        were_moving, count = count, 0
        for i in range(were_moving):
            k = moving[i]
            if ys[k] == before[0, i] and xs[k] == before[1, i]:
                continue
            slot = (bits[0, k] * _MIXING[0] ^ bits[1, k] * _MIXING[1]) // _MIXED % _SLOTS
            other = table[slot]
            if other < k and ys[k] == ys[other] and xs[k] == xs[other]:
                met[k] = other
            else:  # the slot is empty, or of another place: then both go on
                table[slot] = moving[count] = k
                count += 1
    for k in range(len(met)):  # the one that is met has the lower number and is at its end
        ys[k], xs[k] = ys[met[k]], xs[met[k]]


@compiled_with_fma
def _advance(
    flows: NDArray[np.float32],
    ys: NDArray[np.float32],
    xs: NDArray[np.float32],
    moving: NDArray[np.uintp],
    count: int,
) -> None:
    """Move points by the flow where they are."""
    half_height = np.float32((flows.shape[1] - 2) / 2)
    half_width = np.float32((flows.shape[2] - 2) / 2)
    for i in range(count):
        k = moving[i]
        row, column = (ys[k] + _ONE) * half_height - _HALF, (xs[k] + _ONE) * half_width - _HALF
        y, x = ys[k] + _between(flows[0], row, column), xs[k] + _between(flows[1], row, column)
        # what is not a number goes to the edge too; a function for this made the loop slower
        y, x = y if y > -_ONE else -_ONE, x if x > -_ONE else -_ONE
        ys[k], xs[k] = y if y < _ONE else _ONE, x if x < _ONE else _ONE


@compiled_with_fma
def _between(flow: NDArray[np.float32], y: np.float32, x: np.float32) -> np.float32:
    """Read a flow between pixels; the products and sums are those of torch's `grid_sample`."""
    above, left = np.floor(y), np.floor(x)
    row, column = int(above) + 1, int(left) + 1
    down, right = y - above, x - left
    up, back = _ONE - down, _ONE - right
    value: np.float32 = (
        flow[row, column + 1] * (up * right)
        + flow[row, column] * (up * back)
        + flow[row + 1, column] * (down * back)
        + flow[row + 1, column + 1] * (down * right)
    )
    return value


@dataclass(frozen=True)
class Traced:
    """Everything about the labels of a field that no later threshold changes.

    Attributes
    ----------
    labels : ndarray of int32, shape (height, width)
        The objects before any is dropped for its flows or size, 1 to n in raster order.
    flow_errors : ndarray of float64, shape (n,)
        Mean squared distance, for each object, of the network's flows from those of the object's
        shape, both of length 1.
    """

    labels: NDArray[np.int32]
    flow_errors: NDArray[np.float64]


def trace(
    vectors: NDArray[np.float32],
    cellprob: NDArray[np.float32],
    *,
    cellprob_threshold: float,
    steps: int,
    max_size_fraction: float = 0.4,
) -> Traced:
    """Follow the flows to where they meet, and compare each object with its flows.

    Parameters
    ----------
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, times 5.
    cellprob : ndarray of float32, shape (height, width)
        Cell probability as a logit.
    cellprob_threshold : float
        Pixels whose cell probability is above this are followed.
    steps : int
        Number of times that a pixel moves by the flow.
    max_size_fraction : float
        An object that covers more of the field than this is none.
    """
    # numba compiles anew for arrays that are read-only or not contiguous
    vectors = np.require(vectors, np.float32, ["C", "W"])
    inside = np.ascontiguousarray(cellprob > cellprob_threshold)
    points = np.flatnonzero(inside)
    ends = follow(vectors, inside, points, steps)
    labels = label_meetings(points, ends, inside.shape)
    keep_sizes(labels, 1, int(max_size_fraction * labels.size))
    return Traced(labels, flow_errors(labels, vectors))


def finish(traced: Traced, *, flow_threshold: float, min_size: int) -> NDArray[np.int32]:
    """Drop the objects that a threshold refuses, and fill the holes of the others.

    Parameters
    ----------
    traced : Traced
        Objects and ends of pixels, as `trace` gives them; not changed.
    flow_threshold : float
        Largest error of an object's flows; 0 keeps all.
    min_size : int
        Least pixels of an object, before and after its holes are filled; 0 keeps all, and, as
        in Cellpose, their holes.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n in raster order.
    """
    labels = traced.labels.copy()
    if flow_threshold > 0:
        keep_numbers(labels, ~(traced.flow_errors > flow_threshold))
    if min_size > 0:
        keep_sizes(labels, min_size, labels.size)
        fill_holes(labels)
        keep_sizes(labels, min_size, labels.size)
    return labels


def warm_up() -> None:
    """Compile every loop or load its machine code, which the first labels otherwise wait for."""
    around = np.arange(-8, 9, dtype=np.float32)
    to_centre = -np.stack(np.meshgrid(around, around, indexing="ij"))
    disc = (to_centre**2).sum(axis=0) < 30
    traced = trace(to_centre, disc - np.float32(0.5), cellprob_threshold=0, steps=50)
    finish(traced, flow_threshold=0.4, min_size=1)

"""Following flows from pixel to pixel on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.cpu_compiling import compiled, compiled_with_fma, share_out

POINTS_AT_ONCE = 4096
STEPS_AT_ONCE = 8

# numba takes these for constants; a Python number would make the arithmetic float64
_HALF, _ONE, _TWO, _FIVE = (np.float32(number) for number in (0.5, 1, 2, 5))


def follow(
    vectors: NDArray[np.float32],
    inside: NDArray[np.bool_],
    points: NDArray[np.intp],
    steps: int,
) -> NDArray[np.int64]:
    """Move points with the flow, as `cellpose.dynamics.follow_flows` does.

    Parameters
    ----------
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, times 5.
    inside : ndarray of bool, shape (height, width)
        Where it flows; elsewhere it is taken for 0.
    points : ndarray of int, shape (n,)
        Where they start, as indices into the flattened field.
    steps : int
        How often they move.

    Returns
    -------
    ndarray of int64, shape (n,)
        Where they end, as such indices.
    """
    ends = np.zeros(len(points), dtype=np.int64)
    if 1 in inside.shape:  # there Cellpose divides by 0, and all points end in the corner
        return ends
    flows = _prepare(vectors, inside)

    def follow_some(some: slice) -> None:
        _follow(flows, points[some], steps, ends[some])

    share_out(follow_some, len(points), POINTS_AT_ONCE)
    return ends


@compiled
def _prepare(vectors: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale flows to a field that reaches from -1 to 1, and surround them with 0."""
    height, width = inside.shape
    flows = np.zeros((2, height + 2, width + 2), dtype=np.float32)
    scale_y, scale_x = np.float32(2 / (height - 1)), np.float32(2 / (width - 1))
    for y in range(height):
        for x in range(width):
            if inside[y, x]:
                flows[0, y + 1, x + 1] = vectors[0, y, x] / _FIVE * scale_y
                flows[1, y + 1, x + 1] = vectors[1, y, x] / _FIVE * scale_x
    return flows


@compiled_with_fma
def _advance(
    flows: NDArray[np.float32],
    steps: int,
    ys: NDArray[np.float32],
    xs: NDArray[np.float32],
) -> None:
    """Move points by the flow between the four pixels around them."""
    half_height = np.float32((flows.shape[1] - 2) / 2)
    half_width = np.float32((flows.shape[2] - 2) / 2)
    for _ in range(steps):
        for i in range(len(ys)):
            y = (ys[i] + _ONE) * half_height - _HALF
            x = (xs[i] + _ONE) * half_width - _HALF
            step_y, step_x = _between(flows[0], y, x), _between(flows[1], y, x)
            ys[i] = _clip(ys[i] + step_y)
            xs[i] = _clip(xs[i] + step_x)


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


@compiled
def _clip(place: np.float32) -> np.float32:
    """Keep a place in the field; what is not a number goes to its edge."""
    place = place if place > -_ONE else -_ONE
    return place if place < _ONE else _ONE


@compiled_with_fma
def _follow(
    flows: NDArray[np.float32],
    points: NDArray[np.intp],
    steps: int,
    ends: NDArray[np.int64],
) -> None:
    """Move points until their steps are up, or they are where they were `STEPS_AT_ONCE` ago.

    A point's next place depends on nothing but its place, so such a point would be there again
    after every further `STEPS_AT_ONCE`: stopping it changes nothing.
    """
    height, width = flows.shape[1] - 2, flows.shape[2] - 2
    ys, xs = _places(points, height, width)
    moving = np.arange(len(points))
    _advance(flows, steps % STEPS_AT_ONCE, ys, xs)
    for _ in range(steps // STEPS_AT_ONCE):
        last_ys, last_xs = ys.copy(), xs.copy()
        _advance(flows, STEPS_AT_ONCE, ys, xs)
        count = 0
        for i in range(len(moving)):
            if ys[i] == last_ys[i] and xs[i] == last_xs[i]:
                ends[moving[i]] = _pixel_at(ys[i], xs[i], height, width)
            else:
                moving[count], ys[count], xs[count] = moving[i], ys[i], xs[i]
                count += 1
        moving, ys, xs = moving[:count], ys[:count], xs[:count]
    for i in range(len(moving)):
        ends[moving[i]] = _pixel_at(ys[i], xs[i], height, width)


@compiled
def _places(
    points: NDArray[np.intp], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where pixels are along y and x, from -1 at the first to 1 at the last."""
    ys = np.empty(len(points), dtype=np.float32)
    xs = np.empty(len(points), dtype=np.float32)
    for i in range(len(points)):
        ys[i] = np.float32(points[i] // width) / np.float32(height - 1) * _TWO - _ONE
        xs[i] = np.float32(points[i] % width) / np.float32(width - 1) * _TWO - _ONE
    return ys, xs


@compiled
def _pixel_at(y: np.float32, x: np.float32, height: int, width: int) -> int:
    row = int((y + _ONE) * _HALF * np.float32(height - 1))
    column = int((x + _ONE) * _HALF * np.float32(width - 1))
    return row * width + column

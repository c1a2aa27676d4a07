"""Scaling intensities so that background is 0 and nuclei are about 1, whatever else is there.

Percentiles of the whole image depend on how much of it the nuclei cover: where they are few, the
99th percentile is background. Here blocks of pixels say how bright what they hold is, and the
usual answer of those that hold anything counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
"""Edge of a block, px."""
DARK, BRIGHT = 0.05, 0.95
"""Quantiles of a block's pixels that are its dark and its bright level."""
BACKGROUND = 10
"""Percentile of the blocks' dark levels that is the background."""
NOISE_LEVELS = 6.0
"""A block is empty if its bright level is at most this many standard deviations of the noise above
the background."""
_QUIET = 30
"""Percentile of the differences of neighbours that tells the noise: edges have larger ones."""
_QUIET_NORMAL = 0.545
"""The same percentile of the absolute difference of two normal variables of deviation 1."""


def scale_intensities(image: NDArray[Any]) -> NDArray[np.float32]:
    """Scale an image, or a stack of planes together, so that background is 0 and nuclei about 1.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (planes, height, width)
        Intensities of any type and range; nuclei are bright.

    Returns
    -------
    ndarray of float32
        Of the same shape; 0 everywhere if the image has no contrast.

    Examples
    --------
    >>> image = np.full((64, 64), 100, np.uint16)
    >>> image[16:48, 16:48] = 300
    >>> scaled = scale_intensities(image)
    >>> float(scaled[0, 0]), float(scaled[32, 32])
    (0.0, 1.0)
    """
    values = image.astype(np.float32)
    low, high = levels(values)
    if high <= low:
        return np.zeros_like(values)
    values -= np.float32(low)
    values /= np.float32(high - low)
    return values


def levels(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the intensity of the background and that of usual nuclei; equal if there is no contrast.

    Notes
    -----
    A constant margin, as around a field in a mosaic, is left out. The background is a low
    percentile of the blocks' dark levels. Of the blocks' contrasts above background and noise
    the median is taken, each weighted by the square root of the contrast: empty blocks do not
    count, and neither does a single blob, however bright.
    """
    planes = [trim_margin(plane) for plane in np.atleast_3d(image.T).T]
    halved = [_halve(plane) for plane in planes]
    blocks = np.concatenate([_blocks(plane) for plane in halved])
    blocks = blocks[blocks[:, -1] > blocks[:, 0]]
    if not len(blocks):
        return 0.0, 0.0
    last = blocks.shape[1] - 1
    dark, bright = blocks[:, round(DARK * last)], blocks[:, round(BRIGHT * last)]
    low = float(np.percentile(dark, BACKGROUND))
    floor = low + NOISE_LEVELS * _noise(halved)
    contrast = np.sort(np.maximum(bright - floor, 0))
    if not contrast.any():
        return low, max(float(np.median(bright)), low)
    weights = np.cumsum(np.sqrt(contrast))
    return low, floor + float(contrast[np.searchsorted(weights, weights[-1] / 2)])


def trim_margin(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off the rows and columns at the edges that hold one value alone, that of the corner."""
    other = plane != plane[0, 0]
    rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
    if not len(rows):
        return plane[:1, :1]
    return plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _halve(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average over 2 x 2 pixels; an odd last row or column is dropped."""
    if min(plane.shape) < 2:
        return plane
    rows, columns = (edge // 2 * 2 for edge in plane.shape)
    even, odd = plane[:rows:2, :columns], plane[1:rows:2, :columns]
    pairs = even + odd
    halved: NDArray[np.float32] = (pairs[:, ::2] + pairs[:, 1::2]) / 4
    return halved


def _blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a plane into blocks, each as a sorted row of its pixels."""
    edge = BLOCK // 2
    padding = [(0, -length % edge) for length in plane.shape]
    padded = np.pad(plane, padding, mode="symmetric")
    rows, columns = (length // edge for length in padded.shape)
    blocks = padded.reshape(rows, edge, columns, edge).swapaxes(1, 2).reshape(-1, edge * edge)
    return np.sort(blocks, axis=1)


def _noise(planes: list[NDArray[np.float32]]) -> float:
    """Estimate the standard deviation of the noise from the smaller differences of neighbours."""
    steps = np.concatenate([np.abs(np.diff(plane, axis=0)).ravel() for plane in planes])
    steps = steps[steps > 0]
    return float(np.percentile(steps, _QUIET)) / _QUIET_NORMAL if len(steps) else 0.0

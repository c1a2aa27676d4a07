"""Scaling intensities so that background is 0 and nuclei are about 1, whatever else is there.

Percentiles of the whole image depend on how much of it the nuclei cover: where they are few, the
99th percentile is background. Here blocks of pixels say how bright what they hold is, and the
usual answer of those that hold anything counts. `normalise` is for networks that learned from
percentiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.parameters import SegmentParams

BLOCK = 32
"""Edge of a block, px."""
DARK, BRIGHT = 0.05, 0.98
"""Quantiles of a block's pixels that are its dark and its bright level."""
BACKGROUND = 10
"""Percentile of the blocks' dark levels that is the background."""
NOISE_LEVELS = 6.0
"""A block is empty if its bright level is at most this many standard deviations of the noise above
the background."""
_UNIT = 4.0
"""Contrast, in standard deviations of the noise, from which on its logarithm counts."""
_FINEST = 1000.0
"""The largest contrast over the smallest unit of it, where there is no noise."""
_APART = 16
"""Noise is told by differences of pixels so far apart, px: neighbours may be alike."""
_QUIET = 30
"""Percentile of these differences: where there is an edge between, they are larger."""
_QUIET_NORMAL = 0.545
"""That percentile of the absolute difference of two normal variables of deviation 1."""


def scale_intensities(image: NDArray[Any]) -> NDArray[np.float32]:
    """Scale an image, or a stack of planes together, so that background is 0 and nuclei about 1.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (planes, height, width)
        Intensities of any type and range; nuclei are bright.

    Returns
    -------
    ndarray of float32
        Scaled intensities, of the image's shape; 0 everywhere if it has no contrast.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(100, 5, (128, 128))
    >>> image[32:96, 32:96] += 200
    >>> scaled = scale_intensities(image)
    >>> round(float(scaled[:32].mean()), 1), round(float(scaled[32:96, 32:96].mean()), 1)
    (0.0, 1.0)
    """
    values = image.astype(np.float32)
    low, high = levels(values)
    if high <= low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), np.float32)


def levels(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the intensities of background and usual nuclei; they are equal without contrast.

    Notes
    -----
    A constant margin, as around a field in a mosaic, is left out. The background is a low
    percentile of the blocks' dark levels. Of the blocks' contrasts above background and noise
    the median is taken, each weighted by the logarithm of the contrast in units of the noise:
    empty blocks do not count, and neither does a single blob, however bright.
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
    noise = _noise(halved)
    floor = low + NOISE_LEVELS * noise
    contrast = np.sort(np.maximum(bright - floor, 0))
    # Noise alone, or nearly, stays below 1/2
    least = 2 * floor - low
    if not contrast.any():
        return low, least
    unit = max(_UNIT * noise, float(contrast[-1]) / _FINEST)
    weights = np.cumsum(np.log1p(contrast / unit))
    usual = floor + float(contrast[np.searchsorted(weights, weights[-1] / 2)])
    return low, max(usual, least)


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
    return np.asarray((pairs[:, ::2] + pairs[:, 1::2]) / 4, np.float32)


def _blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a plane into blocks, each as a sorted row of its pixels."""
    edge = BLOCK // 2
    padding = [(0, -length % edge) for length in plane.shape]
    padded = np.pad(plane, padding, mode="symmetric")
    rows, columns = (length // edge for length in padded.shape)
    blocks = padded.reshape(rows, edge, columns, edge).swapaxes(1, 2).reshape(-1, edge * edge)
    return np.sort(blocks, axis=1)


def _noise(planes: list[NDArray[np.float32]]) -> float:
    """Estimate the standard deviation of the noise of halved planes."""
    lag = _APART // 2
    steps = np.concatenate([np.abs(plane[lag:] - plane[:-lag]).ravel() for plane in planes])
    steps = steps[steps > 0]
    return float(np.percentile(steps, _QUIET)) / _QUIET_NORMAL if len(steps) else 0.0


def normalise(
    image: NDArray[Any], percentiles: tuple[float, float] = (1.0, 99.0)
) -> NDArray[np.float32]:
    """Scale intensities so that two of their percentiles become 0 and 1.

    An image without contrast becomes 0 everywhere.
    """
    values = image.astype(np.float32)
    low, high = np.percentile(values, percentiles)
    if high <= low:
        return np.zeros_like(values)
    return (values - np.float32(low)) / np.float32(high - low)


def with_bright_nuclei(image: NDArray[Any], params: SegmentParams) -> NDArray[Any]:
    """Turn an image over if its nuclei are darker than their ground; every model does this first.

    Parameters
    ----------
    image : ndarray
        Intensities that `check_image` lets pass, of any type and shape.
    params : SegmentParams
        Parameters, which tell whether nuclei are dark.

    Returns
    -------
    ndarray
        The largest value minus each, integers as unsigned ones; or the image itself.

    Examples
    --------
    >>> with_bright_nuclei(np.array([3, 200], dtype=np.uint8), SegmentParams(invert=True))
    array([197,   0], dtype=uint8)
    """
    if not params.invert:
        return image
    if image.dtype.kind == "b":
        return ~image
    # Differences may be too large for signed integers, and too fine for half precision
    is_float = image.dtype.kind == "f"
    wide = np.result_type(image, np.float32) if is_float else np.dtype(f"u{image.dtype.itemsize}")
    turned: NDArray[Any] = np.subtract(image.max(), image, dtype=wide, casting="unsafe")
    return turned

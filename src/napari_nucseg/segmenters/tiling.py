"""Running a network on an image of any size, tile by tile, whatever computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import FLOW_STEPS, Flows
from napari_nucseg.segmenters.devices import give_back_in_time
from napari_nucseg.segmenters.network import refuse_too_large

Flip = tuple[bool, bool]
"""Whether an image is turned over along y, and along x."""
FLIPS: tuple[Flip, ...] = ((False, False), (True, False), (False, True), (True, True))

BORDER = 16
"""Least padding on every side, in pixels; see `TiledNet`."""
LARGEST_TILE = 2048
"""Longest edge, in pixels, that is run in one piece."""


RunBatch = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images of shape (1, channels, height, width) to flows and cell probability (1, 3, ...)."""
_KEPT = 2**20
"""Pixels of an image up to which memory is kept for the next: 0.3 GB.

To ask for it anew takes a sixth of the time of a field.
"""
LEAST_SEEN = 15
"""Area of the smallest object that is to be trusted, in pixels of the network's own scale."""
MAX_PIXELS = 2**28
"""The largest image whose flows are computed: they take 3 GB."""


def tile_starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    """Place the fewest tiles that cover an edge and overlap their neighbours enough.

    Parameters
    ----------
    length : int
        Length of the edge, in pixels.
    size : int
        Length of a tile along it, in pixels.
    overlap : int
        Least number of pixels that a tile shares with the next.

    Returns
    -------
    tuple of int
        First pixel of each tile, in order and evenly spread: the first tile starts at 0 and the
        last one ends with the edge. An edge no longer than a tile gets one, which may reach
        beyond it.

    Raises
    ------
    ValueError
        If the overlap is negative or leaves no pixel of a tile to itself.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"tiles of {size} px cannot overlap by {overlap} px")
    if length <= size:
        return (0,)
    steps = math.ceil((length - size) / (size - overlap))
    return tuple(step * (length - size) // steps for step in range(steps + 1))


def flip(image: NDArray[Any], sides: Flip) -> NDArray[Any]:
    """Turn an image of shape (..., height, width) over."""
    y, x = (slice(None, None, -1 if side else 1) for side in sides)
    return image[..., y, x]


def flip_flows(output: NDArray[np.float32], sides: Flip) -> NDArray[np.float32]:
    """Turn flows along y and x and a cell probability over, shape (3, height, width).

    A flow that is turned over along an axis points the other way along it.
    """
    signs = np.array([-1 if side else 1 for side in sides] + [1], dtype=np.float32)
    return flip(output, sides) * signs[:, None, None]


@dataclass(frozen=True)
class TiledNet:
    """A network that is run whole, or in tiles if an image is longer than `LARGEST_TILE`.

    Attributes
    ----------
    run_batch : callable
        Runs the network on a batch of tiles.
    channels : int
        Number of channels of the network's input; the image is the first, the others are 0.
    stride : int
        Height and width of an input are multiples of this, in pixels.
    reach : int
        Largest distance, in pixels, from a pixel of the input to one of the output that it can
        change. Tiles overlap by so much that they give what the whole would give.
    give_back : callable, optional
        Gives back the memory that the network holds, after an image that took much.

    Notes
    -----
    Training crops are filled with 0 beyond the field, so networks take bare convolution
    padding for a crop's edge, where "the nucleus goes on", and send the flows of cut nuclei
    outward. A border of normalised background (0) tells them that the field ends.
    """

    run_batch: RunBatch
    channels: int
    stride: int
    reach: int
    give_back: Callable[[], None] | None = None

    def __call__(
        self, image: NDArray[np.float32], augment: bool, progress: Progress
    ) -> NDArray[np.float32]:
        """Return what the network makes of an image.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            Scaled intensities, as the network takes them.
        augment : bool
            Whether to return the mean over the image's flipped copies.
        progress : Progress
            Called before each tile, and after the last.

        Returns
        -------
        ndarray of float32, shape (3, height, width)
            Flow along y and x, times 5, and cell probability.
        """
        try:
            if augment:
                return self._run_flipped(image, progress)
            return self._run_tiles(image, progress)
        finally:
            if self.give_back is not None and image.size > _KEPT:
                give_back_in_time(self.give_back)

    def _run_flipped(self, image: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
        mean = np.zeros((3, *image.shape), dtype=np.float32)
        for number, sides in enumerate(FLIPS):

            def follow(done: int, total: int, _: str = "", /, *, before: int = number) -> None:
                progress(before * total + done, len(FLIPS) * total)

            mean += flip_flows(self._run_tiles(flip(image, sides), follow), sides) / len(FLIPS)
        return mean

    def _run_tiles(self, image: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
        output = np.empty((3, *image.shape), dtype=np.float32)
        tiles = list(product(*(self._pieces(edge) for edge in image.shape)))
        for done, (rows, columns) in enumerate(tiles):
            progress(done, len(tiles))
            tile = np.zeros((1, self.channels, rows.size, columns.size), dtype=np.float32)
            tile[0, 0][rows.filled, columns.filled] = image[rows.source, columns.source]
            result = self.run_batch(tile)[0]
            output[:, rows.kept, columns.kept] = result[:, rows.inner, columns.inner]
        progress(len(tiles), len(tiles))
        return output

    def _pieces(self, edge: int) -> Iterator[_Piece]:
        """Cut an edge so that what is kept of a piece lies beyond the reach from its ends.

        Pieces start at multiples of the stride from the padding's beginning, where the network's
        coarse pixels do: their results are those of the whole. They are as few as the largest
        size allows, and no larger than so many need to be.
        """
        padded = edge + 2 * BORDER
        padded += -padded % self.stride
        overlap = 2 * self.reach + self.stride
        largest = LARGEST_TILE + 2 * BORDER
        count = len(tile_starts(padded, largest + -largest % self.stride, overlap))
        size = -(-(padded + (count - 1) * overlap) // count)
        size += -size % self.stride
        starts = [0]
        if count > 1:
            starts = [start - start % self.stride for start in tile_starts(padded, size, overlap)]
        seams = [(start + size + later) // 2 for start, later in pairwise(starts)]
        for start, first, last in zip(starts, [0, *seams], [*seams, padded], strict=True):
            yield _Piece(
                start - BORDER, size, max(first - BORDER, 0), min(last - BORDER, edge), edge
            )


@dataclass(frozen=True)
class _Piece:
    """Part of an image's edge that is run at once, and the part of its result that is kept.

    Attributes
    ----------
    start, size : int
        First pixel and length of the piece; it may begin before the image and end beyond it.
    first, last : int
        Pixels of the image that are kept: from the first to the one before the last.
    edge : int
        Length of the image's edge, in pixels.
    """

    start: int
    size: int
    first: int
    last: int
    edge: int

    @property
    def source(self) -> slice:
        """What of the image lies in it."""
        return slice(max(self.start, 0), min(self.start + self.size, self.edge))

    @property
    def filled(self) -> slice:
        """Slice of the tile that the image fills."""
        return slice(self.source.start - self.start, self.source.stop - self.start)

    @property
    def kept(self) -> slice:
        """What of the image's result comes from it."""
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        """Slice of the tile's result that is kept."""
        return slice(self.first - self.start, self.last - self.start)


def run_scaled(
    net: TiledNet, image: NDArray[np.float32], scale: float, augment: bool, progress: Progress
) -> Flows:
    """Run a network on an image that is resized for it.

    Parameters
    ----------
    net : TiledNet
        Runs the network on whole images, in tiles if need be.
    image : ndarray of float32, shape (height, width)
        Scaled intensities: 0 is background, nuclei are about 1.
    scale : float
        Factor from the edges of the image to those that the network sees.
    augment : bool
        Whether to take the mean over flipped copies.
    progress : Progress
        Called before each tile, and after the last.

    Returns
    -------
    Flows
        Flows at the scale of the image itself.

    Raises
    ------
    ValueError
        If the resized image has more than `MAX_PIXELS`.
    """
    shape = image.shape
    refuse_too_large(shape, scale, MAX_PIXELS, 12)
    if scale == 1.0:
        output = net(image, augment, progress)
        return Flows(output[:2], output[2], FLOW_STEPS)
    output = net(resized(image, scale), augment, progress)
    height, width = shape
    back = np.stack([_to_shape(part, height, width) for part in output])
    least = round(LEAST_SEEN / scale**2) if scale < 1 else 0
    return Flows(back[:2], back[2], max(1, round(FLOW_STEPS / scale)), least_area=least)


def resized(image: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Make an image's edges a number of times longer; a pixel is left at the least."""
    height, width = (max(1, round(edge * scale)) for edge in image.shape)
    return _to_shape(image, height, width)


def _to_shape(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Interpolate between pixels, or average over them where there will be fewer."""
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.float32)

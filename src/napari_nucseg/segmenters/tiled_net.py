"""Running a network on an image of any size, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.segmenting import Report
from napari_nucseg.segmenters.tiling import FLIPS, flip, flip_flows, tile_starts

BORDER = 16
"""Least padding on every side, in pixels; see `TiledNet`."""
LARGEST_TILE = 2048
"""Longest edge, in pixels, that is run in one piece."""

RunBatch = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images of shape (1, channels, height, width) to flows and cell probability (1, 3, ...)."""


@dataclass(frozen=True)
class TiledNet:
    """A network that is run whole, or in tiles if an image is longer than `LARGEST_TILE`.

    Attributes
    ----------
    run_batch : callable
        Computes the network.
    channels : int
        Of its input; the image is the first, the others are 0.
    stride : int
        Height and width of an input are multiples of this, in pixels.
    reach : int
        How far away, in pixels, a pixel of the input can change one of the output: tiles overlap
        by so much that they give what the whole would give.

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

    def __call__(
        self, image: NDArray[np.float32], augment: bool, report: Report
    ) -> NDArray[np.float32]:
        """Return what the network makes of an image.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            Normalised.
        augment : bool
            Whether to return the mean over the image's flipped copies.
        report : callable
            Called before each tile, and after the last.

        Returns
        -------
        ndarray of float32, shape (3, height, width)
            Flow along y and x, times 5, and cell probability.
        """
        if not augment:
            return self._run_tiles(image, report)
        mean = np.zeros((3, *image.shape), dtype=np.float32)
        for number, sides in enumerate(FLIPS):

            def follow(done: int, total: int, before: int = number) -> None:
                report(before * total + done, len(FLIPS) * total)

            mean += flip_flows(self._run_tiles(flip(image, sides), follow), sides) / len(FLIPS)
        return mean

    def _run_tiles(self, image: NDArray[np.float32], report: Report) -> NDArray[np.float32]:
        height, width = image.shape
        padding = [(BORDER, BORDER + -(edge + 2 * BORDER) % self.stride) for edge in image.shape]
        padded = np.pad(image, padding)
        output = np.empty((3, *padded.shape), dtype=np.float32)
        tiles = list(product(*(self._pieces(edge) for edge in padded.shape)))
        for done, (rows, columns) in enumerate(tiles):
            report(done, len(tiles))
            tile = np.zeros((1, self.channels, rows.size, columns.size), dtype=np.float32)
            tile[0, 0] = padded[rows.whole, columns.whole]
            result = self.run_batch(tile)[0]
            output[:, rows.kept, columns.kept] = result[:, rows.inner, columns.inner]
        report(len(tiles), len(tiles))
        cropped = output[:, BORDER : BORDER + height, BORDER : BORDER + width]
        return np.ascontiguousarray(cropped)

    def _pieces(self, edge: int) -> Iterator[_Piece]:
        """Cut an edge so that what is kept of a piece lies beyond the reach from its ends.

        Pieces start at multiples of the stride, where the network's coarse pixels do: their
        results are those of the whole.
        """
        largest = LARGEST_TILE + 2 * BORDER
        largest += -largest % self.stride
        size = min(edge, largest)
        overlap = 2 * self.reach + self.stride
        starts = [start - start % self.stride for start in tile_starts(edge, largest, overlap)]
        seams = [(start + size + later) // 2 for start, later in pairwise(starts)]
        for start, first, last in zip(starts, [0, *seams], [*seams, edge], strict=True):
            yield _Piece(start, start + size, first, last)


@dataclass(frozen=True)
class _Piece:
    """Part of an edge that is run at once, and the part of its result that is kept."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def whole(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        return slice(self.first - self.start, self.last - self.start)

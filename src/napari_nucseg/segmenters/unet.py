"""Running a residual U-Net on a field, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Flows, Report
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.network import refuse_too_large
from napari_nucseg.segmenters.tiling import FLIPS, flip, flip_flows, tile_starts
from napari_nucseg.segmenters.traits import UNET

BORDER = 16
"""Least padding on every side, in pixels; see `UNet.run`."""
FLOW_STEPS = 200
LARGEST_TILE = 2048
"""Longest edge, in pixels, that is run in one piece; it takes 3 GB of memory."""
MAX_PIXELS = 2**28
"""The largest image whose flows are computed: they take 3 GB."""

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images of shape (1, channels, height, width) to flows and cell probability (1, 3, ...)."""


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


@dataclass(frozen=True)
class UNetTraits:
    """What has to be known of a U-Net to feed it.

    Attributes
    ----------
    channels : int
        Of its input; the image is the first, the others are 0.
    stride : int
        Height and width of an input are multiples of this, in pixels.
    reach : int
        How far away, in pixels, a pixel of the input can change one of the output.
    diameter : float
        Diameter, in pixels, of the nuclei that it was trained with.
    """

    channels: int
    stride: int
    reach: int
    diameter: float


@dataclass(frozen=True)
class UNet:
    """A residual U-Net on a device, ready to run.

    Attributes
    ----------
    run_batch : callable
        Computes the net.
    traits : UNetTraits
        Of the net.
    device : Device
        Where it runs.
    """

    run_batch: Run
    traits: UNetTraits
    device: Device

    @property
    def ignores(self) -> frozenset[str]:
        """Names of the parameters that it makes no use of."""
        return UNET.ignores

    @property
    def precision(self) -> str:
        """Always float32, so that a field gets the same labels on every machine."""
        return "float32"

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities by their percentiles."""
        return normalise(image, (params.low_percentile, params.high_percentile))

    def scale(self, params: SegmentParams) -> float:
        """Give nuclei of the diameter, if there is one, the size of the training's."""
        return self.traits.diameter / params.diameter if params.diameter else 1.0

    def infer(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """Run the net on a normalised field.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            From `normalise`.
        params : SegmentParams
            Diameter and augmentation are used.
        report : callable
            Called before each tile, and after the last.

        Raises
        ------
        ValueError
            If the image, at the net's own scale, has more than `MAX_PIXELS`.
        """
        scale = self.scale(params)
        shape = image.shape
        refuse_too_large(shape, scale, MAX_PIXELS)
        if scale == 1.0:
            return self.run(image, params, report)
        target = tuple(max(1, round(edge * scale)) for edge in shape)
        scaled = resize(image, target, order=1, anti_aliasing=scale < 1)
        output = self._run_flipped(scaled, params, report)
        output = resize(output, (len(output), *shape), order=1, anti_aliasing=False)
        return Flows(output[:2], output[2], max(1, round(FLOW_STEPS / scale)))

    def run(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """Run the net whole, or in tiles if the image is longer than `LARGEST_TILE`.

        Notes
        -----
        Training crops are filled with 0 beyond the field, so the net takes bare convolution
        padding for a crop's edge, where "the nucleus goes on", and sends the flows of cut nuclei
        outward. A border of normalised background (0) tells it that the field ends.
        """
        output = self._run_flipped(image, params, report)
        return Flows(output[:2], output[2], FLOW_STEPS)

    def _run_flipped(
        self, image: NDArray[np.float32], params: SegmentParams, report: Report
    ) -> NDArray[np.float32]:
        """Return what the net makes of an image; with augmentation, the mean over its flips."""
        if not params.augment:
            return self._run_tiles(image, report)
        mean = np.zeros((3, *image.shape), dtype=np.float32)
        for number, sides in enumerate(FLIPS):

            def follow(done: int, total: int, before: int = number) -> None:
                report(before * total + done, len(FLIPS) * total)

            mean += flip_flows(self._run_tiles(flip(image, sides), follow), sides) / len(FLIPS)
        return mean

    def _run_tiles(self, image: NDArray[np.float32], report: Report) -> NDArray[np.float32]:
        """Return what the net makes of a normalised image: (3, height, width)."""
        traits = self.traits
        height, width = image.shape
        padding = [(BORDER, BORDER + -(edge + 2 * BORDER) % traits.stride) for edge in image.shape]
        padded = np.pad(image, padding)
        output = np.empty((3, *padded.shape), dtype=np.float32)
        tiles = list(product(*(_pieces(edge, traits) for edge in padded.shape)))
        for done, (rows, columns) in enumerate(tiles):
            report(done, len(tiles))
            tile = np.zeros((1, traits.channels, rows.size, columns.size), dtype=np.float32)
            tile[0, 0] = padded[rows.whole, columns.whole]
            result = self.run_batch(tile)[0]
            output[:, rows.kept, columns.kept] = result[:, rows.inner, columns.inner]
        report(len(tiles), len(tiles))
        cropped = output[:, BORDER : BORDER + height, BORDER : BORDER + width]
        return np.ascontiguousarray(cropped)


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


def _pieces(edge: int, traits: UNetTraits) -> Iterator[_Piece]:
    """Cut an edge so that what is kept of a piece lies beyond the net's reach from its ends.

    Pieces start at multiples of the stride, where the net's coarse pixels do: their results are
    those of the whole.
    """
    stride = traits.stride
    largest = LARGEST_TILE + 2 * BORDER
    largest += -largest % stride
    size = min(edge, largest)
    overlap = 2 * traits.reach + stride
    starts = [start - start % stride for start in tile_starts(edge, largest, overlap)]
    seams = [(start + size + later) // 2 for start, later in pairwise(starts)]
    for start, first, last in zip(starts, [0, *seams], [*seams, edge], strict=True):
        yield _Piece(start, start + size, first, last)

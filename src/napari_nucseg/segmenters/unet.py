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
from napari_nucseg.segmenters.tiling import tile_starts
from napari_nucseg.segmenters.traits import UNET

BORDER = 16
"""Least padding on every side, in pixels; see `UNet.predict`."""
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
    run : callable
        Computes the net.
    traits : UNetTraits
        Of the net.
    device : Device
        Where it runs.
    """

    run: Run
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

    def predict(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
        """Run the net on a field: whole, or in tiles if it is longer than `LARGEST_TILE`.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities, of any scale.
        params : SegmentParams
            Diameter and percentiles are used. For a diameter other than 0 the image is resized
            so that nuclei get the size of the training's.
        report : callable
            Called before each tile, and after the last.

        Raises
        ------
        ValueError
            If the image, at the net's own scale, has more than `MAX_PIXELS`.

        Notes
        -----
        Training crops are filled with 0 beyond the field, so the net takes bare convolution
        padding for a crop's edge, where "the nucleus goes on", and sends the flows of cut nuclei
        outward. A border of normalised background (0) tells it that the field ends.
        """
        scale = self.traits.diameter / params.diameter if params.diameter else 1.0
        shape = image.shape
        if image.size * scale**2 > MAX_PIXELS:
            raise ValueError(
                f"{shape[0]} x {shape[1]} px at diameter {params.diameter:g} px are more than "
                "memory can hold; set the diameter of your nuclei, or crop the image"
            )
        scaled = normalise(image, (params.low_percentile, params.high_percentile))
        if scale != 1.0:
            target = tuple(max(1, round(edge * scale)) for edge in shape)
            scaled = resize(scaled, target, order=1, anti_aliasing=scale < 1)
        output = self._run_tiles(scaled, report)
        if scale != 1.0:
            output = resize(output, (len(output), *shape), order=1, anti_aliasing=False)
        return Flows(output[:2], output[2], max(1, round(FLOW_STEPS / scale)))

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
            result = self.run(tile)[0]
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

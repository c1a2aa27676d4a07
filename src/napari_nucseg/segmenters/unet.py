"""Running a residual U-Net of this package on a field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.api import Flows, Report
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.model import UNET
from napari_nucseg.segmenters.network import refuse_too_large
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.tiling import TiledNet

FLOW_STEPS = 200
LEAST_SEEN = 15
"""Area of the smallest object that is to be trusted, in pixels of the network's own scale."""
MAX_PIXELS = 2**28
"""The largest image whose flows are computed: they take 3 GB."""


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
class UNet:
    """A residual U-Net on a device, ready to run.

    Attributes
    ----------
    net : TiledNet
        Computes the network.
    diameter : float
        Diameter, in pixels, of the nuclei that it was trained with.
    device : Device
        Where it runs.
    """

    net: TiledNet
    diameter: float
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
        return self.diameter / params.diameter if params.diameter else 1.0

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
        flows = run_scaled(self.net, image, self.scale(params), params.augment, report)
        return replace(flows, diameter=params.diameter or self.diameter)

    def run(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """As `infer`, for an image at the network's own scale."""
        return run_scaled(self.net, image, 1.0, params.augment, report)


def run_scaled(
    net: TiledNet, image: NDArray[np.float32], scale: float, augment: bool, report: Report
) -> Flows:
    """Run a network on an image that is resized for it.

    Parameters
    ----------
    net : TiledNet
        Computes the network.
    image : ndarray of float32, shape (height, width)
        Normalised.
    scale : float
        How many times longer the image's edges are for the network.
    augment : bool
        Whether to take the mean over flipped copies.
    report : callable
        Called before each tile, and after the last.

    Returns
    -------
    Flows
        Of the image as it is.

    Raises
    ------
    ValueError
        If the resized image has more than `MAX_PIXELS`.
    """
    shape = image.shape
    refuse_too_large(shape, scale, MAX_PIXELS)
    if scale == 1.0:
        output = net(image, augment, report)
        return Flows(output[:2], output[2], FLOW_STEPS)
    output = net(resized(image, scale), augment, report)
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

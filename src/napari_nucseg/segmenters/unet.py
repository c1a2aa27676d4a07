"""Running a residual U-Net on a field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize

from napari_nucseg.core.segmenting import Flows, Report, SegmentParams
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.residual_unet import ResidualUNet

BORDER = 16
"""Least padding on every side, in pixels; see `UNet.predict`."""
PERCENTILES = (1.0, 99.0)
"""Intensities that become 0 and 1."""
FLOW_STEPS = 200
MAX_PIXELS = 2**25
"""The largest image that is run in one piece: at the finest level 3 GB a tensor."""


def normalise(image: NDArray[Any]) -> NDArray[np.float32]:
    """Scale intensities so that the 1st and 99th percentile become 0 and 1.

    An image without contrast becomes 0 everywhere.
    """
    values = image.astype(np.float32)
    low, high = np.percentile(values, PERCENTILES)
    if high <= low:
        return np.zeros_like(values)
    return (values - np.float32(low)) / np.float32(high - low)


@dataclass(frozen=True)
class UNet:
    """A residual U-Net on a device, ready to run.

    Attributes
    ----------
    net : ResidualUNet
        In evaluation mode.
    device : Device
        Where it is.
    """

    net: ResidualUNet
    device: Device

    @classmethod
    def load(cls, path: Path, device: Device) -> Self:
        """Read a checkpoint and bring it to the device."""
        net = load_unet(path)
        net.to(torch.device(device.kind))
        if device.kind != "mps":
            net.to(memory_format=torch.channels_last)
        return cls(net, device)

    @property
    def precision(self) -> str:
        """Always float32, so that a field gets the same labels on every machine."""
        return "float32"

    def predict(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
        """Run the net on a whole field.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities, of any scale.
        params : SegmentParams
            The diameter is used: other than 0, the image is resized so that nuclei get the
            size of the training's.
        report : callable
            Called before and after the only step.

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
        report(0, 1)
        scale = float(self.net.diam_labels) / params.diameter if params.diameter else 1.0
        shape = image.shape
        if image.size * scale**2 > MAX_PIXELS:
            raise ValueError(
                f"{shape[0]} x {shape[1]} px at diameter {params.diameter:g} px are more than the "
                "net can hold in memory; set the diameter of your nuclei, or crop the image"
            )
        scaled = normalise(image)
        if scale != 1.0:
            target = tuple(max(1, round(edge * scale)) for edge in shape)
            scaled = resize(scaled, target, order=1, anti_aliasing=scale < 1)
        output = self._run(scaled)
        if scale != 1.0:
            output = resize(output, (len(output), *shape), order=1, anti_aliasing=False)
        report(1, 1)
        return Flows(output[:2], output[2], max(1, round(FLOW_STEPS / scale)))

    def _run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        stride = self.net.shape.stride
        height, width = image.shape
        padding = [(BORDER, BORDER + -(edge + 2 * BORDER) % stride) for edge in image.shape]
        channels = np.zeros((self.net.shape.channels, *image.shape), dtype=np.float32)
        channels[0] = image
        batch = torch.from_numpy(np.pad(channels, [(0, 0), *padding]))[None]
        if self.device.kind != "mps":
            batch = batch.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            output = self.net(batch.to(self.net.device))[0]
        cropped = output[0, :, BORDER : BORDER + height, BORDER : BORDER + width]
        return np.ascontiguousarray(cropped.cpu().numpy())

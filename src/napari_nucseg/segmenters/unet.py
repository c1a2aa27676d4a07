"""The residual U-Nets of this package on a field, computed by torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Flows, OutOfDeviceMemory
from napari_nucseg.segmenters.devices import Device, free_memory
from napari_nucseg.segmenters.fluo import FluoNuclei
from napari_nucseg.segmenters.fluo_unet import REACH, FluoUNet
from napari_nucseg.segmenters.network import Network
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.tiling import RunBatch, TiledNet, run_scaled


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
class UNet(Network):
    """A residual U-Net on a device, ready to run.

    Attributes
    ----------
    net : TiledNet
        Runs the network on whole images, in tiles if need be.
    diameter : float
        Diameter, in pixels, of the nuclei that it was trained with.
    device : Device
        Device that the network runs on.
    """

    net: TiledNet
    diameter: float
    device: Device

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities by their percentiles."""
        return normalise(image, (params.low_percentile, params.high_percentile))

    def scale(self, params: SegmentParams) -> float:
        """Give nuclei of the diameter, if there is one, the size of the training's."""
        return self.diameter / params.diameter if params.diameter else 1.0

    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it at its own scale; see `Network.infer`."""
        flows = run_scaled(self.net, image, self.scale(params), params.augment, progress)
        return replace(flows, diameter=params.diameter or self.diameter)

    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """As `infer`, for an image at the network's own scale."""
        return run_scaled(self.net, image, 1.0, params.augment, progress)


def wrap(net: ResidualUNet | FluoUNet, device: Device) -> UNet | FluoNuclei:
    """Bring a network in evaluation mode to the device."""
    if isinstance(net, FluoUNet):
        tiled = TiledNet(runner(net, device), 1, net.shape.stride, REACH)
        return FluoNuclei(tiled, device)
    tiled = TiledNet(
        runner(FlowsAlone(net), device), net.shape.channels, net.shape.stride, net.shape.reach
    )
    return UNet(tiled, float(net.diam_labels), device)


def runner(net: nn.Module, device: Device) -> RunBatch:
    """Bring a network to the device, and return what computes its output there."""
    place = torch.device(device.kind)
    net.to(place)
    # On a CPU half of the time in the usual layout; not implemented everywhere for MPS
    layout = torch.contiguous_format if device.kind == "mps" else torch.channels_last
    net.to(memory_format=layout)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            batch = torch.from_numpy(images).to(place, memory_format=layout)
            with torch.inference_mode():
                output: NDArray[np.float32] = net(batch).cpu().numpy()
        except torch.OutOfMemoryError as error:
            free_memory(device)
            raise OutOfDeviceMemory(str(device)) from error
        return output

    return run


class FlowsAlone(nn.Module):
    """A residual U-Net's flows and cell probability, without its style."""

    def __init__(self, net: ResidualUNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Run the network."""
        flows: Tensor = self.net(images)[0]
        return flows

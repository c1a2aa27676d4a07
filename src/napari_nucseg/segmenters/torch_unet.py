"""U-Nets computed by torch: on GPUs, and from checkpoints of one's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_nucseg.segmenters.api import OutOfDeviceMemory
from napari_nucseg.segmenters.devices import Device, free_memory
from napari_nucseg.segmenters.fluo import FluoNuclei
from napari_nucseg.segmenters.fluo_unet import REACH, FluoUNet
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.tiling import RunBatch, TiledNet
from napari_nucseg.segmenters.unet import UNet


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

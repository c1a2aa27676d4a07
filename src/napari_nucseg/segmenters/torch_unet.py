"""A residual U-Net computed by torch: on GPUs, and from checkpoints of one's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.core.segmenting import OutOfDeviceMemory
from napari_nucseg.segmenters.devices import Device, free_memory
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.unet import Run, UNet, UNetTraits


def wrap(net: ResidualUNet, device: Device) -> UNet:
    """Bring a net in evaluation mode to the device."""
    return UNet(runner(net, device), traits_of(net), device)


def runner(net: ResidualUNet, device: Device) -> Run:
    """Bring a net in evaluation mode to the device, and return what computes its output there."""
    net.to(torch.device(device.kind))
    # On a CPU half of the time in the usual layout; not implemented everywhere for MPS
    layout = torch.contiguous_format if device.kind == "mps" else torch.channels_last
    net.to(memory_format=layout)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            batch = torch.from_numpy(images).to(net.device, memory_format=layout)
            with torch.inference_mode():
                output: NDArray[np.float32] = net(batch)[0].cpu().numpy()
        except torch.OutOfMemoryError as error:
            free_memory(device)
            raise OutOfDeviceMemory(str(device)) from error
        return output

    return run


def traits_of(net: ResidualUNet) -> UNetTraits:
    """Tell how a net is to be fed."""
    return UNetTraits(
        channels=net.shape.channels,
        stride=net.shape.stride,
        reach=net.shape.reach,
        diameter=float(net.diam_labels),
    )

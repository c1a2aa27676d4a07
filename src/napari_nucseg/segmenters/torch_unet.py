"""A residual U-Net computed by torch: on GPUs, and from checkpoints of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.unet import UNet, UNetTraits


def load(path: Path, device: Device) -> UNet:
    """Read a checkpoint and bring it to the device.

    Raises
    ------
    ValueError
        If it is no whole residual U-Net.
    """
    return wrap(load_unet(path), device)


def wrap(net: ResidualUNet, device: Device) -> UNet:
    """Bring a net in evaluation mode to the device."""
    net.to(torch.device(device.kind))
    # On a CPU half of the time in the usual layout; not implemented everywhere for MPS
    layout = torch.contiguous_format if device.kind == "mps" else torch.channels_last
    net.to(memory_format=layout)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(images).to(net.device, memory_format=layout)
        with torch.inference_mode():
            output: NDArray[np.float32] = net(batch)[0].cpu().numpy()
        return output

    return UNet(run, traits_of(net), device)


def traits_of(net: ResidualUNet) -> UNetTraits:
    """Tell how a net is to be fed."""
    return UNetTraits(
        channels=net.shape.channels,
        stride=net.shape.stride,
        reach=net.shape.reach,
        diameter=float(net.diam_labels),
    )

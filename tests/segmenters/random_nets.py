"""Networks of random weights, as files that a user might have."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

SMALL = UNetShape(widths=(4, 6, 8), residuals=1)
"""A residual U-Net as `napari-nucseg train` made them up to version 0.1, but narrow."""


def unsettle(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give a net's batch normalisations random numbers, as a training would; in evaluation mode."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return net.eval()


def write_residual_unet(path: Path, shape: UNetShape = SMALL, diameter: float = 30.0) -> Path:
    """Write a residual U-Net that was trained with nuclei of a diameter."""
    torch.manual_seed(0)
    state = unsettle(ResidualUNet(shape)).state_dict()
    torch.save(state | {"diam_labels": torch.tensor([diameter])}, path)
    return path

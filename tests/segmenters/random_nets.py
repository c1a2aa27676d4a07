"""Networks of random weights, as files that a user might have, and how they learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch

from napari_nucseg.segmenters.devices import load_torch
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.training.crops import batches

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


@contextmanager
def small_sam() -> Iterator[None]:
    """Let Cellpose build and read its transformer with two narrow blocks instead of a ViT-L."""
    from segment_anything import sam_model_registry
    from segment_anything.modeling import ImageEncoderViT

    def build(checkpoint: None) -> SimpleNamespace:
        encoder = ImageEncoderViT(
            depth=2,
            embed_dim=32,
            num_heads=2,
            out_chans=16,
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        )
        return SimpleNamespace(image_encoder=encoder)

    large = sam_model_registry["vit_l"]
    sam_model_registry["vit_l"] = build
    try:
        yield
    finally:
        sam_model_registry["vit_l"] = large


def write_small_sam(path: Path, seed: int = 0) -> Path:
    """Write such a transformer with random weights, as Cellpose saves its models."""
    load_torch()  # or what Cellpose imports would crash a process that has a window
    from cellpose.vit import CPSAM

    torch.manual_seed(seed)
    with small_sam():
        CPSAM().save_model(path)
    return path


def learn(training, examples, until=None):
    """Learn up to a batch, or to the end; return the losses."""
    losses = []
    with closing(batches(examples, training.params, training.done)) as drawn:
        for batch in drawn:
            losses.append(training.learn(batch))
            if training.done == until:
                break
    return losses


def same(one, other):
    """Whether two states of a net have the same weights."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

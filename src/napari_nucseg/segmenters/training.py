"""Training the residual U-Net with Cellpose's own loop, targets and augmentation."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.segmenters.devices import Device, computes_bfloat16
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

Example = tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]
"""A normalised image and its labels, both of shape (height, width)."""


@dataclass(frozen=True)
class TrainParams:
    """How to train; the defaults made the bundled model."""

    widths: tuple[int, ...] = (24, 48, 96, 128, 128)
    epochs: int = 120
    crops_per_epoch: int = 160
    crop: int = 256
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gain_jitter: float = 0.2
    seed: int = 0


def train(
    examples: Sequence[Example],
    held_out: Sequence[Example],
    params: TrainParams,
    *,
    device: Device,
    report: Callable[[int, int], None],
) -> ResidualUNet:
    """Train a net from random weights.

    Parameters
    ----------
    examples : sequence of (image, labels)
        What the net learns from.
    held_out : sequence of (image, labels)
        Their loss is logged by Cellpose every ten epochs; nothing else is done with them.
    params : TrainParams
        Size of the net and course of the training.
    device : Device
        Where to train.
    report : callable
        Called with (batches done, batches in all); may raise to stop.

    Returns
    -------
    ResidualUNet
        The net after the last epoch, in evaluation mode.
    """
    from cellpose.train import train_seg

    torch.manual_seed(params.seed)
    net = ResidualUNet(UNetShape(widths=params.widths))
    net.to(torch.device(device.kind)).to(memory_format=torch.channels_last)
    net.autocast = torch.bfloat16 if computes_bfloat16(device) else None
    total = params.epochs * -(-params.crops_per_epoch // params.batch_size)
    hook = net.register_forward_pre_hook(_BatchHook(total, params.gain_jitter, report))
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # Cellpose opens a float32 autocast, which the CPU does not have and says so
        warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
        train_seg(
            net,
            train_data=[image for image, _ in examples],
            train_labels=[labels for _, labels in examples],
            test_data=[image for image, _ in held_out],
            test_labels=[labels for _, labels in held_out],
            normalize={"normalize": False},
            min_train_masks=0,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            batch_size=params.batch_size,
            n_epochs=params.epochs,
            nimg_per_epoch=params.crops_per_epoch,
            bsize=params.crop,
            save_path=scratch,
            save_every=params.epochs + 1,
            model_name="net",
        )
    hook.remove()
    net.autocast = None
    net.eval()
    return net


class _BatchHook:
    """Vary the brightness of a training batch and count it."""

    def __init__(self, total: int, jitter: float, report: Callable[[int, int], None]) -> None:
        self.done = 0
        self.total = total
        self.jitter = jitter
        self.report = report

    def __call__(
        self, net: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        if not net.training:
            return inputs
        self.report(self.done, self.total)
        self.done += 1
        (images,) = inputs
        gain = torch.exp(self.jitter * torch.randn(len(images), 1, 1, 1, device=images.device))
        return (images * gain,)


def save(net: ResidualUNet, path: Path) -> None:
    """Write a net's weights, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    torch.save(net.state_dict(), partial)
    partial.replace(path)

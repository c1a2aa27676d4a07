"""Training the residual U-Net with Cellpose's own loop, targets and augmentation."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Report
from napari_nucseg.segmenters.devices import Device, computes_bfloat16
from napari_nucseg.segmenters.recipe import TrainParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.unet import normalise

Example = tuple[NDArray[Any], Labels]
"""An image and its labels, both of shape (height, width)."""


def train(
    examples: Sequence[Example],
    held_out: Sequence[Example],
    params: TrainParams,
    *,
    device: Device,
    report: Report,
    start: ResidualUNet | None = None,
) -> ResidualUNet:
    """Train a net.

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
    start : ResidualUNet, optional
        Net to go on from, changed in place; random weights if not given.

    Returns
    -------
    ResidualUNet
        The net after the last epoch, in evaluation mode.
    """
    torch.manual_seed(params.seed)
    net = start or ResidualUNet(UNetShape(widths=params.widths))
    net.to(torch.device(device.kind)).to(memory_format=torch.channels_last)
    net.autocast = torch.bfloat16 if computes_bfloat16(device) else None
    total = params.epochs * -(-params.crops_per_epoch // params.batch_size)
    hook = net.register_forward_pre_hook(_BatchHook(total, params.gain_jitter, report))
    try:
        _run_cellpose(net, examples, held_out, params)
    finally:
        hook.remove()
        net.autocast = None
    report(total, total)
    net.diam_labels.data.fill_(_mean_diameter(examples))
    net.eval()
    return net


def _run_cellpose(
    net: ResidualUNet,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    params: TrainParams,
) -> None:
    from cellpose.train import train_seg

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # Cellpose opens a float32 autocast, which the CPU does not have and says so
        warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
        # ... and takes the mean diameter of fields without nuclei, which are worth learning from
        warnings.filterwarnings("ignore", message="(Mean of empty|invalid value)")
        train_seg(
            net,
            train_data=[normalise(image) for image, _ in examples],
            # copies, because Cellpose renumbers labels in place
            train_labels=[labels.copy() for _, labels in examples],
            test_data=[normalise(image) for image, _ in held_out],
            test_labels=[labels.copy() for _, labels in held_out],
            normalize={"normalize": False},
            min_train_masks=0,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            batch_size=params.batch_size,
            n_epochs=params.epochs,
            nimg_per_epoch=params.crops_per_epoch,
            bsize=params.crop,
            scale_range=params.scale_range,
            save_path=scratch,
            save_every=params.epochs + 1,
            model_name="net",
        )


def _mean_diameter(examples: Sequence[Example]) -> float:
    """Mean over fields of the median diameter of a disc with a nucleus's area, in pixels."""
    medians = [
        np.median(np.sqrt(areas[areas > 0] * 4 / np.pi))
        for areas in (np.bincount(labels.ravel())[1:] for _, labels in examples)
        if areas.any()
    ]
    return float(np.mean(medians)) if medians else 30.0


class _BatchHook:
    """Vary the brightness of a training batch and count it."""

    def __init__(self, total: int, jitter: float, report: Report) -> None:
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

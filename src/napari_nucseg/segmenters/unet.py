"""Residual U-Nets on a field, computed by torch: this package's, and those of Cellpose 1 to 3.

The latter were trained on crops of 224 px, whose features, averaged, steer the decoder: a whole
field at once is nothing they have seen. Cellpose 4 dropped them, but not the functions around
them.

References
----------
.. [1] Stringer et al., Cellpose: a generalist algorithm for cellular segmentation,
   Nature Methods 18, 100-106 (2021).
.. [2] ``cellpose==3.1.1.2``: ``CellposeModel.eval`` and ``cellpose.core.run_net``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import FLOW_STEPS, Flows
from napari_nucseg.segmenters.cellpose4 import Tiles, inference_on, normalise_as_cellpose
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.fluo import FluoNuclei
from napari_nucseg.segmenters.fluo_unet import REACH, FluoShape, FluoUNet
from napari_nucseg.segmenters.intensities import normalise
from napari_nucseg.segmenters.network import Network, refuse_too_large
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.tiling import RunBatch, TiledNet, run_scaled

TILE_SIZE = 224
"""Edge of a tile of the U-Nets of Cellpose 1 to 3, in pixels; that of their crops in training."""
TILE_OVERLAP = 0.1
"""Part of a tile that it shares with a neighbour, by Cellpose's count."""
MAX_PIXELS = 2**26
"""The largest image that those run, at their own scale: it takes 4 GB, with flipped copies
about twice that."""


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

    @property
    def reach(self) -> int:
        """How far away, in pixels at its own scale, an input changes an output noticeably."""
        return self.net.reach

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
        """Compute the flows of an image that is at the network's own scale; see `infer`."""
        return run_scaled(self.net, image, 1.0, params.augment, progress)


@dataclass(frozen=True)
class ClassicUNet(Network):
    """A U-Net of Cellpose 1 to 3 on a device, ready to run.

    Attributes
    ----------
    run_batch : callable
        Runs the network on a batch of tiles.
    channels : int
        Number of channels of the network's input; the image is the first, the others are 0.
    mean_diameter : numpy.float32
        Diameter, in pixels, that the training scaled its objects to.
    own_diameter : numpy.float32
        Mean diameter, in pixels, of the training's objects before that.
    device : Device
        Device that the network runs on.
    """

    run_batch: RunBatch
    channels: int
    mean_diameter: np.float32
    own_diameter: np.float32
    device: Device

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities by their percentiles."""
        return normalise_as_cellpose(image, params)

    def scale(self, params: SegmentParams) -> float:
        """Scale objects of the diameter, or for 0 of `own_diameter`, to `mean_diameter`."""
        return float(self._scale(params))

    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it tile by tile; see `Network.infer`.

        Notes
        -----
        As ``eval(image, channels=[0, 0])`` of Cellpose 3.1.1.2, but for an image without contrast,
        which becomes 0 as in Cellpose 4, and an edge too short to be scaled, which keeps a pixel.
        """
        from cellpose.transforms import resize_image

        scale = self._scale(params)
        refuse_too_large(image.shape, float(scale), MAX_PIXELS, 128 if params.augment else 64)
        scaled = self._with_empty_channels(image)
        if scale != 1:
            scaled = resize_image(scaled, *(max(1, int(edge * scale)) for edge in image.shape))
        output, notes = self._run_tiles(scaled.transpose(2, 0, 1), params, progress)
        if scale != 1:
            output = resize_image(output.transpose(1, 2, 0), *image.shape).transpose(2, 0, 1)
        output = np.ascontiguousarray(output)
        diameter = params.diameter or float(self.own_diameter)
        steps = max(1, int(1 / scale * FLOW_STEPS))
        return Flows(output[:2], output[2], steps, notes, diameter=diameter)

    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Compute the flows of an image that is at the network's own scale; see `infer`."""
        channels = self._with_empty_channels(image).transpose(2, 0, 1)
        output, notes = self._run_tiles(channels, params, progress)
        return Flows(output[:2], output[2], FLOW_STEPS, notes)

    def _scale(self, params: SegmentParams) -> np.float32:
        # Single precision, as there: it can decide where edges are cut off
        return np.float32(self.mean_diameter / np.float32(params.diameter or self.own_diameter))

    def _with_empty_channels(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (height, width, channels): OpenCV rounds one channel otherwise than two."""
        channels = np.zeros((*image.shape, self.channels), np.float32)
        channels[..., 0] = image
        return channels

    def _run_tiles(
        self, image: NDArray[np.float32], params: SegmentParams, progress: Progress
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return what the net makes of a normalised image of shape (channels, height, width)."""
        from cellpose.transforms import get_pad_yx

        _, height, width = image.shape
        top, bottom, left, right = get_pad_yx(height, width)
        padded = np.pad(image, [(0, 0), (top, bottom), (left, right)])
        tiles = Tiles.of(padded, TILE_SIZE, overlap=TILE_OVERLAP, augment=params.augment)
        output, notes = tiles.run(self.run_batch, self.device, params.batch_size, progress)
        return output[:, top : top + height, left : left + width], notes


def wrap(net: ResidualUNet | FluoUNet, device: Device) -> UNet | FluoNuclei:
    """Bring a network in evaluation mode to the device."""
    on_images = tiled(net, device)
    if isinstance(net, FluoUNet):
        return FluoNuclei(on_images, device)
    return UNet(on_images, float(net.diam_labels), device)


def tiled(net: ResidualUNet | FluoUNet, device: Device) -> TiledNet:
    """Bring a network in evaluation mode to the device, and return what runs it on images."""
    shape = net.shape
    if isinstance(shape, FluoShape):
        return TiledNet(runner(net, device), 1, shape.stride, REACH)
    return TiledNet(runner(FlowsAlone(net), device), shape.channels, shape.stride, shape.reach)


def wrap_classic(net: ResidualUNet, device: Device) -> ClassicUNet:
    """Bring a net in evaluation mode to the device."""
    return ClassicUNet(
        run_batch=runner(FlowsAlone(net), device),
        channels=net.shape.channels,
        mean_diameter=np.float32(net.diam_mean.item()),
        own_diameter=np.float32(net.diam_labels.item()),
        device=device,
    )


def runner(net: nn.Module, device: Device) -> RunBatch:
    """Bring a network to the device, and return what computes its output there."""
    place = torch.device(device.kind)
    net.to(place)
    layout = layout_on(device)
    net.to(memory_format=layout)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with inference_on(device):
            batch = torch.from_numpy(images).to(place, memory_format=layout)
            output: NDArray[np.float32] = net(batch).cpu().numpy()
        return output

    return run


def layout_on(device: Device) -> torch.memory_format:
    """Choose how images lie in memory: on a CPU this takes half of the time; MPS lacks parts."""
    return torch.contiguous_format if device.kind == "mps" else torch.channels_last


class FlowsAlone(nn.Module):
    """A residual U-Net's flows and cell probability, without its style."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Run the network."""
        flows: Tensor = self.net(images)[0]
        return flows

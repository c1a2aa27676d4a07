"""Small nets in the place of Cellpose 4's transformers: run by Cellpose as those are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from napari_nucseg.segmenters import networks
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.network import NetSegmenter, infer, prepared


class Blobs(torch.nn.Module):
    """Flows up the slope of the blurred image, cells where it is bright."""

    def __init__(self, backbone="sam_vitl"):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.backbone = backbone
        self.dtype = torch.float32
        self.batches = []

    @property
    def device(self):
        return self.unused.device

    def forward(self, x):
        self.batches.append(len(x))
        smooth = F.avg_pool2d(x[:, :1], 11, stride=1, padding=5)
        smooth = F.avg_pool2d(smooth, 11, stride=1, padding=5)[:, 0]
        slope = torch.stack(torch.gradient(smooth, dim=(1, 2)), dim=1)
        slope = 5 * slope / (slope.square().sum(dim=1, keepdim=True).sqrt() + 1e-3)
        brightness = 10 * (F.avg_pool2d(x[:, :1], 3, stride=1, padding=1) - 0.35)
        return torch.cat([slope, brightness], dim=1), torch.zeros(len(x), 256)


def cellpose_model(net):
    """Cellpose's own model around a net."""
    from cellpose.models import CellposeModel

    model = object.__new__(CellposeModel)
    model.net, model.backbone = net, net.backbone
    model.device, model.gpu = torch.device("cpu"), False
    return model


def cellposes_tiles(length, size, overlap):
    """Cellpose's own layout of tiles, which takes more than ours."""
    from cellpose.transforms import make_tiles

    return [start for start, _ in make_tiles(np.zeros((1, length, 1)), size, tile_overlap=0.1)[1]]


class Uneven(Blobs):
    """Convolutions of random weights, which say something else of an image that is turned over."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.convolve = torch.nn.Conv2d(1, 3, 9, padding=4)

    def forward(self, x):
        return 5 * self.convolve(x[:, :1]), torch.zeros(len(x), 256)


def segmenter_of(network):
    """A segmenter around a network on a device, under a name of its own."""
    model = Model("stand-in", "a small net", "", networks.load, capabilities=networks.CELLPOSE)
    return NetSegmenter(model, "0" * 64, network)


def predict(network, image, params, report):
    """The flows of a field of any intensities, which a network gives before thresholds."""
    return infer(network, network.normalise(prepared(image, params), params), params, report)

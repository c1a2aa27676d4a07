"""Blocks of an image in which a network finds the nuclei: how large they are, and their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Flows, Provenance
from napari_nucseg.segmenters.blocks import Block, plan_blocks
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.network import NetSegmenter, Network
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.survey import Survey, refuse_infinite, scale_by
from napari_nucseg.segmenters.volumes import segment_volume

ALIGN = 64
"""Blocks begin at multiples of this, px, as the coarsest pixels of networks do."""
ROOM = 1.5
"""The overlap is at least so many times as long as the largest nucleus of the probe.

So the window shows a nucleus that begins in the block whole, and half of its length beyond it.
"""
WINDOW = 1920
"""Edge of a window at the network's own scale, px: one tile of `TiledNet`.

It takes 1.1 GB while the network runs. Of smaller windows more pixels are in the overlap.
"""
LARGEST_WINDOW = 4096
"""Edge of a window, in pixels of the image, where it is reduced for the network."""
VOXELS = 2**24
"""Voxels of the window of a volume, about: flows in 3-D take 72 bytes for each."""


@dataclass(frozen=True)
class _SettledNetwork(Network):
    """A network that takes background, contrast and diameter from a survey."""

    network: Network
    survey: Survey
    device: Device

    @property
    def precision(self) -> str:
        """Precision of the network itself."""
        return self.network.precision

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities as those of the whole image."""
        return scale_by(image, self.survey)

    def scale(self, params: SegmentParams) -> float:
        """Tell the scale that was settled."""
        return scale_of(self.network, self.survey, params)

    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it for the diameter that was settled."""
        if self.survey.diameter is None:
            return self.network.run(image, params, progress)
        settled = replace(params, diameter=self.survey.diameter)
        flows = self.network.infer(image, settled, progress)
        return replace(flows, is_estimated=self.survey.is_estimated)

    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Compute the flows of an image that is at the network's own scale."""
        return self.network.run(image, params, progress)


def scale_of(network: Network, survey: Survey, params: SegmentParams) -> float:
    """Tell how many times larger nuclei are at the network's own scale."""
    if survey.diameter is None:
        return 1.0
    return network.scale(replace(params, diameter=survey.diameter))


def plan_windows(
    shape: tuple[int, ...],
    scale: float,
    reach: int,
    extent: int,
    size: int | None = None,
    anisotropy: float = 1.0,
) -> tuple[Block, ...]:
    """Cut an image into blocks that suit a network, and overlap enough for it and for nuclei.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    scale : float
        How many times larger nuclei are at the network's own scale; see `scale_of`.
    reach : int
        The network's `reach`.
    extent : int
        Longest edge, in pixels, of the largest nucleus; see `Survey`.
    size : int, optional
        Edge of a block without its overlap, in pixels; by default what suits the network.
    anisotropy : float
        Distance of planes over the edge of a pixel: planes overlap by as much less.
    """
    overlap = _round_up(max(math.ceil(reach / scale), round(ROOM * extent)))
    if size is None:
        window = min(round(WINDOW / scale), LARGEST_WINDOW)
        size = window - 2 * overlap if len(shape) == 2 else 2 * overlap
    size = _round_up(max(size, overlap))
    if len(shape) == 2:
        return plan_blocks(shape, (size, size), (overlap, overlap), ALIGN)
    thick = math.ceil(overlap / anisotropy)
    planes = max(VOXELS // (size + 2 * overlap) ** 2 - 2 * thick, thick)
    return plan_blocks(shape, (planes, size, size), (thick, overlap, overlap), ALIGN)


def _round_up(length: int) -> int:
    return length + -length % ALIGN


def segment_window(
    segmenter: NetSegmenter,
    survey: Survey,
    image: NDArray[Any],
    params: SegmentParams,
    in_depth: tuple[Depth, VolumeParams],
    progress: Progress,
) -> tuple[Labels, Provenance]:
    """Segment the window of a block, of which the border is none of the image.

    Parameters
    ----------
    segmenter : NetSegmenter
        The model, loaded.
    survey : Survey
        What holds for all blocks of the image.
    image : ndarray
        Intensities of the window, as they are stored.
    params : SegmentParams
        Parameters of the segmentation; nuclei on edges are not excluded here.
    in_depth : tuple of Depth and VolumeParams
        How planes of a volume belong together.
    progress : Progress
        Called before each step; may raise to stop.
    """
    refuse_infinite(image)
    # Where nuclei are dark, the slope of the survey turns the image over
    own = replace(params, exclude_on_edges=False, invert=False)
    network = _SettledNetwork(segmenter.network, survey, segmenter.network.device)
    settled = replace(segmenter, network=network)
    if image.ndim == 2:
        found = settled.segment_normalised(network.normalise(image, own), own, progress)
        return found.labels, found.provenance
    volume = segment_volume(settled, image, own, *in_depth, progress)
    return volume.labels, volume.provenance


def count_cut(labels: Labels, block: Block, shape: tuple[int, ...]) -> int:
    """Count the nuclei of a block that reach to the border of its window, within the image."""
    seen = [np.zeros(0, dtype=labels.dtype)]
    for axis, (window, length) in enumerate(zip(block.window, shape, strict=True)):
        planes = np.moveaxis(labels, axis, 0)
        if window.start > 0:
            seen.append(np.unique(planes[0]))
        if window.stop < length:
            seen.append(np.unique(planes[-1]))
    own = np.bincount(labels[block.inside(block.core)].reshape(-1), minlength=1)
    at_border = np.unique(np.concatenate(seen))
    at_border = at_border[(at_border > 0) & (at_border < len(own))]
    return int(np.count_nonzero(own[at_border]))

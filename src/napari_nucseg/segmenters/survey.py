"""What is found out once about an image that is segmented in blocks, so that all blocks agree.

Blocks by themselves would have their own background and contrast, and their own idea of how large
nuclei are. A survey settles both for the whole image, from parts of it that are spread evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_nucseg.array_types import Box, Windowed, whole_box
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.network import NetSegmenter, infer, prepared
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.suitability import Found, find_concerns
from napari_nucseg.segmenters.tiling import tile_starts

MOST_WHOLE = 2**26
"""Pixels up to which the whole image is taken for its background and contrast."""
PATCH, PATCHES = 256, 512
"""Edge of the parts of a larger image that are taken for them, px, and how many there are."""
PLANES = 16
"""Planes of a volume that these parts lie in, unless the planes are small."""
PROBE = 1920
"""Edge of the part whose nuclei are measured, px; no larger than a window, for its memory."""
BRIGHT = 0.5
"""Scaled intensity above which a pixel is taken for one of a nucleus."""
LEAST_EXTENT = 32
"""Extent of the largest nucleus where the probe has none, px."""


@dataclass(frozen=True)
class Survey:
    """What holds for all blocks of an image.

    Attributes
    ----------
    slope, offset : float
        An intensity times the one plus the other is what the network gets; see
        `Network.normalise`. The slope is negative where nuclei are dark.
    diameter : float or None
        Diameter of nuclei, in pixels, that the network is run for, as `SegmentParams` has it;
        None to leave the image at its own scale.
    is_estimated : bool
        Whether the diameter was found in the image.
    extent : int
        Longest edge, in pixels, of the box around a nucleus of the probe.
    suspect : tuple of str
        Signs that the model does not suit the image.
    """

    slope: float
    offset: float
    diameter: float | None
    is_estimated: bool
    extent: int
    suspect: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Read it from what `dataclasses.asdict` and JSON have made of it."""
        return cls(**{**record, "suspect": tuple(record["suspect"])})


def survey_image(
    segmenter: NetSegmenter, image: Windowed, params: SegmentParams, progress: Progress
) -> Survey:
    """Find out what holds for all blocks of an image.

    Parameters
    ----------
    segmenter : NetSegmenter
        The model, loaded.
    image : Windowed
        The image; where it has more than `MOST_WHOLE` pixels, parts of it are read.
    params : SegmentParams
        Parameters of the segmentation.
    progress : Progress
        Called before each step; may raise to stop.

    Raises
    ------
    ValueError
        If there are NaN or infinite values, or the network fails.
    """
    boxes = sample_boxes(image.shape)
    sample = _read_sample(image, boxes)
    refuse_infinite(sample)
    network = segmenter.network
    scaled = network.normalise(prepared(sample, params), params)
    slope, offset = _line_through(sample, scaled)
    found = Survey(slope, offset, params.diameter, False, LEAST_EXTENT)
    probe = _probe(image.shape, boxes, scaled)
    del sample, scaled
    return _measure(segmenter, image.read(probe), found, params, progress)


def sample_boxes(shape: tuple[int, ...]) -> list[Box]:
    """Choose the parts of an image that are taken for its background and contrast.

    Returns
    -------
    list of tuple of slice
        The whole image, or parts of one size that are spread evenly over it.
    """
    if math.prod(shape) <= MOST_WHOLE:
        return [whole_box(shape)]
    height, width = shape[-2:]
    most = max(1, height // PATCH) * max(1, width // PATCH)
    wanted = max(PLANES, math.ceil(PATCHES / most))
    planes = [_spread(length, 1, wanted) for length in shape[:-2]]
    left = PATCHES / math.prod(map(len, planes))
    rows = _spread(height, PATCH, max(1, round(math.sqrt(left * height / width))))
    columns = _spread(width, PATCH, max(1, int(left / len(rows))))
    return _patches([*planes, rows, columns], shape)


def _spread(length: int, size: int, count: int) -> Sequence[int]:
    """Place parts of a size evenly along an axis; they do not overlap."""
    count = max(1, min(count, length // size))
    middles = (np.arange(count) + 0.5) * length / count
    starts: list[int] = np.clip(np.round(middles - size / 2), 0, max(0, length - size)).tolist()
    return [int(start) for start in starts]


def _patches(starts: Sequence[Sequence[int]], shape: tuple[int, ...]) -> list[Box]:
    """Return the patches that begin at all combinations of places along the axes."""
    sizes = [1] * (len(shape) - 2) + [min(PATCH, length) for length in shape[-2:]]
    return [
        tuple(slice(start, start + size) for start, size in zip(at, sizes, strict=True))
        for at in product(*starts)
    ]


def _read_sample(image: Windowed, boxes: list[Box]) -> NDArray[Any]:
    """Read the whole image, or parts as planes of a stack."""
    if len(boxes) == 1:
        return image.read(boxes[0])
    return np.concatenate([image.read(box).reshape(1, *_size(box)[-2:]) for box in boxes])


def _size(box: Box) -> tuple[int, ...]:
    return tuple(one.stop - one.start for one in box)


def _line_through(sample: NDArray[Any], scaled: NDArray[np.float32]) -> tuple[float, float]:
    """Return slope and offset of the straight line by which intensities were scaled."""
    low, high = int(np.argmin(sample)), int(np.argmax(sample))
    x0, x1 = float(sample.flat[low]), float(sample.flat[high])
    y0, y1 = float(scaled.flat[low]), float(scaled.flat[high])
    if x0 == x1 or y0 == y1:
        return 0.0, 0.0
    slope = (y1 - y0) / (x1 - x0)
    return slope, y0 - slope * x0


def scale_by(image: NDArray[Any], survey: Survey) -> NDArray[np.float32]:
    """Scale intensities as those of the whole image."""
    return np.asarray(image * survey.slope + survey.offset, dtype=np.float32)


def _probe(shape: tuple[int, ...], boxes: list[Box], scaled: NDArray[np.float32]) -> Box:
    """Choose the part of the image around the patch with the most bright pixels."""
    patches: Iterable[NDArray[np.float32]] = scaled
    if len(boxes) == 1:
        planes = [_spread(length, 1, PLANES) for length in shape[:-2]]
        edges = [tile_starts(length, PATCH, 0) for length in shape[-2:]]
        boxes = _patches([*planes, *edges], shape)
        patches = (scaled[box] for box in boxes)
    bright = [np.count_nonzero(patch > BRIGHT) for patch in patches]
    best = boxes[int(np.argmax(bright))]
    around = []
    for one, length in zip(best[-2:], shape[-2:], strict=True):
        start = max(0, min((one.start + one.stop - PROBE) // 2, length - PROBE))
        around.append(slice(start, min(start + PROBE, length)))
    return (*best[:-2], *around)


def _measure(
    segmenter: NetSegmenter,
    probe: NDArray[Any],
    found: Survey,
    params: SegmentParams,
    progress: Progress,
) -> Survey:
    """Segment the probe, to see how large nuclei are and whether the model suits the image."""
    plane = probe.reshape(probe.shape[-2:])
    refuse_infinite(plane)
    params = replace(params, exclude_on_edges=False)
    flows = infer(segmenter.network, scale_by(plane, found), params, progress)
    labeller = Labeller(flows, segmenter.network.device)
    labels = labeller(params)
    boxes = ndi.find_objects(labels)
    extent = max((edge for box in boxes if box for edge in _size(box)), default=LEAST_EXTENT)
    objects = Found(labels, labeller.errors, flows.diameter)
    concerns = find_concerns(prepared(plane, params), objects, params)
    settled = flows.diameter if flows.is_estimated else params.diameter
    return replace(
        found,
        diameter=None if flows.diameter is None else settled,
        is_estimated=flows.is_estimated,
        extent=int(extent),
        suspect=tuple(map(str, concerns)),
    )


def refuse_infinite(image: NDArray[Any]) -> None:
    """Refuse a part of an image that no network can segment."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("it holds NaN or infinite values; replace them before segmenting")
    if image.dtype.kind not in "uifb":
        raise ValueError(f"{image.dtype} values; convert the image to grey intensities")

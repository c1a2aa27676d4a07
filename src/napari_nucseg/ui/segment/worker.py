"""What the segment panel's worker does: plain values in, plain values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.corrections import PackedLabels
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.measurements import measure_nuclei, measure_volume
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters import catalogue, timing
from napari_nucseg.segmenters.api import Provenance, Segmenter, VolumeSegmentation, check_image
from napari_nucseg.segmenters.devices import choose, exceeds_memory
from napari_nucseg.segmenters.flows import is_compiling
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.tiling import MAX_PIXELS
from napari_nucseg.segmenters.volumes import MAX_VOXELS, segment_volume
from napari_nucseg.ui.jobs import Hand, LongSteps, RemainingTime
from napari_nucseg.ui.layers import prepare_colours
from napari_nucseg.ui.segment.result_cache import (
    CachedResult,
    FieldResult,
    Parts,
    ResultKey,
    StackResult,
)
from napari_nucseg.wording import plane_name

STOPPED = "Stopped. No layer was added or changed."
BLOCKS_STAY = "Stopped. Blocks that are done stay. Press Segment with the same values to go on."


@dataclass(frozen=True)
class Request:
    """What was asked for when Segment was pressed.

    Attributes
    ----------
    name : str
        Name of the image layer.
    source : FieldSource
        The image, whose fields are read one by one.
    keys : tuple of ResultKey
        Fields and boxes to be segmented, and the model.
    model : Model
        The model that segments, and where its weights are.
    device : str
        auto, cuda, mps or cpu.
    params : SegmentParams
        Thresholds, sizes and the other parameters.
    calibration : Calibration
        Sizes of pixels, and the distance of a volume's planes, if they are known.
    depth : Depth or None
        How planes are put together as one volume; None for fields by themselves.
    volume : VolumeParams
        Stitch threshold and anisotropy, for a volume.
    stems : tuple of str
        Names of the image's fields; empty if they have none.
    """

    name: str
    source: FieldSource
    keys: tuple[ResultKey, ...]
    model: Model
    device: str
    params: SegmentParams
    calibration: Calibration
    depth: Depth | None = None
    volume: VolumeParams = field(default_factory=VolumeParams)
    stems: tuple[str, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether what is asked for, or labels of all around it, are too large for one piece."""
        first = len(self.source.axes)
        plane = math.prod(self.source.data.shape[first : first + 2])
        if any(key.box is not None for key in self.keys):
            return exceeds_memory(plane, plane)
        pixels = plane if self.depth is None else plane * len(self.keys)
        voxels = MAX_VOXELS if self.depth is Depth.IN_3D else pixels
        return plane > MAX_PIXELS or pixels > voxels or exceeds_memory(plane, pixels)

    def name_of(self, key: ResultKey) -> str:
        """Name a field among several: by its image's layer, and its stem or its number."""
        if len(self.keys) == 1:
            return self.name
        planes = math.prod(self.source.data.shape[: len(self.source.axes)])
        name = plane_name(self.stems, key.plane, planes)
        return f"{self.name}, {name or f'field {key.plane + 1}'}"


def segment(request: Request, progress: Progress, hand: Hand) -> None:
    """Segment what is asked for: fields by themselves, or planes as one volume."""
    (segment_fields if request.depth is None else segment_stack)(request, progress, hand)


def segment_fields(request: Request, progress: Progress, hand: Hand) -> None:
    """Segment what is asked for, one field after the other; only one is in memory at a time.

    Parameters
    ----------
    request : Request
        Image, fields, model and values.
    progress : Progress
        Called after each step; may raise to stop.
    hand : callable
        Called with the `StackResult` of each field as soon as it is done; if one of several fields
        fails, with what is wrong with it, in words.

    Raises
    ------
    ValueError, OSError
        If the model or the only image cannot be used; the message names it.
    """
    steps = LongSteps(progress)
    segmenter = load(request, steps)
    steps.do(prepare_colours)
    countdown = RemainingTime(steps, len(request.keys))
    for number, key in enumerate(request.keys):
        countdown.begin(number)
        try:
            result = _segment_field(segmenter, request, key, steps, countdown.report)
        except (ValueError, OSError) as error:
            if len(request.keys) == 1:
                raise
            hand(f"{error}")
        else:
            hand(result)


def _segment_field(
    segmenter: Segmenter, request: Request, key: ResultKey, steps: LongSteps, progress: Progress
) -> StackResult:
    name = request.name_of(key)
    image = request.source.read(key.plane, key.segmented)
    check_image(image, name)
    warm = not is_compiling()
    try:
        result = steps.do(partial(segmenter, image, request.params, progress))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if result.labels.any():  # a blank image takes next to no time
        timing.remember(key.model, result.provenance, image.size, warm)
    kept = CachedResult(result, image, request.calibration.pixel_size)
    made = steps.do(partial(_made, key, kept, request.name, request.source))
    return StackResult((made,), {key: kept}, result.capabilities)


def relabel(
    fields: Sequence[Parts],
    source: FieldSource,
    name: str,
    params: SegmentParams,
    progress: Progress,
    hand: Hand,
) -> None:
    """Make the labels of kept results anew, with other thresholds and without the network.

    Parameters
    ----------
    fields : sequence of Parts
        All results of each field.
    source : FieldSource
        The image, to see whether it is still what was segmented.
    name : str
        Name of the image layer.
    params : SegmentParams
        New values of the parameters.
    progress : Progress
        Called before each field; may raise to stop.
    hand : callable
        Called with the `Result` of each field as soon as it is done.

    Raises
    ------
    ValueError
        If the image holds other values now.
    """
    for number, parts in enumerate(fields):
        progress(number, len(fields), "Following the sliders")
        kept: Parts = {}
        for key, before in parts.items():
            _check_unchanged(source, key, before, name)
            kept[key] = replace(before, result=before.result.relabelled(params))
        made = tuple(_made(key, one, name, source) for key, one in kept.items())
        hand(StackResult(made, kept))


def _check_unchanged(source: FieldSource, key: ResultKey, before: CachedResult, name: str) -> None:
    """Refuse an image that was written to since; one on disk is trusted, reading it takes long."""
    if source.is_in_memory and not np.array_equal(
        source.read(key.plane, key.segmented), before.image
    ):
        raise ValueError(f"{name}: the image has changed since it was segmented; press Segment")


def _made(key: ResultKey, kept: CachedResult, name: str, source: FieldSource) -> FieldResult:
    result = kept.result
    channels = source.read_channels(key.plane, key.segmented)
    nuclei = measure_nuclei(result, kept.image, kept.pixel_size, channels)
    provenance = provenance_at(key, result.provenance, name, source.axes)
    packed = PackedLabels.of(result.labels)
    return FieldResult(key, result.labels, nuclei, provenance, packed, result.concerns)


def provenance_at(
    key: ResultKey, made: Provenance, name: str, axes: Sequence[str]
) -> dict[str, Any]:
    """Say how labels were made and of what, as plain values."""
    return {
        **made.as_dict(),
        "model": key.model,
        "image": name,
        "axes": list(axes),
        "channel": key.channel,
        "box": None if key.box is None else list(key.box),
    }


def load(request: Request, progress: LongSteps) -> Segmenter:
    """Load the model that was asked for, once its weights are here.

    Raises
    ------
    ValueError, OSError
        If it cannot be used; the message names it.
    """
    model = request.model
    if not model.is_ready and model.remote is None:
        raise ValueError(
            f"{model.path}: this model file is missing; put it back, or choose another"
        )
    try:
        model.check(request.params, request.depth)
    except ValueError as error:
        raise ValueError(f"{request.name}: {error}") from error
    fetching = RemainingTime(progress, 1)
    choose(request.device)
    catalogue.download(model, fetching.follow_download(model.name, model.megabytes))
    progress(0, 1, f"Loading {model.name}")
    return progress.do(partial(catalogue.load, model, request.device))


def segment_stack(request: Request, progress: Progress, hand: Hand) -> None:
    """Segment planes as one volume, which is in memory whole; a nucleus has one number in all.

    Nuclei are measured in 3-D. Nothing is kept to follow the sliders. Parameters are those of
    `segment_fields`; the volume is handed over as one.

    Raises
    ------
    ValueError, OSError
        If the model or the image cannot be used; the message names it.
    """
    if request.depth is None:
        raise ValueError(f"{request.name}: choose under Segment how its planes belong together")
    steps = LongSteps(progress)
    segmenter = load(request, steps)
    steps.do(prepare_colours)
    planes, total = [], len(request.keys)
    for number, key in enumerate(request.keys):
        progress(number, total, f"Reading plane {number + 1} of {total}")
        planes.append(request.source.read(key.plane))
    volume = np.stack(planes)
    warm = not is_compiling()
    values = request.params, request.depth, request.volume
    report = RemainingTime(steps, 1, step="plane").report
    try:
        result = steps.do(partial(segment_volume, segmenter, volume, *values, report))
    except ValueError as error:
        raise ValueError(f"{request.name}: {error}") from error
    if result.labels.any():
        timed = timing.volume_key(request.keys[0].model, request.depth)
        timing.remember(timed, result.provenance, volume.size, warm)
    steps(total, total, "Measuring")
    hand(StackResult(steps.do(partial(_made_of_volume, request, volume, result)), {}))


def _made_of_volume(
    request: Request, image: NDArray[np.generic], result: VolumeSegmentation
) -> tuple[FieldResult, ...]:
    """Return the planes of a volume, which share the measures of all its nuclei."""
    planes = tuple(key.plane for key in request.keys)
    channels, sizes = request.source.read_channels_of(planes), asdict(request.calibration)
    nuclei = measure_volume(result.labels, image, **sizes, channels=channels)
    made = []
    for key, labels in zip(request.keys, result.labels, strict=True):
        told = provenance_at(key, result.provenance, request.name, request.source.axes)
        made.append(FieldResult(key, labels, nuclei, told, PackedLabels.of(labels), volume=planes))
    return tuple(made)

"""What the segment panel's worker does: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nucseg.core.images import Labels
from napari_nucseg.core.measuring import Nuclei
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Report, Segmenter, check_image
from napari_nucseg.segmenters import catalogue, pace
from napari_nucseg.segmenters.nuclei import measure_nuclei
from napari_nucseg.ui.jobs import Tell
from napari_nucseg.ui.kept import Kept
from napari_nucseg.ui.sources import Box


@dataclass(frozen=True)
class Request:
    """What was asked for when Segment was pressed.

    Attributes
    ----------
    name : str
        Of the image's layer.
    images : tuple of array, shape (height, width)
        The fields to segment, copied or lazy; already cut to the box.
    planes : tuple of int
        Their numbers in the stack.
    box : Box or None
        The part of a field that is segmented; None for all of it.
    model : Model
        Which network.
    device : str
        auto, cuda, mps or cpu.
    params : SegmentParams
        Thresholds and diameter.
    memory : int
        Bytes that results may take which are kept to follow the sliders.
    pixel_size : float or None
        Edge of a pixel in micrometres, if it is known.
    """

    name: str
    images: tuple[Any, ...]
    planes: tuple[int, ...]
    box: Box | None
    model: catalogue.Model
    device: str
    params: SegmentParams
    memory: int
    pixel_size: float | None


@dataclass(frozen=True)
class Made:
    """Labels of a field, or of a box in it, their measures, and how they were made."""

    labels: Labels
    nuclei: Nuclei
    provenance: Mapping[str, Any]
    box: Box | None


@dataclass(frozen=True)
class Result:
    """What was made of the asked fields, by their numbers, and what is kept of them."""

    made: Mapping[int, Made]
    kept: Mapping[int, Kept]

    @property
    def seconds(self) -> float:
        """Time spent on all fields."""
        return float(sum(made.provenance["seconds"] for made in self.made.values()))

    @property
    def count(self) -> int:
        """Nuclei found in all fields."""
        return sum(int(made.labels.max(initial=0)) for made in self.made.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the run, each thing once."""
        notes = [note for made in self.made.values() for note in made.provenance["notes"]]
        return tuple(dict.fromkeys(notes))


def segment_planes(request: Request, tell: Tell) -> Result:
    """Segment the asked fields one after the other.

    Raises
    ------
    ValueError, OSError
        If the model or an image cannot be used; the message names it.
    """
    segmenter = _load(request, tell)
    made: dict[int, Made] = {}
    kept: dict[int, Kept] = {}
    for number, (plane, lazy) in enumerate(zip(request.planes, request.images, strict=True)):
        image = np.asarray(lazy)
        check_image(image, request.name)
        result = segmenter(image, request.params, _follow(tell, number, len(request.images)))
        pace.remember(result.provenance, image.size)
        kept[plane] = Kept(result, image, request.pixel_size, request.box)
        made[plane] = _made(kept[plane], request.name)
        while kept and sum(each.nbytes for each in kept.values()) > request.memory:
            del kept[next(iter(kept))]
    return Result(made, kept)


def relabel_planes(
    results: Mapping[int, Kept], name: str, params: SegmentParams, tell: Tell
) -> Result:
    """Make the labels of kept results anew, with other thresholds and without the network."""
    kept = {}
    for number, (plane, before) in enumerate(results.items()):
        tell(number, len(results), "Following the sliders")
        kept[plane] = replace(before, result=before.result.relabelled(params))
    return Result({plane: _made(one, name) for plane, one in kept.items()}, kept)


def _made(kept: Kept, name: str) -> Made:
    result = kept.result
    nuclei = measure_nuclei(result, kept.image, kept.pixel_size)
    return Made(result.labels, nuclei, {**result.provenance.as_dict(), "image": name}, kept.box)


def _load(request: Request, tell: Tell) -> Segmenter:
    model = request.model

    def follow(done: int, total: int | None) -> None:
        tell(done >> 20, (total or model.megabytes << 20) >> 20, f"Fetching {model.name}, MB")

    catalogue.require_device(request.device)
    catalogue.download(model, follow)
    tell(0, 1, f"Loading {model.name}")
    return catalogue.load(model, request.device)


def _follow(tell: Tell, field: int, fields: int) -> Report:
    def follow(done: int, total: int) -> None:
        where = f"field {field + 1} of {fields}, " if fields > 1 else ""
        tell(field * total + done, fields * total, f"{where}tile {min(done + 1, total)} of {total}")

    return follow

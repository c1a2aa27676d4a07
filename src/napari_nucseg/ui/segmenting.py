"""What the segment panel's worker does: plain values in, plain values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Report, Segmenter, SegmentParams, check_image
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.jobs import Tell


@dataclass(frozen=True)
class Request:
    """What was asked for when Segment was pressed.

    Attributes
    ----------
    name : str
        Of the image's layer.
    images : tuple of array, shape (height, width)
        The fields to segment, copied or lazy.
    planes : tuple of int
        Their numbers in the stack.
    model : Model
        Which network.
    device : str
        auto, cuda, mps or cpu.
    params : SegmentParams
        Thresholds and diameter.
    """

    name: str
    images: tuple[Any, ...]
    planes: tuple[int, ...]
    model: catalogue.Model
    device: str
    params: SegmentParams


@dataclass(frozen=True)
class Result:
    """Labels of the asked fields, in their order, and how they were made."""

    labels: tuple[Labels, ...]
    provenances: tuple[dict[str, Any], ...]

    @property
    def seconds(self) -> float:
        """Time spent on all fields."""
        return float(sum(provenance["seconds"] for provenance in self.provenances))

    @property
    def count(self) -> int:
        """Nuclei found in all fields."""
        return sum(int(labels.max(initial=0)) for labels in self.labels)


def segment_planes(request: Request, tell: Tell) -> Result:
    """Segment the asked fields one after the other.

    Raises
    ------
    ValueError, OSError
        If the model or an image cannot be used; the message names it.
    """
    segmenter = _load(request, tell)
    labels, provenances = [], []
    for number, lazy in enumerate(request.images):
        image = np.asarray(lazy)
        check_image(image, request.name)
        result = segmenter(image, request.params, _follow(tell, number, len(request.images)))
        labels.append(result.labels)
        provenances.append({**result.provenance.as_dict(), "image": request.name})
    return Result(tuple(labels), tuple(provenances))


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

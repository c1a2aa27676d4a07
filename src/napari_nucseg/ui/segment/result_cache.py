"""What a run made: results as they are shown, and what is kept of them for the sliders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import Label, SpinBox
from napari.layers import Image, Layer
from napari.settings import get_plugin_settings
from numpy.typing import NDArray
from psygnal import Signal

from napari_nucseg.analysis.corrections import PackedLabels
from napari_nucseg.analysis.field_parts import Rectangle
from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.api import Capabilities, Concern, Segmentation
from napari_nucseg.ui.layers import PREDICTION, find_prediction, record_of


@dataclass(frozen=True)
class ResultKey:
    """Where a result belongs.

    Attributes
    ----------
    source : str
        Unique id of the image layer.
    model : str
        Unique key of the model: its name, or the path of its file.
    plane : int
        Number of the field in the stack.
    channel : str
        Name of the channel of a colour image; empty for a grey one.
    box : Rectangle or None
        Part of the field in pixels; None for all of it.
    context : Rectangle or None
        The box and a margin around it, which is segmented, too: nuclei at the edge are seen whole.
    """

    source: str
    model: str
    plane: int
    channel: str = ""
    box: Rectangle | None = None
    context: Rectangle | None = None

    @property
    def segmented(self) -> Rectangle | None:
        """What of the field is segmented; None for all of it."""
        return self.context or self.box

    def covers(self, other: ResultKey) -> bool:
        """Whether a result here replaces all of one there."""
        if (self.source, self.model, self.plane) != (other.source, other.model, other.plane):
            return False
        return self.box is None or (other.box is not None and self.box.holds(other.box))


def short_name(model: str) -> str:
    """Name a model for people: a file by its base name."""
    return Path(model).name


@dataclass(frozen=True)
class CachedResult:
    """A result, and what else is needed to make it anew.

    Attributes
    ----------
    result : Segmentation
        Labels and flows of what was segmented.
    image : ndarray, shape (height, width)
        Intensities that were segmented.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    """

    result: Segmentation
    image: NDArray[Any]
    pixel_size: float | None

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self.result.nbytes + self.image.nbytes


Parts = dict[ResultKey, CachedResult]
"""What lies on top of one another in a field, in the order of their making."""


class ResultCache:
    """Results by their keys; the oldest are dropped beyond a limit of memory.

    Attributes
    ----------
    limit : int
        Most bytes that all results may take.
    """

    changed = Signal()
    """Tells that other results are kept, or within another limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._results: Parts = {}

    def replace(self, key: ResultKey, kept: CachedResult | None) -> None:
        """Keep a result, as the newest, in place of all that it covers; None only drops those."""
        self._results = {s: k for s, k in self._results.items() if not key.covers(s)}
        if kept is not None:
            self._results[key] = kept
        self.shrink()

    def shrink(self) -> None:
        """Drop the oldest results until the limit is kept to."""
        while self._results and self.taken > self.limit:
            del self._results[next(iter(self._results))]
        self.changed()

    @property
    def taken(self) -> int:
        """Bytes of memory that all results take together."""
        return sum(kept.nbytes for kept in self._results.values())

    def of(self, source: str, model: str) -> dict[int, Parts]:
        """Return what is kept of an image layer and model, by the number of the field."""
        fields: dict[int, Parts] = {}
        for key, kept in self._results.items():
            if (key.source, key.model) == (source, model):
                fields.setdefault(key.plane, {})[key] = kept
        return fields

    def forget(self, source: str, model: str | None = None) -> None:
        """Drop what is kept of an image layer, by one model or by all."""
        self._results = {
            key: kept
            for key, kept in self._results.items()
            if key.source != source or model not in (None, key.model)
        }
        self.changed()

    def forget_removed(self, removed: Layer, layers: Iterable[Layer]) -> bool:
        """Drop what is kept of a layer that was removed; tell whether it was a prediction.

        Parameters
        ----------
        removed : Layer
            An image, or labels; if these were a duplicate, what is kept stays.
        layers : iterable of Layer
            The layers that are left.
        """
        record = record_of(removed)
        if isinstance(removed, Image):
            self.forget(str(removed.unique_id))
        if record is None or record.role != PREDICTION or not record.provenance:
            return False
        model = str(record.provenance["model"])
        if find_prediction(layers, record.source, model) is not None:
            return False
        self.forget(record.source, model)
        return True


@dataclass(frozen=True)
class FieldResult:
    """Labels of a field or of a box in it.

    Attributes
    ----------
    key : ResultKey
        Field and box that the labels belong to, and the model.
    labels : ndarray of int32, shape (height, width)
        0 is background; of a box with the context that was segmented around it.
    nuclei : Nuclei
        Measurements of the nuclei, by name.
    provenance : mapping
        How the labels were made, as plain values.
    packed : PackedLabels
        The labels once more, compressed, to see later whether they were edited.
    concerns : tuple of Concern
        Signs that the model does not suit the field.
    volume : tuple of int
        Planes that were segmented as one with it, whose nuclei are measured together.
    """

    key: ResultKey
    labels: Labels
    nuclei: Nuclei
    provenance: Mapping[str, Any]
    packed: PackedLabels
    concerns: tuple[Concern, ...] = ()
    volume: tuple[int, ...] = ()


@dataclass(frozen=True)
class StackResult:
    """What was made of what was asked for, and what is kept of it.

    Attributes
    ----------
    made : tuple of FieldResult
        Labels of the fields, in the order they were made.
    kept : Parts
        Results that there was memory for, by their keys.
    capabilities : Capabilities or None
        Capabilities of the model; None where that is not told.
    """

    made: tuple[FieldResult, ...]
    kept: Parts
    capabilities: Capabilities | None = None

    @property
    def is_volume(self) -> bool:
        """Whether the fields are planes that were segmented as one."""
        return bool(self.made[0].provenance["depth"])

    @property
    def seconds(self) -> float:
        """Time spent on all fields."""
        if self.is_volume:
            return float(self.made[0].provenance["seconds"])
        return float(sum(made.provenance["seconds"] for made in self.made))

    @property
    def planes(self) -> tuple[int, ...]:
        """Numbers of the fields that something was made of."""
        return tuple(dict.fromkeys(made.key.plane for made in self.made))

    @property
    def estimate(self) -> float | None:
        """Median diameter, in pixels, that was found in the fields and used; None if none was."""
        made = [made.provenance for made in self.made]
        found = [one["diameter"] for one in made if one["is_estimated"] and one["diameter"]]
        return float(np.median(found)) if found else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the run, each thing once."""
        notes = [note for made in self.made for note in made.provenance["notes"]]
        return tuple(dict.fromkeys(notes))


def joined_results(parts: Sequence[StackResult], known: Mapping[int, Parts]) -> StackResult:
    """Put results of several fields by one model together, with what of them is in memory."""
    made = tuple(one for part in parts for one in part.made)
    in_memory = {key: one for fields in known.values() for key, one in fields.items()}
    kept = {one.key: in_memory[one.key] for one in made if one.key in in_memory}
    return StackResult(made, kept, parts[0].capabilities)


class MemoryRows:
    """Keeps the form's rows of memory, napari's settings and the results in step.

    Parameters
    ----------
    cache : ResultCache
        Results in memory.
    limit : SpinBox
        Most megabytes that they may take.
    taken : Label
        Says how many they take.
    """

    def __init__(self, cache: ResultCache, limit: SpinBox, taken: Label) -> None:
        self._cache = cache
        self._limit = limit
        self._taken = taken
        self.show_limit()
        self._show_taken()
        limit.changed.connect(self._save_limit)
        cache.changed.connect(self._show_taken)

    def show_limit(self) -> None:
        """Show the limit of napari's settings, which can be changed there, too."""
        self._limit.value = memory_limit() // 10**6

    def _save_limit(self, megabytes: int) -> None:
        get_plugin_settings("napari-nucseg").segment.memory_mb = megabytes
        self._cache.limit = memory_limit()
        self._cache.shrink()

    def _show_taken(self) -> None:
        taken, limit = (round(size / 1e6) for size in (self._cache.taken, self._cache.limit))
        self._taken.value = f"Results kept for the sliders: {taken:,} of {limit:,} MB"


def memory_limit() -> int:
    """Bytes that results may take which are kept to follow the sliders."""
    return int(get_plugin_settings("napari-nucseg").segment.memory_mb) * 10**6

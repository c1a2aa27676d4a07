"""Results that are kept so that labels can follow the sliders, until their image changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_nucseg.segmenters.api import Segmentation
from napari_nucseg.ui.segment.image_source import Box


class ImageWatch:
    """Tells of every image layer whose data were replaced, until it is told to stop.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose image layers are watched.
    changed : callable
        Called with the layer whose data are new.
    """

    def __init__(self, viewer: ViewerModel, changed: Callable[[Image], None]) -> None:
        self._layers = viewer.layers
        self._changed = changed
        self._layers.events.inserted.connect(self._on_inserted)
        self._layers.events.removed.connect(self._on_removed)
        for layer in self._layers:
            self._connect(layer)

    def disconnect_viewer(self) -> None:
        """Let go of the layers."""
        self._layers.events.inserted.disconnect(self._on_inserted)
        self._layers.events.removed.disconnect(self._on_removed)
        for layer in self._layers:
            self._disconnect(layer)

    def _connect(self, layer: Any) -> None:
        if isinstance(layer, Image):
            layer.events.data.connect(self._on_data)

    def _disconnect(self, layer: Any) -> None:
        if isinstance(layer, Image):
            layer.events.data.disconnect(self._on_data)

    def _on_inserted(self, event: Any) -> None:
        self._connect(event.value)

    def _on_removed(self, event: Any) -> None:
        self._disconnect(event.value)

    def _on_data(self, event: Any) -> None:
        self._changed(event.source)


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
    box : Box or None
        Part of the field in pixels; None for all of it.
    context : Box or None
        The box and a margin around it, which is segmented, too: nuclei at the edge are seen whole.
    """

    source: str
    model: str
    plane: int
    channel: str = ""
    box: Box | None = None
    context: Box | None = None

    @property
    def segmented(self) -> Box | None:
        """What of the field is segmented; None for all of it."""
        return self.context or self.box

    def covers(self, other: ResultKey) -> bool:
        """Whether a result here replaces all of one there."""
        if (self.source, self.model, self.plane) != (other.source, other.model, other.plane):
            return False
        return self.box is None or (other.box is not None and self.box.holds(other.box))


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
    """Results by their spot; the oldest are dropped beyond a limit of memory.

    Attributes
    ----------
    limit : int
        Most bytes that all results may take.
    """

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

    @property
    def taken(self) -> int:
        """Bytes taken."""
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

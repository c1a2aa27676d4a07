"""Noticing that an image layer holds other data, or is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image


class ImageWatch:
    """Tells of every image layer whose data were replaced, until it is told to stop.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are watched.
    changed : callable
        Called with the layer.
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

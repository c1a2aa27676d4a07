"""Going to an object: from a row to its place in the image, and from a click to its row."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.model import Comparison, ComparisonState

MARGIN = 4.0
"""How many times a nucleus' box fits into the view that is chosen for it."""
_LEAST_BOX = 24
"""Pixels that a box counts for at least, so that a speck keeps its surroundings."""

_STILL = 4
"""Canvas pixels that the pointer may move within a click."""
_SEPARATOR = "; "
_LOOKING = ("pan_zoom", "transform")


def go_to_row(viewer: ViewerModel, comparison: Comparison, row: int) -> None:
    """Select an object's label in its layer, and move field slider and camera to it."""
    objects = comparison.objects
    layer = comparison.truth if objects.is_true[row] else comparison.prediction
    if layer is None or layer not in viewer.layers:
        return
    go_to_field(viewer, layer, int(objects.plane[row]))
    viewer.layers.selection = {layer}
    layer.selected_label = int(objects.label[row])
    show_box(viewer, layer, objects.box[row].tolist())


def go_to_field(viewer: ViewerModel, layer: Labels, plane: int) -> None:
    """Move the field slider."""
    stack = full_data(layer).shape[:-2]
    if not stack:
        return
    place = layer.data_to_world((*map(int, np.unravel_index(plane, stack)), 0, 0))
    first = viewer.dims.ndim - layer.ndim
    for axis in range(len(stack)):
        viewer.dims.set_point(first + axis, float(place[axis]))


def show_box(viewer: ViewerModel, layer: Labels, box: list[int]) -> None:
    """Move the camera to a box of the field shown, with a margin.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, with the field shown.
    layer : Labels
        Labels layer whose pixels the box counts.
    box : list of int
        First row, first column, and row and column after the last.
    """
    top, left, bottom, right = box
    shown = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])[:-2]
    middle = ((top + bottom - 1) / 2, (left + right - 1) / 2)
    edge = [max(bottom - top, _LEAST_BOX), max(right - left, _LEAST_BOX)]
    size = np.multiply(edge, np.abs(layer.scale[-2:])) * MARGIN
    center = layer.data_to_world((*shown, *middle))[-2:]
    viewer.scene.camera.center = tuple(map(float, center))
    viewer.scene.camera.zoom = float(np.min(np.asarray(viewer.canvas.size) / size))


class CanvasPicker:
    """Connects the pointer with the objects of a comparison.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose canvas is clicked on.
    state : ComparisonState
        The comparison, which knows the objects.
    choose : callable
        Called with the row of an object that was clicked on.
    """

    def __init__(
        self, viewer: ViewerModel, state: ComparisonState, choose: Callable[[int], object]
    ) -> None:
        self._viewer, self._state, self._choose = viewer, state, choose
        self._written: Any = None  # setting the status tells of it later, and so calls this again
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.events.status.connect(self._on_status)

    def disconnect(self) -> None:
        """Let go of the viewer."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._viewer.events.status.disconnect(self._on_status)

    def _on_press(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        active = viewer.layers.selection.active
        looking = getattr(active, "mode", "pan_zoom") in _LOOKING
        start, position = np.asarray(event.pos), tuple(event.position)
        yield
        while event.type == "mouse_move":
            looking = looking and bool(np.abs(np.asarray(event.pos) - start).max() <= _STILL)
            yield
        if not looking or event.button not in (None, 1):
            return
        row = object_at(self._state, position)
        if row is not None:
            self._choose(row)

    def _on_status(self, event: Any = None) -> None:
        """Add to what napari says of the place under the pointer."""
        if not self._state.now.is_there or self._viewer.status == self._written:
            return
        row = object_at(self._state, tuple(self._viewer.cursor.position))
        if row is None:
            return
        text = describe_object(self._state.now, row)
        status = self._viewer.status
        if isinstance(status, dict):
            said = status.get("coordinates", "")
            self._written = {**status, "coordinates": said + _SEPARATOR + text}
        else:
            self._written = f"{status}{_SEPARATOR}{text}"
        self._viewer.status = self._written


def object_at(state: ComparisonState, position: tuple[float, ...]) -> int | None:
    """Return the row of the object at a place in the field shown, the true one first.

    Parameters
    ----------
    state : ComparisonState
        The comparison, which knows the objects.
    position : tuple of float
        Position in the viewer's world coordinates.
    """
    prediction, plane = state.now.prediction, state.now.plane
    if prediction is None or plane not in state.copies or plane not in state.now.pairs:
        return None
    place = prediction.world_to_data(np.asarray(position)[-prediction.ndim :])
    y, x = np.rint(place[-2:]).astype(int).tolist()
    truth, predicted = state.copies[plane]
    if not (0 <= y < truth.shape[0] and 0 <= x < truth.shape[1]):
        return None
    for labels, is_true in ((truth, True), (predicted, False)):
        if labels[y, x]:
            return state.now.objects.find(plane, int(labels[y, x]), is_true=is_true)
    return None


def describe_object(comparison: Comparison, row: int) -> str:
    """Say in few words what became of an object."""
    objects = comparison.objects
    mine, theirs = ("true", "predicted") if objects.is_true[row] else ("predicted", "true")
    words = [Verdict(int(objects.code[row])).word, f"{mine} {objects.label[row]}"]
    partners = objects.partners_of(row)
    if partners:
        words.append(f"{theirs} {', '.join(map(str, partners))}")
    return f"{' - '.join(words)} - IoU {objects.iou[row]:.2f}"

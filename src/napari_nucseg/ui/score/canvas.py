"""Between the canvas and the comparison: going to a nucleus, clicks on one, and edits of labels."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_nucseg.analysis.comparison import LabelPair
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.array_types import Window
from napari_nucseg.ui.edits import (
    Step,
    exchange_data,
    labels_before,
    lose_track,
    planes_of,
    remember,
    remember_all,
    steps_of,
)
from napari_nucseg.ui.jobs import single_shot
from napari_nucseg.ui.layer_fields import full_data, read_plane
from napari_nucseg.ui.mending import is_mending
from napari_nucseg.ui.panel import UndoWatch
from napari_nucseg.ui.score.model import Comparison, ComparisonState

MARGIN = 4.0
"""How many times a nucleus' box fits into the view that is chosen for it."""
_LEAST_BOX = 24
"""Pixels that a box counts for at least, so that a speck keeps its surroundings."""
_STILL = 4
"""Canvas pixels that the pointer may move within a click."""
MOST_KEPT = 2**25
"""Pixels of a stack up to which all its fields are kept as they were, which takes about 0.3 s."""
_SEPARATOR = "; "
LayerStep = tuple[Labels, Step]
"""A step of a layer's history."""
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
        looking = getattr(active, "mode", "pan_zoom") in _LOOKING and not is_mending(viewer)
        start, position = np.asarray(event.pos), tuple(event.position)
        yield
        while event.type == "mouse_move":
            looking = looking and bool(np.abs(np.asarray(event.pos) - start).max() <= _STILL)
            yield
        if not looking or event.button not in (None, 1):
            return
        row = self._state.object_at(position)
        if row is not None:
            self._choose(row)

    def _on_status(self, event: Any = None) -> None:
        """Add to what napari says of the place under the pointer."""
        if not self._state.now.is_there or self._viewer.status == self._written:
            return
        if is_mending(self._viewer):
            return  # the tool says there what to do
        row = self._state.object_at(tuple(self._viewer.cursor.position))
        if row is None:
            return
        text, status = self._state.now.describe(row), self._viewer.status
        if isinstance(status, dict):
            said = status.get("coordinates", "")
            self._written = {**status, "coordinates": said + _SEPARATOR + text}
        else:
            self._written = f"{status}{_SEPARATOR}{text}"
        self._viewer.status = self._written


class EditTracker:
    """Finds what changed in the labels, and has it counted again.

    napari has no event for undo, so that labels are compared with those that were counted whenever
    something was undone, or a layer is shown anew or painted in.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose layers are watched.
    parent : QObject
        Owner of the timer, which ends with it.
    begin_anew : callable
        Compares all again, where counting the change alone is not possible; gets the layer whose
        labels were replaced, or None.
    """

    def __init__(
        self, state: ComparisonState, parent: QObject, begin_anew: Callable[[Labels | None], None]
    ) -> None:
        self._state, self._begin_anew = state, begin_anew
        self._watched: list[Labels] = []
        self._edited: set[Labels] = set()
        self._steps: list[LayerStep] = []
        self._soon = single_shot(parent, self.look)
        self._undo_watch = UndoWatch(state.viewer, self._on_shown, parent)

    def watch(self, *layers: Labels | None) -> None:
        """Watch these layers, and no others."""
        for layer in self._watched:
            layer.events.data.disconnect(self._on_data)
            layer.events.paint.disconnect(self._on_paint)
            layer.events.set_data.disconnect(self._on_shown)
            layer.events.n_edit_dimensions.disconnect(self._on_depth)
        active = self._state.viewer.layers.selection.active
        there = [layer for layer in layers if layer is not None]
        self._watched = sorted(there, key=lambda layer: layer == active)
        self._edited &= set(self._watched)
        if not self._watched:
            self._soon.stop()
        for layer in self._watched:
            layer.events.data.connect(self._on_data)
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_shown)
            layer.events.n_edit_dimensions.connect(self._on_depth)
            self._keep_if_deep(layer)
        self._follow_history()

    def watches(self, layer: Any) -> bool:
        """Tell whether a layer is watched."""
        return layer in self._watched

    @property
    def is_waiting(self) -> bool:
        """Whether a change is about to be counted."""
        return self._soon.isActive()

    def exchange(self, layer: Labels, labels: LabelImage) -> None:
        """Give a layer an array that holds the same labels, which need no comparison anew."""
        with layer.events.data.blocker(self._on_data):
            exchange_data(layer, labels)

    @property
    def last_edited(self) -> Labels | None:
        """Layer of which labels were changed last; None if there is no change to be undone."""
        self.look()
        return self._steps[-1][0] if self._steps else None

    def look(self) -> None:
        """Count again what changed since the labels were counted last."""
        state, changed = self._state, False
        if self._notice_elsewhere() and state.copies:
            self._begin_anew(None)
            return
        for plane in list(state.copies):
            now = self._labels_now(plane)
            box = changed_box(state.copies[plane], now)
            if box is not None:
                state.recount(plane, box, now)
                changed = True
        deep = [layer for layer in self._watched if layer.n_edit_dimensions > 2]
        if changed and deep:
            for layer in deep:
                lose_track(layer)  # other fields may have changed, too
            self._begin_anew(None)

    def _notice_elsewhere(self) -> bool:
        """Notice what was done, undone or redone; tell whether in a field that is not watched."""
        gone, new = self._follow_history()
        seen = self._state.copies.keys()
        for layer in self._watched:
            steps = [step for one, step in new if one is layer]
            for plane in set[int]().union(*(planes_of(layer, step) for step in steps)) - seen:
                remember(layer, plane, labels_before(layer, plane, steps))
        return any(planes_of(*one) - seen for one in (*gone, *new))

    def _follow_history(self) -> tuple[list[LayerStep], list[LayerStep]]:
        """Bring the changes that can be undone up to date; return those gone, and the new."""
        now = [(layer, step) for layer in self._watched for step in steps_of(layer)]
        marks, known = ({id(step[0]) for _, step in some} for some in (now, self._steps))
        gone = [one for one in self._steps if id(one[1][0]) not in marks]
        new = [one for one in now if id(one[1][0]) not in known]
        self._steps = [one for one in self._steps if id(one[1][0]) in marks] + new
        return gone, new

    def _labels_now(self, plane: int) -> LabelPair:
        """Read labels, but no files of which nothing was edited."""
        state = self._state
        true, found = (
            read_plane(full_data(layer), plane)
            if isinstance(full_data(layer), np.ndarray) or layer in self._edited
            else copy
            for layer, copy in zip(
                (state.now.truth, state.now.prediction), state.copies[plane], strict=True
            )
        )
        return true, found

    def _keep_if_deep(self, layer: Labels) -> None:
        """Keep all fields as they are now if the next edit may reach through several of them."""
        data = full_data(layer)
        if layer.n_edit_dimensions > 2 and isinstance(data, np.ndarray) and data.size <= MOST_KEPT:
            remember_all(layer)

    def _on_depth(self, event: Any) -> None:
        self.look()
        self._keep_if_deep(event.source)

    def _on_data(self, event: Any) -> None:
        self._follow_history()
        self._begin_anew(event.source)
        self._keep_if_deep(event.source)

    def _on_paint(self, event: Any) -> None:
        self._edited.add(event.source)
        self._soon.start()  # napari tells of paint before it is in the data

    def _on_shown(self, *_: Any) -> None:
        if self._state.copies:
            self._soon.start()


def changed_box(before: LabelPair, after: LabelPair) -> Window | None:
    """Return the box around all pixels whose label changed on either side; None if none did."""
    changed = np.asarray(before[0] != after[0]) | np.asarray(before[1] != after[1])
    rows = np.flatnonzero(changed.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(changed[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

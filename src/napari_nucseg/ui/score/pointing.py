"""The pointer over the canvas: a click chooses an object, and the status bar tells of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_nucseg.core.verdicts import Verdict
from napari_nucseg.ui.score.comparison_state import ComparisonState

_STILL = 4
"""Canvas pixels that the pointer may move within a click."""
_SEPARATOR = "; "
_LOOKING = ("pan_zoom", "transform")


class Pointing:
    """Connects the pointer with the objects of a comparison.

    Parameters
    ----------
    viewer : ViewerModel
        Over whose canvas the pointer is.
    state : ComparisonState
        Knows the objects.
    choose : callable
        Gets the row of an object that was clicked on.
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
        if not self._state.is_there or self._viewer.status == self._written:
            return
        row = object_at(self._state, tuple(self._viewer.cursor.position))
        if row is None:
            return
        text = describe_object(self._state, row)
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
        Knows the objects.
    position : tuple of float
        In the viewer's world.
    """
    plane = state.plane
    if state.prediction is None or plane not in state.copies or plane not in state.pairs:
        return None
    place = state.prediction.world_to_data(np.asarray(position)[-state.prediction.ndim :])
    y, x = np.rint(place[-2:]).astype(int).tolist()
    truth, predicted = state.copies[state.plane]
    if not (0 <= y < truth.shape[0] and 0 <= x < truth.shape[1]):
        return None
    for labels, is_true in ((truth, True), (predicted, False)):
        if labels[y, x]:
            return state.objects.find(state.plane, int(labels[y, x]), is_true=is_true)
    return None


def describe_object(state: ComparisonState, row: int) -> str:
    """Say in few words what became of an object."""
    objects = state.objects
    mine, theirs = ("true", "predicted") if objects.is_true[row] else ("predicted", "true")
    words = [Verdict(int(objects.code[row])).word, f"{mine} {objects.label[row]}"]
    partners = objects.partners_of(row)
    if partners:
        words.append(f"{theirs} {', '.join(map(str, partners))}")
    return f"{' - '.join(words)} - IoU {objects.iou[row]:.2f}"

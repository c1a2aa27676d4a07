"""The tools that mend nuclei, where they may be used, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.analysis.corrections import Change
from napari_nucseg.analysis.mending import add, delete, propose, split
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.system_info import available_memory
from napari_nucseg.ui.jobs import Job, tell_user
from napari_nucseg.ui.layer_fields import places_in, read_whole

Place = tuple[float, ...]
Points = NDArray[np.float64]
"""Places along y and x, in pixels of a field."""
STILL = 4
"""Canvas pixels that the pointer may move within a click."""
FlowsOf = Callable[[Labels, int], Flows | None]
"""What a network said of a field of labels; None where that is not kept."""


@dataclass(frozen=True)
class Tool:
    """A way to mend labels with the mouse.

    Attributes
    ----------
    name : str
        Text on its button.
    letter : str
        Letter that chooses it, with Shift.
    hint : str
        What to do on the canvas.
    tip : str
        What it is good for.
    change : callable or None
        Finds how labels are mended at points; None where that needs more than these.
    draws : bool
        Whether a line is drawn; else a click is enough.
    """

    name: str
    letter: str
    hint: str
    tip: str
    change: Callable[[LabelImage, Points], Change] | None = None
    draws: bool = False


DELETE = Tool(
    "Delete",
    "D",
    "click a nucleus to remove it",
    "Remove a nucleus by a click.",
    lambda labels, points: delete(labels, points[0]),
)
MERGE = Tool(
    "Merge",
    "M",
    "click a nucleus, then the one that shall become a part of it",
    "Make two nuclei one by two clicks. The first keeps its number.",
)
SPLIT = Tool(
    "Split",
    "S",
    "draw a line across a nucleus",
    "Divide a nucleus along a line.",
    split,
    draws=True,
)
ADD = Tool(
    "Add",
    "A",
    "draw around a nucleus that has no label",
    "Make what you draw around a new nucleus. Others are not painted over.",
    add,
    draws=True,
)
PROPOSE = Tool(
    "Propose",
    "P",
    "click a nucleus that was missed",
    "Add the nucleus that the network saw where you click, with looser thresholds. The network "
    "does not run again.",
)
TOOLS = (DELETE, MERGE, SPLIT, ADD, PROPOSE)
MENDING_KEYS = (
    ", ".join(f"Shift+{tool.letter} {tool.name.lower()}" for tool in TOOLS)
    + ". They work in the canvas while the labels are the selected layer. Esc ends a tool."
)
"""The keys of the tools, and when they work."""


def refuse(viewer: ViewerModel, layer: Labels | None) -> None:
    """Refuse labels that cannot be mended as they are shown.

    Raises
    ------
    ValueError
        The message says what to do.
    """
    if layer is None or layer not in viewer.layers:
        raise ValueError(
            "select the labels to be mended in the layer list, or press Segment in the segment "
            "panel to make some"
        )
    if layer.multiscale:
        raise ValueError(
            f"{layer.name} has several resolutions, which cannot be mended. Mend a copy of its "
            "finest resolution"
        )
    is_there = isinstance(layer.data, np.ndarray)
    if not is_there and layer.data.nbytes > available_memory() / 2:
        raise ValueError(
            f"{layer.name} is read from files as it is shown, and takes "
            f"{layer.data.nbytes / 1e9:.1f} GB of memory. Open fewer of its fields, or crop it"
        )
    if not layer.editable or (is_there and not layer.data.flags.writeable):
        raise ValueError(f"{layer.name} is not editable. Mend a copy of it")
    if viewer.dims.ndisplay != 2:
        raise ValueError("nuclei are mended in the 2-D view. Go back to it first")
    if tuple(viewer.dims.displayed) != (viewer.dims.ndim - 2, viewer.dims.ndim - 1):
        raise ValueError("nuclei are mended in planes of height and width. Show these axes first")


def read_first(layer: Labels, use: Callable[[LabelImage], None]) -> Job:
    """Read labels into memory in the background; they are used if the layer still has these."""
    data = layer.data

    def take(labels: LabelImage) -> None:
        if layer.data is data:
            use(labels)

    job = Job(partial(read_whole, data))
    job.returned.connect(take)
    job.failed.connect(tell_user)
    job.start()
    return job


def in_field(layer: Labels, places: Sequence[Place]) -> tuple[int, Points]:
    """Find places of the world in the field of a layer that they lie in.

    Returns
    -------
    (int, ndarray of float, shape (n, 2))
        Number of the field in the stack, and the places along y and x in pixels.

    Raises
    ------
    ValueError
        If the layer has no such field.
    """
    found = places_in(layer, np.asarray(places))
    stack = layer.data.shape[:-2]
    if not stack:
        return 0, found
    at = np.rint(found[0, :-2]).astype(int)
    if (at < 0).any() or (at >= stack).any():
        raise ValueError(f"{layer.name} does not have the field in sight")
    return int(np.ravel_multi_index(tuple(at), stack)), found[:, -2:]


def propose_here(flows: Flows | None, labels: LabelImage, points: Points) -> Change:
    """Find the nucleus that a network saw at the first of the points.

    Raises
    ------
    ValueError
        If there is none, or what the network said is not kept.
    """
    if flows is None:
        raise ValueError(
            "no flows of this field are kept. Press Segment in the segment panel, with a network, "
            "then click again"
        )
    if not compiling().done():
        raise ValueError("this is being prepared, once. Click again in a few seconds")
    change = propose(flows, labels, points[0])
    if change is None:
        raise ValueError("the network saw no nucleus here. Draw around it with Add")
    return change


def status_after(line: str, status: str | dict[str, str], old: str = "") -> str | dict[str, str]:
    """Put a line before what napari's status bar says of the place under the pointer.

    Parameters
    ----------
    line : str
        What the tool says.
    status : str or mapping
        What the status bar shows now.
    old : str, optional
        The line that was put there before.
    """
    if not isinstance(status, dict):
        return line
    said = status.get("coordinates", "")
    if said.startswith(line):
        return status
    said = said.removeprefix(f"{old} ") if old else said
    return {**status, "coordinates": f"{line} {said}"}


class Mouse:
    """The mouse of a layer, and Escape, for as long as a tool has them.

    Parameters
    ----------
    layer : Labels
        The layer, which must be the active one.
    tool : Tool
        The tool that takes them.
    press : callable
        napari's callback of a pressed button.
    escape : callable
        Called with the layer when Escape is pressed.
    end : callable
        Called when the layer is hidden, or another of napari's tools is taken.
    """

    def __init__(
        self,
        layer: Labels,
        tool: Tool,
        press: Callable[..., Any],
        escape: Callable[[Labels], None],
        end: Callable[..., None],
    ) -> None:
        self.layer, self._mode, self._press, self._end = layer, layer.mode, press, end
        layer.mode = "pan_zoom"
        layer.cursor = "cross" if tool.draws else "pointing"
        layer.mouse_pan = not tool.draws  # a drag moves the camera where it draws no line
        layer.mouse_drag_callbacks.append(press)
        layer.bind_key("Escape", escape, overwrite=True)
        layer.events.mode.connect(end)
        layer.events.visible.connect(end)

    def give_back(self) -> None:
        """Give napari's own tools back."""
        layer = self.layer
        layer.events.mode.disconnect(self._end)
        layer.events.visible.disconnect(self._end)
        layer.mouse_drag_callbacks.remove(self._press)
        layer.bind_key("Escape", None)
        if layer.mode == "pan_zoom":  # else the user took another tool, which is ready for use
            layer.cursor, layer.mouse_pan = "standard", True
            layer.mode = self._mode


class StatusLine:
    """A line that stays in the status bar, before what napari says of the place under the pointer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the status bar.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._line = ""

    def say(self, line: str) -> None:
        """Show a line in the place of the one before, until `end`."""
        old, self._line = self._line, line
        self._viewer.events.status.connect(self._on_status)
        self._viewer.status = status_after(line, self._viewer.status, old)

    def end(self) -> None:
        """Leave the status bar to napari."""
        self._line = ""
        self._viewer.events.status.disconnect(self._on_status)
        self._viewer.status = "Ready"

    def _on_status(self, event: Any = None) -> None:
        self._viewer.status = status_after(self._line, self._viewer.status)

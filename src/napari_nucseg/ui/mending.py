"""Mending nuclei on the canvas: a row of tools, and what the mouse does while one is in use.

In a viewer one tool is in use at a time, whichever panel it was chosen in; all rows show it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_nucseg.analysis import mending
from napari_nucseg.analysis.corrections import Change
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.ui import mending_tools as tools
from napari_nucseg.ui.canvas_trace import MarkedNucleus, Trace, trace_beside
from napari_nucseg.ui.edits import exchange_data, remember, write_field
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layer_fields import itself, plane_of
from napari_nucseg.ui.layers import OVERLAYS, is_in_depth, role_of
from napari_nucseg.ui.mending_tools import TOOLS, FlowsOf, Place, Points, Tool
from napari_nucseg.ui.widgets import tight


class Mender:
    """Lets the mouse mend a Labels layer of a viewer; get it by `mender_of`.

    Attributes
    ----------
    viewer : ViewerModel
        The viewer itself, not a proxy of it.
    tool : Tool or None
        The tool in use.
    flows_of : callable or None
        Tells what a network said of a field; None where no panel keeps that.
    rows : int
        Number of tool rows; the last one that is closed stops all.
    """

    changed = Signal()
    """Another tool is in use, or none."""
    told = Signal(str)
    """Tells what was done, or why nothing was."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = itself(viewer)
        self.tool: Tool | None = None
        self.flows_of: FlowsOf | None = None
        self.rows = 0
        self.trace: Trace | None = None
        self._mouse: tools.Mouse | None = None
        self._reading: Job | None = None
        self._first: MarkedNucleus | None = None  # of the two to merge
        self._bound: Labels | None = None
        self.viewer.layers.selection.events.active.connect(self._on_active)
        self._bind(self.viewer.layers.selection.active)

    def stop(self) -> None:
        """End the tool, and let go of the viewer."""
        self.leave()
        self._bind(None)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)

    def choose(self, tool: Tool, otherwise: Labels | None = None) -> None:
        """Take a tool into use; the one in use is put away.

        Parameters
        ----------
        tool : Tool
            The tool for the selected labels.
        otherwise : Labels, optional
            What is selected, and mended, where no labels are selected.
        """
        again = tool is self.tool
        self.leave()
        if again:
            return
        layer = itself(otherwise) if self._bound is None else self._bound
        try:
            tools.refuse(self.viewer, layer)
        except ValueError as error:
            self.told.emit(f"{tool.name}: {error}.")
            self.changed.emit()
        else:
            begin = self._begin if isinstance(layer.data, np.ndarray) else self._read_first
            begin(tool, layer)

    def _read_first(self, tool: Tool, layer: Labels) -> None:
        """Read labels into memory that are read from files as they are shown, and go on then."""

        def use(labels: LabelImage) -> None:
            exchange_data(layer, labels)
            self.choose(tool, layer)

        self._reading = tools.read_first(layer, use)
        self.told.emit(f"{tool.name}: reading {layer.name} into memory first. Its files stay.")
        self.changed.emit()

    def _begin(self, tool: Tool, layer: Labels) -> None:
        if not layer.visible:  # set again, it would lose its mode
            layer.visible = True  # and stays so: of hidden labels Ctrl+Z takes nothing back
        self.viewer.layers.selection = {layer}
        self.tool, self._status = tool, tools.StatusLine(self.viewer)
        self._mouse = tools.Mouse(layer, tool, self._on_press, self._on_escape, self.leave)
        if tool is tools.PROPOSE:
            compiling()  # in a thread, so that the first click need not wait
        self._say(tool, f"{tool.hint}. Esc ends it. It changes {layer.name}")
        self.changed.emit()

    def leave(self, event: Any = None) -> None:
        """Put the tool away, and give napari's own tools back."""
        reading, self._reading = self._reading, None
        mouse, self._mouse, self.tool = self._mouse, None, None
        if reading is not None:
            reading.abandon()
        if mouse is None:
            return
        self._mark(None)
        mouse.give_back()
        self._status.end()
        self.changed.emit()

    def _on_escape(self, layer: Labels) -> None:
        """Let go of the first nucleus, or end the tool."""
        if self._first is None:
            self.leave()
        else:
            self._mark(None)
            self._say(tools.MERGE, f"{tools.MERGE.hint}. Esc ends it")

    def _on_active(self, event: Any) -> None:
        if self._mouse is None or event.value is not self._mouse.layer:
            self.leave()
        self._bind(event.value)

    def _bind(self, layer: Layer | None) -> None:
        """Let the keys work in these labels, and no others."""
        if self._bound is not None:
            for tool in TOOLS:
                self._bound.bind_key(f"Shift-{tool.letter}", None)
        self._bound = None
        if isinstance(layer, Labels) and role_of(layer) not in OVERLAYS:
            self._bound = layer
            for tool in TOOLS:
                key = f"Shift-{tool.letter}"
                layer.bind_key(key, lambda _, tool=tool: self.choose(tool), overwrite=True)

    def _on_press(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        tool = self.tool
        if tool is None or event.button != 1 or event.modifiers:
            return
        seen = [(tuple(event.position), tuple(event.pos))]
        yield
        while event.type == "mouse_move":
            seen.append((tuple(event.position), tuple(event.pos)))
            if tool.draws and self.trace is not None and self.tool is tool:
                self.trace.draw([at for _, at in seen], is_closed=tool is tools.ADD)
            yield
        if self.trace is not None:
            self.trace.draw(())
        places, points = zip(*seen, (tuple(event.position), tuple(event.pos)), strict=True)
        moved = bool(np.abs(np.subtract(points, points[0])).max() > tools.STILL)
        if self.tool is tool and moved == tool.draws:
            self._act(tool, layer, places)
        elif self.tool is tool and tool.draws:
            self._say(tool, tool.hint)

    def _act(self, tool: Tool, layer: Labels, places: Sequence[Place]) -> None:
        """Mend the labels at places of the world, and tell of it."""
        try:
            tools.refuse(self.viewer, layer)
            plane, points = tools.in_field(layer, places)
            labels = plane_of(layer.data, plane)
            change = self._change(tool, layer, plane, points)
            if change is None:
                return
            change = change.numbered_apart(layer.data)
        except ValueError as error:
            self._say(tool, str(error))
            return
        remember(layer, plane, labels)
        write_field(layer, plane, change.applied_to(labels))
        where = ", in this plane of the volume alone" if is_in_depth(layer, plane) else ""
        self._say(tool, f"{change.in_words()}{where}. Ctrl+Z takes it back")

    def _say(self, tool: Tool, text: str) -> None:
        """Tell what to do, or what was done, in the status bar and in the panels."""
        self._status.say(f"{tool.name}: {text}.")
        self.told.emit(f"{tool.name}: {text}.")

    def _change(self, tool: Tool, layer: Labels, plane: int, points: Points) -> Change | None:
        """Find how the labels of a field are mended; None if another click is needed for it."""
        labels = plane_of(layer.data, plane)
        if tool is tools.MERGE:
            return self._merge(layer, plane, mending.label_at(labels, points[0]))
        if tool is tools.PROPOSE:
            flows = None if self.flows_of is None else self.flows_of(layer, plane)
            return tools.propose_here(flows, labels, points)
        assert tool.change is not None
        return tool.change(labels, points)

    def _merge(self, layer: Labels, plane: int, number: int) -> Change | None:
        first = self._first
        self._mark(None)
        if first is not None and first.plane == plane:
            return mending.merge(plane_of(layer.data, plane), first.number, number)
        self._mark(MarkedNucleus(self.viewer, layer, plane, number))
        self._say(tools.MERGE, f"now click what becomes a part of nucleus {number}. Esc lets it go")
        return None

    def _mark(self, first: MarkedNucleus | None) -> None:
        """Outline the first of the nuclei to merge, and nothing else."""
        self._first = first
        if self.trace is not None:
            self.trace.draw(())
            self.trace.mark(first)


_menders: WeakValueDictionary[int, Mender] = WeakValueDictionary()
"""By the identity of the viewer, which lives as long as its mender."""


def mender_of(viewer: ViewerModel) -> Mender:
    """Return what mends the labels of a viewer."""
    mender = _menders.get(id(itself(viewer)))
    if mender is None:
        mender = _menders[id(itself(viewer))] = Mender(viewer)
    return mender


def is_mending(viewer: ViewerModel) -> bool:
    """Whether clicks on the canvas mend nuclei now."""
    mender = _menders.get(id(itself(viewer)))
    return mender is not None and mender.tool is not None


class MendingRow(QWidget):
    """A button for each tool, which is pressed while the tool is in use.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose labels are mended.
    otherwise : callable
        Returns the labels that are mended where none are selected.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        otherwise: Callable[[], Labels | None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.mender = mender_of(viewer)
        self.mender.rows += 1
        self._otherwise, self._tell = otherwise, tell
        layout = tight(QHBoxLayout(self), 3)
        self.buttons = {tool: QPushButton(tool.name) for tool in TOOLS}
        for tool, button in self.buttons.items():
            button.setCheckable(True)
            # A row of buttons as wide as they would like to be makes the whole dock that wide
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(tool.name) + 12)
            button.setToolTip(f"{tool.tip} Ctrl+Z takes it back. Shift+{tool.letter}; Esc ends it.")
            button.clicked.connect(partial(self._choose, tool))
            layout.addWidget(button)
        self.mender.changed.connect(self._show_tool)
        self.mender.told.connect(self._tell)

    def disconnect_viewer(self) -> None:
        """End the tool, and let go of the viewer with the last row."""
        self.mender.changed.disconnect(self._show_tool)
        self.mender.told.disconnect(self._tell)
        self.mender.rows -= 1
        if not self.mender.rows:
            self.mender.stop()

    def _choose(self, tool: Tool, pressed: bool = False) -> None:
        """Take a tool into use, with the keyboard in the canvas."""
        self.mender.choose(tool, self._otherwise())
        if self.mender.trace is not None:
            self.mender.trace.focus_canvas()

    def _show_tool(self) -> None:
        if self.mender.trace is None:
            self.mender.trace = trace_beside(self)
        for tool, button in self.buttons.items():
            button.setChecked(tool is self.mender.tool)

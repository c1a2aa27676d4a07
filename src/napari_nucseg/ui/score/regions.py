"""Regions to ignore, and the border: fields are counted anew when they change; files keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox
from napari.components import LayerList
from napari.layers import Labels, Shapes
from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nucseg.analysis.comparison import LocatedPair
from napari_nucseg.analysis.marks import Marks, unknown_regions
from napari_nucseg.metrics.ignoring import Regions
from napari_nucseg.ui.layer_fields import drawing_layers, drawn_regions, field_shape, polygons_in
from napari_nucseg.ui.layers import place_like
from napari_nucseg.ui.params_form import beside
from napari_nucseg.ui.score.model import ComparisonState
from napari_nucseg.ui.score.unsaved_marks import watch_closing
from napari_nucseg.wording import counted

_CHOSEN = "nucseg ignore inside"
"""Where a Shapes layer's metadata says that nuclei inside its shapes are ignored."""
_SHAPE_EVENTS = ("data", "scale", "translate", "rotate", "shear", "affine")
"""What a Shapes layer tells of when its shapes lie elsewhere."""
_MOST_AT_ONCE = 3
"""Fields that are counted anew while the window waits; more are in the background."""


class IgnoreControls:
    """What is left out of the scores: nuclei inside drawn shapes, and those at the border.

    Parameters
    ----------
    layers : LayerList
        Layers of the viewer, whose Shapes layers are offered.
    """

    changed = Signal()
    """Another layer was chosen, or its shapes were changed a moment ago."""

    def __init__(self, layers: LayerList) -> None:
        self._layers = layers
        self._watched: Shapes | None = None
        self.inside = ComboBox(
            label="Ignore inside",
            choices=self._shapes,
            nullable=True,
            tooltip="Shapes layer in which you draw: nuclei that lie in a shape by more than half "
            "are left out of all scores, on both sides. A shape counts in the field where it was "
            "drawn.",
        )
        self.border = CheckBox(
            text="at border",
            tooltip="Leave nuclei that touch the border of their field out of all scores, on both "
            "sides. They may be cut, and are no error of either side then.",
        )
        self.adding = QPushButton("+")
        self.adding.setFixedWidth(26)
        self.adding.setToolTip("Add a Shapes layer, and draw polygons in it.")
        self.behind = beside(self.adding, self.border.native)
        self._later = QTimer(self.inside.native)
        self._later.setSingleShot(True)
        self._later.setInterval(300)  # ms without a change before nuclei are counted anew
        self._later.timeout.connect(self.changed.emit)
        self.inside.value = next((one for one in self._shapes() if _CHOSEN in one.metadata), None)
        self.follow(self.inside.value)
        self.inside.changed.connect(self._on_layer)

    @property
    def is_waiting(self) -> bool:
        """Whether shapes were changed just now, which is not told yet."""
        return self._later.isActive()

    def add_layer(self, labels: Labels | None) -> None:
        """Add a Shapes layer of the same axes, choose it, and let polygons be drawn."""
        if labels is None:
            show_warning("Choose a prediction first: regions are drawn in its fields.")
            return
        self.inside.value = layer = self._add(labels, "ignored", ())
        layer.mode = "add_polygon"

    def add_shapes(
        self, labels: Labels, name: str, polygons: Sequence[NDArray[np.float64]]
    ) -> bool:
        """Add a Shapes layer of polygons in the pixels of labels; tell whether it is chosen now.

        It is not where a person has chosen another one that holds shapes.
        """
        selected, chosen = self._layers.selection.active, self.inside.value
        layer = self._add(labels, name, polygons)
        self._layers.selection.active = selected or layer
        if chosen is None or not chosen.data:
            self.inside.value = layer
        return self.inside.value is layer

    def _add(self, labels: Labels, name: str, polygons: Sequence[NDArray[np.float64]]) -> Shapes:
        colours = {"face_color": "#ffffff30", "edge_color": "white"}
        layer = Shapes(
            polygons or None, ndim=labels.ndim, shape_type="polygon", name=name, **colours
        )
        place_like(layer, labels)
        self._layers.append(layer)
        return layer

    def regions_of(self, labels: Labels) -> Regions:
        """Return the shapes of the chosen layer as polygons in the pixels of labels."""
        return drawn_regions(labels, self.inside.value)

    def remark_on(self, labels: Labels) -> str:
        """Sentence on shapes that no nucleus can lie in; empty without any."""
        unfit = polygons_in(labels, self.inside.value).count(None)
        which = f"{counted(unfit, 'shape')} of {self.inside.current_choice}"
        return f"Not used: {which} without an inside, such as lines. " if unfit else ""

    def follow(self, layer: Shapes | None) -> None:
        """Follow the shapes of another layer, or of none."""
        for event in _SHAPE_EVENTS:
            if self._watched is not None:
                getattr(self._watched.events, event).disconnect(self._on_shapes)
            if layer is not None:
                getattr(layer.events, event).connect(self._on_shapes)
        self._watched = layer
        self._later.stop()

    def _on_layer(self) -> None:
        self.follow(self.inside.value)
        for layer in self._shapes():
            others = {key: value for key, value in layer.metadata.items() if key != _CHOSEN}
            layer.metadata = others | ({_CHOSEN: True} if layer is self._watched else {})
        self.changed.emit()

    def _on_shapes(self, event: Any) -> None:
        self._later.start()

    def _shapes(self, widget: Any = None) -> list[Shapes]:
        return drawing_layers(self._layers)


def count_anew(
    state: ComparisonState,
    start: Callable[[], None],
    marks: Marks | None = None,
    regions: Regions | None = None,
) -> None:
    """Take marks or regions, and count the fields anew in which other nuclei are ignored then.

    Parameters
    ----------
    state : ComparisonState
        The comparison as it is now.
    start : callable
        Compares all fields in the background, which is asked for where many have to be read.
    marks, regions
        Other marks, other regions, or both.
    """
    now, pairs, read = state.now, dict[int, LocatedPair](), 0
    new = now if marks is None else replace(now, marks=marks)
    new = new if regions is None else replace(new, regions=regions)
    for plane in new.ignoring.differing(now.ignoring, now.pairs):
        pair, what = now.pairs[plane], new.ignored
        ignore, labels = what and what(plane, pair), None
        if ignore is not None and not ignore.is_nothing:
            read += 1
            if read > _MOST_AT_ONCE:
                break
            labels = state.copies.get(plane) or now.label_reader()(plane)
        pairs[plane] = pair.ignoring(ignore, labels, outlines=True)
    if read > _MOST_AT_ONCE or not now.is_there:
        start()
    else:
        counted_anew = replace(new, pairs={**now.pairs, **pairs})
        state.take(counted_anew.classified(now.rule) if pairs else new)


def take_drawn(
    panel: QWidget,
    state: ComparisonState,
    labels: Labels | None,
    ignore: IgnoreControls,
    start: Callable[[], None],
) -> None:
    """Take the regions that are drawn now, as `count_anew` does, and keep them from being lost."""
    if labels is not None:
        watch_closing(panel, state)
        count_anew(state, start, regions=ignore.regions_of(labels))


def draw_regions(
    regions: Regions, known: Regions, labels: Labels, ignore: IgnoreControls, name: str
) -> str:
    """Draw regions of a file that are not known yet in a new layer, and say what became of them.

    The shapes that a person has chosen stay chosen and as they are.

    Parameters
    ----------
    regions, known : Regions
        What is in the file, and what is ignored now.
    labels : Labels
        The labels in whose pixels regions are.
    ignore : IgnoreControls
        Adds the layer.
    name : str
        Name of the layer.
    """
    unknown = unknown_regions(regions, known)
    if not unknown:
        return ""
    stack = field_shape(labels)[:-2]
    shapes = [
        np.array([(*np.unravel_index(plane, stack), y, x) for y, x in polygon])
        for polygon, planes in unknown.items()
        for plane in planes
    ]
    told = counted(len(unknown), "region")
    if ignore.add_shapes(labels, name, shapes):
        return f"{told} to ignore drawn in {name}."
    return (
        f"{told} drawn in {name}, and not used: nuclei are ignored inside "
        f"{ignore.inside.current_choice}. Choose {name} there to use them."
    )

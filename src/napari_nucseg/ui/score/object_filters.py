"""Which objects are listed, which are counted, and the controls by which a person says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox
from napari.components import LayerList
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent, QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_nucseg.analysis.objects import Objects
from napari_nucseg.metrics.ignoring import Regions
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layer_fields import drawing_layers, drawn_regions, polygons_in
from napari_nucseg.ui.layers import place_like
from napari_nucseg.ui.params_form import beside
from napari_nucseg.ui.score.model import Comparison
from napari_nucseg.wording import counted

_LARGEST_AREA = 999_999
_CHOSEN = "nucseg ignore inside"
"""Where a Shapes layer's metadata says that nuclei inside its shapes are ignored."""
_SHAPE_EVENTS = ("data", "scale", "translate", "rotate", "shear", "affine")
"""What a Shapes layer tells of when its shapes lie elsewhere."""


@dataclass(frozen=True)
class ObjectFilter:
    """Which objects are listed.

    Attributes
    ----------
    hidden : frozenset of Verdict
        Verdicts whose objects are not listed.
    iou : tuple of float
        Least and largest IoU that are listed.
    area : tuple of float
        Least and largest area that are listed, in pixels.
    plane : int or None
        The only field to list; None for all.
    keys : frozenset of int or None
        Key numbers of the only objects to list; None for all.
    """

    hidden: frozenset[Verdict] = frozenset()
    iou: tuple[float, float] = (0.0, 1.0)
    area: tuple[float, float] = (0.0, np.inf)
    plane: int | None = None
    keys: frozenset[int] | None = None

    def passes(self, objects: Objects) -> NDArray[np.bool_]:
        """Tell which objects are listed, shape (n,)."""
        shown = np.ones(len(Verdict) + 1, dtype=np.bool_)
        shown[list(self.hidden)] = False
        kept = shown[objects.code]
        for values, (low, high) in ((objects.iou, self.iou), (objects.area, self.area)):
            kept &= (values >= low) & (values <= high)
        if self.plane is not None:
            kept &= objects.plane == self.plane
        if self.keys is not None:
            kept &= np.isin(objects.key_numbers, list(self.keys))
        return np.asarray(kept)


class ObjectFilters(QWidget):
    """A row of boxes for the least and the largest IoU and area of the objects that are listed.

    Attributes
    ----------
    this_field, selected : QCheckBox
        Check boxes that list only the field shown, and only what was drawn around in a plot; who
        wants them in sight places them elsewhere.
    """

    changed = Signal()
    """A bound or a check box was changed, so that other objects are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.least_iou = _iou_box(0.0, "List nuclei with at least this IoU.")
        self.most_iou = _iou_box(1.0, "List nuclei with at most this IoU.")
        self.least_area = _area_box(0, "List nuclei of at least this many pixels.")
        self.most_area = _area_box(_LARGEST_AREA, "List nuclei of at most this many pixels.")
        self.this_field = QCheckBox("This field", self)
        self.this_field.setChecked(True)
        self.this_field.setToolTip("List only the nuclei of the field shown, not of all fields.")
        self.selected, self._keys = QCheckBox("Selected", self), frozenset[int]()
        self.selected.setToolTip("List only the nuclei that were drawn around in a plot.")
        self.selected.toggled.connect(lambda on: self.select(self._keys if on else frozenset()))
        self.selected.hide()
        for box in (self.least_iou, self.most_iou, self.least_area, self.most_area):
            box.valueChanged.connect(self.changed.emit)
        self.this_field.toggled.connect(self.changed.emit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            QLabel("IoU"), self.least_iou, QLabel("-"), self.most_iou,
            QLabel(" area"), self.least_area, QLabel("-"), self.most_area,
        ):  # fmt: skip
            layout.addWidget(part)
        layout.addStretch()
        self._slim_boxes()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take widths from the font, which is known now."""
        super().showEvent(event)
        self._slim_boxes()

    def value(self, comparison: Comparison) -> ObjectFilter:
        """Return what is to be listed of a comparison."""
        high, of_one = self.most_area.value(), self.this_field.isChecked() and comparison.is_stack
        return ObjectFilter(
            comparison.hidden,
            (self.least_iou.value(), self.most_iou.value()),
            (self.least_area.value(), np.inf if high == _LARGEST_AREA else high),
            comparison.plane if of_one and not self._keys else None,
            self._keys or None,
        )

    def select(self, keys: frozenset[int]) -> None:
        """List only objects with these key numbers; without any, all again."""
        self._keys = keys
        self.selected.setVisible(bool(keys))
        self.selected.setChecked(bool(keys))
        self.changed.emit()

    def _slim_boxes(self) -> None:
        metrics = self.fontMetrics()
        widths = (metrics.horizontalAdvance(text) for text in ("0.000", "0.000", "00000", "00000"))
        boxes = (self.least_iou, self.most_iou, self.least_area, self.most_area)
        for box, width in zip(boxes, widths, strict=True):
            _slim(box, width)


class _AreaBox(QSpinBox):
    """Calls the largest value what it means."""

    def textFromValue(self, value: int) -> str:
        """Return the text of a value: the largest reads *any*."""
        return "any" if value == _LARGEST_AREA else super().textFromValue(value)

    def valueFromText(self, text: str | None) -> int:
        """Return the number in a text, also where it was typed beside the word."""
        digits = "".join(sign for sign in text or "" if sign.isdigit())
        return int(digits or _LARGEST_AREA)

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Accept any text, because a number is made of each."""
        return QValidator.State.Acceptable, text or "", position


def _iou_box(value: float, tooltip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1.0)
    box.setSingleStep(0.05)
    box.setValue(value)
    box.setToolTip(tooltip)
    return box


def _area_box(value: int, tooltip: str) -> QSpinBox:
    box = _AreaBox()
    box.setRange(0, _LARGEST_AREA)
    box.setSingleStep(50)
    box.setValue(value)
    box.setToolTip(tooltip)
    return box


def _slim(box: QAbstractSpinBox, width: int) -> None:
    """Leave out the arrows, and napari's least width; the text has so many pixels."""
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setKeyboardTracking(False)
    box.setStyleSheet(f"min-width: {width}px; max-width: {width}px; padding: 1px 3px;")


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

    def add_layer(self, labels: Labels) -> None:
        """Add a Shapes layer of the same axes, choose it, and let polygons be drawn."""
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

"""Which objects are listed, and the controls by which a person says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtGui import QShowEvent, QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QWidget,
)

from napari_nucseg.analysis.objects import Objects
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.score.model import Comparison
from napari_nucseg.ui.widgets import tight

_LARGEST_AREA = 999_999


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
        layout = tight(QHBoxLayout(self))
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

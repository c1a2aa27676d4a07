"""Which nuclei are listed: bounds of IoU and area, and the field shown."""

from __future__ import annotations

import numpy as np
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

from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.object_model import ObjectFilter

_LARGEST_AREA = 999_999


class ObjectFilters(QWidget):
    """A row of bounds.

    Attributes
    ----------
    this_field : QCheckBox
        Which has its place elsewhere.
    """

    changed = Signal()
    """Others are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.least_iou, self.most_iou = _iou_box(0.0), _iou_box(1.0)
        self.least_area, self.most_area = _area_box(0), _area_box(_LARGEST_AREA)
        self.least_iou.setToolTip("List nuclei with at least this IoU.")
        self.most_iou.setToolTip("List nuclei with at most this IoU.")
        self.least_area.setToolTip("List nuclei of at least so many pixels.")
        self.most_area.setToolTip("List nuclei of at most so many pixels.")
        self.this_field = QCheckBox("This field")
        self.this_field.setToolTip("List the nuclei of the field shown alone.")
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

    def value(self, state: ComparisonState) -> ObjectFilter:
        """Return what is to be listed of a comparison."""
        high = self.most_area.value()
        return ObjectFilter(
            state.hidden,
            (self.least_iou.value(), self.most_iou.value()),
            (self.least_area.value(), np.inf if high == _LARGEST_AREA else high),
            state.plane if self.this_field.isChecked() and state.is_stack else None,
        )

    def _slim_boxes(self) -> None:
        metrics = self.fontMetrics()
        widths = (metrics.horizontalAdvance(text) for text in ("0.000", "0.000", "00000", "00000"))
        boxes = (self.least_iou, self.most_iou, self.least_area, self.most_area)
        for box, width in zip(boxes, widths, strict=True):
            _slim(box, width)


class _AreaBox(QSpinBox):
    """Calls the largest value what it means."""

    def textFromValue(self, value: int) -> str:
        """Return what is shown."""
        return "any" if value == _LARGEST_AREA else super().textFromValue(value)

    def valueFromText(self, text: str | None) -> int:
        """Return the number in a text, also where it was typed beside the word."""
        digits = "".join(sign for sign in text or "" if sign.isdigit())
        return int(digits or _LARGEST_AREA)

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Take any text."""
        return QValidator.State.Acceptable, text or "", position


def _iou_box(value: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1.0)
    box.setSingleStep(0.05)
    box.setValue(value)
    return box


def _area_box(value: int) -> QSpinBox:
    box = _AreaBox()
    box.setRange(0, _LARGEST_AREA)
    box.setSingleStep(50)
    box.setValue(value)
    return box


def _slim(box: QAbstractSpinBox, width: int) -> None:
    """Leave out the arrows, and napari's least width; the text has so many pixels."""
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setKeyboardTracking(False)
    box.setStyleSheet(f"min-width: {width}px; max-width: {width}px; padding: 1px 3px;")

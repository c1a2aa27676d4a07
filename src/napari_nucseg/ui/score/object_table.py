"""The table of objects: a click goes there; filters, and steps from error to error."""

from __future__ import annotations

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QItemSelectionModel, QModelIndex
from qtpy.QtGui import QResizeEvent, QShowEvent, QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_nucseg.metrics.overlap import Index
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.object_model import COLUMNS, FIELD, PLACE, ObjectFilter, ObjectModel
from napari_nucseg.ui.score.score_table import ColumnWidths, sortable_view

_LARGEST_AREA = 999_999


class ObjectFilters(QWidget):
    """A row of bounds.

    Attributes
    ----------
    this_field, selected : QCheckBox
        Check boxes that list only the field shown, and only what was drawn around in a plot; they
        are placed elsewhere.
    """

    changed = Signal()
    """Others are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.least_iou = _iou_box(0.0, "List nuclei with at least this IoU.")
        self.most_iou = _iou_box(1.0, "List nuclei with at most this IoU.")
        self.least_area = _area_box(0, "List nuclei of at least this many pixels.")
        self.most_area = _area_box(_LARGEST_AREA, "List nuclei of at most this many pixels.")
        self.this_field = QCheckBox("This field")
        self.this_field.setChecked(True)
        self.this_field.setToolTip("List only the nuclei of the field shown, not of all fields.")
        self.selected, self._keys = QCheckBox("Selected"), frozenset[int]()
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
        """Return what is shown."""
        return "any" if value == _LARGEST_AREA else super().textFromValue(value)

    def valueFromText(self, text: str | None) -> int:
        """Return the number in a text, also where it was typed beside the word."""
        digits = "".join(sign for sign in text or "" if sign.isdigit())
        return int(digits or _LARGEST_AREA)

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Take any text."""
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


class ObjectTable(QWidget):
    """Lists the objects of a comparison.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose objects are listed; a row that the user chooses is told to it.
    """

    def __init__(self, state: ComparisonState) -> None:
        super().__init__()
        self._state = state
        self._choosing = True
        self._resume: int | None = None
        self.model = ObjectModel(lambda plane: state.now.name_of(plane))
        self.view = sortable_view(self.model)
        self._widths = ColumnWidths(self.view, [c.title for c in COLUMNS], self.model.widest)
        self._widths.timeout.connect(self._measure)
        self.view.setToolTip("The worst stands first. A click goes to the nucleus of a row.")
        self.count = QLabel()
        self.filters = ObjectFilters()
        self.filters.changed.connect(self.refresh)
        self._lay_out()
        choices = self.view.selectionModel()
        assert choices is not None
        self._choices = choices
        choices.currentRowChanged.connect(self._on_current)
        self.view.clicked.connect(self._on_clicked)
        self.model.layoutChanged.connect(self._on_sorted)
        state.changed.connect(self._on_changed)
        self.refresh()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take widths from the font, which is known now."""
        super().showEvent(event)
        self._measure()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show places where there is room for them."""
        super().resizeEvent(event)
        self._fit()

    def refresh(self) -> None:
        """List the objects anew, and keep the one that is current."""
        current, now, was_empty = self.current, self._state.now, not self.model.rowCount()
        key = None if current is None else self.model.objects.key_of(current)
        following = self.model.keys()[self.view.currentIndex().row() + 1 :]
        self.model.show_objects(now.objects, self.filters.value(now))
        if current is not None:
            left = following[np.isin(following, self.model.keys())]
            self._resume = int(np.argmax(self.model.keys() == left[0])) if len(left) else 0
        self._resume = self._resume if now.is_there else None
        self.filters.this_field.setVisible(now.is_stack)
        if was_empty or self.view.isColumnHidden(FIELD) != self._is_one_field:
            self._measure()
        else:
            self._widths.start()
        self.count.setText(f"{self.model.rowCount():,} of {len(now.objects):,}")
        row = None if key is None else now.objects.find(**key._asdict())
        if row is not None:
            self.show_row(row)

    def list_rows(self, rows: Index) -> None:
        """List only these rows of the objects, whichever their field."""
        self.filters.select(frozenset(self._state.now.objects.key_numbers[rows].tolist()))

    @property
    def current(self) -> int | None:
        """Row of the objects that is current."""
        index = self.view.currentIndex()
        return int(self.model.order[index.row()]) if index.isValid() else None

    def show_row(self, row: int) -> bool:
        """Make an object current, without going there; False if it is filtered out."""
        position = self.model.position_of(row)
        if position is None:
            return False
        self._choosing = False
        self._select(position)
        self._choosing = True
        return True

    def step(self, step: int) -> bool:
        """Go to the next error (1) or the one before (-1); False if there is none.

        If the current one has gone, because it was corrected, what has taken its place is next.
        At the end of the field that is listed alone, the next field with errors follows.
        """
        row = self.model.next_error(self._place(step), step)
        if row is None:
            return False
        position = self.model.position_of(row)
        if position is None or row == self.current:
            self._state.chosen.emit(row)  # which lists the other field
            self.show_row(row)
        else:
            self._select(position)
        return True

    def _select(self, position: int) -> None:
        flag = QItemSelectionModel.SelectionFlag
        index = self.model.index(position, 0)
        self._choices.setCurrentIndex(index, flag.ClearAndSelect | flag.Rows)
        self.view.scrollTo(index)

    def _place(self, step: int) -> int:
        """Return where in the list steps begin."""
        index = self.view.currentIndex()
        if index.isValid():
            return index.row()
        if self._resume is None:
            return -1
        return self._resume - 1 if step > 0 else self._resume

    def _on_current(self, current: QModelIndex, previous: QModelIndex) -> None:
        if self._choosing and current.isValid():
            self._state.chosen.emit(int(self.model.order[current.row()]))

    def _on_clicked(self, index: QModelIndex) -> None:
        self._state.chosen.emit(int(self.model.order[index.row()]))

    def _measure(self) -> None:
        """Give columns the width of what is in them."""
        if self.isVisible():  # until it is shown, it would keep the labels waiting that are edited
            self._widths.measure()
            self._fit()

    def _fit(self) -> None:
        """Hide the names of fields where one is listed, and places rather than cut them."""
        one_field, port, widths = self._is_one_field, self.view.viewport(), self._widths.wanted
        self.view.setColumnHidden(FIELD, one_field)
        wanted = sum(widths) - one_field * widths[FIELD]
        self.view.setColumnHidden(PLACE, port is not None and wanted > port.width())

    @property
    def _is_one_field(self) -> bool:
        return not self._state.now.is_stack or self.filters.value(self._state.now).plane is not None

    def _on_sorted(self) -> None:
        index = self.view.currentIndex()
        self.view.scrollTo(index if index.isValid() else self.model.index(0, 0))

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        value = self.filters.value
        if new.objects is not old.objects or value(new) != value(old):
            self.refresh()
        if new.plane != old.plane and self.current is None:
            self._resume = None  # another list, to be begun at its top

    def _lay_out(self) -> None:
        below = QHBoxLayout()
        below.addWidget(self.filters.this_field)
        below.addWidget(self.filters.selected)
        below.addStretch()
        below.addWidget(self.count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.filters)
        layout.addWidget(self.view)
        layout.addLayout(below)

"""The table of objects: a click goes there; filters, and steps from error to error."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QItemSelectionModel, QModelIndex
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_nucseg.metrics.overlap import Index
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.object_filters import ObjectFilters
from napari_nucseg.ui.score.object_model import FIELD, MARK, OBJECT_COLUMNS, PLACE, ObjectModel
from napari_nucseg.ui.score.score_table import ColumnWidths, sortable_view
from napari_nucseg.ui.widgets import tight


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
        self._widths = ColumnWidths(self.view, [c.title for c in OBJECT_COLUMNS], self.model.widest)
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
        self.model.show_objects(now.objects, self.filters.value(now), now.marked)
        self.view.setColumnHidden(MARK, not now.marked)
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
        hidden = one_field * widths[FIELD] + (not self._state.now.marked) * widths[MARK]
        wanted = sum(widths) - hidden
        self.view.setColumnHidden(PLACE, port is not None and wanted > port.width())

    @property
    def _is_one_field(self) -> bool:
        return not self._state.now.is_stack or self.filters.value(self._state.now).plane is not None

    def _on_sorted(self) -> None:
        index = self.view.currentIndex()
        self.view.scrollTo(index if index.isValid() else self.model.index(0, 0))

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        value = self.filters.value
        if new.objects is not old.objects or new.marks is not old.marks or value(new) != value(old):
            self.refresh()
        if new.plane != old.plane and self.current is None:
            self._resume = None  # another list, to be begun at its top

    def _lay_out(self) -> None:
        below = QHBoxLayout()
        below.addWidget(self.filters.this_field)
        below.addWidget(self.filters.selected)
        below.addStretch()
        below.addWidget(self.count)
        layout = tight(QVBoxLayout(self), 3)
        layout.addWidget(self.filters)
        layout.addWidget(self.view)
        layout.addLayout(below)

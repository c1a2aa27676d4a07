"""The table of objects: a click goes there; filters, and steps from error to error."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QItemSelectionModel, QModelIndex
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_nucseg.metrics.overlap import Index
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.object_filters import ObjectFilters
from napari_nucseg.ui.score.object_model import COLUMNS, FIELD, MARK, PLACE, ObjectModel
from napari_nucseg.ui.score.score_table import sortable_view, width_of


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
        self.view.setToolTip("The worst stands first. A click goes to the nucleus of a row.")
        self.count = QLabel()
        self.filters = ObjectFilters()
        self.filters.changed.connect(self.refresh)
        self._lay_out()
        choices = self.view.selectionModel()
        assert choices is not None
        choices.currentRowChanged.connect(self._on_current)
        self.view.clicked.connect(self._on_clicked)
        self.model.layoutChanged.connect(self._on_sorted)
        state.changed.connect(self._on_changed)
        self.refresh()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take widths from the font, which is known now."""
        super().showEvent(event)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show places where there is room for them."""
        super().resizeEvent(event)
        self._fit()

    def refresh(self) -> None:
        """List the objects anew, and keep the one that is current."""
        current, now = self.current, self._state.now
        key = None if current is None else self.model.objects.key_of(current)
        following = self.model.keys()[self.view.currentIndex().row() + 1 :]
        self.model.show_objects(now.objects, self.filters.value(now), now.marked)
        self.view.setColumnHidden(MARK, not now.marked)
        if current is not None:
            left = following[np.isin(following, self.model.keys())]
            self._resume = int(np.argmax(self.model.keys() == left[0])) if len(left) else 0
        if not now.is_there:
            self._resume = None
        self.filters.this_field.setVisible(now.is_stack)
        self._fit()
        self._tell_count()
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
        choices = self.view.selectionModel()
        assert choices is not None
        flag = QItemSelectionModel.SelectionFlag
        index = self.model.index(position, 0)
        choices.setCurrentIndex(index, flag.ClearAndSelect | flag.Rows)
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

    def _fit(self) -> None:
        """Give columns the width of what is in them, and hide places rather than cut them."""
        now = self._state.now
        if not self.isVisible():
            return  # until it is shown; it would keep the labels waiting that are edited
        one_field = not now.is_stack or self.filters.value(now).plane is not None
        self.view.setColumnHidden(FIELD, one_field)
        widths = [
            width_of(self.view, number, column.title, self.model.widest(number))
            for number, column in enumerate(COLUMNS)
        ]
        for column, width in enumerate(widths):
            self.view.setColumnWidth(column, width)
        port = self.view.viewport()
        hidden = one_field * widths[FIELD] + (not now.marked) * widths[MARK]
        wanted = sum(widths) - hidden
        self.view.setColumnHidden(PLACE, port is not None and wanted > port.width())

    def _on_sorted(self) -> None:
        index = self.view.currentIndex()
        self.view.scrollTo(index if index.isValid() else self.model.index(0, 0))

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        value = self.filters.value
        if new.objects is not old.objects or new.marks is not old.marks or value(new) != value(old):
            self.refresh()
        if new.plane != old.plane and self.current is None:
            self._resume = None  # another list, to be begun at its top

    def _tell_count(self) -> None:
        self.count.setText(f"{self.model.rowCount():,} of {len(self._state.now.objects):,}")

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

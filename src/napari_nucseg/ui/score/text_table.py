"""A small table of texts as a Qt model, and how the tables of the score panel look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

Role = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class PlainModel(QAbstractTableModel):
    """Rows of texts under titles.

    Parameters
    ----------
    titles : sequence of str
        One a column.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = titles
        self.rows: Sequence[Sequence[str]] = ()
        self._bold: int | None = None
        self._tips: Sequence[str] = ()
        self._colours: Sequence[str] = ()

    def show_rows(
        self,
        rows: Sequence[Sequence[str]],
        *,
        bold: int | None = None,
        tips: Sequence[str] = (),
        colours: Sequence[str] = (),
    ) -> None:
        """Exchange all rows.

        Parameters
        ----------
        rows : sequence of sequence of str
            Cells.
        bold : int, optional
            Row that stands out.
        tips, colours : sequence of str
            Tooltip and coloured square of each row, or none.
        """
        self.beginResetModel()
        self.rows, self._bold, self._tips, self._colours = rows, bold, tips, colours
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the columns."""
        return 0 if parent.isValid() else len(self._titles)

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = index.row(), index.column()
        if role == Role.DisplayRole:
            return self.rows[row][column]
        if role == Role.ToolTipRole and self._tips:
            return self._tips[row]
        if role == Role.DecorationRole and self._colours and column == 0:
            return QColor(self._colours[row])
        if role == Role.TextAlignmentRole and column:
            return _RIGHT
        if role == Role.FontRole and row == self._bold:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Return the title of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Role.DisplayRole:
            return self._titles[section]
        return None


def table_view(model: QAbstractTableModel, stretched: int | None = None) -> QTableView:
    """Show a model; rows are chosen whole and one at a time.

    Parameters
    ----------
    model : QAbstractTableModel
        What is shown.
    stretched : int, optional
        Column that takes what room is left, while the others are as wide as what is in them.
    """
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    across, down = view.horizontalHeader(), view.verticalHeader()
    assert across is not None
    assert down is not None
    down.setVisible(False)
    down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    down.setDefaultSectionSize(20)
    across.setMinimumSectionSize(24)
    across.setHighlightSections(False)  # bold titles would not fit
    if stretched is not None:
        across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        across.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
    return view

"""Scores as a table, of the field in sight and of all fields, and what other tables share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, QTimer
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_nucseg.metrics.registry import CHOSEN, GROUPS, Metric, metrics
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import LEVEL, Interval, Summary
from napari_nucseg.wording import as_interval, as_number

ItemRole = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

SCORE_COLUMNS = (
    ("this\nfield", "Scores of the field shown."),
    ("field\nmean", "Mean of the fields. The tooltip of each cell has the range."),
    (f"{LEVEL} % of\nmean", f"{LEVEL} % interval of the mean: a bootstrap over fields."),
    ("pooled", "Counts of all fields added up. The tooltip of each cell has the interval."),
)
"""Title and help of each column."""
_FIELD, _MEAN, _INTERVAL, _POOLED = range(len(SCORE_COLUMNS))
_MARGIN = 6
"""Pixels about a title."""
_PAUSE = 300
"""Milliseconds without a change before columns are measured anew."""
_ARROW = "subcontrol-position: top center; width: 7px; height: 4px;"
"""Of the column that is sorted by: above its title, which needs the room beside it."""


class PlainModel(QAbstractTableModel):
    """Rows of texts under titles.

    Parameters
    ----------
    titles : sequence of str
        Title of each column.
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
            Text of the cells of each row.
        bold : int, optional
            Number of the row that is in bold.
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

    def data(self, index: QModelIndex, role: int = ItemRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = index.row(), index.column()
        if role == ItemRole.DisplayRole:
            return self.rows[row][column]
        if role == ItemRole.ToolTipRole and self._tips:
            return self._tips[row]
        if role == ItemRole.DecorationRole and self._colours and column == 0:
            return QColor(self._colours[row])
        if role == ItemRole.TextAlignmentRole and column:
            return _RIGHT
        if role == ItemRole.FontRole and row == self._bold:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = ItemRole.DisplayRole
    ) -> Any:
        """Return the title of a column."""
        if orientation == Qt.Orientation.Horizontal and role == ItemRole.DisplayRole:
            return self._titles[section]
        return None


def table_view(model: QAbstractTableModel, stretched: int | None = None) -> QTableView:
    """Show a model; rows are chosen whole and one at a time.

    Parameters
    ----------
    model : QAbstractTableModel
        Model whose rows are shown.
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
        across.setResizeContentsPrecision(100)  # rows; thousands would take long
    return view


def sortable_view(model: QAbstractTableModel) -> QTableView:
    """Show a model that is sorted by a click on a title, and as at first by the third click."""
    view = table_view(model)
    across = view.horizontalHeader()
    assert across is not None
    view.setSortingEnabled(True)
    across.setSortIndicatorClearable(True)
    across.setStyleSheet(f"QHeaderView::up-arrow, QHeaderView::down-arrow {{ {_ARROW} }}")
    view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
    return view


def width_of(view: QTableView, column: int, title: str, rows: Iterable[int]) -> int:
    """Return the width that the title of a column and its cells in some rows need."""
    model, advance = view.model(), view.fontMetrics().horizontalAdvance
    assert model is not None
    hints = (view.sizeHintForIndex(model.index(row, column)).width() for row in rows)
    cells = (hint + 1 for hint in hints)  # and the grid
    return max(max(map(advance, title.splitlines())) + _MARGIN, *cells, 0)


class ColumnWidths(QTimer):
    """Times when the columns of a table are measured: once it has not changed for a while.

    Parameters
    ----------
    view : QTableView
        The table.
    titles : sequence of str
        Title of each column.
    widest : callable
        Lists some rows, one of which has the widest text of a column.
    """

    def __init__(
        self, view: QTableView, titles: Sequence[str], widest: Callable[[int], Iterable[int]]
    ) -> None:
        super().__init__(view)
        self._view, self._titles, self._widest = view, titles, widest
        self.wanted = [0] * len(titles)
        self.setSingleShot(True)
        self.setInterval(_PAUSE)

    def measure(self) -> None:
        """Give each column the width that its title and its widest text need."""
        self.stop()
        for column, title in enumerate(self._titles):
            self.wanted[column] = width_of(self._view, column, title, self._widest(column))
            self._view.setColumnWidth(column, self.wanted[column])


class ScoreTable(QTableWidget):
    """One row a score; columns for the field shown and for all fields."""

    def __init__(self) -> None:
        super().__init__(len(metrics()) + len(GROUPS), len(SCORE_COLUMNS))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for column, (title, tip) in enumerate(SCORE_COLUMNS):
            self.setHorizontalHeaderItem(column, _item(title, tip))
        down = self.verticalHeader()
        assert down is not None
        down.setDefaultSectionSize(22)
        self._names = down
        self._threshold: float | None = None
        self._rows = self._make_rows()
        self.show_field(None)
        self.show_summary(None)

    def show_field(self, score: Score | None) -> None:
        """Fill the first column, and name the rows by the threshold; None empties it."""
        there = score.metrics if score else ()
        if score is not None and score.threshold != self._threshold:
            self._threshold = score.threshold
            self._name_rows(score.threshold)
        for row, metric in self._rows.items():
            value = as_number(metric.compute(score)) if metric in there else ""
            self._set(row, _FIELD, value, metric.help)
        self._fit()

    def show_summary(self, summary: Summary | None) -> None:
        """Fill the other columns; None hides them."""
        for column in (_MEAN, _INTERVAL, _POOLED):
            self.setColumnHidden(column, summary is None)
        if summary is None:
            return
        for row, metric in self._rows.items():
            spread, pooled = summary.spread[metric.key], metric.compute(summary.pooled)
            bounds = as_interval((spread.low, spread.high), " to ")
            tip = metric.help + (f" Fields range from {bounds}." if spread.count else "")
            self._set(row, _MEAN, as_number(spread.mean), tip)
            self._set(row, _INTERVAL, _short(spread.interval), tip)
            told = as_interval(summary.intervals[metric.key], " to ")
            tip = f" {LEVEL} % interval of the pooled score: {told}." if told else ""
            self._set(row, _POOLED, as_number(pooled), metric.help + tip)
        self._fit()

    def _make_rows(self) -> dict[int, Metric]:
        """Name the rows, a group's scores under its name in bold; return those of scores."""
        rows: dict[int, Metric] = {}
        bold = QFont()
        bold.setBold(True)
        row, group = 0, ""
        for metric in metrics():
            if metric.group != group:
                group = metric.group
                item = QTableWidgetItem(GROUPS[group])
                item.setFont(bold)
                self.setVerticalHeaderItem(row, item)
                row += 1
            self.setVerticalHeaderItem(row, _item(metric.heading, metric.help))
            rows[row] = metric
            row += 1
        return rows

    def _name_rows(self, threshold: float) -> None:
        for row, metric in self._rows.items():
            self.setVerticalHeaderItem(row, _item(metric.title_at(threshold), metric.help))
        lengths = [row for row, m in self._rows.items() if m.unit and m.iou == CHOSEN]
        for row in lengths[:1]:
            above = max(other for other in range(row) if other not in self._rows)
            self.setSpan(above, 0, 1, len(SCORE_COLUMNS))
            self.setItem(above, 0, QTableWidgetItem(f"lengths are of matches at {threshold:.2f}"))

    def _fit(self) -> None:
        """Give names and columns the width of what is in them, and no more, so that all fit."""
        self.ensurePolished()
        names, advance = self._names, self.fontMetrics().horizontalAdvance
        model = self.model()
        assert model is not None
        texts = [str(model.headerData(row, Qt.Orientation.Vertical)) for row in self._rows]
        names.setFixedWidth(max(map(advance, texts)) + _MARGIN)
        for column, (title, _) in enumerate(SCORE_COLUMNS):
            self.setColumnWidth(column, width_of(self, column, title, self._rows))

    def _set(self, row: int, column: int, text: str, tooltip: str) -> None:
        item = _item(text, tooltip)
        item.setTextAlignment(_RIGHT)
        self.setItem(row, column, item)


def _item(text: str, tooltip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(tooltip)
    return item


def _short(interval: Interval) -> str:
    """Two bounds without the 0 before the point, so that all columns fit; nothing if undefined."""
    bounds = (f"{x:.3f}".removeprefix("0") if x < 1 else f"{x:#.3g}" for x in interval)
    return "" if math.isnan(interval[0]) else "-".join(bounds)

"""Scores as a table, of the field in sight and, summed in the background, of all fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, QTimer
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_nucseg.analysis.comparison import DatasetScore, score_dataset
from napari_nucseg.metrics.registry import GROUPS, Metric, metrics
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Summary
from napari_nucseg.report.text import as_number, as_spread
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.score.model import Comparison, ComparisonState

Role = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

COLUMNS = ("this\nfield", "mean of fields\n(range)", "pooled")
_PAUSE = 150
"""Milliseconds without a change before fields are summed up anew."""


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
    return view


class ScoreTable(QTableWidget):
    """One row a score; columns for the field shown and for all fields."""

    def __init__(self) -> None:
        super().__init__(len(metrics()) + len(GROUPS), len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        across, down = self.horizontalHeader(), self.verticalHeader()
        assert across is not None
        assert down is not None
        across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        down.setDefaultSectionSize(22)
        self._rows = self._make_rows()
        self.show_field(None)
        self.show_summary(None)

    def show_field(self, score: Score | None) -> None:
        """Fill the first column; None empties it."""
        there = score.metrics if score else ()
        for row, metric in self._rows.items():
            value = as_number(metric.compute(score)) if metric in there else ""
            self._set(row, 0, value, metric.help)

    def show_summary(self, summary: Summary | None) -> None:
        """Fill the other columns; None hides them."""
        for column in (1, 2):
            self.setColumnHidden(column, summary is None)
        if summary is None:
            return
        for row, metric in self._rows.items():
            self._set(row, 1, as_spread(summary.spread[metric.key]), metric.help)
            self._set(row, 2, as_number(metric.compute(summary.pooled)), metric.help)

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
            item = QTableWidgetItem(metric.heading)
            item.setToolTip(metric.help)
            self.setVerticalHeaderItem(row, item)
            rows[row] = metric
            row += 1
        return rows

    def _set(self, row: int, column: int, text: str, tooltip: str) -> None:
        item = QTableWidgetItem(text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(tooltip)
        self.setItem(row, column, item)


class BackgroundScoring:
    """Keeps the columns of all fields right.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose fields are all scored.
    table : ScoreTable
        Table that the scores are shown in.
    run : callable
        Does work in the background, in place of what runs.
    drop : callable
        Stops the work that runs in the background.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ScoreTable,
        run: Run,
        drop: Callable[[], None],
        parent: QObject,
    ) -> None:
        self._state, self._table, self._run, self._drop = state, table, run, drop
        self._later = QTimer(parent)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self.score_dataset)
        state.changed.connect(self._on_changed)

    @property
    def is_waiting(self) -> bool:
        """Whether work is about to begin."""
        return self._later.isActive()

    def score_dataset(self) -> None:
        """Compare the outlines of edited fields, then pool and average all fields."""
        now, copies = self._state.now, self._state.copy_unmeasured()
        if copies or now.is_stack:
            self._run(partial(score_dataset, now.pairs, copies, now.rule), self._show)

    def stop(self) -> None:
        """Begin nothing more."""
        self._later.stop()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is old.objects:
            return
        if old.is_there and new.is_there:
            self._drop()  # what it measures is of labels or a rule that are past
            self._later.start()
        else:
            self._later.stop()
            self._table.show_summary(None)

    def _show(self, result: DatasetScore) -> None:
        if result.measured:
            self._state.set_pairs(result.measured)
        self._table.show_summary(result.summary if self._state.now.is_stack else None)

"""The objects as a Qt model: sorted and filtered by numpy, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.marks import Mark, Marked
from napari_nucseg.analysis.objects import Objects, no_objects
from napari_nucseg.metrics.overlap import Index
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.score.object_filters import ObjectFilter
from napari_nucseg.ui.score.score_table import ItemRole

_MOST_LISTED = 3
"""Partners whose numbers stand in a cell; of more, the tooltip has all."""
_MOST_MEASURED, _NUMBERS_MEASURED = 30, 8
"""Texts of a column whose width is measured; all others are about as long, or shorter."""
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class _Column:
    """A column: its title, how it is sorted, and what stands in a cell unless the model knows."""

    title: str
    help: str
    key: Callable[[Objects], NDArray[Any]]
    text: Callable[[Objects, int], str] = lambda objects, row: ""
    length: Callable[[Objects], NDArray[Any]] | None = None  # of the texts; None: by the key


_POWERS = 10 ** np.arange(1, 19)
"""Numbers from which on there is one more digit."""


def _numbers(objects: Objects, row: int, *, true_side: bool) -> str:
    if bool(objects.is_true[row]) == true_side:
        return str(objects.label[row])
    partners = objects.partners_of(row)
    more = [f"+{len(partners) - _MOST_LISTED}"] if len(partners) > _MOST_LISTED else []
    return " ".join([*map(str, partners[:_MOST_LISTED]), *more])


def _digits(numbers: NDArray[Any]) -> NDArray[np.int64]:
    whole = np.asarray(numbers).astype(np.int64)
    return np.searchsorted(_POWERS, np.abs(whole), side="right") + 1 + (whole < 0)


def _characters(objects: Objects, *, true_side: bool) -> NDArray[np.int64]:
    """Return how many characters `_numbers` has, shape (n,)."""
    ends = np.concatenate([[0], np.cumsum(_digits(objects.partners) + 1)])
    more = (objects.counts - _MOST_LISTED).clip(min=0)
    listed = ends[objects.starts + objects.counts - more] - ends[objects.starts] - 1
    listed += np.where(more > 0, _digits(more) + 2, 0)
    return np.where(objects.is_true == true_side, _digits(objects.label), listed)


VERDICT, FIELD, PLACE, MARK = 0, 5, 6, 7
SYMBOLS = {Mark.REVIEWED: "\u2713", Mark.TRUTH_IS_WRONG: "\u2717", Mark.IGNORE: "\u2205"}
"""How a mark is shown where there is little room."""
OBJECT_COLUMNS = (
    _Column(
        "verdict",
        "Verdict on the nucleus. Sorted from matched to spurious.",
        lambda o: o.code,
        lambda o, r: Verdict(int(o.code[r])).word,
    ),
    _Column(
        "IoU",
        "IoU with its partner. Without a partner, the best IoU with any nucleus.",
        lambda o: o.iou,
        lambda o, r: f"{o.iou[r]:.2f}",
    ),
    _Column(
        "true",
        "Label in the ground truth. For a predicted nucleus: the true nuclei that it is confused "
        "with.",
        lambda o: o.true_number,
        lambda o, r: _numbers(o, r, true_side=True),
        partial(_characters, true_side=True),
    ),
    _Column(
        "pred.",
        "Label in the prediction. For a true nucleus: its partner, or the predicted nuclei that "
        "it is confused with.",
        lambda o: o.predicted_number,
        lambda o, r: _numbers(o, r, true_side=False),
        partial(_characters, true_side=False),
    ),
    _Column("area", "Area in pixels.", lambda o: o.area, lambda o, r: str(o.area[r])),
    _Column("field", "Name of the field.", lambda o: o.plane),
    _Column(
        "y, x",
        "Position of the centre in pixels. Sorted from top to bottom.",
        lambda o: o.y,
        lambda o, r: f"{o.y[r]:.0f}, {o.x[r]:.0f}",
        lambda o: _digits(np.rint(o.y)) + _digits(np.rint(o.x)),
    ),
    _Column(
        SYMBOLS[Mark.REVIEWED],
        f"Marks: {', '.join(f'{symbol} {mark}' for mark, symbol in SYMBOLS.items())}.",
        lambda o: np.zeros(len(o)),
    ),
)


class ObjectRows(QAbstractTableModel):
    """Objects as rows that a view lists.

    Attributes
    ----------
    objects : Objects
        All objects, of which some are listed.
    order : ndarray of intp
        Objects that are listed, in their order.
    marked : mapping
        Marks by the row of their object.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects = no_objects()
        self.order: Index = np.zeros(0, dtype=np.intp)
        self.marked: Mapping[int, Marked] = {}

    def position_of(self, row: int) -> int | None:
        """Return where in the list an object stands, if it is listed."""
        found = np.flatnonzero(self.order == row)
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count what is listed."""
        return 0 if parent.isValid() else len(self.order)


class ObjectModel(ObjectRows):
    """Rows of objects in the order that the user wants."""

    def __init__(self, name_of: Callable[[int], str]) -> None:
        super().__init__()
        self._filter = ObjectFilter()
        self._sorting: tuple[int, bool] | None = None
        self._name_of = name_of
        self._colours = {int(v): QColor(colour) for v, colour in VERDICT_COLOURS.items()}

    def show_objects(
        self, objects: Objects, only: ObjectFilter, marked: Mapping[int, Marked]
    ) -> None:
        """List those objects that pass a filter, as they were sorted before, with their marks."""
        self.beginResetModel()
        self.objects, self._filter, self.marked = objects, only, marked
        self.order = self._arranged(only)
        self.endResetModel()

    def keys(self) -> NDArray[np.int64]:
        """Return the key numbers of the objects that are listed, in their order."""
        return self.objects.key_numbers[self.order]

    def next_error(self, position: int, step: int) -> int | None:
        """Return the row of the next object without a match, round the end; None without any.

        If one field is listed, the errors of the next field follow at its end.

        Parameters
        ----------
        position : int
            Position in the list to begin at, -1 for before the first.
        step : int
            1 for the next, -1 for the one before.
        """
        errors = np.flatnonzero(self.objects.is_error[self.order])
        if step > 0:
            at = int(np.searchsorted(errors, position, side="right"))
        else:
            at = int(np.searchsorted(errors, max(position, 0), side="left")) - 1
        if 0 <= at < len(errors):
            return int(self.order[errors[at]])
        elsewhere = self._errors_of_next_field(step)
        rows = elsewhere if len(elsewhere) else self.order[errors]
        return int(rows[0 if step > 0 else -1]) if len(rows) else None

    def _errors_of_next_field(self, step: int) -> Index:
        """Return the errors of the next field that has any, if fields are listed one by one."""
        here = self._filter.plane
        if here is None:
            return np.zeros(0, dtype=np.intp)
        rows = self._arranged(replace(self._filter, plane=None))
        rows = rows[self.objects.is_error[rows]]
        planes = np.unique(self.objects.plane[rows])
        planes = planes[planes != here]
        if not len(planes):
            return np.zeros(0, dtype=np.intp)
        after = int(np.searchsorted(planes, here))
        following = planes[(after if step > 0 else after - 1) % len(planes)]
        return np.asarray(rows[self.objects.plane[rows] == following], dtype=np.intp)

    def widest(self, column: int) -> list[int]:
        """Return some positions in the list, one of which has the widest text of a column."""
        if not len(self.order):
            return []
        length = OBJECT_COLUMNS[column].length
        key = (self._key(column) if length is None else length(self.objects))[self.order]
        if column not in (VERDICT, FIELD, MARK):  # of equally long ones, as digits differ in width
            return np.argsort(-key.astype(np.float64), kind="stable")[:_NUMBERS_MEASURED].tolist()
        first = np.unique(key, return_index=True)[1]
        return first[:: -(-len(first) // _MOST_MEASURED)].tolist()

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the columns."""
        return 0 if parent.isValid() else len(OBJECT_COLUMNS)

    def data(self, index: QModelIndex, role: int = ItemRole.DisplayRole) -> Any:
        """Return text, colour or alignment of a cell."""
        if not index.isValid():
            return None
        row, column = int(self.order[index.row()]), index.column()
        if role == ItemRole.DisplayRole:
            if column == FIELD:
                return self._name_of(int(self.objects.plane[row]))
            if column == MARK:
                return SYMBOLS[self.marked[row].mark] if row in self.marked else ""
            return OBJECT_COLUMNS[column].text(self.objects, row)
        if role == ItemRole.ToolTipRole:
            return self._tell(row)
        if role == ItemRole.DecorationRole and column == VERDICT:
            return self._colours[int(self.objects.code[row])]
        if role == ItemRole.TextAlignmentRole and column not in (VERDICT, FIELD, MARK):
            return _RIGHT
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = ItemRole.DisplayRole
    ) -> Any:
        """Return title and help of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == ItemRole.DisplayRole:
            return OBJECT_COLUMNS[section].title
        return OBJECT_COLUMNS[section].help if role == ItemRole.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; equal ones stay by field and label. Column -1 lists the worst first."""
        wanted = None if column < 0 else (column, order == Qt.SortOrder.DescendingOrder)
        if wanted == self._sorting:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [int(self.order[index.row()]) for index in before]
        self._sorting = wanted
        self.order = self._arranged(self._filter)
        place = {int(row): position for position, row in enumerate(self.order)} if rows else {}
        after = [
            self.index(place[row], index.column()) for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _arranged(self, only: ObjectFilter) -> Index:
        """Return the rows of objects that pass a filter, in the order that the user wants.

        Unless that is a column's, errors stand first, those with the lowest IoU above, and of
        those with the same the largest.
        """
        objects = self.objects
        order = np.flatnonzero(only.passes(objects))
        if self._sorting is None:
            worst = (-objects.area[order], objects.iou[order], ~objects.is_error[order])
            return np.asarray(order[np.lexsort(worst)], dtype=np.intp)
        column, descending = self._sorting
        key = self._key(column)[order].astype(np.float64)
        return np.asarray(order[np.argsort(-key if descending else key, kind="stable")])

    def _key(self, column: int) -> NDArray[Any]:
        """Return what a column is sorted by."""
        key = OBJECT_COLUMNS[column].key(self.objects)
        if column == MARK:
            for row, marked in self.marked.items():
                key[row] = 1 + list(Mark).index(marked.mark)
        return key

    def _tell(self, row: int) -> str | None:
        """Say what does not stand in the cells: the mark with its note, and many partners."""
        told, marked = [], self.marked.get(row)
        if marked is not None:
            told.append(f"{marked.mark}: {marked.note}" if marked.note else str(marked.mark))
        if self.objects.counts[row] > _MOST_LISTED:
            told.append("Partners: " + ", ".join(map(str, self.objects.partners_of(row))))
        return "\n".join(told) or None

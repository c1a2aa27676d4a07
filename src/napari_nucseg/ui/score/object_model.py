"""The objects as a Qt model: sorted and filtered by numpy, whatever their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.objects import Objects, no_objects
from napari_nucseg.metrics.overlap import Index
from napari_nucseg.metrics.verdicts import Verdict

Role = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


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
    """

    hidden: frozenset[Verdict] = frozenset()
    iou: tuple[float, float] = (0.0, 1.0)
    area: tuple[float, float] = (0.0, np.inf)
    plane: int | None = None

    def passes(self, objects: Objects) -> NDArray[np.bool_]:
        """Tell which objects are listed, shape (n,)."""
        shown = np.ones(len(Verdict) + 1, dtype=np.bool_)
        shown[list(self.hidden)] = False
        kept = shown[objects.code]
        for values, (low, high) in ((objects.iou, self.iou), (objects.area, self.area)):
            kept &= (values >= low) & (values <= high)
        if self.plane is not None:
            kept &= objects.plane == self.plane
        return np.asarray(kept)


@dataclass(frozen=True)
class _Column:
    """A column: its title, how it is sorted, and what stands in a cell unless the model knows."""

    title: str
    help: str
    key: Callable[[Objects], NDArray[Any]]
    text: Callable[[Objects, int], str] = lambda objects, row: ""


def _numbers(objects: Objects, row: int, *, true_side: bool) -> str:
    if bool(objects.is_true[row]) == true_side:
        return str(objects.label[row])
    return " ".join(map(str, objects.partners_of(row)))


VERDICT, FIELD, PLACE = 0, 5, 6
COLUMNS = (
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
    ),
    _Column(
        "pred.",
        "Label in the prediction. For a true nucleus: its partner, or the predicted nuclei that "
        "it is confused with.",
        lambda o: o.predicted_number,
        lambda o, r: _numbers(o, r, true_side=False),
    ),
    _Column("area", "Area in pixels.", lambda o: o.area, lambda o, r: str(o.area[r])),
    _Column("field", "Name of the field.", lambda o: o.plane),
    _Column(
        "y, x",
        "Position of the centre in pixels. Sorted from top to bottom.",
        lambda o: o.y,
        lambda o, r: f"{o.y[r]:.0f}, {o.x[r]:.0f}",
    ),
)


class ObjectModel(QAbstractTableModel):
    """Rows of objects in the order that the user wants.

    Attributes
    ----------
    objects : Objects
        All objects, of which the filter lists some.
    order : ndarray of intp
        Objects that are listed, in their order.
    """

    def __init__(self, name_of: Callable[[int], str]) -> None:
        super().__init__()
        self.objects = no_objects()
        self.order: Index = np.zeros(0, dtype=np.intp)
        self._filter = ObjectFilter()
        self._sorting: tuple[int, bool] | None = None
        self._name_of = name_of
        self._colours = {int(v): QColor(colour) for v, colour in VERDICT_COLOURS.items()}

    def show_objects(self, objects: Objects, only: ObjectFilter) -> None:
        """List those objects that pass a filter, as they were sorted before."""
        self.beginResetModel()
        self.objects, self._filter = objects, only
        self._arrange()
        self.endResetModel()

    def position_of(self, row: int) -> int | None:
        """Return where in the list an object stands, if it is listed."""
        found = np.flatnonzero(self.order == row)
        return int(found[0]) if len(found) else None

    def next_error(self, position: int, step: int) -> int | None:
        """Return where the next object without a match stands, round the end; None without any.

        Parameters
        ----------
        position : int
            Row to begin at, -1 for before the first.
        step : int
            1 for the next, -1 for the one before.
        """
        errors = np.flatnonzero(self.objects.is_error[self.order])
        if not len(errors):
            return None
        if step > 0:
            at = np.searchsorted(errors, position, side="right")
            return int(errors[at % len(errors)])
        at = np.searchsorted(errors, max(position, 0), side="left")
        return int(errors[at - 1])

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count what is listed."""
        return 0 if parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return text, colour or alignment of a cell."""
        if not index.isValid():
            return None
        row, column = int(self.order[index.row()]), index.column()
        if role == Role.DisplayRole:
            if column == FIELD:
                return self._name_of(int(self.objects.plane[row]))
            return COLUMNS[column].text(self.objects, row)
        if role == Role.DecorationRole and column == VERDICT:
            return self._colours[int(self.objects.code[row])]
        if role == Role.TextAlignmentRole and column not in (VERDICT, FIELD):
            return _RIGHT
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Return title and help of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return COLUMNS[section].title
        return COLUMNS[section].help if role == Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; equal ones stay by field and label. Column -1 undoes it."""
        wanted = None if column < 0 else (column, order == Qt.SortOrder.DescendingOrder)
        if wanted == self._sorting:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [int(self.order[index.row()]) for index in before]
        self._sorting = wanted
        self._arrange()
        place = {int(row): position for position, row in enumerate(self.order)} if rows else {}
        after = [
            self.index(place[row], index.column()) for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        order = np.flatnonzero(self._filter.passes(self.objects))
        if self._sorting is not None:
            column, descending = self._sorting
            key = COLUMNS[column].key(self.objects)[order].astype(np.float64)
            order = order[np.argsort(-key if descending else key, kind="stable")]
        self.order = order

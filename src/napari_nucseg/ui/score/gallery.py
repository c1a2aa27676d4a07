"""The errors as thumbnails, worst first: a click goes to the nucleus, arrow keys move on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from napari_nucseg.analysis.marks import Marked
from napari_nucseg.analysis.objects import Objects
from napari_nucseg.analysis.thumbnails import THUMBNAIL, Cut, cut_out
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.jobs import Job, Run, single_shot
from napari_nucseg.ui.layer_fields import full_data, read_plane
from napari_nucseg.ui.layers import find_image
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.object_filters import ObjectFilters
from napari_nucseg.ui.score.object_model import SYMBOLS, ObjectRows
from napari_nucseg.ui.widgets import tight

_GAP, _LINES = 3, 2
MOST_KEPT, MOST_AT_ONCE = 2000, 64
"""Thumbnails that are kept (42 MB), and that are cut in one go."""
_ERRORS, _ALL = "Errors", "All nuclei"


class GalleryModel(ObjectRows):
    """Objects from the worst to the best, and those of their thumbnails that were cut."""

    def __init__(self, describe: Callable[[int], str]) -> None:
        super().__init__()
        self._describe = describe
        self._pictures: OrderedDict[Cut, QPixmap] = OrderedDict()

    def show_objects(
        self, objects: Objects, shown: NDArray[np.bool_], marked: Mapping[int, Marked]
    ) -> None:
        """List some of the objects, with their marks."""
        self.beginResetModel()
        self.objects, self.marked, rows = objects, marked, np.flatnonzero(shown)
        self.order = rows[np.lexsort((-objects.area[rows], objects.iou[rows]))]
        self.endResetModel()

    def cut_at(self, position: int) -> Cut:
        """Tell what the thumbnail at a place of the list shows."""
        return Cut.of(self.objects, int(self.order[position]))

    def picture_of(self, cut: Cut) -> QPixmap | None:
        """Return a thumbnail if it was cut, and keep it longer."""
        if cut in self._pictures:
            self._pictures.move_to_end(cut)
        return self._pictures.get(cut)

    def put(self, drawn: Mapping[Cut, NDArray[np.uint8]]) -> None:
        """Take thumbnails that were cut; those looked at longest ago are dropped."""
        for cut, rgb in drawn.items():
            image = QImage(
                rgb.tobytes(), THUMBNAIL, THUMBNAIL, 3 * THUMBNAIL, QImage.Format.Format_RGB888
            )
            self._pictures[cut] = QPixmap.fromImage(image)
        while len(self._pictures) > MOST_KEPT:
            self._pictures.popitem(last=False)

    def forget(self, planes: set[int] | None = None) -> None:
        """Drop the thumbnails of some fields, or all."""
        for cut in [cut for cut in self._pictures if not planes or cut.plane in planes]:
            del self._pictures[cut]

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return 1: what is listed has one picture."""
        return 0 if parent.isValid() else 1

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return verdict and IoU of an object, or all that is known of it as a tooltip."""
        if not index.isValid():
            return None
        row = int(self.order[index.row()])
        if role == Qt.ItemDataRole.DisplayRole:
            verdict = Verdict(int(self.objects.code[row]))
            symbol = f" {SYMBOLS[self.marked[row].mark]}" if row in self.marked else ""
            return f"{verdict.word}\n{self.objects.iou[row]:.2f}{symbol}"
        return self._describe(row) if role == Qt.ItemDataRole.ToolTipRole else None


class ThumbnailDelegate(QStyledItemDelegate):
    """Draws a thumbnail above its verdict and IoU, and asks for those that are not there."""

    def __init__(self, model: GalleryModel, ask: Callable[[int], None]) -> None:
        super().__init__()
        self._model, self._ask = model, ask

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of a thumbnail with the words below, the same for all."""
        edge = THUMBNAIL + 2 * _GAP
        return QSize(edge, edge + _LINES * option.fontMetrics.lineSpacing())

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw one object: its thumbnail, framed if it is selected, and the words below."""
        assert painter is not None
        cut = self._model.cut_at(index.row())
        picture, place = self._model.picture_of(cut), option.rect
        square = QRect(place.left() + _GAP, place.top() + _GAP, THUMBNAIL, THUMBNAIL)
        text = option.palette.color(QPalette.ColorRole.Text)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(square.adjusted(-_GAP, -_GAP, _GAP, _GAP), text)
            painter.fillRect(square.adjusted(-1, -1, 1, 1), Qt.GlobalColor.white)
        painter.fillRect(square, option.palette.color(QPalette.ColorRole.Mid))
        if picture is None:
            self._ask(index.row())
        else:
            painter.drawPixmap(square, picture)
        painter.setPen(text)
        below = place.adjusted(0, THUMBNAIL + 2 * _GAP, 0, 0)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, self._model.data(index))
        painter.restore()


class Gallery(QWidget):
    """Shows the errors of a comparison as thumbnails.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose objects are shown; one that the user chooses is told to it.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    def __init__(self, state: ComparisonState, run: Run) -> None:
        super().__init__()
        self._state, self._run, self._choosing = state, run, True
        self._job: Job | None = None
        self._wanted: set[int] = set()
        self.model = GalleryModel(lambda row: state.now.describe(row))
        self.verdict = QComboBox()
        self.verdict.addItems([_ERRORS, *(verdict.word for verdict in Verdict), _ALL])
        self.verdict.setToolTip("Show all errors, the nuclei of one verdict, or all nuclei.")
        self.filters, self.count = ObjectFilters(), QLabel()
        self.filters.this_field.setChecked(False)  # the worst of all fields come first
        self.view = _view(self.model, ThumbnailDelegate(self.model, self._want))
        self._soon = single_shot(self, self._cut)
        self._lay_out()
        choices = self.view.selectionModel()
        assert choices is not None
        choices.currentChanged.connect(self._choose)
        self.view.clicked.connect(self._choose)
        self.verdict.currentIndexChanged.connect(lambda: self.refresh())
        self.filters.changed.connect(self.refresh)
        state.changed.connect(self._on_changed)
        state.chosen.connect(self._show_row)
        self.refresh()

    def refresh(self, *, keep: bool = False) -> None:
        """List the objects anew; the current one may stay where it was ignored as an error."""
        now, index = self._state.now, self.view.currentIndex()
        current = int(self.model.order[index.row()]) if index.isValid() else None
        key = None if current is None else self.model.objects.key_of(current)
        word, only = self.verdict.currentText(), self.filters.value(now)
        if word not in (_ERRORS, _ALL):
            only = replace(only, hidden=frozenset(v for v in Verdict if v.word != word))
        self.filters.this_field.setVisible(now.is_stack)
        row = None if key is None else now.objects.find(**key._asdict())
        shown = only.passes(now.objects)
        if word == _ERRORS:
            kept = keep and (np.arange(len(shown)) == row) & now.objects.left_out
            shown &= now.objects.is_error | kept
        self.model.show_objects(now.objects, shown, now.marked)
        self.count.setText(f"{self.model.rowCount():,} of {len(now.objects):,}")
        if row is not None:
            self._show_row(row)

    def _lay_out(self) -> None:
        above = QHBoxLayout()
        above.addWidget(self.verdict)
        above.addWidget(self.filters.this_field)
        above.addWidget(self.count, 1, Qt.AlignmentFlag.AlignRight)
        layout = tight(QVBoxLayout(self), 3)
        layout.addLayout(above)
        for part in (self.filters, self.view):
            layout.addWidget(part)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.prediction is not old.prediction or new.truth is not old.truth:
            self._drop(None)
        elif new.is_there and old.is_there:
            self._drop(new.edited_since(old))
        value = self.filters.value
        if new.objects is not old.objects or new.marks is not old.marks or value(new) != value(old):
            self.refresh(keep=True)

    def _drop(self, planes: set[int] | None) -> None:
        """Drop thumbnails that are no longer right, those on their way included."""
        if planes is None or planes:
            self.model.forget(planes)
            if self._job is not None:
                self._job.abandon()
            self._job = None

    def _show_row(self, row: int) -> None:
        """Make an object current, without going there."""
        position = self.model.position_of(row)
        if position is None or position == self.view.currentIndex().row():
            return
        self._choosing = False
        self.view.setCurrentIndex(self.model.index(position, 0))
        self._choosing = True

    def _choose(self, index: QModelIndex) -> None:
        if self._choosing and index.isValid():
            self._state.chosen.emit(int(self.model.order[index.row()]))

    def _want(self, position: int) -> None:
        self._wanted.add(position)
        self._soon.start()

    def _cut(self) -> None:
        """Cut what is in sight; the rest waits until it is."""
        if self._job is not None and not self._job.is_over:
            self._soon.start(10)
            return
        port = self.view.viewport()
        listed = [self.model.index(one, 0) for one in sorted(self._wanted)]  # some may be gone
        self._wanted = set()
        sight = QRect() if port is None else port.rect()
        seen = [one for one in listed if sight.intersects(self.view.visualRect(one))]
        wanted = [self.model.cut_at(one.row()) for one in seen[:MOST_AT_ONCE]]
        if wanted and self._state.now.is_there:
            read, image = self._state.now.label_reader(), self._image_reader()
            self._job = self._run(partial(cut_out, read, image, wanted), self._show)

    def _show(self, drawn: Mapping[Cut, NDArray[np.uint8]]) -> None:
        self.model.put(drawn)
        port = self.view.viewport()
        assert port is not None
        port.update()

    def _image_reader(self) -> Callable[[int], NDArray[Any]] | None:
        """Return what reads the intensities that the prediction was made from, if it is known."""
        prediction = self._state.now.prediction
        assert prediction is not None
        image = find_image(self._state.viewer.layers, prediction)
        fits = image is not None and full_data(image).shape == full_data(prediction).shape
        return partial(read_plane, full_data(image)) if image is not None and fits else None


def _view(model: GalleryModel, delegate: ThumbnailDelegate) -> QListView:
    view = QListView()
    view.setModel(model)
    view.setItemDelegate(delegate)
    view.setFlow(QListView.Flow.LeftToRight)
    view.setWrapping(True)
    view.setResizeMode(QListView.ResizeMode.Adjust)
    view.setUniformItemSizes(True)
    view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
    view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    view.setToolTip("Click a nucleus to go to it. The arrow keys move on.")
    return view

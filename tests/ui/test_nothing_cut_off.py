"""Every text of the panels has the room that it needs, in windows of two sizes and both themes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QStyle,
    QStyleOptionComboBox,
    QTableView,
    QTableWidget,
    QTabWidget,
    QWidget,
)

from tests.ui.scored import open_panel, settled

SIZES = [(1280, 800), (1920, 1080)]


@pytest.fixture
def labels(drawn_fields):
    """Truth and prediction with long lists of partners, large areas and errors of all kinds."""
    truths = np.stack([field.labels for field in drawn_fields])
    found = np.roll(truths, 2, axis=1)
    found[:, :80, :90] = np.where(found[:, :80, :90] > 0, 1234, 0)
    found[:, 90:, :] = np.where(
        found[:, 90:, :] > 0, found[:, 90:, :] + 100 * (np.arange(200) // 9), 0
    )
    return truths, found


def add_layers(viewer, truths, found) -> None:
    from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, PREDICTION, LayerRecord, tag

    stems = tuple(f"IXMtest_{name}_w1" for name in ("A02_s1", "P24_s9", "B17_s7"))
    rng = np.random.default_rng(0)
    image = (truths > 0) * 400 + rng.integers(100, 200, truths.shape)
    made = {"model": "fluo-nuclei", "parameters": {"diameter": 30}}
    for add, data, name, record in (
        (viewer.add_image, image.astype(np.uint16), "plate", LayerRecord(IMAGE, stems)),
        (viewer.add_labels, truths, "truth", LayerRecord(GROUND_TRUTH, stems)),
        (viewer.add_labels, found, "found", LayerRecord(PREDICTION, stems, provenance=made)),
    ):
        add(data, name=name, metadata=tag(record))


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_text_of_a_panel_is_cut_off(qtbot, make_napari_viewer, labels, size, theme):
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    viewer.window._qt_window.resize(*size)
    add_layers(viewer, *labels)
    segment_dock, segment = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")
    assert not list(cut_off(segment.native, "segment"))
    segment_dock.hide()
    score = open_panel(qtbot, viewer)
    cut: list[str] = []
    for button in (score.buttons.errors, score.buttons.agreement, score.buttons.iou):
        button.native.click()
        cut += cut_off(score.native, button.text)
    for tab in range(score.tabs.count()):
        score.tabs.setCurrentIndex(tab)
        cut += cut_off(score.native, score.tabs.tabText(tab))
    score.comparison.compare()
    settled(qtbot, score)
    score.objects.filters.this_field.click()
    for tab in range(score.tabs.count()):
        score.tabs.setCurrentIndex(tab)
        cut += cut_off(score.native, f"{score.tabs.tabText(tab)} of all fields")

    assert not cut, "\n".join(cut)


def cut_off(panel: QWidget, where: str) -> Iterator[str]:
    """Tell of each visible text that is wider than its place."""
    QApplication.processEvents()
    for widget in panel.findChildren(QWidget):
        if not widget.isVisibleTo(panel) or widget.visibleRegion().isEmpty():
            continue
        for text, needed, there in texts_of(widget):
            if needed > there:
                yield f"{where}: {text!r} needs {needed} px and has {there}"


def texts_of(widget: QWidget) -> Iterator[tuple[str, int, int]]:
    """Yield the texts of a widget, the pixels that each needs across, and those that it has."""
    metrics = widget.fontMetrics()
    if isinstance(widget, QLabel):
        if not widget.wordWrap() and widget.text():
            yield widget.text(), widget.sizeHint().width(), widget.width()
        elif widget.text():
            words = max(map(metrics.horizontalAdvance, widget.text().split()))
            yield widget.text(), words, widget.width()
            yield widget.text(), widget.heightForWidth(widget.width()), widget.height()
    elif isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        widget.initStyleOption(option)
        field = widget.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            widget,
        )
        yield widget.currentText(), metrics.horizontalAdvance(widget.currentText()), field.width()
    elif isinstance(widget, QAbstractButton) and widget.text():
        icon = widget.iconSize().width() if not widget.icon().isNull() else 0
        yield widget.text(), metrics.horizontalAdvance(widget.text()) + icon, widget.width()
    elif isinstance(widget, QLineEdit) and not isinstance(widget.parent(), QComboBox):
        yield widget.text(), metrics.horizontalAdvance(widget.text()), widget.width()
    elif isinstance(widget, QTabWidget):
        bar = widget.tabBar()
        yield "tabs", bar.sizeHint().width(), bar.parentWidget().width()
    elif isinstance(widget, QHeaderView):
        yield from titles_of(widget)
    elif isinstance(widget, QTableView):
        yield from cells_of(widget)


def titles_of(header: QHeaderView) -> Iterator[tuple[str, int, int]]:
    model, across = header.model(), header.orientation() == Qt.Orientation.Horizontal
    for section in range(header.count()):
        text = model.headerData(section, header.orientation())
        if text and not header.isSectionHidden(section):
            widest = max(map(header.fontMetrics().horizontalAdvance, str(text).splitlines()))
            yield str(text), widest, header.sectionSize(section) if across else header.width()


def cells_of(view: QTableView) -> Iterator[tuple[str, int, int]]:
    model = view.model()
    for row in range(model.rowCount()):
        for column in range(model.columnCount()):
            cell = model.index(row, column)
            if cell.data() and not view.isColumnHidden(column):
                place = view.visualRect(cell).width()
                yield cell.data(), view.sizeHintForIndex(cell).width(), place
    if isinstance(view, QTableWidget):  # others scroll
        yield "all columns", view.horizontalHeader().length(), view.viewport().width()

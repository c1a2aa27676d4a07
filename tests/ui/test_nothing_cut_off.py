"""Every text of the panels has the room that it needs, in windows of two sizes and both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QTableView,
    QTableWidget,
    QTabWidget,
    QWidget,
)
from superqt import QCollapsible

from napari_nucseg.batch import run_setup
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Concern
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, PREDICTION, LayerRecord, tag
from napari_nucseg.ui.score.panel import COMPARE
from napari_nucseg.ui.segment.form import Scope
from tests.ui.scored import open_panel, settled
from tests.ui.segment_actions import RUN, run

SIZES = [(1280, 800), (1920, 1080)]
STEMS = tuple(f"IXMtest_{name}_w1" for name in ("A02_s1", "P24_s9", "B17_s7"))


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
    rng = np.random.default_rng(0)
    image = (truths > 0) * 400 + rng.integers(100, 200, truths.shape)
    record = tag(LayerRecord(IMAGE, STEMS))
    viewer.add_image(image.astype(np.uint16), name="plate", metadata=record)
    viewer.add_labels(truths, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH, STEMS)))
    add_prediction(viewer, found, "found", "fluo-nuclei")


def add_prediction(viewer, found, name, model) -> None:
    made = {"model": model, "parameters": {"diameter": 30}}
    record = LayerRecord(PREDICTION, STEMS, provenance=made)
    viewer.add_labels(found, name=name, metadata=tag(record))


@pytest.fixture(params=SIZES, ids=str)
def size(request):
    return request.param


@pytest.fixture(params=["dark", "light"])
def window(request, make_napari_viewer, size):
    """A viewer in a window of a size and a theme."""
    viewer = make_napari_viewer(show=True)
    viewer.theme = request.param
    viewer.window._qt_window.resize(*size)
    return viewer


@pytest.mark.slow
def test_no_text_of_the_segment_panel_is_cut_off(qtbot, window, drawn_fields, stand_in):
    concern = Concern(
        "12 bright objects, 0 nuclei: the objects look 4.0 times larger than expected",
        "Set the diameter to 112 px",
        {"diameter": 112.0},
    )
    stand_in.concerns = lambda image, params: (concern,)
    _, panel = window.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")
    cut = list(cut_off(panel.native, "no image"))
    fields = np.stack([field.image for field in drawn_fields])
    window.add_image(fields, name="IXMtest_A02_s1_w1", scale=(1, 0.645, 0.645), units="um")
    for model in catalogue.models():
        panel.form.model.value = model.name
        cut += cut_off(panel.native, model.name)
    panel.form.model.value = catalogue.BUNDLED
    for scope in panel.form.scope.choices:
        panel.form.scope.value = scope
        cut += cut_off(panel.native, scope)
    panel.form.scope.value = Scope.FIELD
    run(qtbot, panel)
    assert panel.advice.button.native.isVisible()
    cut += cut_off(panel.native, "a result with a concern")
    for way in panel.result.show_as.choices:
        panel.result.show_as.value = way
        cut += cut_off(panel.native, way)
    qtbot.waitUntil(lambda: not panel.measurements.measuring)
    panel.result.doubtful.native.click()
    assert panel.status.value.startswith("Nucleus ")
    cut += cut_off(panel.native, "a doubtful nucleus")
    for row in panel.form.params.rows:
        row.value = not row.value if isinstance(row.value, bool) else row.max
    panel.live_update.rest()
    for fold in panel.native.findChildren(QCollapsible):
        fold.expand(animate=False)
    cut += cut_off(panel.native, "all unfolded, all values changed")

    assert not cut, "\n".join(cut)


@pytest.mark.slow
def test_no_text_of_the_score_panel_is_cut_off(qtbot, window, labels):
    add_layers(window, *labels)
    score = open_panel(qtbot, window)
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
    add_prediction(window, np.roll(labels[0], 3, axis=2), "other", "otsu")
    settled(qtbot, score)
    score.comparison.compare()
    qtbot.waitUntil(lambda: len(score.comparison.scores.all_scored) == 2, timeout=RUN)
    score.tabs.setCurrentIndex(COMPARE)
    score.comparison.show_differences()
    assert score.comparison.differing
    cut += cut_off(score.native, "where two predictions differ")

    assert not cut, "\n".join(cut)


@pytest.mark.slow
def test_verdicts_of_more_than_a_hundred_nuclei_are_not_cut_off(qtbot, window):
    truth = np.kron(np.arange(256).reshape(16, 16), np.pad(np.ones((6, 6), np.int32), 2))
    found = np.where(truth > 120, 0, truth)
    found[0:8, 0:8] = 999
    add_layers(window, np.stack([truth] * 3), np.stack([found] * 3))
    score = open_panel(qtbot, window)

    assert score.legend.text(Verdict.MISSED) == "missed 135"
    assert list(cut_off(score.legend, "legend")) == []


@pytest.mark.slow
def test_no_text_of_the_run_panel_is_cut_off(
    qtbot, window, drawn_dataset, stand_in, tmp_path, monkeypatch
):
    monkeypatch.setattr(run_setup, "sha256", lambda path: "0" * 64)
    _, panel = window.window.add_plugin_dock_widget("napari-nucseg", "Run on dataset")
    cut = list(cut_off(panel.native, "nothing chosen"))
    panel.form.dataset.value = tmp_path / "nowhere"
    cut += cut_off(panel.native, "a dataset that is not there")
    panel.form.dataset.value, panel.form.out.value = drawn_dataset, tmp_path / "results"
    panel.form.device.value = "cpu"
    for fold in panel.native.findChildren(QCollapsible):
        fold.expand(animate=False)
    cut += cut_off(panel.native, "all unfolded")
    panel.start()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
    assert panel.form.show_results.enabled
    cut += cut_off(panel.native, "results")

    assert not cut, "\n".join(cut)


def cut_off(panel: QWidget, where: str) -> Iterator[str]:
    """Tell of each text that is wider or higher than its place, whether it is scrolled to or not.

    Neither may what scrolls be wider than what is seen of it, nor the window higher than a screen.
    """
    for _ in range(3):  # a layout that is laid out asks others to be laid out anew
        QApplication.processEvents()
    height = panel.window().minimumSizeHint().height()
    if height > SIZES[0][1]:
        yield f"{where}: the window is {height} px high at least"
    for area in panel.findChildren(QScrollArea):
        if area.isVisibleTo(panel) and area.widget().width() > area.viewport().width():
            yield f"{where}: what scrolls is {area.widget().width()} px wide"
    for widget in panel.findChildren(QWidget):
        if not widget.isVisibleTo(panel) or widget.size().isEmpty():
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
            words = [word for word in widget.text().split() if not is_path(word)]
            longest = max(map(metrics.horizontalAdvance, words))
            yield widget.text(), longest, widget.width()
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
        if not is_path(widget.text()):  # which can be longer than any panel, and scrolls
            yield widget.text(), metrics.horizontalAdvance(widget.text()), widget.width()
    elif isinstance(widget, QTabWidget):
        bar = widget.tabBar()
        yield "tabs", bar.sizeHint().width(), bar.parentWidget().width()
    elif isinstance(widget, QHeaderView):
        yield from titles_of(widget)
    elif isinstance(widget, QTableView):
        yield from cells_of(widget)


def is_path(text: str) -> bool:
    return Path(text).is_absolute()


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

"""Long names and paths: shown as far as there is room, and never cut without a sign of it."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_nucseg.ui.widgets import TextLine

LONG = "0123456789abcdef" * 4
PATH = f"/data/{'a_rather_long_folder_name/' * 4}{LONG} nuclei.csv"
WIDTH = 300


@pytest.fixture
def line(qtbot):
    line = TextLine(label="")
    qtbot.addWidget(line.native)
    line.native.resize(WIDTH, 400)
    line.native.show()
    return line


def test_a_long_path_is_broken_into_lines_that_fit(line):
    line.value = f"Measurements of 74 nuclei are in {PATH}."
    metrics, text = line.native.fontMetrics(), line.native.text()

    assert max(map(metrics.horizontalAdvance, text.replace("\u200b", " ").split())) < WIDTH
    wrapped = metrics.boundingRect(0, 0, WIDTH, 400, Qt.TextFlag.TextWordWrap, text)
    assert wrapped.width() <= WIDTH
    assert line.value == f"Measurements of 74 nuclei are in {PATH}."


def test_a_path_is_copied_as_it_is(line):
    line.value = PATH
    line.native.setSelection(0, len(line.native.text()))
    line.native.setFocus()

    QTest.keyClick(line.native, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    assert QApplication.clipboard().text() == PATH


def test_sentences_are_left_as_they_are(line):
    line.value = "3 of 5 fields (0.50-0.95) were not found, see well A01/s1."

    assert line.native.text() == line.value


def test_of_a_layer_with_a_long_name_both_ends_are_seen(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    _, panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")
    layer, box = viewer.add_labels(np.ones((9, 9), int)), panel.prediction.native
    QApplication.processEvents()  # lays the panel out
    pictures = []
    for name in (f"{LONG} one", f"{LONG} two"):
        layer.name = name
        panel.reset_choices()
        assert box.currentText() == name
        pictures.append(box.grab().toImage())

    assert pictures[0] != pictures[1]  # Qt cuts the ends, so that both would look alike

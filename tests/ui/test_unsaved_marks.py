"""Marks that are in no file are asked for when a person closes the window."""

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_nucseg.analysis.marks import Mark
from napari_nucseg.ui.score.panel import NUCLEI
from napari_nucseg.ui.score.unsaved_marks import CANCEL, SAVE, UnsavedMarks, count_unsaved
from tests.ui.scored import add_stacks, open_panel, settled, spoil


@pytest.fixture
def marked(qtbot, make_napari_viewer, drawn_fields):
    """A viewer in a window, and its panel, with a mark on a nucleus."""
    viewer = make_napari_viewer(show=True)
    truths = np.stack([field.labels for field in drawn_fields])
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(NUCLEI)
    panel.model.chosen.emit(panel.state.objects.find(1, 2, is_true=True))
    panel.marks.mark(Mark.REVIEWED)
    settled(qtbot, panel)
    return viewer, panel


def answered(qtbot, answer: str, act) -> list[str]:
    """Do something, answer what is asked, and return the questions."""
    asked = []

    def look() -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            asked.append(box.text())
            button = next(one for one in box.buttons() if one.text() == answer)
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(20)
    act()
    timer.stop()
    return asked


def watch_of(viewer) -> UnsavedMarks:
    return viewer.window._qt_window.findChild(UnsavedMarks)


def test_closing_asks_and_cancel_keeps_the_window_and_the_marks(qtbot, marked):
    viewer, panel = marked
    window = viewer.window._qt_window

    asked = answered(qtbot, CANCEL, window.close)

    assert asked == ["Not saved yet: 1 mark on nuclei."]
    assert window.isVisible()
    assert len(panel.state.marks) == 1


def test_marks_are_saved_beside_a_file_of_that_name(qtbot, marked, tmp_path, monkeypatch):
    viewer, _ = marked
    (tmp_path / "truth marks.json").write_text("mine")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))

    answered(qtbot, SAVE, watch_of(viewer).ask)

    assert (tmp_path / "truth marks.json").read_text() == "mine"
    (mark,) = json.loads((tmp_path / "truth marks 2.json").read_text())["marks"]
    assert (mark["field"], mark["label"], mark["mark"]) == ("2", 2, "reviewed")


def test_a_closed_panel_is_asked_for_too(qtbot, marked, tmp_path, monkeypatch):
    viewer, panel = marked
    viewer.window.remove_dock_widget(panel.native)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))

    assert len(answered(qtbot, SAVE, watch_of(viewer).ask)) == 1
    assert (tmp_path / "truth marks.json").exists()


def test_nothing_is_asked_once_the_marks_are_in_a_file(qtbot, marked, tmp_path):
    viewer, panel = marked
    assert panel.marks.files.text() == "Marks *"

    panel.marks.save_to(tmp_path / "mine.json")
    settled(qtbot, panel)

    assert panel.marks.files.text() == "Marks"
    assert count_unsaved(viewer.layers) == (0, 0)


def test_regions_are_asked_for_and_saved_without_the_tab_of_marks(
    qtbot, make_napari_viewer, drawn_fields, tmp_path, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    truths = np.stack([field.labels for field in drawn_fields])
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    box = np.array([(1, 0, 0), (1, 0, 50), (1, 50, 50), (1, 50, 0)])
    shapes = viewer.add_shapes([box], shape_type="polygon", name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))

    asked = answered(qtbot, SAVE, watch_of(viewer).ask)

    assert asked == ["Not saved yet: 1 region to ignore."]
    saved = json.loads((tmp_path / "truth marks.json").read_text())
    (region,) = saved["ignored_regions"]
    assert (region["field"], region["polygon_px"]) == ("2", box[:, 1:].tolist())


def test_a_region_that_both_layers_keep_after_a_swap_counts_once(
    qtbot, make_napari_viewer, drawn_fields
):
    viewer = make_napari_viewer(show=True)
    truths = np.stack([field.labels for field in drawn_fields])
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    box = np.array([(1, 0, 0), (1, 0, 50), (1, 50, 50), (1, 50, 0)])
    panel.controls.ignore.inside.value = viewer.add_shapes([box], shape_type="polygon")
    settled(qtbot, panel)
    panel.controls.swapping.click()
    settled(qtbot, panel)

    asked = answered(qtbot, CANCEL, viewer.window._qt_window.close)

    assert asked == ["Not saved yet: 1 region to ignore."]

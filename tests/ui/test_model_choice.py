"""Choosing a model, files of models among them; what is remembered of it."""

import shutil

from qtpy.QtWidgets import QFileDialog

from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui import preferences
from tests.ui.segment_actions import RUN, predictions, run


def test_values_and_model_are_there_after_a_restart(qtbot, viewer, image, panel, stand_in):
    panel.form.params["min_size"].value = 77
    run(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)

    again = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]

    assert again.form.params.params.min_size == 77
    again.form.defaults.native.click()
    assert again.form.params.params == catalogue.find("u2os").defaults


def test_a_model_file_is_added_and_remembered(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    path = tmp_path / "mine.pt"
    shutil.copy(catalogue.find("u2os").path, path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    panel.form.add_model.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert panel.form.model.value == str(path)
    assert preferences.load_model_files() == (path,)
    run(qtbot, panel)
    assert predictions(viewer)[0].name == "A01 mine.pt"


def test_a_file_that_is_no_model_is_refused(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    panel.form.add_model.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert "not a readable model file" in panel.status.value
    assert panel.form.model.value == "u2os"
    assert preferences.load_model_files() == ()

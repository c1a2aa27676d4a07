"""What a person painted into a prediction is not lost: driven by the brush, the wheel and keys."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QMessageBox,
    QScrollBar,
)

from napari_nucseg.io.writers import read_provenance
from napari_nucseg.ui.edits import count_corrected
from napari_nucseg.ui.files.writer import save_labels
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.segment.hand_edits import Answer
from tests.ui.scored import draw_on_canvas, turn_wheel
from tests.ui.segment_actions import RUN, predictions, run


def give_focus(qtbot, widget) -> None:
    widget.window().activateWindow()
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus)


class Questions:
    """Clicks a button of every question that is asked, and keeps what the questions say."""

    def __init__(self, qtbot):
        self.texts: list[str] = []
        self.answer = Answer.CANCEL
        self._qtbot = qtbot
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(20)

    def _look(self):
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            self.texts.append(box.text())
            button = next(one for one in box.buttons() if one.text() == self.answer)
            self._qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def stop(self):
        self._timer.stop()


@pytest.fixture
def questions(qtbot):
    questions = Questions(qtbot)
    yield questions
    questions.stop()


def settle(qtbot, panel) -> None:
    qtbot.waitUntil(
        lambda: not (panel.follows or panel.running or panel.measurements.measuring), timeout=RUN
    )


def erase_with_the_brush(qtbot, viewer, layer, label: int) -> None:
    """Erase a nucleus by a stroke of napari's eraser."""
    viewer.layers.selection = {layer}
    layer.visible = True
    y, x = np.argwhere(layer.data == label).mean(axis=0)
    layer.mode, layer.brush_size = "erase", 40
    viewer.reset_view()
    QApplication.processEvents()
    draw_on_canvas(
        qtbot, viewer, [tuple(layer.data_to_world(p)) for p in ((y, x - 4), (y, x), (y, x + 4))]
    )
    layer.mode = "pan_zoom"
    assert not (layer.data == label).any()


@pytest.fixture
def shown(qtbot, make_napari_viewer, field):
    """A window with a segmented field, and its panel."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(field.image, name="A01", scale=(0.645, 0.645), units=("um", "um"))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    run(qtbot, panel)
    settle(qtbot, panel)
    return viewer, panel, predictions(viewer)[0]


def press_undo(qtbot, viewer) -> None:
    """Press Ctrl+Z in the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def test_the_wheel_changes_nothing_without_focus(qtbot, shown):
    _, panel, layer = shown
    before = layer.data.copy()
    kinds = (QAbstractSpinBox, QComboBox, QAbstractSlider)
    boxes = [one for one in panel.native.findChildren(kinds[0]) if one.isVisible()]
    boxes += [
        one for kind in kinds[1:] for one in panel.native.findChildren(kind) if one.isVisible()
    ]
    panel.form.segment.native.setFocus()

    values = panel.form.params.params
    for box in boxes:
        turn_wheel(box, 3)
    turn_wheel(panel.form.model.native, -1)
    settle(qtbot, panel)

    assert len(boxes) > 3
    assert panel.form.params.params == values
    assert panel.form.model.value == "fluo-nuclei"
    np.testing.assert_array_equal(layer.data, before)


def test_the_wheel_changes_what_has_the_focus(qtbot, shown):
    _, panel, _ = shown
    row = panel.form.params["min_size"]
    give_focus(qtbot, row.native)
    before = row.value

    turn_wheel(row.native, 2)

    assert row.value == before + 2
    settle(qtbot, panel)


def test_the_wheel_asks_before_an_erased_nucleus_would_come_back(qtbot, shown, questions):
    viewer, panel, layer = shown
    erase_with_the_brush(qtbot, viewer, layer, 2)
    edited = layer.data.copy()
    row = panel.form.params["min_size"]
    give_focus(qtbot, row.native)

    turn_wheel(row.native, 1)
    settle(qtbot, panel)

    assert len(questions.texts) == 1
    assert "edited by hand" in questions.texts[0]
    np.testing.assert_array_equal(layer.data, edited)
    assert row.value == 15
    assert panel.form.params.params.min_size == 15
    assert "Nothing was changed" in panel.status.value


def test_edits_are_kept_in_a_copy(qtbot, shown, questions):
    viewer, panel, layer = shown
    erase_with_the_brush(qtbot, viewer, layer, 2)
    edited = layer.data.copy()
    questions.answer = Answer.KEEP

    panel.form.params["min_size"].value = 16
    settle(qtbot, panel)

    (copy,) = [one for one in predictions(viewer) if one is not layer]
    assert copy.name == "A01 fluo-nuclei edited"
    np.testing.assert_array_equal(copy.data, edited)
    assert count_corrected(copy) >= 1
    assert (layer.data == 2).any()
    assert count_corrected(layer) == 0

    panel.form.params["min_size"].value = 400
    settle(qtbot, panel)
    assert len(questions.texts) == 1
    np.testing.assert_array_equal(copy.data, edited)


def test_discarded_edits_come_back_with_ctrl_z(qtbot, shown, questions):
    viewer, panel, layer = shown
    erase_with_the_brush(qtbot, viewer, layer, 2)
    edited = layer.data.copy()
    questions.answer = Answer.DISCARD

    panel.form.params["min_size"].value = 16
    settle(qtbot, panel)
    assert (layer.data == 2).any()
    viewer.layers.selection = {layer}
    press_undo(qtbot, viewer)
    settle(qtbot, panel)

    np.testing.assert_array_equal(layer.data, edited)
    assert panel.form.params["min_size"].value == 15
    assert record_of(layer).provenance["parameters"]["min_size"] == 15
    assert count_corrected(layer) >= 1
    np.testing.assert_array_equal(layer.features["index"], np.unique(edited)[1:])

    press_undo(qtbot, viewer)  # the stroke itself
    settle(qtbot, panel)
    assert (layer.data == 2).any()
    assert count_corrected(layer) == 0


def test_segment_asks_before_it_replaces_edits(qtbot, shown, questions):
    viewer, panel, layer = shown
    erase_with_the_brush(qtbot, viewer, layer, 2)
    edited = layer.data.copy()

    run(qtbot, panel)
    assert "edited by hand" in questions.texts[0]
    np.testing.assert_array_equal(layer.data, edited)

    questions.answer = Answer.DISCARD
    run(qtbot, panel)
    assert (layer.data == 2).any()

    qtbot.mouseClick(panel.form.undo.native, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    np.testing.assert_array_equal(layer.data, edited)


@pytest.fixture
def edited(qtbot, viewer, image, panel, stand_in):
    """A prediction of which a nucleus was erased."""
    run(qtbot, panel)
    (layer,) = predictions(viewer)
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    return layer


def test_a_slider_that_moved_is_undone_and_redone(qtbot, viewer, image, panel):
    run(qtbot, panel)
    (layer,) = predictions(viewer)
    before = layer.data.copy()
    panel.form.params["min_size"].value = 300
    settle(qtbot, panel)
    after = layer.data.copy()
    assert (before != after).any()

    layer.undo()
    settle(qtbot, panel)
    np.testing.assert_array_equal(layer.data, before)
    assert (panel.form.params["min_size"].value, count_corrected(layer)) == (15, 0)

    layer.redo()
    settle(qtbot, panel)
    np.testing.assert_array_equal(layer.data, after)
    assert (panel.form.params["min_size"].value, count_corrected(layer)) == (300, 0)


def test_what_is_painted_while_a_network_runs_is_kept_in_a_copy(
    qtbot, viewer, image, panel, stand_in, held
):
    held.go_on.set()
    run(qtbot, panel)
    (layer,) = predictions(viewer)
    held.go_on.clear()
    held.reached.clear()
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    painted = layer.data.copy()
    held.go_on.set()
    settle(qtbot, panel)

    (copy,) = [one for one in predictions(viewer) if one is not layer]
    np.testing.assert_array_equal(copy.data, painted)
    assert (layer.data == 1).any()
    assert f"What you painted meanwhile is in {copy.name}." in panel.status.value


@pytest.fixture
def shown_stack(qtbot, make_napari_viewer, drawn_fields):
    """A window with a stack whose fields are all segmented, and its panel."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.stack([field.image for field in drawn_fields]), name="stack")
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    settle(qtbot, panel)
    (layer,) = predictions(viewer)
    viewer.layers.selection = {layer}
    return viewer, panel, layer


def segment_anew(qtbot, panel) -> None:
    """Let a network find other nuclei in all fields."""
    panel.form.params["min_size"].value = 300
    panel.live_update.rest()
    run(qtbot, panel)
    settle(qtbot, panel)


@pytest.mark.parametrize("way", ["Ctrl+Z", "Undo"])
def test_one_undo_takes_back_all_fields_of_a_run(qtbot, shown_stack, way):
    viewer, panel, layer = shown_stack
    before = layer.data.copy()
    segment_anew(qtbot, panel)
    after = layer.data.copy()
    assert (before != after).any(axis=(1, 2)).sum() > 1

    if way == "Ctrl+Z":
        press_undo(qtbot, viewer)
    else:
        qtbot.mouseClick(panel.form.undo.native, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)
    np.testing.assert_array_equal(layer.data, before)
    assert count_corrected(layer) == 0
    by_field = record_of(layer).by_field
    assert [by_field[plane]["parameters"]["min_size"] for plane in (0, 1)] == [15, 15]

    layer.redo()
    settle(qtbot, panel)
    np.testing.assert_array_equal(layer.data, after)
    assert count_corrected(layer) == 0


def test_what_is_painted_into_a_field_that_was_not_segmented_is_asked_about(
    qtbot, viewer, stack, panel, stand_in, questions
):
    viewer.dims.set_current_step(0, 0)
    run(qtbot, panel)
    (layer,) = predictions(viewer)
    viewer.dims.set_current_step(0, 1)
    layer.brush_size = 10
    layer.paint((1, 30, 30), 7)
    painted = layer.data.copy()

    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)

    assert questions.texts == ["1 nucleus was edited by hand."]
    np.testing.assert_array_equal(layer.data, painted)


def test_labels_that_nobody_edited_are_replaced_without_a_question(
    qtbot, viewer, image, panel, stand_in, questions
):
    run(qtbot, panel)
    run(qtbot, panel)
    panel.form.params["min_size"].value = 20
    settle(qtbot, panel)
    assert questions.texts == []


def test_an_edit_that_was_undone_is_no_edit(qtbot, edited, panel, questions):
    edited.undo()
    run(qtbot, panel)
    assert questions.texts == []


def test_apply_to_all_fields_asks_for_all_of_them(qtbot, viewer, stack, panel, questions):
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    (layer,) = predictions(viewer)
    layer.data_setitem(np.nonzero(layer.data == 1), 0)  # in both fields that have nuclei
    viewer.dims.set_current_step(0, 2)
    panel.form.params["min_size"].value = 300
    settle(qtbot, panel)
    assert questions.texts == []
    edited = layer.data.copy()

    panel.form.follow_all.native.click()
    settle(qtbot, panel)
    assert questions.texts == ["2 nuclei were edited by hand."]
    np.testing.assert_array_equal(layer.data, edited)


def test_the_panel_and_its_table_say_what_was_corrected_by_hand(
    qtbot, viewer, edited, panel, monkeypatch, tmp_path
):
    half = np.nonzero(edited.data == 2)
    edited.data_setitem(tuple(axis[:20] for axis in half), 0)
    settle(qtbot, panel)
    path = tmp_path / "nuclei.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    panel.result.save.native.click()
    settle(qtbot, panel)
    assert panel.status.value.endswith(", corrected by hand: 2 nuclei.")
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    marked = [row[header.index("index")] for row in rows if row[-1] == "1"]
    assert (header[-1], marked) == ("corrected_by_hand", ["2"])

    viewer.layers.selection.active = None
    viewer.layers.selection.active = edited
    assert panel.provenance.text.value.endswith("Corrected by hand: 2 nuclei")


def test_the_panel_counts_the_nuclei_that_an_edit_left(qtbot, shown):
    viewer, panel, layer = shown
    count = len(layer.features)
    assert panel.status.value.startswith(f"{count} nuclei in ")

    erase_with_the_brush(qtbot, viewer, layer, 2)
    settle(qtbot, panel)
    assert panel.status.value.startswith(f"{count - 1} nuclei in this field, ")
    assert panel.status.value.endswith("corrected by hand: 1 nucleus.")
    assert panel.provenance.text.value.endswith("Corrected by hand: 1 nucleus")

    press_undo(qtbot, viewer)
    settle(qtbot, panel)
    assert panel.status.value.startswith(f"{count} nuclei in this field, ")
    assert "by hand" not in panel.status.value + panel.provenance.text.value


def test_ctrl_z_is_counted_in_hidden_labels_and_in_another_field(qtbot, shown_stack):
    viewer, panel, layer = shown_stack
    viewer.dims.set_current_step(0, 0)
    count = len(layer.features)
    layer.data_setitem((np.zeros(1, int), *(axis[:1] for axis in np.nonzero(layer.data[0]))), 0)
    layer.data_setitem(tuple(np.array([n]) for n in (0, 1, 1)), 99)
    settle(qtbot, panel)
    assert len(layer.features) == count + 1

    viewer.dims.set_current_step(0, 1)
    layer.visible = False
    press_undo(qtbot, viewer)
    qtbot.waitUntil(lambda: panel.measurements.measuring, timeout=RUN)
    settle(qtbot, panel)
    viewer.dims.set_current_step(0, 0)

    assert len(layer.features) == count
    assert panel.status.value.startswith(f"{count} nuclei in this field, ")


def test_what_undo_says_is_not_replaced_by_counts_until_the_next_stroke(qtbot, shown):
    viewer, panel, layer = shown
    erase_with_the_brush(qtbot, viewer, layer, 2)
    settle(qtbot, panel)

    qtbot.mouseClick(panel.form.undo.native, Qt.MouseButton.LeftButton)
    settle(qtbot, panel)

    assert panel.status.value == f"The last change of {layer.name} is undone."

    erase_with_the_brush(qtbot, viewer, layer, 2)
    settle(qtbot, panel)
    assert "nuclei in this field" in panel.status.value


def test_a_saved_layer_says_what_was_corrected_by_hand(edited, tmp_path):
    path = tmp_path / "labels.tif"
    save_labels(str(path), edited.data, {"name": edited.name, "metadata": edited.metadata})
    assert read_provenance(path)["corrected_by_hand"] == 1


@pytest.mark.parametrize("name", ["Score nuclei", "Run on dataset"])
def test_the_wheel_changes_nothing_in_the_other_panels_either(make_napari_viewer, field, name):
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(field.labels, name="found")
    viewer.add_labels(field.labels, name="true")
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", name)[1]
    QApplication.processEvents()
    kinds = (QAbstractSpinBox, QComboBox, QAbstractSlider)
    boxes = [
        one
        for kind in kinds
        for one in panel.native.findChildren(kind)
        if not isinstance(one, QScrollBar)
    ]
    panel.native.setFocus()

    def values():
        return [
            box.currentText() if isinstance(box, QComboBox) else box.property("value")
            for box in boxes
        ]

    before = values()
    for box in boxes:
        turn_wheel(box, 2)
        turn_wheel(box, -1)

    assert len(boxes) > 3
    assert values() == before

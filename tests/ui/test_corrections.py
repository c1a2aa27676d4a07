"""Correcting labels in a real window: strokes, undo, and one side taken over into the other."""

import csv
import json
import time

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QThread
from qtpy.QtWidgets import QApplication

from napari_nucseg.batch.label_pairs import pair_labels
from napari_nucseg.io.calibration import read_calibration
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, PREDICTION, LayerRecord, role_of, tag
from napari_nucseg.ui.score import canvas
from napari_nucseg.ui.score.object_model import OBJECT_COLUMNS
from tests.ui.scored import draw_on_canvas


@pytest.fixture
def truth(drawn_fields):
    return drawn_fields[0].labels.copy()


@pytest.fixture
def predicted(truth):
    """The truth, with nucleus 1 missed, 2 and 3 under one number, and one that is spurious."""
    found = truth.copy()
    found[found == 1] = 0
    found[found == 3] = 2
    found[0:4, 0:4] = 99
    return found


@pytest.fixture
def layers(viewer, truth, predicted):
    return (
        viewer.add_labels(predicted, name="A01 fluo-nuclei", metadata=tag(LayerRecord(PREDICTION))),
        viewer.add_labels(truth, name="A01 truth", metadata=tag(LayerRecord(GROUND_TRUTH))),
    )


@pytest.fixture
def panel(qtbot, viewer, layers):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    return panel


def settled(qtbot, panel) -> None:
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)


def save(qtbot, panel, folder) -> None:
    """Save what was corrected, and wait until it is written."""
    panel.corrections.save_to(folder)
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)


def saved(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tif"))


def shown(panel, title: str) -> str:
    table = panel.table
    titles = [table.verticalHeaderItem(row).text() for row in range(table.rowCount())]
    names = [title.partition(" at ")[0] for title in titles]
    return table.item(names.index(title), 0).text()


def dice_of(layers) -> str:
    return f"{score(layers[1].data, layers[0].data).pixels.dice:.3f}"


def choose(panel, verdict: Verdict, *, is_true: bool = True) -> None:
    objects = panel.state.objects
    rows = np.flatnonzero((objects.code == verdict) & (objects.is_true == is_true))
    assert panel.objects.show_row(int(rows[0]))


def test_a_stroke_is_counted_and_listed_at_once(qtbot, layers, panel, truth):
    y, x = np.argwhere(truth == 1).mean(axis=0).astype(int)
    layers[0].brush_size = 12
    layers[0].paint((y, x), 200)
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == dice_of(layers))

    row = panel.state.objects.find(0, 1, is_true=True)
    assert panel.state.objects.partners_of(row) == (200,)


def test_a_stroke_of_the_mouse_is_counted_and_undone(qtbot, make_napari_viewer, truth, predicted):
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    layer = viewer.add_labels(predicted, metadata=tag(LayerRecord(PREDICTION)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    viewer.layers.selection = {layer}
    viewer.reset_view()
    QApplication.processEvents()
    layer.mode, layer.selected_label = "paint", 200
    before = shown(panel, "Dice (= F1)")

    draw_on_canvas(qtbot, viewer, [(80, 60), (80, 80), (80, 100)])
    qtbot.waitUntil(lambda: panel.state.objects.find(0, 200, is_true=False) is not None)

    assert shown(panel, "Dice (= F1)") == f"{score(truth, layer.data).pixels.dice:.3f}" != before
    layer.undo()
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == before)
    settled(qtbot, panel)


def test_undo_and_redo_are_counted(qtbot, layers, panel):
    before = shown(panel, "Dice (= F1)")
    layers[0].paint((80, 100), 200)
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == dice_of(layers))
    after = shown(panel, "Dice (= F1)")

    layers[0].undo()
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == before)
    layers[0].redo()
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == after)

    assert before != after


def test_after_an_edit_all_is_as_if_compared_anew(qtbot, layers, panel, truth):
    layers[1].fill(tuple(np.argwhere(truth == 4)[0]), 0)
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == dice_of(layers))
    settled(qtbot, panel)
    edited = [panel.table.item(row, 0).text() for row in range(1, 6)]
    objects = panel.state.objects
    pair, score_ = panel.state.pairs[0], panel.state.score

    panel.score.native.click()
    settled(qtbot, panel)

    assert panel.state.score == score_
    assert score_.boundaries is not None
    assert np.array_equal(panel.state.pairs[0].overlap.shared, pair.overlap.shared)
    for name in ("label", "code", "iou", "area", "y", "x", "box"):
        assert np.array_equal(getattr(panel.state.objects, name), getattr(objects, name))
    assert edited == [panel.table.item(row, 0).text() for row in range(1, 6)]


def test_an_edit_is_drawn_in_the_overlay_at_once(qtbot, viewer, layers, panel, truth):
    panel.show_errors()
    (errors,) = [layer for layer in viewer.layers if role_of(layer) == ERRORS]
    assert (np.asarray(errors.data)[truth == 1] == Verdict.MISSED).any()

    choose(panel, Verdict.MISSED)
    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    assert (np.asarray(errors.data)[truth == 1] == Verdict.MATCHED).any()
    assert [layer for layer in viewer.layers if role_of(layer) == ERRORS] == [errors]


def test_accepting_the_truth_of_a_missed_nucleus_adds_it(qtbot, layers, panel, truth):
    choose(panel, Verdict.MISSED)

    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    assert len(np.unique(layers[0].data[truth == 1])) == 1


def test_accepting_the_truth_cuts_a_nucleus_out_of_a_merged_one(qtbot, layers, panel, truth):
    assert panel.state.objects.find(0, 2, is_true=True) is not None
    panel.objects.show_row(panel.state.objects.find(0, 3, is_true=True))

    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.merged == 0)

    assert (layers[0].data[truth == 2] == 2).all()
    (number,) = np.unique(layers[0].data[truth == 3])
    assert number not in (0, 2)


def test_accepting_the_prediction_removes_a_missed_nucleus_from_the_truth(qtbot, layers, panel):
    choose(panel, Verdict.MISSED)

    panel.corrections.prediction.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    assert not (layers[1].data == 1).any()
    assert panel.status.value == "A01 truth: removed 1. Undo takes it back."


def test_accepting_a_spurious_nucleus_adds_it_to_the_truth(qtbot, layers, panel):
    choose(panel, Verdict.SPURIOUS, is_true=False)

    panel.corrections.prediction.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.spurious == 0)

    assert len(np.unique(layers[1].data[layers[0].data == 99])) == 1


@pytest.fixture
def stacks(viewer):
    """A nucleus in two pieces, and two nuclei in one piece, none of them flush; a stack of two."""
    truth, found = np.zeros((2, 2, 60, 120), np.int32)
    truth[0, 10:40, 5:45] = 1
    found[0, 12:38, 6:24] = 1
    found[0, 12:38, 26:44] = 2
    truth[0, 12:38, 66:84] = 8
    truth[0, 12:38, 86:104] = 9
    found[0, 10:40, 65:105] = 9
    return (
        viewer.add_labels(found, name="found", metadata=tag(LayerRecord(PREDICTION))),
        viewer.add_labels(truth, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH))),
    )


@pytest.fixture
def stack_panel(qtbot, viewer, stacks):
    viewer.dims.set_current_step(0, 0)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.threshold.value = 0.6
    settled(qtbot, panel)
    return panel


def accept(panel, key: dict, side: str) -> None:
    assert panel.objects.show_row(panel.state.objects.find(**key))
    getattr(panel.corrections, side).native.click()
    panel.edit_tracker.look()


def test_accepting_the_pieces_of_a_split_nucleus_leaves_nothing_of_it(stacks, stack_panel):
    accept(stack_panel, {"plane": 0, "label": 1, "is_true": True}, "prediction")

    found, truth = (layer.data[0, :, :60] for layer in stacks)
    assert np.array_equal(truth > 0, found > 0)
    assert len(np.unique(truth)) == 3


def test_accepting_the_nuclei_in_a_merged_one_leaves_nothing_of_it(stacks, stack_panel):
    accept(stack_panel, {"plane": 0, "label": 9, "is_true": False}, "truth")

    found, truth = (layer.data[0, :, 60:] for layer in stacks)
    assert np.array_equal(truth > 0, found > 0)
    assert len(np.unique(found)) == 3


def test_a_nucleus_is_accepted_though_errors_hide_its_layer(qtbot, viewer, stacks, stack_panel):
    stack_panel.show_errors()
    stack_panel.objects.filters.this_field.setChecked(False)
    viewer.dims.set_current_step(0, 1)
    assert stack_panel.objects.show_row(stack_panel.state.objects.find(0, 1, is_true=True))

    stack_panel.corrections.truth.native.click()

    found, truth = (layer.data[0, :, :60] for layer in stacks)
    assert np.array_equal(truth > 0, found > 0)
    assert not stacks[0].visible


def test_after_a_correction_the_next_error_is_the_next_one(qtbot, stacks, stack_panel):
    stack_panel.threshold.value = 0.7
    by_field = [column.title for column in OBJECT_COLUMNS].index("field")
    stack_panel.objects.view.sortByColumn(by_field, Qt.SortOrder.AscendingOrder)
    stack_panel.buttons.step(1)
    stack_panel.buttons.step(1)
    first = stack_panel.state.objects.key_of(stack_panel.objects.current)
    stack_panel.buttons.step(1)
    after = stack_panel.state.objects.key_of(stack_panel.objects.current)
    stack_panel.buttons.step(-1)
    stack_panel.buttons.toggle_errors_only()

    accept(stack_panel, first._asdict(), "truth")
    assert stack_panel.objects.current is None
    stack_panel.buttons.step(1)

    assert stack_panel.state.objects.key_of(stack_panel.objects.current) == after


def test_a_fill_through_all_fields_is_counted_in_all(qtbot, tmp_path, viewer, stacks, stack_panel):
    stacks[0].data[1, 30:50, 30:50] = 5
    stacks[0].data[0, 30:50, 30:50] = 5
    stack_panel.start()
    settled(qtbot, stack_panel)
    stacks[0].n_edit_dimensions = 3
    stacks[0].contiguous = False

    stacks[0].fill((0, 40, 40), 0)
    qtbot.waitUntil(lambda: stack_panel.state.is_there and stack_panel.running, timeout=20_000)
    settled(qtbot, stack_panel)

    assert stack_panel.state.score_of(1).objects.fp == 0
    save(qtbot, stack_panel, tmp_path)
    assert saved(tmp_path) == ["prediction/1.tif", "prediction/2.tif"]
    for field in range(2):
        note = read_provenance(tmp_path / "prediction" / f"{field + 1}.tif")
        assert note["corrections"]["removed"] == [5]


def test_a_large_stack_that_was_edited_in_depth_is_not_saved_field_by_field(
    qtbot, tmp_path, monkeypatch, stacks, stack_panel
):
    monkeypatch.setattr(canvas, "MOST_KEPT", stacks[0].data.size - 1)
    stacks[0].n_edit_dimensions = 3

    stacks[0].fill((0, 20, 20), 0)
    stack_panel.edit_tracker.look()
    settled(qtbot, stack_panel)

    save(qtbot, stack_panel, tmp_path)
    assert "edited in several fields at once" in stack_panel.status.value
    assert not list(tmp_path.iterdir())


def test_labels_that_a_program_changed_are_counted_when_they_are_painted(
    qtbot, viewer, stacks, stack_panel
):
    stacks[0].data[1] = 0
    stacks[0].data[1, 5:20, 5:20] = 7
    stacks[0].data[1, 40:50, 40:50] = 8
    viewer.dims.set_current_step(0, 1)
    stacks[0].paint((1, 10, 10), 0)
    stack_panel.edit_tracker.look()

    expected = score(stacks[1].data[1], stacks[0].data[1])
    assert stack_panel.state.score_of(1).pixels == expected.pixels
    assert stack_panel.state.objects.find(1, 8, is_true=False) is not None


def test_what_is_painted_in_a_field_out_of_sight_is_counted_and_saved(
    qtbot, tmp_path, viewer, stacks, stack_panel
):
    viewer.dims.set_current_step(0, 1)
    before = stack_panel.state.score_of(0)
    stacks[0].paint((0, 50, 110), 77)
    stacks[0].paint((0, 50, 114), 78)
    qtbot.waitUntil(lambda: not stack_panel.edit_tracker.is_waiting)
    settled(qtbot, stack_panel)

    expected = score(stacks[1].data[0], stacks[0].data[0])
    assert stack_panel.state.score_of(0).pixels == expected.pixels != before.pixels
    save(qtbot, stack_panel, tmp_path)
    assert saved(tmp_path) == ["prediction/1.tif"]
    note = read_provenance(tmp_path / "prediction" / "1.tif")
    assert note["corrections"]["added"] == [77, 78]

    stacks[0].undo()
    stacks[0].undo()
    qtbot.waitUntil(lambda: not stack_panel.edit_tracker.is_waiting)
    settled(qtbot, stack_panel)
    assert stack_panel.state.score_of(0).pixels == before.pixels


def test_what_is_painted_while_layers_are_compared_is_counted_and_saved(
    qtbot, tmp_path, stacks, stack_panel
):
    stack_panel.start()
    assert not stack_panel.state.is_there
    stacks[0].paint((0, 50, 110), 77)
    stack_panel.edit_tracker.look()
    settled(qtbot, stack_panel)

    assert stack_panel.state.objects.find(0, 77, is_true=False) is not None
    save(qtbot, stack_panel, tmp_path)
    assert saved(tmp_path) == ["prediction/1.tif"]


def test_two_predictions_compared_are_saved_under_two_names(qtbot, viewer, tmp_path, stack_panel):
    first, second = (
        viewer.add_labels(stack_panel.state.truth.data.copy(), name=name, metadata=tag(record))
        for name, record in (("a", LayerRecord(PREDICTION)), ("b", LayerRecord(PREDICTION)))
    )
    stack_panel.prediction.value, stack_panel.truth.value = first, second
    settled(qtbot, stack_panel)
    for layer in (first, second):
        layer.paint((0, 50, 110), 77)
    stack_panel.edit_tracker.look()

    save(qtbot, stack_panel, tmp_path)

    assert saved(tmp_path) == ["ground truth/1.tif", "prediction/1.tif"]


def test_what_was_accepted_can_be_undone(qtbot, layers, panel, predicted):
    before = predicted.copy()
    choose(panel, Verdict.MISSED)
    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    layers[0].undo()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 1)

    assert np.array_equal(layers[0].data, before)


def test_undo_takes_back_what_was_accepted_though_errors_hide_it(
    qtbot, layers, panel, predicted, truth
):
    before = predicted.copy()
    panel.show_errors()
    choose(panel, Verdict.MISSED)
    qtbot.mouseClick(panel.corrections.truth.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)
    assert panel.status.value.endswith(" Undo takes it back.")
    assert not layers[0].visible

    qtbot.mouseClick(panel.corrections.undo.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 1)

    np.testing.assert_array_equal(layers[0].data, before)
    np.testing.assert_array_equal(layers[1].data, truth)
    assert "is undone" in panel.status.value
    qtbot.mouseClick(panel.corrections.undo.native, Qt.MouseButton.LeftButton)
    assert panel.status.value == "There is nothing to undo."


def test_undo_takes_back_what_was_changed_last_on_either_side(
    qtbot, layers, panel, predicted, truth
):
    before = predicted.copy(), truth.copy()
    choose(panel, Verdict.MISSED)
    panel.corrections.truth.native.click()
    accepted = layers[0].data.copy()
    layers[1].paint((80, 100), 200)
    assert not np.array_equal(layers[1].data, before[1])

    panel.corrections.undo.native.click()
    np.testing.assert_array_equal(layers[1].data, before[1])
    np.testing.assert_array_equal(layers[0].data, accepted)
    assert panel.status.value == "The last change of A01 truth is undone."

    layers[1].redo()
    layers[0].undo()  # as Ctrl+Z does
    panel.corrections.undo.native.click()
    np.testing.assert_array_equal(layers[1].data, before[1])
    panel.corrections.undo.native.click()
    assert panel.status.value == "There is nothing to undo."


def test_a_nucleus_is_accepted_into_labels_whose_type_is_full(qtbot, viewer, truth):
    labels = np.zeros(truth.shape, np.uint8)
    labels.flat[:510:2] = np.arange(1, 256)
    narrow = viewer.add_labels(labels.copy(), metadata=tag(LayerRecord(PREDICTION)))
    narrow.data_setitem((np.array([9]), np.array([9])), 3)
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    assert panel.objects.show_row(panel.state.objects.find(0, 4, is_true=True))

    panel.corrections.truth.native.click()
    assert "added 256" in panel.status.value
    new = narrow.data != labels
    new[9, 9] = False
    assert set(np.unique(narrow.data[new])) == {256}
    np.testing.assert_array_equal(new, (truth == 4) & new)
    panel.corrections.undo.native.click()
    panel.corrections.undo.native.click()
    np.testing.assert_array_equal(narrow.data, labels)
    settled(qtbot, panel)


def test_labels_that_cannot_be_written_to_are_corrected_in_a_copy(qtbot, layers, panel, predicted):
    mine = predicted.copy()
    mine.flags.writeable = False
    layers[0].data = mine
    settled(qtbot, panel)
    choose(panel, Verdict.MISSED)

    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    assert np.array_equal(mine, predicted)
    settled(qtbot, panel)


def test_ctrl_z_takes_back_what_was_accepted(qtbot, make_napari_viewer, truth, predicted):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_labels(predicted.copy(), metadata=tag(LayerRecord(PREDICTION)))
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    choose(panel, Verdict.MISSED)
    qtbot.mouseClick(panel.corrections.truth.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)
    assert viewer.layers.selection.active is layer

    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 1)

    np.testing.assert_array_equal(layer.data, predicted)
    settled(qtbot, panel)
    assert "takes it back" not in panel.status.value


def test_ctrl_z_is_counted_though_errors_hide_the_labels(
    qtbot, make_napari_viewer, truth, predicted
):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_labels(predicted.copy(), metadata=tag(LayerRecord(PREDICTION)))
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    panel.show_errors()
    assert not layer.visible
    choose(panel, Verdict.MISSED)
    qtbot.mouseClick(panel.corrections.truth.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)
    canvas = viewer.window._qt_viewer.canvas.native

    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    for key, missed in ((control, 1), (control | shift, 0)):
        qtbot.keyClick(canvas, Qt.Key.Key_Z, key)
        qtbot.waitUntil(lambda missed=missed: panel.state.score.verdicts.missed == missed)

    assert (layer.data != predicted).any()
    settled(qtbot, panel)


def test_a_corrected_field_of_a_stack_is_saved_as_that_field(qtbot, tmp_path, viewer, drawn_fields):
    truths = np.stack([field.labels for field in drawn_fields])
    stems = ("A09_s1", "A16_s2", "A20_s3")
    made = {"model": "fluo-nuclei", "image": "A09_s1"}
    placed = {"scale": (1, 0.65, 0.65), "units": ("pixel", "um", "um")}
    found = viewer.add_labels(
        truths.copy(),
        metadata=tag(LayerRecord(PREDICTION, stems=stems, provenance=made)),
        **placed,
    )
    truth = LayerRecord(GROUND_TRUTH, stems=stems)
    viewer.add_labels(truths, metadata=tag(truth), **placed)
    viewer.dims.set_current_step(0, 1)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    found.data_setitem(np.nonzero(np.arange(3)[:, None, None] * (found.data == 2) == 1), 0)
    panel.edit_tracker.look()

    save(qtbot, panel, tmp_path / "out")

    assert saved(tmp_path / "out") == ["prediction/A16_s2.tif"]
    note = read_provenance(tmp_path / "out" / "prediction" / "A16_s2.tif")
    assert note["image"] == "A16_s2"
    assert note["pixel_size_um"] == pytest.approx(0.65)
    with tifffile.TiffFile(tmp_path / "out" / "prediction" / "A16_s2.tif") as file:
        assert read_calibration(file).pixel_size == pytest.approx(0.65)
    assert note["corrections"]["removed"] == [2]
    (tmp_path / "truth").mkdir()
    write_labels(tmp_path / "truth" / "A16_s2.tif", truths[1], {})
    (pair,) = pair_labels(tmp_path / "out" / "prediction", tmp_path / "truth")
    assert pair.score().objects.fn == 1


def test_exports_say_that_labels_were_corrected_by_hand(qtbot, tmp_path, layers, panel):
    layers[0].data_setitem(np.nonzero(layers[0].data == 4), 0)
    layers[0].data_setitem(np.nonzero(layers[0].data == 5), 0)
    panel.edit_tracker.look()
    qtbot.waitUntil(lambda: panel.corrections.corrected.value != "")
    assert panel.corrections.corrected.value == "Prediction corrected by hand: 2 nuclei."
    settled(qtbot, panel)

    for kind, name in (
        ("Fields as CSV...", "fields.csv"),
        ("Scores as JSON...", "scores.json"),
        ("Scores as LaTeX...", "scores.tex"),
        ("Scores as Markdown...", "scores.md"),
        ("Report as HTML...", "report.html"),
    ):
        panel.export.write(kind, tmp_path / name)
        qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    for name in ("scores.tex", "scores.md", "report.html"):
        assert "corrected by hand: 2 nuclei" in (tmp_path / name).read_text(), name
    assert json.loads((tmp_path / "scores.json").read_text())["corrected_by_hand"] == 2
    header, row = (tmp_path / "fields.csv").read_text().splitlines()
    assert row.split(",")[header.split(",").index("corrected_by_hand")] == "2"


def test_the_table_of_nuclei_says_which_were_corrected(qtbot, tmp_path, layers, panel):
    layers[0].data_setitem(np.nonzero(layers[0].data == 4), 0)
    empty = np.argwhere((layers[0].data == 0) & (layers[1].data == 0))
    layers[0].data_setitem(tuple(empty[:1].T), 300)
    layers[1].data_setitem(tuple(empty[-1:].T), 5)
    panel.edit_tracker.look()
    settled(qtbot, panel)

    panel.export.write("Nuclei as CSV...", tmp_path / "nuclei.csv")
    settled(qtbot, panel)

    with (tmp_path / "nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    corrected = {(row["side"], row["object"]) for row in rows if row["corrected"] == "True"}
    assert corrected == {("predicted", "300"), ("truth", "5")}


def test_without_a_chosen_nucleus_nothing_is_accepted(layers, panel, predicted):
    before = predicted.copy()

    panel.corrections.truth.native.click()

    assert "Choose a nucleus first" in panel.status.value
    assert np.array_equal(layers[0].data, before)


def test_corrected_labels_are_saved_with_a_note(qtbot, tmp_path, layers, panel, truth):
    choose(panel, Verdict.MISSED)
    pixels = int((truth == 1).sum())
    panel.corrections.prediction.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)

    save(qtbot, panel, tmp_path)

    assert saved(tmp_path) == ["ground truth/A01 truth.tif"]
    note = read_provenance(tmp_path / "ground truth" / "A01 truth.tif")
    assert note["corrected_by_hand"] == 1
    assert note["corrections"] == {"pixels": pixels, "added": [], "removed": [1], "changed": []}


def test_no_file_is_overwritten(qtbot, tmp_path, layers, panel):
    choose(panel, Verdict.MISSED)
    panel.corrections.prediction.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0)
    taken = tmp_path / "ground truth" / "A01 truth.tif"
    taken.parent.mkdir()
    taken.write_text("mine")

    save(qtbot, panel, tmp_path)

    assert "already exists; choose another folder" in panel.status.value
    assert taken.read_text() == "mine"


def test_what_was_undone_is_not_saved(qtbot, tmp_path, layers, panel):
    layers[0].paint((80, 100), 200)
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == dice_of(layers))
    layers[0].undo()
    qtbot.waitUntil(lambda: shown(panel, "Dice (= F1)") == dice_of(layers))

    save(qtbot, panel, tmp_path)

    assert not list(tmp_path.iterdir())
    assert "No label was corrected" in panel.status.value


def test_a_lazy_truth_is_read_before_it_is_corrected(qtbot, make_napari_viewer, drawn_dataset):
    viewer = make_napari_viewer()
    viewer.open(str(drawn_dataset), plugin="napari-nucseg")
    truths = viewer.layers[1]
    found = np.asarray(truths.data).copy()
    found[0][found[0] == 1] = 0
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    viewer.dims.set_current_step(0, 0)

    choose(panel, Verdict.MISSED)
    truths.visible, truths.selected_label = False, 300
    panel.corrections.prediction.native.click()
    qtbot.waitUntil(lambda: panel.state.score.verdicts.missed == 0, timeout=20_000)

    assert isinstance(truths.data, np.ndarray)
    assert np.array_equal(truths.data, found)
    truths.data = found + (found > 0)  # is noticed as before
    qtbot.waitUntil(lambda: panel.state.objects.find(0, 3, is_true=True) is not None)
    settled(qtbot, panel)
    settled(qtbot, panel)


def test_a_second_click_while_labels_are_read_takes_nothing_back(
    qtbot, make_napari_viewer, drawn_dataset
):
    viewer = make_napari_viewer()
    viewer.open(str(drawn_dataset), plugin="napari-nucseg")
    truths = viewer.layers[1]
    found = np.asarray(truths.data).copy()
    for label in (1, 2):
        found[0][found[0] == label] = 0
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    viewer.dims.set_current_step(0, 0)

    for label in (1, 2):
        assert panel.objects.show_row(panel.state.objects.find(0, label, is_true=True))
        panel.corrections.prediction.native.click()
    assert "still being read" in panel.status.value
    settled(qtbot, panel)

    assert not (truths.data[0] == 1).any()
    assert (truths.data[0] == 2).any()


def test_from_stroke_to_numbers_takes_no_longer_than_a_twentieth_of_a_second(
    qtbot, make_napari_viewer, bbbc039
):
    viewer = make_napari_viewer()
    from napari_nucseg.io.datasets import open_dataset

    field = next(f for f in open_dataset(bbbc039, "validation").fields if f.name == "A02_s1")
    truth = field.read_truth()
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    layer = viewer.add_labels(np.roll(truth, 2, 0), metadata=tag(LayerRecord(PREDICTION)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    panel.show_errors()
    told = []
    panel.model.changed.connect(lambda: told.append(time.perf_counter()))
    times = []
    for place in ((100, 100), (200, 300), (400, 500), (50, 600), (300, 200)):
        before, start = len(told), time.perf_counter()
        layer.paint(place, 500)
        qtbot.waitUntil(lambda before=before: len(told) > before)
        times.append(told[-1] - start)
        QThread.msleep(1)

    assert np.median(times) < 0.05

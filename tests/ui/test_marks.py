"""Marks on nuclei in a real window: buttons, keys and notes, what keeps them, and their files."""

import csv
import json

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nucseg.analysis.marks import Mark
from napari_nucseg.metrics.ignoring import Ignored
from napari_nucseg.metrics.score import score_with_boundaries
from napari_nucseg.ui.edits import write_field
from napari_nucseg.ui.score.object_model import MARK
from napari_nucseg.ui.score.panel import COMPARE, GALLERY, NUCLEI
from tests.ui.scored import add_stacks, open_panel, settled, spoil


@pytest.fixture
def layers(viewer, drawn_fields):
    truths = np.stack([field.labels for field in drawn_fields])
    return add_stacks(viewer, truths, spoil(truths), ("A01", "A02", "A03"))


@pytest.fixture
def panel(qtbot, viewer, layers):
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(NUCLEI)
    return panel


def choose(panel, plane: int, label: int, *, is_true: bool = True) -> None:
    panel.model.chosen.emit(panel.state.objects.find(plane, label, is_true=is_true))


def expected(panel, plane: int, ignore: Ignored | None):
    """Score a field from its labels."""
    truth, found = panel.state.label_reader()(plane)
    return score_with_boundaries(truth, found, ignore=ignore)


def press(qtbot, panel, mark: Mark) -> None:
    qtbot.mouseClick(panel.marks.buttons[mark], Qt.MouseButton.LeftButton)


def marks(panel) -> dict:
    objects = panel.state.objects
    return {objects.key_of(row): one.mark for row, one in panel.state.marked.items()}


def write(note: str, qtbot, panel) -> None:
    panel.marks.note.clear()
    qtbot.keyClicks(panel.marks.note, note)
    qtbot.keyClick(panel.marks.note, Qt.Key.Key_Return)


def test_a_button_marks_the_chosen_nucleus_and_takes_the_mark_away(qtbot, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    assert marks(panel) == {(0, 3, True): Mark.REVIEWED}
    assert "reviewed" in panel.status.value

    press(qtbot, panel, Mark.TRUTH_IS_WRONG)
    assert marks(panel) == {(0, 3, True): Mark.TRUTH_IS_WRONG}
    assert not panel.marks.buttons[Mark.REVIEWED].isChecked()

    press(qtbot, panel, Mark.TRUTH_IS_WRONG)
    assert marks(panel) == {}


def test_without_a_nucleus_it_says_what_to_do(qtbot, panel):
    press(qtbot, panel, Mark.REVIEWED)

    assert "Choose a nucleus first" in panel.status.value
    assert not panel.marks.buttons[Mark.REVIEWED].isChecked()


def test_a_key_marks_in_the_canvas(qtbot, viewer, panel):
    choose(panel, 0, 3)
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_R)

    assert marks(panel) == {(0, 3, True): Mark.REVIEWED}


@pytest.mark.parametrize(("tab", "part"), [(NUCLEI, "objects"), (GALLERY, "gallery")])
def test_keys_mark_while_the_panel_has_the_focus(
    qtbot, make_napari_viewer, drawn_fields, tab, part
):
    viewer = make_napari_viewer(show=True)
    truths = np.stack([field.labels for field in drawn_fields])
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(tab)
    choose(panel, 1, 2)
    view = getattr(panel, part).view
    panel.native.window().activateWindow()
    view.setFocus()
    qtbot.waitUntil(view.hasFocus)
    for key, mark in zip("RTI", Mark, strict=True):
        qtbot.keyClick(view, getattr(Qt.Key, f"Key_{key}"))
        assert marks(panel) == {(1, 2, True): mark}
    qtbot.waitUntil(lambda: not panel.running)


def test_the_table_shows_marks_in_a_column_that_sorts(qtbot, panel):
    assert panel.objects.view.isColumnHidden(MARK)
    choose(panel, 1, 2)
    press(qtbot, panel, Mark.REVIEWED)
    write("blurred", qtbot, panel)
    assert not panel.objects.view.isColumnHidden(MARK)

    panel.objects.view.sortByColumn(MARK, Qt.SortOrder.DescendingOrder)

    model = panel.objects.model
    assert model.data(model.index(0, MARK)) == "\u2713"
    assert model.data(model.index(0, MARK), Qt.ItemDataRole.ToolTipRole) == "reviewed: blurred"


def test_a_note_stays_with_its_nucleus(qtbot, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    write("two nuclei?", qtbot, panel)
    choose(panel, 1, 2)
    assert panel.marks.note.text() == ""
    choose(panel, 0, 3)

    assert panel.marks.note.text() == "two nuclei?"
    assert "two nuclei?" in panel.status.value


def test_a_note_that_is_typed_first_is_kept_with_the_mark(qtbot, panel):
    choose(panel, 0, 3)
    write("dim", qtbot, panel)
    press(qtbot, panel, Mark.TRUTH_IS_WRONG)

    (marked,) = panel.state.marked.values()
    assert marked.note == "dim"


def test_a_mark_that_is_taken_away_comes_back_with_its_note(qtbot, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    write("out of focus", qtbot, panel)
    press(qtbot, panel, Mark.IGNORE)
    choose(panel, 1, 2)
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)

    (marked,) = panel.state.marked.values()
    assert (marked.mark, marked.note) == (Mark.REVIEWED, "out of focus")


def test_marks_are_opened_again_in_another_session(qtbot, viewer, panel, layers, tmp_path):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)
    scores = [panel.state.score_of(plane) for plane in range(3)]
    assert panel.marks.files.text() == "Marks *"
    panel.marks.save_to(tmp_path / "mine.json")
    settled(qtbot, panel)
    assert panel.marks.files.text() == "Marks"
    viewer.window.remove_dock_widget(panel.native)
    data = [layer.data for layer in layers]
    viewer.layers.clear()

    add_stacks(viewer, data[1], data[0], ("A01", "A02", "A03"))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(NUCLEI)
    assert marks(panel) == {}
    panel.marks.open_from(tmp_path / "mine.json")
    settled(qtbot, panel)
    assert marks(panel) == {(0, 3, True): Mark.IGNORE}
    assert [panel.state.score_of(plane) for plane in range(3)] == scores


def test_all_predictions_are_compared_without_what_is_ignored(qtbot, viewer, layers, panel):
    other = layers[0].data.copy()
    other[1][other[1] == 1] = 0
    viewer.add_labels(other, name="other", metadata=layers[0].metadata)
    panel.prediction.value = layers[0]
    settled(qtbot, panel)
    panel.tabs.setCurrentIndex(COMPARE)
    choose(panel, 0, 3)
    panel.marks.mark(Mark.IGNORE)
    corners = box_around(layers[1].data[1] == 2, out=0.7)
    shapes = viewer.add_shapes([in_field(1, corners)], shape_type="polygon", name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    panel.comparison.compare()
    settled(qtbot, panel)

    both = {one.name: one for one in panel.comparison.scores.all_scored}
    assert {name: one.summary.pooled.ignored.true for name, one in both.items()} == {
        "found": 2,
        "other": 2,
    }
    assert both["found"].summary.pooled.objects.fn == 0
    assert both["other"].summary.pooled.objects.fn == 1


def test_marks_survive_another_threshold_field_and_scoring_again(qtbot, viewer, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    panel.threshold.value = 0.8
    viewer.dims.set_current_step(0, 1)
    panel.score.native.click()
    settled(qtbot, panel)

    assert marks(panel) == {(0, 3, True): Mark.REVIEWED}


def test_an_edit_removes_the_mark_with_the_nucleus_and_undo_brings_it_back(qtbot, layers, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    truth = layers[1]
    write_field(truth, 0, np.where(truth.data[0] == 3, 0, truth.data[0]))
    panel.edit_tracker.look()
    assert marks(panel) == {}

    truth.undo()
    panel.edit_tracker.look()
    assert marks(panel) == {(0, 3, True): Mark.REVIEWED}


def test_marks_are_there_when_the_panel_is_opened_again(qtbot, viewer, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    viewer.window.remove_dock_widget(panel.native)

    assert marks(open_panel(qtbot, viewer)) == {(0, 3, True): Mark.REVIEWED}


def test_marks_are_saved_and_opened_and_none_is_overwritten(qtbot, panel, tmp_path):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.REVIEWED)
    choose(panel, 1, 2)
    press(qtbot, panel, Mark.TRUTH_IS_WRONG)
    panel.marks.save_to(tmp_path / "mine")
    settled(qtbot, panel)
    saved = json.loads((tmp_path / "mine.json").read_text())
    assert [(one["field"], one["label"]) for one in saved["marks"]] == [("A01", 3), ("A02", 2)]

    press(qtbot, panel, Mark.TRUTH_IS_WRONG)
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    panel.marks.open_from(tmp_path / "mine.json")
    settled(qtbot, panel)

    assert marks(panel) == {(0, 3, True): Mark.IGNORE, (1, 2, True): Mark.TRUTH_IS_WRONG}
    assert "1 mark added" in panel.status.value
    assert "1 nucleus had another mark and kept it" in panel.status.value


def test_marks_are_not_opened_for_layers_that_were_chosen_meanwhile(
    qtbot, viewer, layers, panel, tmp_path
):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    panel.marks.save_to(tmp_path / "mine.json")
    settled(qtbot, panel)
    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)

    panel.marks.open_from(tmp_path / "mine.json")
    panel.prediction.value = viewer.add_labels(layers[0].data.copy(), name="other")
    settled(qtbot, panel)

    assert marks(panel) == {}


def test_a_file_that_holds_no_marks_is_refused_by_name(qtbot, panel, tmp_path):
    (tmp_path / "other.json").write_text("{]")
    panel.marks.open_from(tmp_path / "other.json")
    qtbot.waitUntil(lambda: "other.json" in panel.status.value, timeout=5000)

    assert "no JSON file" in panel.status.value


def test_the_exported_table_has_marks_and_notes(qtbot, panel, tmp_path):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.TRUTH_IS_WRONG)
    write("=1+1", qtbot, panel)
    panel.export.write("Nuclei as CSV...", tmp_path / "nuclei.csv")
    settled(qtbot, panel)

    with (tmp_path / "nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    marked = [(row["side"], row["object"], row["mark"], row["note"]) for row in rows if row["mark"]]
    assert marked == [("truth", "3", "truth is wrong", "'=1+1")]
    assert {row["counted"] for row in rows} == {"True"}


def test_what_is_to_be_ignored_leaves_the_scores_and_both_counts_are_told(qtbot, viewer, panel):
    viewer.dims.set_current_step(0, 0)
    before = panel.state.score
    nuclei = before.areas.true
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)

    ignore = Ignored(truth=frozenset({3}))
    assert panel.state.score == expected(panel, 0, ignore)
    assert panel.state.score_of(1) == expected(panel, 1, Ignored())
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(0, 0)
    assert f"{nuclei - 1} of {nuclei} nuclei counted, 1 ignored" in panel.status.value

    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)
    assert panel.state.score == before


def test_an_ignored_nucleus_is_no_error_to_go_to(qtbot, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)
    panel.tabs.setCurrentIndex(GALLERY)

    assert panel.gallery.model.rowCount() == 1
    for _ in range(2):
        panel.buttons.next.native.click()
        assert panel.state.objects.key_of(panel.objects.current) == (1, 2, True)


def test_a_spurious_nucleus_can_be_ignored(qtbot, viewer, layers, panel):
    found = layers[0].data[0].copy()
    y, x = np.argwhere((found == 0) & (layers[1].data[0] == 0))[0]
    found[y, x : x + 3] = np.where(found[y, x : x + 3] == 0, 77, 0)
    viewer.dims.set_current_step(0, 0)
    write_field(layers[0], 0, found)
    panel.edit_tracker.look()
    assert panel.state.score.verdicts.spurious == 1
    choose(panel, 0, 77, is_true=False)
    press(qtbot, panel, Mark.IGNORE)
    settled(qtbot, panel)

    assert panel.state.score.verdicts.spurious == 0
    assert panel.state.score == expected(panel, 0, Ignored(predicted=frozenset({77})))


def test_an_edit_beside_what_is_ignored_is_scored_without_it(qtbot, viewer, layers, panel):
    choose(panel, 0, 3)
    press(qtbot, panel, Mark.IGNORE)
    truth = layers[1]
    write_field(truth, 0, np.where(truth.data[0] == 2, 0, truth.data[0]))
    panel.edit_tracker.look()
    settled(qtbot, panel)
    assert panel.state.score == expected(panel, 0, Ignored(truth=frozenset({3})))

    write_field(truth, 0, np.where(truth.data[0] == 3, 0, truth.data[0]))
    panel.edit_tracker.look()
    settled(qtbot, panel)
    assert panel.state.score == expected(panel, 0, Ignored())


def test_nuclei_at_the_border_are_ignored_on_request(qtbot, viewer, panel, tmp_path):
    before = panel.state.score
    assert not panel.controls.border.value
    panel.controls.border.native.click()
    settled(qtbot, panel)

    for plane in range(3):
        assert panel.state.score_of(plane) == expected(panel, plane, Ignored(border=True))
    panel.export.write("Scores as JSON...", tmp_path / "scores.json")
    panel.export.write("Fields as CSV...", tmp_path / "fields.csv")
    panel.export.write("Nuclei as CSV...", tmp_path / "nuclei.csv")
    settled(qtbot, panel)
    pooled = json.loads((tmp_path / "scores.json").read_text())["pooled"]
    with (tmp_path / "fields.csv").open(newline="") as file:
        fields = list(csv.DictReader(file))
    with (tmp_path / "nuclei.csv").open(newline="") as file:
        nuclei = list(csv.DictReader(file))
    left_out = sum(one["side"] == "truth" and one["counted"] == "False" for one in nuclei)
    assert left_out == pooled["ignored"]["true"]
    assert left_out == sum(int(one["ignored_true"]) for one in fields) > 0

    panel.controls.border.native.click()
    settled(qtbot, panel)
    assert panel.state.score == before


def box_around(labels: np.ndarray, *, out: float = 1.0) -> np.ndarray:
    """Return four corners around the pixels of a nucleus."""
    places = np.argwhere(labels)
    (top, left), (bottom, right) = places.min(axis=0) - out, places.max(axis=0) + out
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def in_field(plane: int, corners: np.ndarray) -> np.ndarray:
    return np.column_stack([np.full(len(corners), plane), corners])


def mask_of(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie in an upright rectangle."""
    (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0)
    y, x = np.indices(shape)
    return (y > top) & (y < bottom) & (x > left) & (x < right)


def test_a_shape_leaves_out_what_lies_in_it_in_its_field_alone(qtbot, viewer, layers, panel):
    truth = layers[1].data
    corners = box_around(truth[1] == 2, out=0.7)
    before = [panel.state.score_of(plane) for plane in range(3)]
    shapes = viewer.add_shapes([in_field(1, corners)], shape_type="polygon", name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)

    region = Ignored(region=mask_of(corners, truth[1].shape))
    assert panel.state.score_of(1) == expected(panel, 1, region)
    assert panel.state.score_of(1).ignored.true == 1
    assert panel.state.score_of(0) == expected(panel, 0, Ignored())
    viewer.dims.set_current_step(0, 1)
    nuclei = before[1].areas.true
    assert f"{nuclei - 1} of {nuclei} nuclei counted, 1 ignored" in panel.status.value

    panel.controls.ignore.inside.value = None
    settled(qtbot, panel)
    assert [panel.state.score_of(plane) for plane in range(3)] == before


def test_scores_follow_shapes_that_are_drawn_moved_and_deleted(qtbot, viewer, layers, panel):
    truth = layers[1].data
    shapes = viewer.add_shapes(ndim=3, name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    for plane, label in ((0, 3), (1, 2)):
        shapes.add_rectangles(in_field(plane, box_around(truth[plane] == label)))
        assert panel.running
        settled(qtbot, panel)
        assert panel.state.score_of(plane).ignored.true == 1

    shapes.translate = (0, 1000, 0)
    settled(qtbot, panel)
    assert panel.state.score_of(0).ignored.true == 0
    shapes.translate = (0, 0, 0)
    settled(qtbot, panel)
    shapes.selected_data = {0}
    shapes.remove_selected()
    settled(qtbot, panel)
    assert [panel.state.score_of(plane).ignored.true for plane in (0, 1)] == [0, 1]

    viewer.layers.remove(shapes)
    settled(qtbot, panel)
    assert panel.state.score_of(1).ignored is None


def test_a_shape_without_a_field_of_its_own_counts_in_all_and_a_line_in_none(qtbot, viewer, panel):
    shapes = viewer.add_shapes(ndim=2, name="debris")
    shapes.add_rectangles(np.array([(-1, -1), (-1, 60), (60, 60), (60, -1)]))
    shapes.add_lines(np.array([(0, 0), (100, 100)]))
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    panel.score.native.click()
    settled(qtbot, panel)

    ignored = [panel.state.score_of(plane).ignored.true for plane in range(3)]
    assert ignored == [
        expected(panel, p, panel.state.ignored(p, panel.state.pairs[p])).ignored.true
        for p in range(3)
    ]
    assert sum(ignored) > 0
    assert "1 shape of debris without an inside" in panel.status.value


def test_shapes_lie_where_they_are_seen_whatever_the_pixel_size(qtbot, viewer, drawn_fields):
    truth = drawn_fields[0].labels
    found, true = add_stacks(viewer, truth, spoil(truth[None].repeat(2, 0))[0])
    for layer in (found, true):
        layer.scale, layer.translate = (0.5, 0.5), (7, -3)
    panel = open_panel(qtbot, viewer)
    corners = box_around(truth == 3) * 0.5 + (7, -3)
    panel.controls.ignore.inside.value = viewer.add_shapes([corners], shape_type="ellipse")
    settled(qtbot, panel)

    assert panel.state.score.ignored.true == 1
    assert panel.state.score.verdicts.missed == 0


def test_a_layer_to_draw_in_lies_on_the_labels_and_is_chosen(qtbot, viewer, layers, panel):
    for layer in layers:
        layer.scale = (1, 0.5, 0.5)
    qtbot.mouseClick(panel.controls.ignore.adding, Qt.MouseButton.LeftButton)
    settled(qtbot, panel)
    shapes = panel.controls.ignore.inside.value

    assert viewer.layers.selection.active is shapes
    assert shapes.mode == "add_polygon"
    assert (tuple(shapes.scale), shapes.units) == ((1, 0.5, 0.5), layers[0].units)
    shapes.add_polygons(in_field(0, box_around(layers[1].data[0] == 3)))
    settled(qtbot, panel)
    assert panel.state.score_of(0).ignored.true == 1


def test_an_edit_is_scored_with_the_regions_in_force(qtbot, viewer, layers, panel):
    truth = layers[1]
    corners = box_around(truth.data[0] == 3, out=0.7)
    shapes = viewer.add_shapes([in_field(0, corners)], shape_type="polygon", name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    write_field(truth, 0, np.where(truth.data[0] == 2, 0, truth.data[0]))
    panel.edit_tracker.look()
    settled(qtbot, panel)

    region = Ignored(region=mask_of(corners, truth.data[0].shape))
    assert panel.state.score_of(0) == expected(panel, 0, region)


def test_shapes_can_be_changed_after_the_panel_was_closed(qtbot, viewer, layers, panel):
    shapes = viewer.add_shapes(ndim=3, name="debris")
    panel.controls.ignore.inside.value = shapes
    settled(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)

    shapes.add_rectangles(in_field(0, np.array([(0, 0), (0, 9), (9, 9), (9, 0)])))
    assert not panel.running


def draw_around(viewer, panel, plane: int, label: int, name: str = "debris"):
    """Draw around a true nucleus in a new layer, and let what lies inside be ignored."""
    truth = panel.state.truth.data
    corners = in_field(plane, box_around(truth[plane] == label, out=0.7))
    shapes = viewer.add_shapes([corners], shape_type="polygon", name=name)
    panel.controls.ignore.inside.value = shapes
    return shapes


def ignored_in(panel, plane: int) -> int:
    score = panel.state.score_of(plane)
    return 0 if score.ignored is None else score.ignored.true_in_region


def test_regions_are_opened_again_in_another_session(qtbot, viewer, panel, layers, tmp_path):
    draw_around(viewer, panel, 1, 2)
    settled(qtbot, panel)
    scores = [panel.state.score_of(plane) for plane in range(3)]
    assert panel.marks.files.text() == "Marks *"
    panel.marks.save_to(tmp_path / "mine.json")
    settled(qtbot, panel)
    assert panel.marks.files.text() == "Marks"
    assert "1 region to ignore written" in panel.status.value
    viewer.window.remove_dock_widget(panel.native)
    data = [layer.data for layer in layers]
    viewer.layers.clear()

    prediction, _ = add_stacks(viewer, data[1], data[0], ("A01", "A02", "A03"))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(NUCLEI)
    viewer.layers.selection.active = prediction
    panel.marks.open_from(tmp_path / "mine.json")
    qtbot.waitUntil(lambda: panel.controls.ignore.inside.value is not None)
    told = panel.status.value
    settled(qtbot, panel)

    assert [panel.state.score_of(plane) for plane in range(3)] == scores
    assert panel.controls.ignore.inside.current_choice == "ignored (mine)"
    assert "1 region to ignore drawn in ignored (mine)" in told
    assert panel.marks.files.text() == "Marks"
    assert viewer.layers.selection.active is prediction


def test_regions_of_a_file_leave_those_that_a_person_drew(qtbot, viewer, panel, tmp_path):
    first = draw_around(viewer, panel, 1, 2)
    settled(qtbot, panel)
    panel.marks.save_to(tmp_path / "mine.json")
    settled(qtbot, panel)
    panel.marks.open_from(tmp_path / "mine.json")
    settled(qtbot, panel)
    assert [layer.name for layer in viewer.layers] == ["found", "truth", "debris"]

    mine = draw_around(viewer, panel, 0, 3, "others")
    settled(qtbot, panel)
    panel.marks.open_from(tmp_path / "mine.json")
    qtbot.waitUntil(lambda: "not used" in panel.status.value)
    settled(qtbot, panel)

    assert panel.controls.ignore.inside.value is mine
    assert len(mine.data) == len(first.data) == 1
    assert (ignored_in(panel, 0), ignored_in(panel, 1)) == (1, 0)
    panel.controls.ignore.inside.value = viewer.layers["ignored (mine)"]
    settled(qtbot, panel)
    assert (ignored_in(panel, 0), ignored_in(panel, 1)) == (0, 1)


def test_regions_are_in_force_when_the_panel_is_opened_again(qtbot, viewer, panel):
    shapes = draw_around(viewer, panel, 1, 2)
    settled(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)
    panel = open_panel(qtbot, viewer)

    assert panel.controls.ignore.inside.value is shapes
    assert ignored_in(panel, 1) == 1
    panel.controls.ignore.inside.value = None
    settled(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)
    assert open_panel(qtbot, viewer).controls.ignore.inside.value is None


def test_shapes_without_labels_wait_for_them(viewer):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.controls.ignore.inside.value = viewer.add_shapes(name="debris")

    assert "no prediction yet" in panel.status.value


def test_files_tell_how_many_nuclei_a_region_leaves_out(qtbot, viewer, panel, tmp_path):
    panel.controls.border.native.click()
    settled(qtbot, panel)
    at_border = panel.state.score_of(1).ignored.true
    draw_around(viewer, panel, 1, 2)
    settled(qtbot, panel)
    viewer.dims.set_current_step(0, 1)
    assert f"{at_border + 1} ignored (1 in drawn regions)" in panel.status.value
    for kind, name in (
        ("Scores as JSON...", "scores.json"),
        ("Fields as CSV...", "fields.csv"),
        ("Scores as Markdown...", "scores.md"),
    ):
        panel.export.write(kind, tmp_path / name)
        settled(qtbot, panel)

    ignored = json.loads((tmp_path / "scores.json").read_text())["pooled"]["ignored"]
    assert (ignored["true_in_region"], ignored["predicted_in_region"]) == (1, 0)
    with (tmp_path / "fields.csv").open(newline="") as file:
        fields = list(csv.DictReader(file))
    assert [one["ignored_true_in_region"] for one in fields] == ["0", "1", "0"]
    assert "ignored, 1 in drawn regions (predicted" in (tmp_path / "scores.md").read_text()

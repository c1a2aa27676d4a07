"""The table of nuclei in a real window: rows, canvas, keys and filters lead to the same nucleus."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, tag
from napari_nucseg.ui.score.object_model import OBJECT_COLUMNS
from tests.ui.scored import click_canvas, outlined, traces


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields])


@pytest.fixture
def found(truths):
    """The truth, with a missed nucleus in both fields, and a spurious one in the second."""
    found = truths.copy()
    found[0][found[0] == 3] = 0
    found[1][found[1] == 2] = 0
    row, column = np.argwhere(truths[1] == 0)[0]
    found[1, row : row + 4, column : column + 4] = np.where(
        truths[1, row : row + 4, column : column + 4] == 0, 99, 0
    )
    return found


@pytest.fixture
def stacks(viewer, truths, found):
    """Two fields and an empty one, at a place and scale of their own."""
    placed = {"scale": (2, 0.5, 0.5), "translate": (3, 10, 20)}
    record = LayerRecord(PREDICTION)
    return (
        viewer.add_labels(found, name="found", metadata=tag(record), **placed),
        viewer.add_labels(truths, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)), **placed),
    )


@pytest.fixture
def opened(qtbot, viewer, stacks):
    """The panel as it opens, on the first field."""
    viewer.dims.set_current_step(0, 0)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.tabs.setCurrentWidget(panel.objects)
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    return panel


@pytest.fixture
def panel(opened):
    """The panel with the nuclei of all fields."""
    opened.objects.filters.this_field.click()
    return opened


def texts(panel, title: str) -> list[str]:
    model = panel.objects.model
    column = [c.title for c in OBJECT_COLUMNS].index(title)
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


def click_row(qtbot, panel, position: int) -> None:
    view = panel.objects.view
    index = panel.objects.model.index(position, 0)
    view.scrollTo(index)
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center()
    )


def world_of(layer, plane, label) -> tuple[float, float]:
    """Place of a nucleus' centre, as the camera counts it."""
    y, x = np.argwhere(layer.data[plane] == label).mean(axis=0)
    return tuple(layer.data_to_world((plane, y, x))[-2:])


def row_of(panel, verdict: Verdict, plane: int) -> int:
    """Position in the table of the first object of a verdict in a field."""
    objects, order = panel.state.objects, panel.objects.model.order
    hit = (objects.code[order] == verdict) & (objects.plane[order] == plane)
    return int(np.flatnonzero(hit)[0])


def test_every_nucleus_has_one_row(panel, truths):
    nuclei = sum(len(np.unique(truth)) - 1 for truth in truths)

    assert panel.objects.model.rowCount() == nuclei + 1
    assert texts(panel, "verdict").count("missed") == 2
    assert texts(panel, "verdict").count("spurious") == 1


def test_a_row_tells_both_numbers(panel):
    position = row_of(panel, Verdict.SPURIOUS, 1)

    assert texts(panel, "true")[position] == ""
    assert texts(panel, "pred.")[position] == "99"
    matched = row_of(panel, Verdict.MATCHED, 0)
    assert texts(panel, "true")[matched] == texts(panel, "pred.")[matched] != ""


def test_a_click_on_a_row_goes_to_its_field_layer_label_and_place(qtbot, viewer, stacks, panel):
    viewer.dims.set_current_step(0, 0)

    click_row(qtbot, panel, row_of(panel, Verdict.MISSED, 1))

    assert panel.state.plane == 1
    assert viewer.layers.selection.active is stacks[1]
    assert stacks[1].selected_label == 2
    assert np.allclose(viewer.scene.camera.center[-2:], world_of(stacks[1], 1, 2), atol=2)
    assert viewer.scene.camera.zoom > 2


def test_a_click_on_a_spurious_row_selects_it_in_the_prediction(qtbot, viewer, stacks, panel):
    click_row(qtbot, panel, row_of(panel, Verdict.SPURIOUS, 1))

    assert viewer.layers.selection.active is stacks[0]
    assert stacks[0].selected_label == 99


def test_a_missed_nucleus_is_outlined_though_the_truth_is_hidden(
    qtbot, make_napari_viewer, truths, found, tmp_path
):
    picture = tmp_path / "drawn.png"
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(found, name="found", metadata=tag(LayerRecord(PREDICTION)))
    truth = viewer.add_labels(truths, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    truth.visible = False
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    viewer.dims.set_current_step(0, 0)
    assert not outlined(viewer, picture)
    panel.buttons.next.native.click()
    assert "missed" in panel.status.value

    assert outlined(viewer, picture) > 50
    viewer.dims.set_current_step(0, 2)
    assert not outlined(viewer, picture)  # it is of another field
    viewer.dims.set_current_step(0, 0)
    assert outlined(viewer, picture) > 50
    panel.buttons.errors.native.click()  # which outlines it, too
    assert not any(one.isVisible() for one in traces(viewer))


def test_a_click_in_the_canvas_selects_the_row(qtbot, make_napari_viewer, truths, found):
    viewer = make_napari_viewer(show=True)
    record = LayerRecord(PREDICTION)
    viewer.add_labels(found[0], name="found", metadata=tag(record))
    truth = viewer.add_labels(truths[0], metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    viewer.reset_view()
    QApplication.processEvents()
    centre = viewer.scene.camera.center

    y, x = np.argwhere(truths[0] == 3).mean(axis=0)
    click_canvas(qtbot, viewer, (y, x))

    row = panel.objects.current
    assert panel.state.objects.label[row] == 3
    assert panel.state.objects.code[row] == Verdict.MISSED
    assert truth.selected_label == 3
    assert viewer.scene.camera.center == centre
    assert "missed - true 3" in panel.status.value


def test_a_click_in_the_canvas_finds_the_nucleus_of_a_scaled_stack(
    qtbot, make_napari_viewer, truths, found
):
    viewer = make_napari_viewer(show=True)
    placed = {"scale": (2, 0.5, 0.25), "translate": (3, 10, 20)}
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)), **placed)
    truth = viewer.add_labels(truths, metadata=tag(LayerRecord(GROUND_TRUTH)), **placed)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    viewer.dims.set_current_step(0, 1)
    viewer.reset_view()
    QApplication.processEvents()

    click_canvas(qtbot, viewer, world_of(truth, 1, 2))

    key = panel.state.objects.key_of(panel.objects.current)
    assert (key.plane, key.label, key.is_true) == (1, 2, True)


def test_the_keys_work_while_the_panel_has_the_focus(qtbot, make_napari_viewer, truths, found):
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)))
    viewer.add_labels(truths, metadata=tag(LayerRecord(GROUND_TRUTH)))
    other = viewer.add_image(np.zeros(truths.shape))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.tabs.setCurrentWidget(panel.objects)
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    viewer.dims.set_current_step(0, 0)
    viewer.layers.selection = {other}
    panel.native.window().activateWindow()
    panel.objects.view.setFocus()
    qtbot.waitUntil(panel.objects.view.hasFocus)  # which makes the first row current
    assert panel.state.objects.label[panel.objects.current] == 3

    qtbot.keyClick(panel.objects.view, Qt.Key.Key_N)

    assert panel.state.objects.label[panel.objects.current] == 2


def test_a_matched_predicted_nucleus_is_found_in_its_partners_row(panel):
    row = panel.state.objects.find(0, 5, is_true=False)

    assert panel.state.objects.is_true[row]
    assert panel.state.objects.partners_of(row) == (5,)


def test_the_table_opens_on_the_errors_of_the_field_in_sight_the_worst_first(
    qtbot, viewer, stacks, opened, truths
):
    viewer.dims.set_current_step(0, 1)
    assert opened.objects.model.rowCount() == len(np.unique(truths[1]))
    assert texts(opened, "verdict")[:3] == ["missed", "spurious", "matched"]

    stacks[0].data[1, :, :30] = 0
    stacks[0].data = stacks[0].data
    opened.start()
    qtbot.waitUntil(lambda: opened.state.is_there and not opened.running, timeout=20_000)
    is_error = [word not in ("matched", "loose") for word in texts(opened, "verdict")]
    ious = [float(text) for text in texts(opened, "IoU")]
    count = sum(is_error)
    assert count > 2
    assert all(is_error[:count])
    assert ious[:count] == sorted(ious[:count])
    assert ious[count:] == sorted(ious[count:])


def test_the_third_click_on_a_title_lists_the_worst_first_again(qtbot, make_napari_viewer, truths):
    viewer = make_napari_viewer(show=True)
    found = truths.copy()
    found[1][found[1] == 2] = 0
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)))
    viewer.add_labels(truths, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.tabs.setCurrentWidget(panel.objects)
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)
    across = panel.objects.view.horizontalHeader()
    title = QPoint(across.sectionViewportPosition(4) + 15, 8)
    firsts = []
    for _ in range(3):
        qtbot.mouseClick(across.viewport(), Qt.MouseButton.LeftButton, pos=title)
        firsts.append(texts(panel, "area"))

    assert list(map(int, firsts[0])) == sorted(map(int, firsts[0]))
    assert firsts[1] == sorted(firsts[0], key=int, reverse=True)
    assert texts(panel, "verdict")[0] == "missed"


def test_two_nuclei_that_are_off_are_listed_once(qtbot, viewer):
    truth, found = np.zeros((2, 40, 40), np.int32)
    truth[5:25, 5:25], found[5:25, 5:14] = 7, 9
    viewer.add_labels(found, metadata=tag(LayerRecord(PREDICTION)))
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)

    assert texts(panel, "verdict") == ["off"]
    assert (texts(panel, "true"), texts(panel, "pred.")) == (["7"], ["9"])
    assert panel.state.objects.find(0, 9, is_true=False) == 0


def test_back_in_a_field_the_walk_begins_at_its_worst_error(qtbot, viewer, opened):
    next_error = opened.buttons.next.native
    next_error.click()
    next_error.click()
    next_error.click()
    assert opened.objects.view.currentIndex().row() == 1

    viewer.dims.set_current_step(0, 0)
    next_error.click()

    assert (opened.state.plane, opened.objects.view.currentIndex().row()) == (0, 0)


def test_keys_step_through_the_errors_of_all_fields(qtbot, viewer, stacks, opened):
    panel = opened
    stacks[1].selected_label = 1
    viewer.layers.selection = {stacks[1]}
    canvas = viewer.window._qt_viewer.canvas.native
    visited = []
    for _ in range(4):
        qtbot.keyClick(canvas, Qt.Key.Key_N)
        row = panel.objects.current
        visited.append((panel.state.plane, int(panel.state.objects.label[row])))
    assert visited == [(0, 3), (1, 2), (1, 99), (0, 3)]

    for label in (99, 2, 3):
        qtbot.keyClick(canvas, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
        assert panel.state.objects.label[panel.objects.current] == label


def test_the_keys_work_while_an_overlay_is_selected(qtbot, viewer, panel):
    panel.show_errors()
    viewer.layers.selection = {viewer.layers[-1]}

    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N)

    assert panel.state.objects.label[panel.objects.current] == 3


def test_the_keys_do_nothing_while_another_layer_is_selected(qtbot, viewer, panel):
    other = viewer.add_image(np.zeros((8, 8)))
    viewer.layers.selection = {other}

    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N)

    assert panel.objects.current is None


def test_the_keys_are_given_back_when_the_panel_is_closed(viewer, stacks, panel):
    before = list(stacks[0].keymap)
    viewer.window.remove_dock_widget(panel.native)

    assert before
    assert not list(stacks[0].keymap)


def test_sorting_puts_the_worst_first(panel):
    panel.objects.view.sortByColumn(1, Qt.SortOrder.AscendingOrder)

    ious = [float(text) for text in texts(panel, "IoU")]
    assert ious == sorted(ious)


def test_sorting_keeps_the_current_nucleus_in_sight(qtbot, viewer, panel):
    viewer.window.show()
    QApplication.processEvents()
    click_row(qtbot, panel, row_of(panel, Verdict.MISSED, 1))
    key = panel.state.objects.key_of(panel.objects.current)

    view = panel.objects.view
    view.setFixedHeight(80)
    QApplication.processEvents()
    view.sortByColumn(1, Qt.SortOrder.DescendingOrder)

    assert panel.state.objects.key_of(panel.objects.current) == key
    assert view.currentIndex().row() > 10
    assert view.viewport().rect().contains(view.visualRect(view.currentIndex()).center())


def test_a_verdict_that_is_switched_off_leaves_the_table(panel):
    panel.legend.buttons[Verdict.MATCHED].click()

    assert set(texts(panel, "verdict")) == {"missed", "spurious"}


def test_size_and_iou_filter_the_table(panel):
    areas = np.array(texts(panel, "area"), dtype=int)

    panel.objects.filters.least_area.setValue(int(np.median(areas)))
    assert min(map(int, texts(panel, "area"))) >= np.median(areas)
    panel.objects.filters.least_area.setValue(0)
    panel.objects.filters.most_iou.setValue(0.5)
    assert set(texts(panel, "verdict")) == {"missed", "spurious"}


def test_an_upper_bound_is_typed_over_any(qtbot, panel):
    box = panel.objects.filters.most_area
    assert box.text() == "any"

    qtbot.keyClick(box, Qt.Key.Key_End)
    qtbot.keyClicks(box, "200")
    qtbot.keyClick(box, Qt.Key.Key_Return)

    assert box.value() == 200
    assert max(map(int, texts(panel, "area"))) <= 200


def test_the_table_of_one_field_follows_the_slider(viewer, opened):
    panel = opened
    viewer.dims.set_current_step(0, 1)
    assert set(texts(panel, "field")) == {"2"}
    viewer.dims.set_current_step(0, 0)
    assert set(texts(panel, "field")) == {"1"}


def test_the_current_nucleus_stays_current_when_it_is_sorted(qtbot, panel):
    click_row(qtbot, panel, row_of(panel, Verdict.MISSED, 1))
    row = panel.objects.current

    panel.threshold.value = 0.8

    assert panel.objects.current == row


def test_hovering_tells_of_the_nucleus(viewer, truths, panel, stacks):
    viewer.dims.set_current_step(0, 0)
    y, x = np.argwhere(truths[0] == 3)[0]
    viewer.layers.selection = {stacks[1]}
    viewer.mouse_over_canvas = True

    viewer.cursor.position = tuple(stacks[1].data_to_world((0, y, x)))
    viewer.update_status_from_cursor()

    assert viewer.status["coordinates"].endswith("; missed - true 3 - IoU 0.00")

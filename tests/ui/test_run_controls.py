"""What begins and ends a run is always at hand: buttons, keys, values; and labels are saved."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QScrollArea,
    QSlider,
    QStyleOptionViewItem,
)
from superqt import QCollapsible

from napari_nucseg.io.calibration import read_calibration
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.image_source import Scope
from tests.ui.segment_actions import RUN, predictions, run


@pytest.fixture
def shown(viewer, panel):
    """The panel in a window of the smallest size that everything has to fit into."""
    viewer.window._qt_window.resize(1280, 800)
    viewer.show()
    return panel


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def test_the_buttons_stay_in_sight_whatever_is_unfolded(qtbot, viewer, image, shown):
    for fold in shown.native.findChildren(QCollapsible):
        fold.expand(animate=False)
    qtbot.wait(50)
    for bar in (area.verticalScrollBar() for area in shown.native.findChildren(QScrollArea)):
        for place in (bar.minimum(), bar.maximum()):
            bar.setValue(place)
            for button in (shown.form.segment, shown.form.cancel):
                native = button.native
                assert native.visibleRegion().boundingRect() == native.rect()


def test_nothing_reaches_beyond_the_width_of_the_dock(qtbot, viewer, image, shown, stand_in):
    run(qtbot, shown)
    for model in catalogue.models():
        shown.form.model.value = model.name
        for area in shown.native.findChildren(QScrollArea):
            qtbot.waitUntil(lambda area=area: area.widget().width() <= area.viewport().width())


def test_a_key_segments_while_the_image_or_its_labels_are_selected(
    qtbot, viewer, image, panel, stand_in
):
    for times in (1, 2):  # then the labels are selected
        qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
        assert len(stand_in.calls) == times

    viewer.layers.selection = {viewer.add_points(name="other")}
    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not panel.running


def test_a_key_cancels_while_something_runs(qtbot, viewer, image, panel, held):
    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert held.reached.wait(30)

    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Escape)
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert "Stopped" in panel.status.value
    assert not predictions(viewer)


def test_the_keys_work_in_the_panel(qtbot, viewer, image, shown, stand_in):
    viewer.layers.selection = set()
    shown.native.window().activateWindow()
    row = shown.form.params["min_size"].native
    row.setFocus()
    qtbot.waitUntil(row.hasFocus)

    qtbot.keyClick(row, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not shown.running, timeout=RUN)

    assert len(stand_in.calls) == 1


def test_the_buttons_name_their_keys(panel):
    assert "Ctrl+Enter" in panel.form.segment.tooltip
    assert "Esc" in panel.form.cancel.tooltip


def test_labels_are_saved_with_how_they_were_made_and_the_size_of_a_pixel(
    qtbot, viewer, image, panel, stand_in, monkeypatch, tmp_path
):
    asked = []

    def choose(parent, title, suggestion, kinds):
        asked.append(suggestion)
        return str(tmp_path / "mine"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    qtbot.mouseClick(panel.result.save_labels.native, Qt.MouseButton.LeftButton)
    assert (
        panel.status.value
        == "There are no labels yet. Press Segment. Large ones are on disk already."
    )
    run(qtbot, panel)

    qtbot.mouseClick(panel.result.save_labels.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    path = tmp_path / "mine.tif"
    assert asked == ["A01 fluo-nuclei labels.tif"]
    assert f"are in {path}" in panel.status.value
    (labels,) = predictions(viewer)
    np.testing.assert_array_equal(tifffile.imread(path), labels.data)
    with tifffile.TiffFile(path) as file:
        assert read_calibration(file).pixel_size == pytest.approx(0.645)
    assert read_provenance(path) == record_of(labels).provenance


def slider_of(row):
    return row.native.findChild(QSlider), row.native.findChild(QDoubleSpinBox)


@pytest.mark.parametrize("key", ["Right", "PageUp"])
def test_keys_move_a_slider_by_its_step(qtbot, shown, key):
    row = shown.form.params["flow_threshold"]
    slider, box = slider_of(row)

    qtbot.keyClick(slider, getattr(Qt.Key, f"Key_{key}"))

    assert row.value == 0.45
    assert box.text() == "0.45"


def test_a_click_into_the_groove_moves_a_slider_by_its_step(qtbot, shown):
    row = shown.form.params["flow_threshold"]
    slider, _ = slider_of(row)
    place = QPoint(slider.width() - 3, slider.height() // 2)

    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=place)

    assert row.value == 0.45


def test_a_dragged_slider_stops_at_its_steps_and_shows_the_value_that_is_used(qtbot, shown):
    row = shown.form.params["flow_threshold"]
    slider, box = slider_of(row)
    middle = slider.height() // 2
    start = QPoint(round(slider.width() * 0.4 / 3) + 2, middle)

    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(slider, start + QPoint(slider.width() // 3, 0))
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton)

    assert row.value > 0.6
    assert row.value == pytest.approx(round(row.value / 0.05) * 0.05)
    row.value = 0.4125  # as other labels were made with
    assert box.text() == "0.4125"
    row.value = 0.29
    assert (box.text(), shown.form.params.params.flow_threshold) == ("0.29", 0.29)


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """Let the weights of published models be not here yet."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))


def test_models_stand_under_headings_by_what_they_need(no_weights, panel):
    box = panel.form.model.native
    titles = [box.itemText(n) for n in range(box.count())]
    ready = [model.name for model in catalogue.models() if model.is_ready]
    fetched = [model for model in catalogue.models() if not model.is_ready]
    assert titles == [
        "Ready",
        *ready,
        "To download first",
        *(f"{model.name} \u2193 {model.megabytes:,} MB" for model in fetched),
    ]
    panel.form.model.value = fetched[0].name
    assert f"Licence: {fetched[0].licence}" in panel.form.about.value


def test_a_row_of_the_models_shows_and_says_what_it_needs(no_weights, panel):
    box = panel.form.model.native
    index = box.model().index(box.findData("nuclei"), 0)
    option = QStyleOptionViewItem()
    box.itemDelegate().initStyleOption(option, index)
    licence = catalogue.find("nuclei").terms

    assert option.text == f"nuclei \u2193 27 MB   {licence}"
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == f"nuclei \u2193 27 MB, {licence}"
    assert box.view().minimumWidth() > box.fontMetrics().horizontalAdvance(option.text)


def test_keys_pass_over_the_headings_of_the_models(qtbot, no_weights, panel):
    box = panel.form.model.native
    seen = [panel.form.model.value]
    for _ in range(len(catalogue.models()) + 1):
        qtbot.keyClick(box, Qt.Key.Key_Down)
        seen.append(panel.form.model.value)

    names = sorted(catalogue.models(), key=lambda model: not model.is_ready)
    assert list(dict.fromkeys(seen)) == [model.name for model in names]
    qtbot.keyClick(box, Qt.Key.Key_Home)
    assert panel.form.model.value == catalogue.BUNDLED


def test_a_model_that_was_downloaded_stands_with_those_that_are_ready(no_weights, panel):
    panel.form.model.value = "nuclei"
    box = panel.form.model.native
    assert box.currentIndex() > box.findText("To download first")

    model = catalogue.find("nuclei")
    with model.path.open("wb") as file:
        file.truncate(model.remote.size or model.remote.rough_size)
    assert catalogue.find("nuclei").is_ready
    panel.model_selector.refresh()

    assert panel.form.model.value == "nuclei"
    assert box.currentText() == "nuclei"
    assert box.currentIndex() < box.findText("To download first")


@pytest.fixture
def nothing_timed(monkeypatch, tmp_path):
    """Let nothing be known of how long runs take on this computer."""
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path / "cache"))


def test_a_blank_image_says_nothing_of_how_long_the_next_will_take(
    qtbot, nothing_timed, viewer, image, panel
):
    panel.form.image.value = viewer.add_image(np.zeros_like(image.data), name="blank")
    run(qtbot, panel)
    assert "0 nuclei" in panel.status.value
    assert panel.form.place.value.endswith("not timed here yet")

    panel.form.image.value = image
    run(qtbot, panel)
    assert panel.form.place.value.endswith(" s a field")


def test_volumes_have_an_estimate_of_their_own(qtbot, nothing_timed, viewer, field, panel):
    planes = np.stack([field.image[:100, :110]] * 3)
    viewer.add_image(planes, name="depths")
    run(qtbot, panel)
    assert panel.form.place.value.endswith(" s a field")

    panel.form.scope.value = Scope.STITCHED
    assert panel.form.place.value.endswith("not timed here yet")
    run(qtbot, panel)
    assert panel.form.place.value.endswith(" s a volume")

    panel.form.scope.value = Scope.IN_3D
    assert panel.form.place.value.endswith("not timed here yet")


def test_cancel_does_not_wait_for_a_step_that_takes_long(qtbot, viewer, image, panel, held):
    qtbot.mouseClick(panel.form.segment.native, Qt.MouseButton.LeftButton)
    assert held.reached.wait(30)

    qtbot.mouseClick(panel.form.cancel.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.running, timeout=1000)

    assert panel.status.value == "Stopped. No layer was added or changed."
    assert panel.form.segment.enabled
    held.go_on.set()
    run(qtbot, panel)
    assert len(predictions(viewer)) == 1

"""What can be said of nuclei without a truth: measures, doubt, how they were made."""

import numpy as np
import pytest
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.io.writers import write_labels
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, tag
from napari_nucseg.ui.segment.form import Scope
from tests.ui.scored import outlined
from tests.ui.segment_actions import RUN, move, predictions, run


def test_nuclei_have_measures_and_the_most_doubtful_is_gone_to(qtbot, viewer, image, panel):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    table = labels.features
    assert len(table) == labels.data.max()
    assert "median area" in panel.status.value

    panel.result.doubtful.native.click()

    assert labels.selected_label == table["index"][table["flow_error"].idxmax()]
    centre = labels.world_to_data(viewer.scene.camera.center[-2:])
    assert labels.data[tuple(np.rint(centre).astype(int))] == labels.selected_label


def test_measures_are_saved_as_a_table(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    run(qtbot, panel)
    path = tmp_path / "nuclei.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    panel.result.save.native.click()
    qtbot.waitUntil(lambda: not panel.running)

    lines = path.read_text().splitlines()
    assert lines[0].startswith("field,index,area_px,area_um2,")
    assert len(lines) == 1 + predictions(viewer)[0].data.max()


def test_a_table_that_cannot_be_written_is_told_of(
    qtbot, viewer, image, panel, stand_in, monkeypatch, tmp_path
):
    run(qtbot, panel)
    name = str(tmp_path / "gone" / "nuclei.csv")
    (tmp_path / "gone").write_text("a file")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (name, ""))

    panel.result.save.native.click()
    qtbot.waitUntil(lambda: not panel.running)

    assert panel.status.value.startswith("Failed: ")
    assert panel.status.value.endswith("choose another folder")


def test_settings_of_other_labels_are_taken_over(qtbot, viewer, image, panel):
    panel.form.params["min_size"].value = 77
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]
    assert "Minimum size 77 px" in panel.provenance.text.value
    panel.form.defaults.native.click()

    panel.provenance.take_over.native.click()

    assert panel.form.params.params.min_size == 77


def test_values_that_the_model_does_not_use_are_told_as_such(qtbot, viewer, image, panel):
    panel.form.model.value = "otsu"
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]

    lines = panel.provenance.text.value.splitlines()
    [unused] = [line for line in lines if line.startswith("Not used by this model: ")]
    assert "flow threshold" in unused
    assert "minimum size" not in unused
    assert "Minimum size 15 px" in lines
    assert not any(line.startswith("Flow threshold") for line in lines)


def test_labels_of_which_too_little_is_told_have_no_settings(viewer, image, panel):
    corrected = LayerRecord(PREDICTION, provenance={"image": "by hand", "model": "fluo-nuclei"})
    labels = viewer.add_labels(np.ones((4, 4), int), metadata=tag(corrected))

    viewer.layers.selection.active = labels

    assert panel.provenance.text.value == "Select a Labels layer that this plugin has made."
    assert not panel.provenance.take_over.enabled


def test_a_file_of_which_too_little_is_told_gives_no_settings(panel, monkeypatch, tmp_path):
    path = tmp_path / "corrected.tif"
    write_labels(path, np.ones((4, 4), np.int32), {"corrected": "by hand"})
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    told = []
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", told.append)

    panel.provenance.open.native.click()

    assert told == [
        "this file does not say how its labels were segmented; choose one that napari-nucseg has "
        "written"
    ]


def test_settings_are_not_taken_over_during_a_run(qtbot, viewer, image, panel, held):
    held.go_on.set()
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]
    held.go_on.clear()
    held.reached.clear()
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    assert not panel.provenance.take_over.enabled
    assert not panel.provenance.open.enabled
    viewer.layers.selection.active = image
    viewer.layers.selection.active = predictions(viewer)[0]
    assert not panel.provenance.take_over.enabled

    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)
    assert panel.provenance.take_over.enabled
    assert panel.provenance.open.enabled


def test_without_labels_the_panel_says_what_to_press(qtbot, viewer, image, panel):
    click(qtbot, panel.result.doubtful)
    assert panel.status.value == "There are no labels yet. Press Segment."


def test_a_doubtful_nucleus_is_outlined_and_the_panel_says_why(
    qtbot, viewer, image, panel, tmp_path
):
    picture = tmp_path / "drawn.png"
    run(qtbot, panel)
    (labels,), layers = predictions(viewer), list(viewer.layers)
    click(qtbot, panel.result.doubtful)
    first = labels.selected_label
    assert outlined(viewer, picture) > 50
    error = labels.features.set_index("index").flow_error[first]
    assert f"flow error {error:.2f}" in panel.status.value
    assert viewer.layers.selection == {labels}

    click(qtbot, panel.result.doubtful)
    assert labels.selected_label != first
    click(qtbot, panel.result.previous)

    assert labels.selected_label == first
    assert f"Nucleus {first}: " in panel.status.value
    assert "number 1 of" in panel.status.value
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
    assert list(viewer.layers) == layers

    run(qtbot, panel)
    assert not outlined(viewer, picture)
    click(qtbot, panel.result.doubtful)
    assert outlined(viewer, picture) > 50
    assert "number 1 of" in panel.status.value

    panel.native.parent().destroyOnClose()
    assert not outlined(viewer, picture)


def test_the_outline_of_a_doubtful_nucleus_goes_with_its_layer(
    qtbot, viewer, image, panel, tmp_path
):
    picture = tmp_path / "drawn.png"
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    click(qtbot, panel.result.doubtful)
    labels.visible = False
    assert not outlined(viewer, picture)
    labels.visible = True
    assert outlined(viewer, picture) > 50

    viewer.layers.remove(labels)

    assert not outlined(viewer, picture)


def test_a_dim_edge_is_a_reason_of_doubt(qtbot, viewer, image, panel, stand_in):
    ys, xs = np.mgrid[:100, :300]
    dim = np.full((100, 300), 200.0)
    for number in range(6):
        inside = np.hypot(ys - 50, xs - 25 - 50 * number) < 12
        dim[inside] = 270 if number == 3 else 900
    panel.form.image.value = viewer.add_image(dim, name="dim")
    run(qtbot, panel)

    for _ in range(6):
        click(qtbot, panel.result.doubtful)
        qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
        reason = "its edge is dim" in panel.status.value
        assert reason == (predictions(viewer)[0].selected_label == 4)


def click(qtbot, button):
    qtbot.mouseClick(button.native, Qt.MouseButton.LeftButton)


# Edited labels


def measured(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.measurements.measuring, timeout=RUN)


def erase(labels, label):
    """Paint a nucleus away, as the eraser does."""
    labels.data_setitem(np.nonzero(labels.data == label), 0)


def test_edited_labels_are_measured_again(qtbot, viewer, image, panel):
    run(qtbot, panel)
    measured(qtbot, panel)
    (labels,) = predictions(viewer)
    before = labels.features.set_index("index")

    erase(labels, 3)
    half = np.nonzero(labels.data == 1)
    labels.data_setitem(tuple(axis[: len(axis) // 2] for axis in half), 0)
    measured(qtbot, panel)

    after = labels.features.set_index("index")
    assert sorted(set(before.index) - set(after.index)) == [3]
    assert after.area_px[1] == (labels.data == 1).sum() < before.area_px[1]
    assert after.flow_error[1] != before.flow_error[1]
    assert after.flow_error[2] == before.flow_error[2]

    labels.undo()
    labels.undo()
    measured(qtbot, panel)
    assert list(labels.features["area_px"]) == list(before["area_px"])


def test_doubt_that_cannot_be_told_again_is_left_out(qtbot, viewer, image, panel):
    panel.form.memory.value = 0
    run(qtbot, panel)
    measured(qtbot, panel)
    (labels,) = predictions(viewer)
    before = labels.features.set_index("index")

    half = np.nonzero(labels.data == 1)
    labels.data_setitem(tuple(axis[: len(axis) // 2] for axis in half), 0)
    measured(qtbot, panel)

    after = labels.features.set_index("index")
    assert after.area_px[1] < before.area_px[1]
    assert np.isnan(after.flow_error[1])
    assert after.flow_error[2] == before.flow_error[2]


def test_labels_of_another_image_are_measured_again_too(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    other = viewer.add_image(np.zeros((8, 9)), name="other")
    panel.form.image.value = other
    measured(qtbot, panel)

    erase(labels, 1)
    measured(qtbot, panel)

    assert 1 not in set(labels.features["index"])
    assert len(labels.features) == labels.data.max() - 1


def test_every_prediction_shows_the_measures_of_the_field_in_sight(
    qtbot, viewer, stack, panel, stand_in
):
    panel.form.scope.value = Scope.ALL
    viewer.dims.set_current_step(0, 0)
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    panel.form.model.value = "otsu"

    viewer.dims.set_current_step(0, 1)

    assert len(labels.features) == labels.data[1].max()
    assert len(labels.features) != labels.data[0].max()


def test_the_walk_through_doubt_begins_anew_on_other_labels(qtbot, viewer, image, panel, field):
    run(qtbot, panel)
    panel.result.doubtful.native.click()
    panel.result.doubtful.native.click()
    assert "number 2 of" in panel.status.value
    other = viewer.add_image(np.fliplr(field.image), name="other")
    panel.form.image.value = other
    run(qtbot, panel)

    panel.result.doubtful.native.click()

    assert "number 1 of" in panel.status.value
    assert viewer.layers.selection.active.name == "other fluo-nuclei"


# Colours


def test_nuclei_are_coloured_by_a_measure_and_back(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    own, opacity = labels.colormap, labels.opacity
    table = labels.features

    panel.result.show_as.value = "mean intensity"

    low, high = (table["index"][table["intensity_mean"].agg(f"idx{end}")] for end in ("min", "max"))
    viridis = AVAILABLE_COLORMAPS["viridis"]
    assert labels.get_color(low) == pytest.approx(viridis.map(0.0)[0], abs=1e-6)
    assert labels.get_color(high) == pytest.approx(viridis.map(1.0)[0], abs=1e-6)
    values = table["intensity_mean"]
    low, high = np.percentile(values, (1, 99))
    assert not panel.result.bar.isHidden()
    assert panel.result.bar.low.text() == f"{low:.3g}"
    assert high > 1000  # which is not written as a power of ten
    assert panel.result.bar.high.text() == f"{high:.0f}"
    assert (labels.contour, labels.opacity) == (0, 1)

    panel.result.show_as.value = "outlines"

    assert labels.colormap == own
    assert (labels.contour, labels.opacity) == (2, opacity)
    assert panel.result.bar.isHidden()


def test_colours_follow_the_sliders(qtbot, viewer, image, panel):
    run(qtbot, panel)
    panel.result.show_as.value = "area"
    (labels,) = predictions(viewer)
    before = panel.result.bar.low.text()

    move(qtbot, panel, {"min_size": 200})

    assert panel.result.bar.low.text() != before
    areas = labels.features["area_um2"]
    assert panel.result.bar.low.text() == f"{np.percentile(areas, 1):.3g}"
    assert panel.result.bar.high.text() == f"{np.percentile(areas, 99):.3g} µm²"
    coloured = set(labels.colormap.color_dict) - {None, 0}
    assert coloured == set(labels.features["index"])


def test_colours_are_those_of_the_field_in_sight(qtbot, viewer, stack, panel, stand_in):
    panel.form.scope.value = Scope.ALL
    viewer.dims.set_current_step(0, 0)
    run(qtbot, panel)
    panel.result.show_as.value = "area"
    (labels,) = predictions(viewer)

    viewer.dims.set_current_step(0, 1)

    assert set(labels.colormap.color_dict) - {None, 0} == set(labels.features["index"])


def test_a_measure_that_is_not_there_changes_no_colour(qtbot, viewer, image, panel):
    panel.form.model.value = "otsu"
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    own = labels.colormap

    panel.result.show_as.value = "flow error"

    assert panel.result.range.value == "There is no flow error for this field."
    assert labels.colormap == own


def test_labels_get_their_own_colours_back_when_the_dock_is_closed(
    qtbot, viewer, image, panel, stand_in
):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    own = labels.colormap
    panel.result.show_as.value = "area"
    assert labels.colormap != own

    panel.native.parent().destroyOnClose()

    assert labels.colormap == own

"""Choosing a model, files of models among them; what is remembered of it."""

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.hand_edits import provenance_by_field
from napari_nucseg.ui.segment.model_list import load_model_files
from tests.segmenters.random_nets import write_residual_unet
from tests.segmenters.third_party import NAME, example, install
from tests.ui.segment_actions import RUN, predictions, run


def test_values_and_model_are_there_after_a_restart(qtbot, viewer, image, panel, stand_in):
    panel.form.params["min_size"].value = 77
    run(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)

    again = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]

    assert again.form.params.params.min_size == 77
    again.form.defaults.native.click()
    assert again.form.params.params == catalogue.find("fluo-nuclei").defaults


def test_a_model_file_is_added_and_remembered(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    path = tmp_path / "mine.pt"
    write_residual_unet(path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    panel.form.add_model.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert panel.form.model.value == str(path)
    assert load_model_files() == (path,)
    run(qtbot, panel)
    assert predictions(viewer)[0].name == "A01 mine.pt"


@pytest.fixture
def another_package(site):
    install(site, NAME, example(), {NAME: "MODEL"})


def test_a_model_of_another_package_is_chosen_as_ours_are(
    qtbot, another_package, viewer, image, panel
):
    panel.form.model.value = NAME
    assert (
        panel.form.about.value == "A threshold that follows uneven light, no network. Licence: MIT"
    )
    assert not panel.form.params["flow_threshold"].enabled
    assert not panel.form.device.enabled
    run(qtbot, panel)
    assert f"A01: {NAME} needs the diameter of the nuclei" in panel.status.value

    panel.form.params["diameter"].value = 25
    run(qtbot, panel)

    (layer,) = predictions(viewer)
    assert layer.name == f"A01 {NAME}"
    assert layer.data.max() > 5
    (made,) = provenance_by_field(layer).values()
    assert (made["model"], made["licence"]) == (NAME, "MIT")
    assert made["versions"][NAME] == "1.2.3"


def test_a_file_that_is_no_model_is_refused(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    panel.form.add_model.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert "not a readable model file" in panel.status.value
    assert panel.form.model.value == "fluo-nuclei"
    assert load_model_files() == ()


@pytest.fixture
def add(qtbot, panel, monkeypatch):
    """Add a net of one's own under a path."""

    def add(path: Path) -> Path:
        path.parent.mkdir(exist_ok=True)
        write_residual_unet(path)
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
        panel.form.add_model.native.click()
        qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
        return path

    return add


def titles(panel) -> list[str]:
    box = panel.form.model.native
    return [box.itemText(i) for i in range(box.count())]


def test_files_of_one_name_have_values_and_labels_of_their_own(
    qtbot, viewer, image, panel, add, stand_in, tmp_path
):
    paths = [add(tmp_path / folder / "mine.pt") for folder in ("a", "b")]
    for path, size in zip(paths, (33, 44), strict=True):
        panel.form.model.value = str(path)
        panel.form.params["min_size"].value = size
        run(qtbot, panel)

    one, other = predictions(viewer)
    assert one.name.startswith("A01 mine.pt")
    assert [record_of(layer).provenance["model"] for layer in (one, other)] == list(map(str, paths))
    for path, size in zip(paths, (33, 44), strict=True):
        panel.form.model.value = str(path)
        assert panel.form.params.params.min_size == size


def test_files_of_one_name_are_told_apart_on_the_form(panel, add, tmp_path):
    add(tmp_path / "a" / "mine.pt")
    assert "mine.pt (yours)" in titles(panel)

    add(tmp_path / "b" / "mine.pt")

    assert f"mine.pt in {tmp_path / 'a'} (yours)" in titles(panel)
    assert f"mine.pt in {tmp_path / 'b'} (yours)" in titles(panel)
    assert "mine.pt (yours)" not in titles(panel)


def test_a_chosen_file_that_disappears_is_named_and_comes_back(
    qtbot, viewer, image, panel, add, tmp_path
):
    path = add(tmp_path / "mine.pt")
    path.rename(tmp_path / "elsewhere.pt")

    viewer.add_image(np.zeros((8, 9)), name="other")
    panel.form.image.value = image

    assert "mine.pt (yours, missing)" in titles(panel)
    assert "mine.pt is missing; put it back" in panel.form.about.value
    run(qtbot, panel)
    assert f"{path}: this model file is missing" in panel.status.value
    assert panel.form.segment.enabled

    (tmp_path / "elsewhere.pt").rename(path)
    run(qtbot, panel)
    assert predictions(viewer)[0].name == "A01 mine.pt"
    viewer.add_image(np.zeros((8, 9)), name="third")
    assert "mine.pt (yours)" in titles(panel)
    assert panel.form.model.value == str(path)


def test_a_file_that_is_absent_at_the_start_stays_remembered(viewer, panel, add, tmp_path):
    path = add(tmp_path / "mine.pt")
    viewer.window.remove_dock_widget(panel.native)
    path.rename(tmp_path / "elsewhere.pt")

    again = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]

    assert again.form.model.value == str(path)
    assert load_model_files() == (path,)


def test_settings_of_one_of_two_files_of_a_name_are_asked_for(panel, add, tmp_path):
    paths = [add(tmp_path / folder / "mine.pt") for folder in ("a", "b")]

    panel.model_selector.use_settings(str(paths[0]), SegmentParams(min_size=50))
    assert panel.form.model.value == str(paths[0])

    with pytest.raises(ValueError, match=r"are both named 'mine\.pt'"):
        panel.model_selector.use_settings("mine.pt", SegmentParams())


def test_what_a_model_makes_no_use_of_is_locked_and_says_so(panel):
    panel.form.model.value = "otsu"

    used = {row.name for row in panel.form.params.rows if row.enabled}
    assert used == {"min_size", "exclude_on_edges", "invert"}
    assert not panel.form.device.enabled
    assert not panel.form.measure.enabled
    assert panel.form.device.tooltip == "otsu runs only on the CPU."
    assert panel.form.params["flow_threshold"].tooltip.startswith("otsu does not use this.")
    assert panel.form.place.value.startswith("CPU, ")
    assert "float64; needs no weights" in panel.form.place.value

    panel.form.model.value = "cpsam_v2"
    assert all(row.enabled for row in panel.form.params.rows)
    assert "no use" not in panel.form.params["flow_threshold"].tooltip


def test_what_a_file_makes_no_use_of_is_known_after_its_first_run(
    qtbot, image, panel, add, tmp_path
):
    add(tmp_path / "mine.pt")
    assert panel.form.params["tile_overlap"].enabled

    run(qtbot, panel)

    assert not panel.form.params["tile_overlap"].enabled
    assert panel.form.params["diameter"].enabled


def test_the_panel_says_before_a_run_what_will_run(qtbot, panel, monkeypatch, tmp_path):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))

    panel.form.model.value = "nuclei"

    line = panel.form.place.value
    assert line.startswith("CPU, ")
    assert "; float32; 27 MB to download first; not timed here yet" in line


def test_every_generation_of_models_stands_in_the_tooltip(panel):
    for words in ("fluo-nuclei", "Cellpose 1 to 3", "Cellpose-SAM", "otsu"):
        assert words in panel.form.model.tooltip


# Values of another day, and of another image


def reset_button(panel, name):
    return panel.form.params.resets[panel.form.params[name].label]


def test_a_value_that_differs_is_marked_at_its_row_and_set_back_with_one_click(
    qtbot, viewer, panel
):
    panel.form.params["min_size"].value = 77
    panel.form.params["split_depth"].value = 1.0
    assert reset_button(panel, "min_size").isVisibleTo(panel.native)
    assert not reset_button(panel, "flow_threshold").isVisibleTo(panel.native)
    assert panel.form.defaults.text == "Defaults (2 values differ)"
    assert panel.form.defaults.native.isVisibleTo(panel.native)

    qtbot.mouseClick(reset_button(panel, "min_size"), Qt.MouseButton.LeftButton)

    assert panel.form.params.params.min_size == 15
    assert not reset_button(panel, "min_size").isVisibleTo(panel.native)
    assert panel.form.defaults.text == "Defaults (1 value differs)"
    qtbot.mouseClick(panel.form.defaults.native, Qt.MouseButton.LeftButton)
    assert panel.form.defaults.text == "Defaults"
    assert panel.form.params.params == catalogue.find("fluo-nuclei").defaults


def test_values_of_another_day_are_marked_when_the_panel_opens(
    qtbot, viewer, image, panel, stand_in
):
    panel.form.params["min_size"].value = 77
    panel.form.params["diameter"].value = 60.0
    panel.form.params["invert"].value = True
    run(qtbot, panel)
    viewer.window.remove_dock_widget(panel.native)
    viewer.layers.clear()

    again = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]

    params = again.form.params.params
    assert (params.min_size, params.diameter, params.invert) == (77, 0.0, False)
    assert reset_button(again, "min_size").isVisibleTo(again.native)
    assert again.form.defaults.text == "Defaults (1 value differs)"


def test_a_diameter_stays_with_its_image(qtbot, viewer, image, panel, stand_in, field):
    panel.form.params["diameter"].value = 60.0
    panel.form.params["invert"].value = True

    other = viewer.add_image(field.image, name="A02")

    assert panel.form.image.value is other
    assert panel.form.params.params.diameter == 0.0
    assert not panel.form.params.params.invert
    assert "Diameter 60 px, Dark nuclei on was for another image" in panel.status.value
    run(qtbot, panel)
    assert stand_in.calls[-1][1].diameter == 0.0

    viewer.layers.selection.active = image
    assert panel.form.params.params.diameter == 60.0
    assert panel.form.params.params.invert


def test_a_diameter_does_not_stay_when_an_image_gets_other_data(viewer, image, panel, field):
    panel.form.params["diameter"].value = 60.0

    image.data = np.fliplr(field.image).copy()

    assert panel.form.params.params.diameter == 0.0
    assert "Diameter 60 px was for another image" in panel.status.value
    assert not panel.follows


def test_a_diameter_does_not_come_back_for_other_data_in_the_same_memory(viewer, image, panel):
    panel.form.params["diameter"].value = 60.0
    other = viewer.add_image(image.data.copy(), name="A02")
    assert panel.form.image.value is other

    image.data[...] = image.data[::-1].copy()
    image.data = image.data
    viewer.layers.selection.active = image

    assert panel.form.image.value is image
    assert panel.form.params.params.diameter == 0.0


def test_going_to_another_image_makes_no_labels_anew(qtbot, viewer, image, panel, field):
    run(qtbot, panel)
    (first,) = predictions(viewer)
    before = first.data.copy()
    viewer.add_image(np.fliplr(field.image), name="A02")
    panel.form.params["min_size"].value = 500

    viewer.layers.selection.active = image
    qtbot.waitUntil(lambda: not panel.follows and not panel.running, timeout=RUN)

    np.testing.assert_array_equal(first.data, before)

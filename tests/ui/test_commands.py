"""What the menus do, called as napari calls it."""

from __future__ import annotations

import numpy as np
import pytest
from napari._app_model import get_app_model
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, PREDICTION, LayerRecord, role_of, tag
from napari_nucseg.ui.run.panel import RunPanel
from napari_nucseg.ui.score.panel import ScorePanel
from napari_nucseg.ui.segment.panel import SegmentPanel
from tests.drawn_plates import tell_acquisitions, write_plate


@pytest.fixture
def choose(viewer):
    """Choose a command from a menu."""

    def choose(command: str) -> None:
        get_app_model().commands.execute_command(f"napari-nucseg.{command}").result()

    return choose


@pytest.fixture
def told(monkeypatch):
    """What the user is told."""
    told: list[str] = []
    monkeypatch.setattr("napari_nucseg.ui.commands.show_info", told.append)
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", told.append)
    return told


@pytest.fixture
def labels(viewer, drawn_fields):
    """Two predictions of a field and its ground truth; the image is below them."""
    truth = drawn_fields[0].labels
    moved = np.roll(truth, 2, axis=0)
    viewer.add_image(drawn_fields[0].image, name="A01")
    return {
        name: viewer.add_labels(data, name=name, metadata=tag(LayerRecord(role)))
        for name, data, role in (
            ("fluo-nuclei", moved, PREDICTION),
            ("otsu", np.roll(moved, 3, axis=1), PREDICTION),
            ("truth", truth, GROUND_TRUTH),
        )
    }


def panels(viewer, kind):
    return [one for one in viewer.window.dock_widgets.values() if isinstance(one, kind)]


def settle(qtbot, viewer):
    (panel,) = panels(viewer, ScorePanel)
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)
    return panel


def test_the_selected_image_is_offered_for_segmentation(viewer, choose):
    first, _ = (viewer.add_image(np.zeros((8, 8)), name=name) for name in ("one", "two"))
    viewer.layers.selection.active = first

    choose("segment_selected")

    (panel,) = panels(viewer, SegmentPanel)
    assert panel.form.image.value is first


def test_the_selected_labels_are_scored(qtbot, viewer, labels, choose):
    for name in ("fluo-nuclei", "otsu"):
        viewer.layers.selection.active = labels[name]

        choose("score_selected")

        panel = settle(qtbot, viewer)
        assert (panel.prediction.value, panel.truth.value) == (labels[name], labels["truth"])
        assert "matched" in panel.status.value


def test_napari_s_own_menu_closes_the_panel_that_a_command_opened(qtbot, viewer, labels, choose):
    viewer.window.show()
    choose("score_selected")
    dock = settle(qtbot, viewer).native.parent()
    assert not dock.isHidden()

    choose("score")

    assert dock.isHidden()
    choose("score_selected")
    assert not dock.isHidden()
    assert len(panels(viewer, ScorePanel)) == 1


@pytest.mark.parametrize(
    ("selected", "shown"), [("fluo-nuclei", "fluo-nuclei"), ("truth", "otsu"), (None, "otsu")]
)
def test_the_errors_of_the_selected_or_newest_prediction_are_shown(
    qtbot, viewer, labels, choose, selected, shown
):
    viewer.layers.selection.active = labels.get(selected)

    choose("show_errors")

    qtbot.waitUntil(lambda: ERRORS in map(role_of, viewer.layers), timeout=20_000)
    panel = settle(qtbot, viewer)
    assert panel.prediction.value is labels[shown]
    assert np.asarray(viewer.layers[-1].data).any()
    choose("show_errors")
    settle(qtbot, viewer)
    assert [role_of(layer) for layer in viewer.layers].count(ERRORS) == 1


def test_without_a_prediction_showing_errors_says_what_to_do(viewer, choose, told):
    choose("show_errors")

    assert "Segment an image first" in told[0]
    assert not viewer.layers


def test_without_a_ground_truth_showing_errors_asks_for_it(qtbot, viewer, labels, choose, told):
    viewer.layers.remove("truth")
    viewer.layers.selection.active = labels["fluo-nuclei"]

    choose("show_errors")

    assert told == ["Choose the ground truth of fluo-nuclei in the panel."]
    settle(qtbot, viewer).truth.value = labels["otsu"]
    qtbot.waitUntil(lambda: ERRORS in map(role_of, viewer.layers), timeout=20_000)


def test_a_dataset_is_opened_from_its_folder(qtbot, viewer, choose, drawn_dataset, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(drawn_dataset))

    choose("open_dataset")

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    assert [role_of(layer) for layer in viewer.layers] == ["image", GROUND_TRUTH]
    assert viewer.layers[0].data.shape == (3, 160, 200)


@pytest.mark.parametrize("command", ["open_dataset", "open_folder_of_images"])
def test_a_plate_is_opened_as_what_is_asked_for_says(
    qtbot, viewer, choose, tmp_path, drawn_fields, monkeypatch, command
):
    fields = [*drawn_fields, drawn_fields[0]]
    plate = write_plate(tmp_path / "plate.ome.zarr", fields, labels=("cells", "nuclei"))
    tell_acquisitions(plate)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(plate))
    asked = []

    def answer(parent, title, label, items, *_):
        asked.append(items)
        return items[1], True

    monkeypatch.setattr(QInputDialog, "getItem", answer)
    choose(command)

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    assert asked == [("before", "after"), ("GFP", "DAPI"), ("cells", "nuclei")]
    image, truth = (np.squeeze(np.asarray(layer.data)) for layer in viewer.layers)
    assert np.array_equal(image, drawn_fields[1].image)
    assert np.array_equal(truth, drawn_fields[1].labels)


def test_a_plate_is_not_opened_if_no_channel_is_chosen(
    qtbot, viewer, choose, tmp_path, drawn_fields, monkeypatch, told
):
    plate = write_plate(tmp_path / "plate.ome.zarr", [*drawn_fields, drawn_fields[0]])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(plate))
    asked = []
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: asked.append(True) or ("", False))
    choose("open_dataset")

    qtbot.waitUntil(lambda: bool(asked), timeout=20_000)
    assert not told
    assert not viewer.layers


def test_a_folder_that_is_no_dataset_is_told(qtbot, viewer, choose, tmp_path, monkeypatch, told):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))

    choose("open_dataset")

    qtbot.waitUntil(lambda: bool(told), timeout=20_000)
    assert "open the folder that holds images/ and masks/" in told[0]
    assert not viewer.layers


def test_the_run_panel_is_opened_once(viewer, choose):
    choose("run_on_dataset")
    choose("run_on_dataset")

    assert len(panels(viewer, RunPanel)) == 1


def test_no_folder_chosen_changes_nothing(viewer, choose, monkeypatch, told):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")

    choose("open_dataset")

    assert not viewer.layers
    assert not told


def test_panels_from_the_plugin_menu_are_tabs_that_keep_segment_in_sight(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1280, 800)
    names = ("Segment nuclei", "Score nuclei", "Run on dataset")
    docks, panels = zip(
        *(viewer.window.add_plugin_dock_widget("napari-nucseg", name) for name in names),
        strict=True,
    )
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(docks[0])) >= 2)

    docks[0].raise_()
    button = panels[0].form.segment.native
    qtbot.waitUntil(lambda: not button.visibleRegion().isEmpty())

    assert set(docks[1:]) <= set(window.tabifiedDockWidgets(docks[0]))
    bottom = button.mapTo(window, button.rect().bottomLeft()).y()
    assert bottom <= window.height()


@pytest.mark.parametrize(
    "name", ["Segment nuclei", "Score nuclei", "Train on labels", "Run on dataset"]
)
def test_a_panel_works_on_the_window_that_it_is_in(make_napari_viewer, name):
    first, _ = make_napari_viewer(), make_napari_viewer()
    image = first.add_image(np.zeros((8, 8)), name="in the first")

    panel = first.window.add_plugin_dock_widget("napari-nucseg", name)[1]

    assert panel._viewer is first
    if name == "Segment nuclei":
        assert panel.form.image.value is image

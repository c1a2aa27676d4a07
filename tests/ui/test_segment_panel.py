"""Segmenting in the viewer: press Segment, get labels; press Cancel, get nothing."""

import shutil
import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.core.images import read_mask
from napari_nucseg.core.scoring import score
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui import preferences
from napari_nucseg.ui.layers import PREDICTION, record_of, role_of
from napari_nucseg.ui.segment_form import Scope
from napari_nucseg.ui.segment_panel import SegmentPanel

RUN = 60_000


@pytest.fixture
def field(drawn_fields):
    return drawn_fields[0]


@pytest.fixture
def image(viewer, field):
    return viewer.add_image(
        field.image, name="A01", scale=(0.645, 0.645), translate=(3, 4), units=("um", "um")
    )


@pytest.fixture
def stack(viewer, drawn_fields):
    return viewer.add_image(np.stack([field.image for field in drawn_fields]), name="stack")


@pytest.fixture
def panel(viewer):
    return viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]


def run(qtbot, panel: SegmentPanel) -> None:
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)


def predictions(viewer):
    return [layer for layer in viewer.layers if role_of(layer) == PREDICTION]


def test_the_bundled_model_finds_the_nuclei_of_a_drawn_field(qtbot, viewer, image, panel, field):
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert score(field.labels, labels.data).objects.f1 > 0.8
    assert labels.name == "A01 u2os"
    assert "nuclei in" in panel.status.value
    assert panel.form.place.value.startswith("CPU, ")
    assert panel.form.place.value.endswith(" s a field")


def test_the_labels_lie_where_the_image_lies(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert np.array_equal(labels.scale, image.scale)
    assert np.array_equal(labels.translate, image.translate)
    assert labels.units == image.units


def test_the_labels_say_how_they_were_made(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    made = record_of(predictions(viewer)[0]).provenance
    assert made["model"] == "u2os"
    assert set(made) >= {"weights_sha256", "parameters", "device", "precision", "versions"}


def test_the_parameters_on_the_form_are_used(qtbot, image, panel, stand_in):
    panel.form.params["min_size"].value = 77

    run(qtbot, panel)

    assert stand_in.calls[0][1].min_size == 77


def test_a_second_run_refreshes_the_layer_in_place(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    run(qtbot, panel)

    assert len(predictions(viewer)) == 1


def test_without_an_image_the_panel_says_what_to_open(panel):
    panel.form.segment.native.click()

    assert "Open an image first" in panel.status.value


@pytest.mark.parametrize(("channel", "seen"), [("Mean", 150), ("Red", 240), ("Blue", 60)])
def test_of_a_colour_image_the_chosen_channel_is_segmented(
    qtbot, viewer, panel, stand_in, channel, seen
):
    viewer.add_image(np.full((8, 9, 3), (240, 150, 60), np.uint8), name="colour", rgb=True)
    panel.form.channel.value = channel

    run(qtbot, panel)

    assert stand_in.calls[0][0].shape == (8, 9)
    assert np.all(stand_in.calls[0][0] == seen)
    assert predictions(viewer)[0].data.shape == (8, 9)


def test_only_the_shown_field_of_a_stack_is_segmented(qtbot, viewer, stack, panel, stand_in):
    viewer.dims.set_current_step(0, 1)

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == stack.data.shape
    assert record_of(labels).fields == (1,)
    assert labels.data[1].any()
    assert not labels.data[0].any()


def test_fields_segmented_before_keep_their_labels(qtbot, viewer, stack, panel, stand_in):
    for shown in (1, 0):
        viewer.dims.set_current_step(0, shown)
        run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert record_of(labels).fields == (0, 1)
    assert set(record_of(labels).by_field) == {0, 1}
    assert labels.data[0].any()
    assert labels.data[1].any()


def test_all_fields_of_a_stack_are_segmented_when_asked(qtbot, viewer, stack, panel, stand_in):
    panel.form.scope.value = Scope.ALL

    run(qtbot, panel)

    assert record_of(predictions(viewer)[0]).fields == (0, 1, 2)
    assert "in 3 fields" in panel.status.value


def test_all_fields_cannot_be_asked_of_a_single_field(image, panel):
    assert Scope.ALL not in panel.form.scope.choices


def test_a_device_that_is_absent_is_refused_and_the_buttons_come_back(qtbot, viewer, image, panel):
    panel.form.device.value = "mps"

    run(qtbot, panel)

    assert "'mps' is not on this machine" in panel.status.value
    assert not predictions(viewer)
    assert panel.form.segment.enabled


def test_running_out_of_memory_does_not_leave_the_panel_running(
    qtbot, viewer, image, panel, stand_in
):
    import torch

    def exhaust(report):
        raise torch.OutOfMemoryError("CUDA out of memory")

    stand_in.before = exhaust
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        run_and_raise(qtbot, panel)

    assert "out of memory" in panel.status.value
    assert panel.form.segment.enabled


def run_and_raise(qtbot, panel):
    """Run, and raise what napari was notified of, as it does outside of tests by a pop-up."""
    from napari.utils.notifications import notification_manager

    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        run(qtbot, panel)
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    raise told[0].exception


class Held:
    """Holds a run between two tiles until it is let go."""

    def __init__(self, stand_in):
        self.reached, self.go_on = threading.Event(), threading.Event()
        stand_in.before = self.hold

    def hold(self, report):
        self.reached.set()
        self.go_on.wait(30)


@pytest.fixture
def held(stand_in):
    return Held(stand_in)


def test_cancel_adds_no_layer_and_the_next_run_works(qtbot, viewer, image, panel, held, stand_in):
    panel.form.segment.native.click()
    assert held.reached.wait(30)
    assert panel.form.cancel.enabled
    assert not panel.form.segment.enabled

    panel.form.cancel.native.click()
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    assert not predictions(viewer)
    assert "Stopped" in panel.status.value
    stand_in.before = lambda report: None
    run(qtbot, panel)
    assert len(predictions(viewer)) == 1


def test_removing_the_image_stops_the_run(qtbot, viewer, image, panel, held):
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    viewer.layers.remove(image)
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    assert not viewer.layers


def test_the_window_stays_usable_during_a_run(qtbot, image, panel, held):
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    assert not panel.form.model.enabled
    assert panel.form.cancel.enabled

    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)


def test_closing_the_dock_during_a_run_raises_nothing(qtbot, viewer, image, panel, held):
    panel.form.segment.native.click()
    assert held.reached.wait(30)
    job = panel.job

    panel.native.parent().destroyOnClose()
    held.go_on.set()
    qtbot.waitUntil(lambda: job.is_over)


def test_the_panel_says_when_a_model_needs_a_download(panel, monkeypatch, tmp_path):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))

    panel.form.model.value = "cpsam_v2"

    assert f"Segment fetches its 1200 MB to {tmp_path} first" in panel.form.about.value


def test_the_main_thread_is_never_blocked_for_long(qtbot, viewer, bbbc039, panel):
    from qtpy.QtCore import QElapsedTimer, QTimer

    viewer.open(str(sorted((bbbc039 / "images").iterdir())[0]), plugin="napari-nucseg")
    run(qtbot, panel)  # the first run imports torch, which holds Python's lock for a while
    clock, beats = QElapsedTimer(), []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(clock.restart()))
    clock.start()
    timer.start(10)
    run(qtbot, panel)
    timer.stop()

    assert len(beats) > 10
    assert sorted(beats)[-2] < 250  # adding the layer is one longer beat


def test_a_real_field_is_found_nearly_whole(qtbot, viewer, bbbc039, panel):
    path = sorted((bbbc039 / "images").iterdir())[0]
    viewer.open(str(path), plugin="napari-nucseg")

    run(qtbot, panel)

    from napari_nucseg.core.sources import Source

    truth = read_mask(Source(bbbc039 / "masks" / f"{path.stem}.png"))
    assert score(truth, predictions(viewer)[0].data).objects.f1 > 0.9


# Live thresholds


SLIDERS = [
    {"flow_threshold": 0.2},
    {"min_size": 120},
    {"cellprob_threshold": 2.0, "min_size": 30},
    {"split_depth": 1.0},
]


@pytest.mark.parametrize("values", SLIDERS, ids=str)
def test_moved_sliders_give_the_labels_of_a_fresh_run(qtbot, viewer, image, panel, field, values):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    runs = panel.form.params.params

    move(qtbot, panel, values)

    params = replace(runs, **values)
    segment = catalogue.load(catalogue.find("u2os"), "cpu")
    fresh = segment(field.image, params, lambda done, total: None)
    np.testing.assert_array_equal(labels.data, fresh.labels)
    assert predictions(viewer) == [labels]
    assert record_of(labels).provenance["parameters"] == asdict(params)
    assert f"{fresh.labels.max()} nuclei" in panel.status.value


def move(qtbot, panel, values):
    """Move sliders, and wait until the labels have followed."""
    for name, value in values.items():
        panel.form.params[name].value = value
    qtbot.waitUntil(lambda: not panel.follows and not panel.running, timeout=RUN)


def test_a_diameter_needs_the_network_and_the_panel_says_so(qtbot, viewer, image, panel):
    run(qtbot, panel)
    before = predictions(viewer)[0].data.copy()

    move(qtbot, panel, {"diameter": 40.0})

    assert panel.status.value == "Press Segment: Diameter needs the network."
    np.testing.assert_array_equal(predictions(viewer)[0].data, before)


def test_sliders_move_the_shown_field_alone_until_applied_to_all(qtbot, viewer, stack, panel):
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    before = labels.data.copy()
    viewer.dims.set_current_step(0, 0)

    move(qtbot, panel, {"min_size": 500})

    assert labels.data[0].max() < before[0].max()
    np.testing.assert_array_equal(labels.data[1], before[1])

    panel.form.follow_all.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert labels.data[1].max() < before[1].max()


def test_results_beyond_the_memory_limit_are_dropped_and_the_panel_says_so(
    qtbot, viewer, stack, panel, monkeypatch
):
    monkeypatch.setattr(preferences, "memory_limit", lambda: 1_000_000)
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    viewer.dims.set_current_step(0, 0)

    move(qtbot, panel, {"min_size": 150})

    assert panel.status.value == "Press Segment: this field's result is not in memory."


def test_deleted_labels_do_not_come_back_when_a_slider_moves(qtbot, viewer, image, panel):
    run(qtbot, panel)
    viewer.layers.remove(predictions(viewer)[0])

    move(qtbot, panel, {"min_size": 150})

    assert predictions(viewer) == []


# A rectangle


def test_a_drawn_rectangle_is_segmented_alone(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    outside = labels.data.copy()
    y, x, scale = 20, 30, 0.645
    corners = np.array([[y, x], [y, x + 50], [y + 40, x + 50], [y + 40, x]]) * scale + (3, 4)
    viewer.add_shapes([corners], shape_type="rectangle")
    panel.form.image.value = image
    panel.form.scope.value = Scope.BOX

    run(qtbot, panel)

    assert stand_in.calls[-1][0].shape == (40, 50)
    outside[20:60, 30:80] = 0
    changed = labels.data.copy()
    changed[20:60, 30:80] = 0
    np.testing.assert_array_equal(changed, outside)


def test_without_a_rectangle_the_panel_asks_for_one(image, panel):
    panel.form.scope.value = Scope.BOX

    panel.form.segment.native.click()

    assert "Draw a rectangle" in panel.status.value


# What is remembered


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


# What can be said of nuclei without a truth


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

    lines = path.read_text().splitlines()
    assert lines[0].startswith("field,index,area_px,area_um2,")
    assert len(lines) == 1 + predictions(viewer)[0].data.max()


def test_settings_of_other_labels_are_taken_over(qtbot, viewer, image, panel):
    panel.form.params["min_size"].value = 77
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]
    assert "Minimum size 77 px" in panel.provenance.text.value
    panel.form.defaults.native.click()

    panel.provenance.take_over.native.click()

    assert panel.form.params.params.min_size == 77

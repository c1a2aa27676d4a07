"""Segmenting in the viewer: press Segment, get labels; press Cancel, get nothing."""

import threading
from dataclasses import asdict

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from skimage.measure import label

from napari_nucseg.io.images import read_labels
from napari_nucseg.metrics.score import score
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.segment.provenance_widget import describe
from tests.ui.segment_actions import RUN, longest_beat, predictions, run


def test_the_bundled_model_finds_the_nuclei_of_a_drawn_field(qtbot, viewer, image, panel, field):
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert score(field.labels, labels.data).objects.f1 > 0.8
    assert labels.name == "A01 fluo-nuclei"
    assert "nuclei in" in panel.status.value
    assert panel.form.place.value.startswith("CPU, ")
    assert panel.form.place.value.endswith(" s a field")


def test_the_labels_lie_where_the_image_lies(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert np.array_equal(labels.scale, image.scale)
    assert np.array_equal(labels.translate, image.translate)
    assert labels.units == image.units


@pytest.mark.parametrize(
    "transform",
    [
        {"rotate": 30},
        {"shear": [0.3]},
        {"affine": [[0.9, -0.2, 40], [0.25, 1.1, -7], [0, 0, 1]]},
        {"scale": (2, 0.5), "rotate": 12, "translate": (5, 9), "affine": np.diag([2.0, 3.0, 1.0])},
    ],
    ids=str,
)
def test_labels_lie_on_an_image_that_is_turned_or_sheared(
    qtbot, viewer, panel, stand_in, field, transform
):
    image = viewer.add_image(field.image, name="turned", **transform)
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    for corner in ((0, 0), (0, 200), (160, 0), (160, 200)):
        np.testing.assert_allclose(labels.data_to_world(corner), image.data_to_world(corner))

    image.translate = (100, 50)
    run(qtbot, panel)
    np.testing.assert_allclose(labels.data_to_world((7, 8)), image.data_to_world((7, 8)))


def test_the_labels_say_how_they_were_made(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    made = record_of(predictions(viewer)[0]).provenance
    assert made["model"] == "fluo-nuclei"
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


def segment_until_the_last(qtbot, viewer, panel, stand_in) -> threading.Event:
    """Segment three fields; the last waits for the event that is returned."""
    reached, go_on = threading.Event(), threading.Event()

    def hold_at_the_last(report):
        if len(stand_in.calls) == 2:
            reached.set()
            go_on.wait(30)

    stand_in.before = hold_at_the_last
    panel.form.scope.value = Scope.ALL
    panel.form.segment.native.click()
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    qtbot.waitUntil(lambda: bool(predictions(viewer)) and predictions(viewer)[0].data[1].any())
    return go_on


def test_each_field_shows_as_it_is_done_and_cancel_keeps_it(qtbot, viewer, stack, panel, stand_in):
    go_on = segment_until_the_last(qtbot, viewer, panel, stand_in)
    (labels,) = predictions(viewer)
    assert panel.running
    assert record_of(labels).fields == (0, 1)

    qtbot.mouseClick(panel.form.cancel.native, Qt.MouseButton.LeftButton)
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    assert labels in viewer.layers
    assert record_of(labels).fields == (0, 1)
    assert labels.data[0].any()
    assert labels.data[1].any()
    assert not labels.data[2].any()
    assert panel.status.value.startswith("Stopped. 2 of 3 fields are done and stay. ")
    assert panel.form.segment.enabled


def test_labels_that_are_removed_during_a_run_come_back_with_all_fields(
    qtbot, viewer, stack, panel, stand_in
):
    go_on = segment_until_the_last(qtbot, viewer, panel, stand_in)

    viewer.layers.remove(predictions(viewer)[0])
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    (labels,) = predictions(viewer)
    assert record_of(labels).fields == (0, 1, 2)
    np.testing.assert_array_equal(labels.data, [label(one > 250) for one in stack.data])
    assert "nuclei in 3 fields" in panel.status.value


def test_a_field_that_fails_does_not_keep_the_others_from_being_segmented(
    qtbot, viewer, stack, panel, stand_in
):
    stack.data = stack.data.astype(np.float32)
    stack.data[1, 0, 0] = np.nan
    panel.form.scope.value = Scope.ALL

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert record_of(labels).fields == (0, 2)
    assert "in 2 fields" in panel.status.value
    assert "1 of 3 fields failed. stack, field 2: it holds NaN" in panel.status.value


def test_an_error_of_another_kind_ends_the_run_and_keeps_what_is_done(
    qtbot, viewer, stack, panel, stand_in
):
    def fail_at_the_last(report):
        if len(stand_in.calls) == 2:
            raise MemoryError("no memory left")

    stand_in.before = fail_at_the_last
    panel.form.scope.value = Scope.ALL

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert record_of(labels).fields == (0, 1)
    told = panel.status.value
    assert told.startswith("Failed: no memory left. 2 of 3 fields are done and stay. ")
    assert "nuclei in 2 fields" in told


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

    assert f"Segment first downloads its 1234 MB to {tmp_path}" in panel.form.about.value


def test_the_main_thread_is_never_blocked_for_a_tenth_of_a_second(qtbot, viewer, bbbc039, panel):
    viewer.open(str(sorted((bbbc039 / "images").iterdir())[0]), plugin="napari-nucseg")
    run(qtbot, panel)  # the first run compiles, and adds the layer

    # What the panel itself blocks is there in every run, what other programs do is not
    longest = [longest_beat(qtbot, panel, lambda: run(qtbot, panel)) for _ in range(5)]

    assert min(longest) < 100, longest


def test_a_real_field_is_found_nearly_whole(qtbot, viewer, bbbc039, panel):
    path = sorted((bbbc039 / "images").iterdir())[0]
    viewer.open(str(path), plugin="napari-nucseg")

    run(qtbot, panel)

    from napari_nucseg.io.sources import Source

    truth = read_labels(Source(bbbc039 / "masks" / f"{path.stem}.png"))
    assert score(truth, predictions(viewer)[0].data).objects.f1 > 0.9


# Stacks that are too large for memory


class OnDisk:
    """A stack that tells which of its fields are read in which thread."""

    def __init__(self, data) -> None:
        self._data = data
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.read: list[tuple[int, ...]] = []
        self.in_main: list[tuple[int, ...]] = []

    def __getitem__(self, key):
        at = key[0] if isinstance(key, tuple) else key
        main = threading.current_thread() is threading.main_thread()
        fields = tuple(np.atleast_1d(np.arange(len(self._data))[at]))
        (self.in_main if main else self.read).append(fields)
        return self._data[key]


def test_fields_are_read_one_by_one_and_never_on_the_main_thread(
    qtbot, viewer, panel, stand_in, drawn_fields
):
    data = OnDisk(np.stack([field.image for field in drawn_fields]))
    viewer.add_image(data, name="disk", contrast_limits=(0, 4000))
    panel.form.scope.value = Scope.ALL
    seen = []
    stand_in.before = lambda report: seen.append(list(data.read))

    panel.start()
    data.in_main.clear()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert seen == [[(0,)], [(0,), (1,)], [(0,), (1,), (2,)]]
    assert data.in_main == []
    assert record_of(predictions(viewer)[0]).fields == (0, 1, 2)


def test_a_stack_in_memory_is_never_copied_whole(qtbot, viewer, panel, held):
    import tracemalloc

    data = np.full((40, 300, 400), 9, np.uint16)
    viewer.add_image(data, name="long", contrast_limits=(0, 99))
    panel.form.scope.value = Scope.ALL
    tracemalloc.start()

    panel.start()
    assert held.reached.wait(30)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    panel.stop()
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert taken < data.nbytes / 4


def test_new_data_during_a_run_stop_it_and_are_named(qtbot, viewer, image, panel, held, field):
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    image.data = np.flipud(field.image).copy()
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    assert panel.status.value == "Stopped, because the image has changed. Press Segment again."
    assert not predictions(viewer)
    assert panel.form.segment.enabled


def test_progress_says_which_tile_and_field_is_at_work(qtbot, stack, panel, held, stand_in):
    panel.form.scope.value = Scope.ALL
    panel.form.segment.native.click()
    told = []
    panel.job.progressed.connect(lambda *_: told.append(panel.status.value))
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert "tile 1 of 1, field 1 of 3" in told


def test_the_image_that_is_opened_or_selected_is_the_one_that_is_segmented(viewer, panel, field):
    first, second = (viewer.add_image(field.image, name=name) for name in ("one", "two"))
    assert panel.form.image.value is second

    viewer.layers.selection.active = first

    assert panel.form.image.value is first


def test_the_panel_tells_of_the_field_in_sight(qtbot, viewer, panel, stack, stand_in):
    viewer.dims.set_current_step(0, 0)
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    viewer.dims.set_current_step(0, 1)
    assert panel.status.value == "This field is not segmented yet. Press Segment."
    viewer.dims.set_current_step(0, 0)
    assert " nuclei in this field, median area " in panel.status.value


def test_the_buttons_stay_where_they_are_whatever_is_told(qtbot, make_napari_viewer, field):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(field.image, name="A01")
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    button, places = panel.form.segment.native, set()
    for told in ("", "One line.", "A sentence that is wider than the panel and takes two lines."):
        panel.status.value = told
        QApplication.processEvents()
        QApplication.processEvents()
        places.add(button.mapToGlobal(button.rect().center()).y())

    assert len(places) == 1


def test_labels_of_an_image_in_blocks_say_which():
    made = {
        **dict.fromkeys(("model", "device", "precision", "weights_sha256"), "m"),
        **{"seconds": 2.0, "versions": {}, "parameters": asdict(SegmentParams())},
        "blocks": {"count": 12, "size": [256, 320], "overlap": 128, "cut": 0},
    }
    assert "In 12 blocks of 256 x 320 px, which overlap by 128 px" in describe(made)

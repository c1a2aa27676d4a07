"""Moved sliders give the labels of a fresh run, without the network."""

from dataclasses import asdict, replace

import dask.array as da
import numpy as np
import pytest

from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.segment.result_cache import memory_limit
from tests.ui.segment_actions import RUN, longest_beat, move, predictions, run

SLIDERS = [
    {"flow_threshold": 0.2},
    {"min_size": 120},
    {"cellprob_threshold": 2.0, "min_size": 30},
    {"split_depth": 1.0},
]
NOT_IN_MEMORY = "The result of this field is not in memory. Press Segment to use the new values."


@pytest.mark.parametrize("values", SLIDERS, ids=str)
def test_moved_sliders_give_the_labels_of_a_fresh_run(qtbot, viewer, image, panel, field, values):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    runs = panel.form.params.params

    move(qtbot, panel, values)

    params = replace(runs, **values)
    segment = catalogue.load(catalogue.find("fluo-nuclei"), "cpu")
    fresh = segment(field.image, params, lambda done, total: None)
    np.testing.assert_array_equal(labels.data, fresh.labels)
    assert predictions(viewer) == [labels]
    assert record_of(labels).provenance["parameters"] == asdict(params)
    assert f"{fresh.labels.max()} nuclei" in panel.status.value


def test_a_diameter_needs_the_network_and_the_panel_says_so(qtbot, viewer, image, panel):
    run(qtbot, panel)
    before = predictions(viewer)[0].data.copy()

    move(qtbot, panel, {"diameter": 40.0})

    assert panel.status.value == "Press Segment to use the new diameter."
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
    qtbot, viewer, stack, panel
):
    panel.form.memory.value = 1
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    viewer.dims.set_current_step(0, 0)

    move(qtbot, panel, {"min_size": 150})

    assert panel.status.value == NOT_IN_MEMORY


def test_deleted_labels_do_not_come_back_when_a_slider_moves(qtbot, viewer, image, panel):
    run(qtbot, panel)
    viewer.layers.remove(predictions(viewer)[0])

    move(qtbot, panel, {"min_size": 150})

    assert predictions(viewer) == []


def test_other_data_in_the_layer_are_not_given_the_labels_of_the_old(
    qtbot, viewer, image, panel, field
):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    before = labels.data.copy()

    image.data = np.flipud(field.image).copy()
    move(qtbot, panel, {"min_size": 150})

    np.testing.assert_array_equal(labels.data, before)
    assert panel.status.value == NOT_IN_MEMORY


def test_data_of_another_shape_get_labels_of_their_own(
    qtbot, viewer, image, panel, field, stand_in
):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.data_setitem(np.nonzero(labels.data == 1), 0)
    painted = labels.data.copy()

    image.data = field.image[:100, :120].copy()
    move(qtbot, panel, {"min_size": 150})
    run(qtbot, panel)
    run(qtbot, panel)

    earlier, now = predictions(viewer)
    assert now.data.shape == (100, 120)
    assert (earlier, earlier.name) == (labels, "A01 fluo-nuclei earlier")
    np.testing.assert_array_equal(labels.data, painted)


def test_labels_that_are_not_in_memory_stay_as_they_are(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.data = da.from_array(labels.data)

    run(qtbot, panel)

    earlier, now = predictions(viewer)
    assert "The labels before cannot be replaced and stay in A01 fluo-nuclei earlier." in (
        panel.status.value
    )
    np.testing.assert_array_equal(np.asarray(earlier.data), now.data)


def test_locked_labels_follow_no_slider_and_are_not_replaced(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.editable = False

    move(qtbot, panel, {"min_size": 20})
    assert panel.status.value == "A01 fluo-nuclei is locked. It does not follow sliders."
    assert record_of(labels).provenance["parameters"]["min_size"] == 15

    run(qtbot, panel)
    assert [one.name for one in predictions(viewer)] == [
        "A01 fluo-nuclei earlier",
        "A01 fluo-nuclei",
    ]
    assert record_of(labels).provenance["parameters"]["min_size"] == 15


def test_a_slider_acts_on_what_undo_left_of_a_rectangle(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    corner = image.data_to_world((0, 0)), image.data_to_world((60, 60))
    viewer.add_shapes([np.array(corner)], shape_type="rectangle")
    panel.form.image.value = image
    panel.form.scope.value = Scope.BOX
    run(qtbot, panel)
    assert record_of(labels).provenance["boxes"]

    panel.form.undo.native.click()
    move(qtbot, panel, {"min_size": 20})

    assert "not in memory" not in panel.status.value
    assert record_of(labels).provenance["parameters"]["min_size"] == 20
    assert "boxes" not in record_of(labels).provenance


def test_undo_says_which_field_it_took_back(qtbot, viewer, stack, panel, stand_in):
    viewer.dims.set_current_step(0, 1)
    run(qtbot, panel)
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.data_setitem(tuple(np.array([n]) for n in (1, 5, 5)), 90)
    viewer.dims.set_current_step(0, 0)

    panel.form.undo.native.click()

    assert panel.status.value == f"The last change of {labels.name} in field 2 is undone."


def test_data_that_are_written_to_in_place_are_noticed(qtbot, viewer, image, panel):
    image.data = image.data.copy()
    run(qtbot, panel)
    before = predictions(viewer)[0].data.copy()

    image.data[:50] = 0
    move(qtbot, panel, {"min_size": 150})

    assert "A01: the image has changed since it was segmented" in panel.status.value
    np.testing.assert_array_equal(predictions(viewer)[0].data, before)


def test_no_layer_is_watched_after_the_dock_is_closed(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    watched = [image.events.data, labels.events.paint, labels.events.set_data]
    assert all(map(ours, watched))

    panel.native.parent().destroyOnClose()

    assert not any(map(ours, watched))


def ours(emitter) -> bool:
    """Whether an event calls a method of the panel's."""
    told = str(emitter.callbacks)
    return "LayerWatch" in told


def test_another_channel_needs_the_network(qtbot, viewer, field, panel):
    colour = np.stack([field.image, field.image // 2, field.image // 4], axis=-1)
    viewer.add_image((colour / colour.max()).astype(np.float32), name="colour", rgb=True)
    panel.form.channel.value = "Red"
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    assert record_of(labels).provenance["channel"] == "Red"
    before = labels.data.copy()

    move(qtbot, panel, {"channel": "Blue"})

    assert panel.status.value == "Press Segment to use the new channel."
    np.testing.assert_array_equal(labels.data, before)


def test_dark_nuclei_need_the_network(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    move(qtbot, panel, {"invert": True})

    assert panel.status.value == "Press Segment to use the new setting of Dark nuclei."


def test_applying_to_all_says_how_many_fields_need_the_network(
    qtbot, viewer, stack, panel, drawn_fields
):
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    viewer.dims.set_current_step(0, 1)
    panel.form.scope.value = Scope.FIELD
    panel.form.params["diameter"].value = 40.0
    run(qtbot, panel)
    before = labels.data.copy()

    move(qtbot, panel, {"min_size": 500})
    panel.form.follow_all.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert panel.status.value.endswith("Press Segment to use the new diameter in 2 fields.")
    np.testing.assert_array_equal(labels.data[0], before[0])
    assert labels.data[1].max() <= before[1].max()


def test_kept_results_and_their_limit_are_in_sight(qtbot, image, panel):
    assert panel.form.taken.value == "Results kept for the sliders: 0 of 500 MB"

    run(qtbot, panel)
    panel.form.memory.value = 300

    taken = int(panel.form.taken.value.split(": ")[1].split()[0])
    assert 0 < taken < 3
    assert panel.form.taken.value.endswith(" of 300 MB")
    assert memory_limit() == 300_000_000

    panel.form.memory.value = 0
    assert panel.form.taken.value == "Results kept for the sliders: 0 of 0 MB"


def test_a_value_that_a_model_ignores_does_not_need_its_network(qtbot, viewer, image, panel):
    run(qtbot, panel)

    move(qtbot, panel, {"tile_overlap": 48})

    assert "Press Segment" not in panel.status.value


@pytest.mark.parametrize("name", ["flow_threshold", "cellprob_threshold", "min_size"])
def test_a_moving_slider_never_blocks_the_main_thread_for_a_tenth_of_a_second(
    qtbot, viewer, bbbc039, panel, name
):
    viewer.open(str(sorted((bbbc039 / "images").iterdir())[0]), plugin="napari-nucseg")
    run(qtbot, panel)
    row = panel.form.params[name]
    usual = row.value

    def drag():
        for steps in (1, 2, 3, 4):
            move(qtbot, panel, {name: usual + steps * row.step})
        move(qtbot, panel, {name: usual})

    # What the panel itself blocks is there at every move, what other programs do is not
    longest = [longest_beat(qtbot, panel, drag) for _ in range(5)]

    assert min(longest) < 100, longest


def test_a_result_that_cannot_follow_is_not_said_to(qtbot, image, panel, stand_in):
    panel.form.memory.value = 0

    run(qtbot, panel)

    assert "Sliders" not in panel.status.value


def test_nothing_more_is_said_of_labels_that_are_gone(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    viewer.layers.remove(predictions(viewer)[0])
    assert panel.status.value == "Press Segment to find the nuclei."

    viewer.layers.remove(image)
    assert "Open an image first" in panel.status.value

    viewer.add_image(image.data)
    assert panel.status.value == "Press Segment to find the nuclei."

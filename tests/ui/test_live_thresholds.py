"""Moved sliders give the labels of a fresh run, without the network."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment_form import Scope
from tests.ui.segment_actions import RUN, move, predictions, run

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
    qtbot, viewer, stack, panel
):
    panel.form.memory.value = 1
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

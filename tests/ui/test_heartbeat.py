"""Nothing that is pressed in the score panel blocks the window, with 50 real fields in it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.files.field_groups import stack_lazily
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    IOU,
    PREDICTION,
    LayerRecord,
    placement,
    tag,
)
from napari_nucseg.ui.score.panel import NUCLEI
from tests.ui.heartbeat import heartbeat
from tests.ui.scored import add_stacks, open_panel, overlays, settled, spoil

LONGEST = 0.1
"""Seconds of work after which a user notices that the window does not answer."""


@pytest.fixture
def panel(qtbot, make_napari_viewer, bbbc039):
    """The score panel on the 50 validation fields, whose prediction is the truth, spoilt."""
    viewer = make_napari_viewer(show=True)
    split = bbbc039 / "metadata" / "validation.txt"
    image, truth = viewer.open(str(split), plugin="napari-nucseg")
    found = np.roll(np.asarray(truth.data), 2, axis=1)
    found[found % 17 == 0] = 0
    record = LayerRecord(PREDICTION, source=str(image.unique_id))
    viewer.add_labels(found, name="found", metadata=tag(record), **placement(image))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    compared(qtbot, panel)
    return panel


def compared(qtbot, panel) -> None:
    """Wait until nothing runs; all fields take half a minute on a busy computer."""
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=200_000)


@pytest.mark.slow
def test_no_button_of_the_score_panel_blocks_the_window(qtbot, panel):
    buttons, filters = panel.buttons, panel.objects.filters
    with heartbeat() as bare:  # napari's own work, which is more than all of ours
        layer = panel.model.viewer.add_labels(np.zeros((50, 8, 8), np.uint8), visible=False)
        qtbot.wait(100)
    panel.model.viewer.layers.remove(layer)
    compared(qtbot, panel)
    shown = (buttons.errors, buttons.agreement, buttons.iou)
    steps = {
        **{f"add {one.text}": (one.native.click, LONGEST + bare.longest) for one in shown},
        **{f"show {one.text}": (one.native.click, LONGEST) for one in shown},
        "errors only": (buttons.errors_only.native.click, LONGEST),
        "everything": (buttons.errors_only.native.click, LONGEST),
        "slider": (partial(setattr, panel.threshold, "value", 0.7), LONGEST),
        "preset": (partial(setattr, panel.controls.preset, "value", "dsb2018"), LONGEST),
        "table": (partial(panel.tabs.setCurrentIndex, NUCLEI), LONGEST),
        "next": (buttons.next.native.click, LONGEST),
        "all fields": (filters.this_field.click, LONGEST),
        "next of all": (buttons.next.native.click, LONGEST),
        "verdict": (panel.legend.buttons[Verdict.MATCHED].click, LONGEST),
        "filter": (partial(filters.least_iou.setValue, 0.3), LONGEST),
        "swap": (panel.controls.swapping.click, LONGEST),
    }
    blocked = {}
    for what, (act, longest) in steps.items():
        with heartbeat() as heart:
            act()
            qtbot.wait(1)
            compared(qtbot, panel)
        if heart.longest > longest:
            blocked[what] = heart

    assert not blocked


def test_choices_leave_no_trace_on_the_layers(viewer, drawn_fields):
    """A slice of napari's list of layers is another list, which listens to each of them."""
    stack = np.stack([field.labels for field in drawn_fields])
    image = viewer.add_image(stack)
    add_stacks(viewer, stack, spoil(stack))
    panels = [
        viewer.window.add_plugin_dock_widget("napari-nucseg", name)[1]
        for name in ("Segment nuclei", "Score nuclei")
    ]
    listeners = len(image.events.name.callbacks)

    for panel in panels:
        panel.reset_choices()
        panel.reset_choices()

    assert len(image.events.name.callbacks) == listeners


@pytest.mark.parametrize("role", [ERRORS, AGREEMENT, IOU])
def test_an_overlay_reads_no_field_but_that_in_sight(qtbot, viewer, drawn_fields, role):
    found = np.stack([field.labels for field in drawn_fields])
    planes: list[int] = []

    def read(plane: int) -> np.ndarray:
        planes.append(plane)
        return found[plane]

    readers = [partial(read, plane) for plane in range(len(found))]
    add_stacks(viewer, found, stack_lazily(readers, found.shape[1:], found.dtype))
    viewer.dims.set_current_step(0, 1)
    panel = open_panel(qtbot, viewer)
    planes.clear()

    panel.buttons.show_overlay(role)

    (layer,) = overlays(viewer, role)
    assert set(planes) <= {1}
    assert np.asarray(layer.data[1]).any()


def test_an_overlay_stays_the_layer_that_it_is(qtbot, viewer, drawn_fields):
    """Another layer would take napari a quarter of a second, for each overlay that there is."""
    stack = np.stack([field.labels for field in drawn_fields])
    add_stacks(viewer, stack, spoil(stack))
    panel = open_panel(qtbot, viewer)
    panel.show_errors()
    (before,) = overlays(viewer, ERRORS)

    panel.controls.swap()
    settled(qtbot, panel)

    (after,) = overlays(viewer, ERRORS)
    assert after is before
    assert viewer.layers[-1] is after
    assert (np.asarray(after.data[1]) == Verdict.SPURIOUS).any()

"""Nothing that is pressed in the panels blocks the window, with 50 real fields in it."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui import commands
from napari_nucseg.ui.files import opening
from napari_nucseg.ui.files.field_groups import stack_lazily
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    IOU,
    PREDICTION,
    LayerRecord,
    placement,
    tag,
)
from napari_nucseg.ui.score.panel import COMPARE, GALLERY, NUCLEI, PLOTS
from napari_nucseg.ui.score.plots import PLOT_TIPS
from napari_nucseg.ui.segment.display import CONTOURS, MEASURES
from napari_nucseg.ui.segment.image_source import Scope
from tests.ui.heartbeat import heartbeat
from tests.ui.scored import add_stacks, open_panel, overlays, settled, spoil

EXPORTED = ("Nuclei as CSV...", "Fields as CSV...", "Report as HTML...")
"""Exports, one of each kind."""
LONG = 300_000
"""Milliseconds that 50 fields may take on a busy computer."""
LONGEST = 0.2 if "PYTEST_XDIST_WORKER" in os.environ else 0.1
"""Seconds of work after which a user notices that the window does not answer.

Processes that test side by side share cores, caches and memory, and take longer for the same work.
"""


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

    def is_over() -> bool:
        plots = vars(panel).get("plots")  # built when they are first looked at
        is_drawn = plots is None or not plots.isVisible() or plots.view.is_drawn
        return panel.state.is_there and not panel.running and is_drawn

    qtbot.waitUntil(is_over, timeout=LONG)


@pytest.mark.slow
def test_no_button_of_the_score_panel_blocks_the_window(qtbot, panel, saving):
    buttons, filters = panel.buttons, panel.objects.filters
    viewer = panel.model.viewer
    add = partial(viewer.add_labels, np.zeros((50, 8, 8), np.uint8), visible=False)
    bare = napari_alone(qtbot, viewer, add)  # which is more than all of ours
    compared(qtbot, panel)
    shown = (buttons.errors, buttons.agreement, buttons.iou)
    steps = {
        **{f"add {one.text}": (one.native.click, LONGEST + bare) for one in shown},
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
        "plots": (partial(panel.tabs.setCurrentIndex, PLOTS), LONGEST),
        **{
            kind: (lambda kind=kind: panel.plots.kind.setCurrentText(kind), LONGEST)
            for kind in PLOT_TIPS
        },
        "gallery": (partial(panel.tabs.setCurrentIndex, GALLERY), LONGEST),
        "compare": (partial(panel.tabs.setCurrentIndex, COMPARE), LONGEST),
        **{kind: (partial(panel.export.ask, kind), LONGEST) for kind in EXPORTED},
        "swap": (panel.controls.swapping.click, LONGEST),
    }
    assert not blocked_by(qtbot, steps, partial(compared, qtbot, panel))


def blocked_by(qtbot, steps, settle) -> list[str]:
    """Take steps one after another, and say which blocked the window for too long, and where.

    Parameters
    ----------
    steps : mapping
        Name of each step to what does it, and the most seconds that it may block the window.
    settle : callable
        Waits until all that a step began is over.
    """
    blocked = []
    for what, (act, longest) in steps.items():
        with heartbeat() as heart:
            act()
            qtbot.wait(1)
            settle()
        if heart.longest > longest:
            times = f"{1000 * heart.longest:.0f} ms, at most {1000 * longest:.0f}"
            blocked.append(f"{what}: {times}: {heart.places[:2]}")
    return blocked


def napari_alone(qtbot, viewer, add) -> float:
    """Return for how many seconds napari blocks the window for layers that are added by itself."""
    before = set(viewer.layers)
    with heartbeat() as bare:
        add()
        qtbot.wait(100)
    for layer in set(viewer.layers) - before:
        viewer.layers.remove(layer)
    qtbot.wait(100)
    return bare.longest


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


@pytest.fixture
def window(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def fields(bbbc039):
    """Images and ground truth of the 50 validation fields."""
    fields = open_dataset(bbbc039, "validation").fields
    images = np.stack([field.read_image().data for field in fields])
    return images, np.stack([field.read_truth() for field in fields])


@pytest.fixture
def few(bbbc039, tmp_path):
    """A folder with the 50 validation fields alone, as a dataset."""
    folder = tmp_path / "few"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for field in open_dataset(bbbc039, "validation").fields:
        for part, source in (("images", field.image), ("masks", field.mask)):
            (folder / part / source.name).symlink_to(source.path)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", ["menu", "dropped"])
def test_opening_a_dataset_does_not_block_the_window(qtbot, window, few, fields, monkeypatch, way):
    """What is dropped napari adds all at once; the menu adds one layer after another."""
    images, truths = fields
    adds = partial(window.add_image, images), partial(window.add_labels, truths)
    bare = [napari_alone(qtbot, window, add) for add in (*adds, *adds)][-2:]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(few))
    act, longest = {
        "menu": (commands.open_dataset_folder, max(bare)),
        "dropped": (partial(window.open, str(few), plugin="napari-nucseg"), sum(bare)),
    }[way]

    def opened() -> None:
        qtbot.waitUntil(lambda: not Job._running and not opening._turns, timeout=LONG)

    assert not blocked_by(qtbot, {way: (act, longest + LONGEST)}, opened)
    assert len(window.layers) == 2


@pytest.mark.slow
def test_a_run_and_its_results_do_not_block_the_window(qtbot, window, few, fields, tmp_path):
    images, truths = fields
    adds = partial(window.add_image, images), partial(window.add_labels, truths)
    bare = max([napari_alone(qtbot, window, add) for add in (*adds, *adds)][-2:])
    panel = window.window.add_plugin_dock_widget("napari-nucseg", "Run on dataset")[1]
    form = panel.form
    form.dataset.value, form.out.value = few, tmp_path / "out"

    def shown() -> None:
        qtbot.waitUntil(lambda: not Job._running and not opening._turns, timeout=LONG)

    steps = {
        "models": (partial(setattr, form.models, "value", ["otsu"]), LONGEST),
        "run": (form.run.native.click, LONGEST),
        "show in viewer": (form.show_results.native.click, LONGEST + bare),
        "next field": (partial(window.dims.set_current_step, 0, 7), LONGEST),
        "show again": (form.show_results.native.click, LONGEST + bare),
    }
    assert not blocked_by(qtbot, steps, shown)
    assert len(window.layers) == 8


@pytest.fixture
def saving(tmp_path, monkeypatch):
    """Save every file under the name that is suggested, in a folder of its own."""

    def chosen(parent, title, suggestion, *kinds):
        return str(tmp_path / suggestion), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", chosen)


@pytest.fixture
def segmented(qtbot, window, fields, saving):
    """The segment panel with images, and a model that needs no network."""
    window.add_image(fields[0], name="fields")
    panel = window.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    panel.form.model.value = "otsu"
    qtbot.wait(100)
    return panel


@pytest.mark.slow
def test_no_button_of_the_segment_panel_blocks_the_window(qtbot, window, fields, segmented):
    panel, form, result = segmented, segmented.form, segmented.result

    def add() -> None:
        window.add_labels(fields[1]).contour = 2

    bare = [napari_alone(qtbot, window, add) for _ in range(2)][-1]

    def settle() -> None:
        qtbot.waitUntil(
            lambda: not (panel.running or panel.follows or panel.measurements.measuring),
            timeout=LONG,
        )

    steps = {
        "segment": (form.segment.native.click, LONGEST + bare),
        "again": (form.segment.native.click, LONGEST),
        "scope": (partial(setattr, form.scope, "value", Scope.ALL), LONGEST),
        "all fields": (form.segment.native.click, LONGEST),
        "slider": (partial(setattr, form.params["min_size"], "value", 30), LONGEST),
        "all follow": (form.follow_all.native.click, LONGEST),
        "undo": (form.undo.native.click, LONGEST),
        "next field": (partial(window.dims.set_current_step, 0, 7), LONGEST),
        **{
            f"show as {way}": (partial(setattr, result.show_as, "value", way), LONGEST)
            for way in (*MEASURES, *CONTOURS)
        },
        "defaults": (form.defaults.native.click, LONGEST),
        "save measurements": (result.save.native.click, LONGEST),
        "save labels": (result.save_labels.native.click, LONGEST),
        **{
            f"{what} {tool.name}": (button.click, LONGEST)
            for tool, button in result.mending.buttons.items()
            for what in ("take", "leave")
        },
        "other model": (partial(setattr, form.model, "value", "fluo-nuclei"), LONGEST),
        "measure": (form.measure.native.click, LONGEST),  # of which otsu makes no use
        "circle": (form.circle.native.click, LONGEST + 2 * bare),  # napari loads fonts, too
        "circle away": (form.circle.native.click, LONGEST),
        "circle back": (form.circle.native.click, LONGEST),
        "this field": (partial(setattr, form.scope, "value", Scope.FIELD), LONGEST),
        "network": (form.segment.native.click, LONGEST + bare),
        "doubtful": (result.doubtful.native.click, LONGEST),
        "next doubtful": (result.doubtful.native.click, LONGEST),
    }
    assert not blocked_by(qtbot, steps, settle)
    assert "number 2 of" in panel.status.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["Segment nuclei", "Score nuclei", "Train on labels", "Run on dataset"]
)
def test_no_panel_blocks_the_window_when_it_opens(qtbot, window, fields, name):
    images, truths = fields
    window.add_image(images, name="fields")
    window.add_labels(truths, name="fields ground truth")
    with heartbeat() as bare:
        dock = window.window.add_dock_widget(QWidget())
        qtbot.wait(100)
    window.window.remove_dock_widget(dock)
    act = partial(window.window.add_plugin_dock_widget, "napari-nucseg", name)

    def settle() -> None:
        qtbot.waitUntil(lambda: not Job._running, timeout=LONG)

    assert not blocked_by(qtbot, {name: (act, LONGEST + bare.longest)}, settle)

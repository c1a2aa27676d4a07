"""Scores of labels that are larger than memory, which the score panel compares part by part."""

import os
import threading

import dask.array as da
import numpy as np
import pytest

from napari_nucseg.batch import label_pairs
from napari_nucseg.metrics.registry import GROUPS, metrics
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, tag
from tests.ui.scored import spoil


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields[:2]])


@pytest.fixture
def panel(viewer):
    return viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]


@pytest.fixture
def lower(monkeypatch):
    """Take labels for larger than memory from now on, and read them in small parts."""

    def lower():
        monkeypatch.setenv("NUCSEG_MAX_PIXELS", str(2**14))
        monkeypatch.setattr(label_pairs, "_EDGE", 64)

    return lower


@pytest.fixture
def large(lower):
    lower()


def add_lazily(viewer, truth, found):
    """Add labels as pyramids that are read when they are shown."""
    roles = {"truth": GROUND_TRUTH, "found": PREDICTION}
    for name, one in (("found", found), ("truth", truth)):
        data = da.from_array(one, chunks=(1, 64, 64)[-one.ndim :])
        levels, metadata = [data, data[..., ::2, ::2]], tag(LayerRecord(roles[name]))
        viewer.add_labels(levels, multiscale=True, name=name, metadata=metadata)


def scored(qtbot, panel) -> dict[str, str]:
    """Wait for the scores of the field in sight; return them by the title of their row."""
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)
    table = panel.table
    cells = ((table.verticalHeaderItem(row), table.item(row, 0)) for row in range(table.rowCount()))
    cells = ((title.text(), cell.text()) for title, cell in cells if title and cell)
    return {title: text for title, text in cells if text and title != GROUPS["boundaries"]}


def of_nuclei(panel, scores):
    """Leave out the scores of outlines, which need labels in one piece."""
    outlines = {m.title_at(panel.threshold.value) for m in metrics() if m.group == "boundaries"}
    return {title: value for title, value in scores.items() if title not in outlines}


def test_scores_are_those_of_the_labels_in_one_piece(qtbot, viewer, truths, panel, lower):
    add_lazily(viewer, truths[0], spoil(truths)[0])
    whole = scored(qtbot, panel)
    words = panel.status.value
    assert panel.state.is_there
    lower()

    panel.score.native.click()

    assert scored(qtbot, panel) == of_nuclei(panel, whole) != whole
    assert not panel.state.is_there
    assert panel.status.value.startswith(words)
    assert "scored in parts" in panel.status.value

    panel.threshold.value = 0.8

    assert not panel.running
    in_parts = scored(qtbot, panel)
    assert in_parts != whole
    os.environ["NUCSEG_MAX_PIXELS"] = str(2**20)
    panel.score.native.click()
    assert of_nuclei(panel, scored(qtbot, panel)) == in_parts
    assert panel.state.is_there


def test_of_several_fields_the_one_in_sight_is_scored(qtbot, viewer, truths, panel, lower):
    add_lazily(viewer, truths, spoil(truths))
    viewer.dims.set_current_step(0, 1)
    whole = scored(qtbot, panel)
    lower()

    panel.score.native.click()

    assert scored(qtbot, panel) == of_nuclei(panel, whole)
    assert panel.status.value.startswith("Field 2 of 2: ")


def test_scores_are_seen_beside_their_own_field_alone(qtbot, viewer, truths, large, panel):
    add_lazily(viewer, truths, spoil(truths))
    scored(qtbot, panel)
    viewer.dims.set_current_step(0, 1)
    panel.score.native.click()
    second = scored(qtbot, panel)
    assert second

    viewer.dims.set_current_step(0, 0)
    assert scored(qtbot, panel) == {}
    assert panel.status.value == "Field 1 of 2: not compared yet. Press Score."
    panel.threshold.value = 0.8
    assert scored(qtbot, panel) == {}

    viewer.dims.set_current_step(0, 1)
    assert panel.status.value.startswith("Field 2 of 2: ")
    assert scored(qtbot, panel) != second
    panel.threshold.value = 0.5
    assert scored(qtbot, panel) == second
    panel.score.native.click()
    viewer.dims.set_current_step(0, 0)
    assert scored(qtbot, panel) == {}
    viewer.dims.set_current_step(0, 1)
    assert scored(qtbot, panel) == second
    viewer.layers.remove("truth")
    viewer.dims.set_current_step(0, 0)
    viewer.dims.set_current_step(0, 1)
    assert scored(qtbot, panel) == {}


def test_overlays_and_nuclei_say_what_they_are_for(qtbot, viewer, truths, large, panel):
    add_lazily(viewer, truths[0], spoil(truths)[0])
    scored(qtbot, panel)
    layers = list(viewer.layers)

    panel.show_errors()

    assert "Overlays, nuclei, plots, gallery and files are for pairs that fit" in panel.status.value
    assert list(viewer.layers) == layers
    for tab in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(tab)
    assert scored(qtbot, panel)


def test_cancel_stops_and_score_begins_again(qtbot, viewer, truths, large, panel, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    find = label_pairs.find_overlap

    def held(*both):
        reached.set()
        assert go_on.wait(20)
        return find(*both)

    monkeypatch.setattr(label_pairs, "find_overlap", held)
    add_lazily(viewer, truths[0], spoil(truths)[0])
    assert reached.wait(20)
    assert panel.score.text == "Cancel"

    panel.score.native.click()
    go_on.set()
    assert scored(qtbot, panel) == {}
    assert panel.status.value == "Stopped. Press Score to compare again."
    assert panel.score.text == "Score"

    panel.score.native.click()

    assert scored(qtbot, panel)
    assert panel.score.text == "Score"


def test_other_layers_take_the_place_of_what_is_compared(
    qtbot, viewer, truths, large, panel, monkeypatch
):
    add_lazily(viewer, truths[0], spoil(truths)[0])
    scored(qtbot, panel)
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", str(2**20))

    panel.controls.swap()

    scored(qtbot, panel)
    assert panel.state.is_there
    assert panel.score.text == "Score"
    assert "in parts" not in panel.status.value


def test_where_nuclei_are_left_out_the_panel_says_what_to_do(qtbot, viewer, truths, large, panel):
    add_lazily(viewer, truths[0], spoil(truths)[0])
    scored(qtbot, panel)

    panel.controls.border.value = True

    assert scored(qtbot, panel) == {}
    assert "nothing can be left out. Count nuclei at the border" in panel.status.value

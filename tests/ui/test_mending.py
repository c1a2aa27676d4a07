"""Mending nuclei in a real window: clicks and lines on the canvas, keys, undo, and what is told."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nucseg.ui.edits import count_corrected
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, tag
from napari_nucseg.ui.mending_tools import DELETE, MERGE, SPLIT
from tests.ui.scored import click_canvas, draw_on_canvas

SHAPE = (120, 160)


def draw_labels() -> np.ndarray:
    """Three nuclei, two of which touch, and the third far away."""
    labels = np.zeros(SHAPE, np.int32)
    labels[20:50, 20:50] = 4
    labels[20:50, 50:80] = 7
    labels[80:110, 100:140] = 9
    return labels


PLACED = {
    "plain": {},
    "scaled": {"scale": (0.645, 0.645), "translate": (3, 40)},
    "rotated": {"scale": (0.5, 0.5), "translate": (-7, 9), "rotate": 25},
}


@pytest.fixture
def window(make_napari_viewer):
    return make_napari_viewer(show=True)


def add(viewer, labels, role=PREDICTION, **placed):
    layer = viewer.add_labels(labels, name=role, metadata=tag(LayerRecord(role)), **placed)
    viewer.reset_view()
    QApplication.processEvents()
    return layer


def press(qtbot, row, tool) -> None:
    qtbot.mouseClick(row.buttons[tool], Qt.MouseButton.LeftButton)


def click(qtbot, viewer, layer, *places) -> None:
    """Click at places of the layer's last two axes."""
    for place in places:
        click_canvas(qtbot, viewer, seen(viewer, layer, place))


def draw(qtbot, viewer, layer, *places) -> None:
    draw_on_canvas(qtbot, viewer, [seen(viewer, layer, place) for place in places])


def seen(viewer, layer, place):
    """Tell where in the world a place of the field in sight is."""
    stack = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])[:-2]
    return tuple(layer.data_to_world((*stack, *place)))[-2:]


def press_key(qtbot, viewer, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def undo(qtbot, viewer) -> None:
    press_key(qtbot, viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def status(viewer) -> str:
    text = viewer.status
    return text["coordinates"] if isinstance(text, dict) else text


@pytest.fixture(
    params=[("Segment nuclei", "plain"), ("Score nuclei", "scaled"), ("Segment nuclei", "rotated")],
    ids=lambda one: one[1],
)
def shown(request, window):
    """Labels in a window, placed in some way, and a panel's row of tools."""
    name, placed = request.param
    labels = add(window, draw_labels(), **PLACED[placed])
    panel = window.window.add_plugin_dock_widget("napari-nucseg", name)[1]
    window.reset_view()
    QApplication.processEvents()
    return labels, panel.mending if name == "Score nuclei" else panel.result.mending


@pytest.fixture
def labels(shown):
    return shown[0]


@pytest.fixture
def row(shown):
    return shown[1]


def test_a_click_deletes_a_nucleus_and_ctrl_z_brings_it_back(qtbot, window, labels, row):
    before = labels.data.copy()
    press(qtbot, row, DELETE)
    assert status(window).startswith("Delete: click a nucleus to remove it.")

    click(qtbot, window, labels, (95, 120))

    np.testing.assert_array_equal(labels.data, np.where(before == 9, 0, before))
    assert status(window).startswith("Delete: nucleus 9 is gone. Ctrl+Z takes it back.")
    assert count_corrected(labels) == 1

    undo(qtbot, window)
    np.testing.assert_array_equal(labels.data, before)
    assert count_corrected(labels) == 0


def test_two_clicks_merge_nuclei_under_the_number_of_the_first(qtbot, window, labels, row):
    before = labels.data.copy()
    press(qtbot, row, MERGE)

    click(qtbot, window, labels, (35, 65))
    assert status(window).startswith("Merge: nucleus 7 is the first; now click the one")
    np.testing.assert_array_equal(labels.data, before)
    click(qtbot, window, labels, (35, 35))

    np.testing.assert_array_equal(labels.data, np.where(before == 4, 7, before))
    undo(qtbot, window)
    np.testing.assert_array_equal(labels.data, before)


def test_a_line_splits_a_nucleus(qtbot, window, labels, row):
    before = labels.data.copy()
    press(qtbot, row, SPLIT)
    center = window.scene.camera.center

    draw(qtbot, window, labels, (75, 119.5), (95, 119.5), (115, 119.5))

    left, right = labels.data[95, 105], labels.data[95, 135]
    assert {int(left), int(right)} == {9, 10}
    assert (labels.data[before == 9] > 0).all()
    assert abs(np.count_nonzero(labels.data == left) - np.count_nonzero(labels.data == right)) < 65
    np.testing.assert_array_equal(labels.data[before != 9], before[before != 9])
    assert window.scene.camera.center == center
    undo(qtbot, window)
    np.testing.assert_array_equal(labels.data, before)

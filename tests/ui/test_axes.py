"""Axes that do not say what they hold, as of an ImageJ hyperstack that napari opened itself."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_nucseg.ui.layers import PREDICTION, record_of
from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import RUN, predictions, run

PLANES, CHANNELS = 3, 2
UNITS = ("pixel", "um", "um", "um")


def draw(channels_first: bool) -> np.ndarray:
    """Draw 2 channels x 3 planes: the first channel has two discs, the second one has one more."""
    y, x = np.mgrid[:64, :64]
    discs = [
        (y - row) ** 2 + (x - column) ** 2 < 64 for row, column in ((16, 16), (44, 44), (16, 46))
    ]
    image = np.full((CHANNELS, PLANES, 64, 64), 100, np.uint16)
    for channel, seen in enumerate((discs[:2], discs)):
        for disc in seen:
            image[channel, :, disc] = 1000 + 100 * channel
    return image if channels_first else image.swapaxes(0, 1)


@pytest.fixture
def hyperstack(viewer):
    """Channels before planes."""
    return viewer.add_image(
        draw(True), name="hyper", scale=(1, 2, 0.5, 0.5), translate=(0, 7, 3, 4), units=UNITS
    )


@pytest.fixture
def imagej(viewer):
    """Planes before channels, as ImageJ writes them."""
    return viewer.add_image(draw(False), name="imagej", scale=(2, 1, 0.5, 0.5))


def choose(qtbot, panel, number: int, title: str) -> None:
    """Choose what an axis holds by its first letter."""
    box = panel.form.axes[number].native
    assert box.isVisibleTo(panel.native)
    box.setFocus()
    QApplication.setKeyboardInputInterval(0)  # else letters that follow fast are one word
    qtbot.keyClick(box, title[0])
    assert box.currentText() == title


def titles(panel) -> list[str]:
    """List the labels of the rows for axes that are shown."""
    layout = panel.form._top.layout()
    shown = [row.native for row in panel.form.axes if row.native.isVisibleTo(panel.native)]
    return [layout.labelForField(box).text() for box in shown]


def count(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels > 0]))


def test_an_axis_that_says_nothing_gets_a_row_and_holds_fields(
    qtbot, viewer, panel, stand_in, hyperstack
):
    assert titles(panel) == ["Axis -4 (2)", "Axis -3 (3)"]
    assert [row.value for row in panel.form.axes[:2]] == ["field", "field"]

    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (2, 3, 64, 64)
    assert len(stand_in.calls) == 6


def test_no_row_is_shown_for_axes_that_say_it_nor_for_a_plane(qtbot, viewer, panel, image):
    assert titles(panel) == []
    viewer.add_image(draw(True), axis_labels=("c", "z", "y", "x"), name="said")
    assert titles(panel) == []
    assert panel.form.channel.choices == ("in sight", "1", "2")


def test_axes_that_say_it_are_taken_at_their_word(qtbot, viewer, panel, stand_in):
    viewer.add_image(draw(True), axis_labels=("Channel", "Z", "y", "x"), name="said")
    panel.form.scope.value = Scope.STITCHED

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (3, 64, 64)
    assert labels.axis_labels == ("Z", "y", "x")
    assert record_of(labels).provenance["axes"] == ["channel", "depth"]


def test_the_channel_in_sight_is_segmented(qtbot, viewer, panel, stand_in, hyperstack):
    choose(qtbot, panel, 0, "channel")
    assert panel.form.channel.enabled
    assert panel.status.value.startswith("The channel in sight is segmented; ")
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 2)

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (3, 64, 64)
    assert [count(plane) for plane in labels.data] == [0, 0, 3]
    np.testing.assert_array_equal(stand_in.calls[0][0], hyperstack.data[1, 2])
    made = record_of(labels).provenance
    assert (made["axes"], made["channel"]) == (["channel", "field"], "2")
    viewer.layers.selection.active = labels
    assert "Axes channel, field, y, x\nChannel 2" in panel.provenance.text.value


def test_the_chosen_channel_is_segmented_whatever_is_in_sight(
    qtbot, viewer, panel, stand_in, hyperstack
):
    choose(qtbot, panel, 0, "channel")
    panel.form.channel.value = "1"
    viewer.dims.set_current_step(0, 1)
    panel.form.scope.value = Scope.ALL

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert [count(plane) for plane in labels.data] == [2, 2, 2]
    intensities = labels.features["intensity_mean"]
    np.testing.assert_allclose(intensities, 1000)


def test_labels_lie_where_their_image_lies(qtbot, viewer, panel, stand_in, hyperstack):
    turned = np.eye(4)
    turned[2:, 2:] = [[0, -1], [1, 0]]
    hyperstack.rotate = turned
    hyperstack.shear = [0, 0, 0, 0, 0, 0.2]
    hyperstack.affine = np.diag([1, 1, 2, 2, 1])
    choose(qtbot, panel, 0, "channel")

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.units == hyperstack.units[1:]
    for pixel in ((0, 0, 0), (2, 63, 0), (1, 5, 40)):
        there = hyperstack.data_to_world((1, *pixel))[1:]
        np.testing.assert_allclose(labels.data_to_world(pixel), there)


@pytest.mark.parametrize("channel", [0, 1])
def test_labels_of_channels_behind_planes_are_seen_over_every_channel(
    qtbot, viewer, panel, stand_in, imagej, channel
):
    choose(qtbot, panel, 1, "channel")
    panel.form.channel.value = "2"
    before = viewer.dims.range
    viewer.dims.set_current_step(0, 1)

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (3, 1, 64, 64)
    assert [count(plane) for plane in labels.data] == [0, 3, 0]
    assert viewer.dims.range == before
    viewer.dims.set_current_step(1, channel)
    assert labels.get_value((*viewer.dims.point[:2], 8, 8), world=True)
    viewer.dims.set_current_step(0, 2)
    assert not labels.get_value((*viewer.dims.point[:2], 8, 8), world=True)


def test_a_volume_lies_along_the_axis_of_depth(qtbot, viewer, panel, imagej):
    choose(qtbot, panel, 0, "depth (z)")
    choose(qtbot, panel, 1, "channel")
    panel.form.channel.value = "2"
    panel.form.model.value = "otsu"
    assert panel.form.volume["anisotropy"].value == 4.0
    panel.form.scope.value = Scope.STITCHED

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (3, 1, 64, 64)
    assert count(labels.data) == 3
    assert all(count(plane) == 3 for plane in labels.data)
    assert record_of(labels).provenance["axes"] == ["depth", "channel"]


def test_there_is_no_volume_along_an_axis_of_time(qtbot, panel, hyperstack):
    assert Scope.STITCHED in panel.form.scope.choices
    choose(qtbot, panel, 1, "time")
    assert Scope.STITCHED not in panel.form.scope.choices
    assert Scope.IN_3D not in panel.form.scope.choices
    choose(qtbot, panel, 0, "depth (z)")
    assert Scope.STITCHED in panel.form.scope.choices


def test_a_volume_of_one_time_leaves_the_others_alone(qtbot, viewer, panel, stand_in, hyperstack):
    choose(qtbot, panel, 0, "depth (z)")
    choose(qtbot, panel, 1, "time")
    panel.form.scope.value = Scope.STITCHED
    viewer.dims.set_current_step(1, 1)

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.shape == (2, 3, 64, 64)
    assert labels.data[:, 1].any(axis=(1, 2)).all()
    assert not labels.data[:, [0, 2]].any()


def test_one_axis_alone_holds_channels(qtbot, panel, hyperstack):
    choose(qtbot, panel, 0, "channel")
    choose(qtbot, panel, 1, "channel")
    assert [row.value for row in panel.form.axes[:2]] == ["field", "channel"]


def test_what_is_chosen_stays_with_its_image(qtbot, viewer, panel, hyperstack, imagej):
    panel.form.image.value = hyperstack
    choose(qtbot, panel, 0, "channel")

    panel.form.image.value = imagej
    assert [row.value for row in panel.form.axes[:2]] == ["field", "field"]
    assert not panel.form.channel.enabled

    panel.form.image.value = hyperstack
    assert [row.value for row in panel.form.axes[:2]] == ["channel", "field"]
    assert panel.form.channel.value == "in sight"


def test_labels_of_other_axes_stay_as_they_are(qtbot, viewer, panel, stand_in, hyperstack):
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    (first,) = predictions(viewer)
    before = first.data.copy()

    choose(qtbot, panel, 0, "channel")
    assert panel.status.value.startswith("Labels that were made with other axes stay as they are.")
    run(qtbot, panel)

    assert first in viewer.layers
    np.testing.assert_array_equal(first.data, before)
    second = next(layer for layer in predictions(viewer) if layer is not first)
    assert second.data.shape == (3, 64, 64)


def test_labels_are_taken_up_again_when_their_axes_are_back(
    qtbot, viewer, panel, stand_in, hyperstack
):
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    (first,) = predictions(viewer)
    choose(qtbot, panel, 0, "channel")
    run(qtbot, panel)
    second = next(layer for layer in predictions(viewer) if layer is not first)
    before = second.data.copy()

    choose(qtbot, panel, 0, "field")
    assert panel.status.value.startswith("Labels that were made with other axes stay as they are.")
    run(qtbot, panel)
    assert {layer.name for layer in predictions(viewer)} == {first.name, second.name}
    np.testing.assert_array_equal(second.data, before)

    choose(qtbot, panel, 0, "channel")
    run(qtbot, panel)
    assert {layer.name for layer in predictions(viewer)} == {first.name, second.name}


def test_labels_of_another_channel_do_not_follow_the_sliders(
    qtbot, viewer, panel, stand_in, hyperstack
):
    choose(qtbot, panel, 0, "channel")
    run(qtbot, panel)
    viewer.dims.set_current_step(0, 1)

    panel.form.params["min_size"].value = 40
    qtbot.waitUntil(lambda: not panel.follows and not panel.running, timeout=RUN)

    assert panel.status.value == "Press Segment to use the new channel."


def test_edited_labels_are_measured_in_their_channel(qtbot, viewer, panel, stand_in, hyperstack):
    choose(qtbot, panel, 0, "channel")
    panel.form.channel.value = "2"
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    choose(qtbot, panel, 0, "time")  # which says nothing of labels that are there

    labels.data_setitem((np.array([0]), np.array([40]), np.array([20])), 1)
    qtbot.waitUntil(lambda: not panel.measurements.measuring, timeout=RUN)

    assert labels.features["intensity_mean"].max() > 1090
    assert record_of(labels).role == PREDICTION

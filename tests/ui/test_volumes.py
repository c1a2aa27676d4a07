"""Stacks in depth: a nucleus has one number in all of its planes."""

import numpy as np
import pytest

from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import Depth, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import move, predictions, run

DEPTHS = {Scope.STITCHED: Depth.STITCHED, Scope.IN_3D: Depth.IN_3D}
LIGHT = (0.2, 0.7, 1.0, 0.4)


@pytest.fixture
def planes(field):
    dim = np.array(LIGHT)[:, None, None]
    return (field.image[None, :100, :110] * dim).astype(np.uint16)


@pytest.fixture
def depths(viewer, planes):
    return viewer.add_image(planes, name="depths", scale=(1.5, 0.5, 0.5), units=("um",) * 3)


@pytest.mark.parametrize("scope", DEPTHS)
def test_a_volume_gets_the_labels_of_the_command_line(qtbot, viewer, depths, planes, panel, scope):
    panel.form.scope.value = scope

    run(qtbot, panel)

    model = catalogue.find("fluo-nuclei")
    params, volume = model.defaults, VolumeParams(anisotropy=3.0)
    expected = segment_volume(
        catalogue.load(model, "cpu"), planes, params, DEPTHS[scope], volume, lambda *_: None
    )
    (labels,) = predictions(viewer)
    assert expected.labels.any()
    np.testing.assert_array_equal(labels.data, expected.labels)
    np.testing.assert_array_equal(labels.scale, depths.scale)
    count = len(np.unique(labels.data)) - 1
    assert f"{count} nuclei in a volume of 4 planes" in panel.status.value
    assert "Sliders" not in panel.status.value


def test_the_distance_of_planes_is_taken_from_the_image(viewer, depths, panel):
    assert panel.form.volume["anisotropy"].value == 3.0


def test_a_volume_says_how_it_was_made_and_lends_its_settings(
    qtbot, viewer, depths, panel, stand_in
):
    panel.form.scope.value = Scope.STITCHED
    panel.form.volume["stitch_threshold"].value = 0.4
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    assert record_of(labels).provenance["depth"]["method"] == Depth.STITCHED
    viewer.layers.selection.active = labels
    assert "stitched at an overlap (IoU) of 0.4" in panel.provenance.text.value
    panel.form.scope.value = Scope.FIELD
    panel.form.volume["stitch_threshold"].value = 0.1

    panel.provenance.take_over.native.click()

    assert panel.form.scope.value == Scope.STITCHED
    assert panel.form.volume["stitch_threshold"].value == 0.4


def test_a_volume_follows_no_slider_and_the_panel_says_so(qtbot, viewer, depths, panel, stand_in):
    panel.form.scope.value = Scope.STITCHED
    run(qtbot, panel)
    before = predictions(viewer)[0].data.copy()

    panel.result.doubtful.native.click()
    assert panel.status.value == "Nuclei of volumes have no flow errors, so doubt is not known."

    move(qtbot, panel, {"min_size": 900})

    assert panel.status.value == (
        "Labels of a volume do not follow the sliders. Press Segment to use the new values."
    )
    np.testing.assert_array_equal(predictions(viewer)[0].data, before)


def test_a_plane_that_is_segmented_again_takes_no_number_of_the_volume(
    qtbot, viewer, depths, panel, stand_in
):
    panel.form.scope.value = Scope.STITCHED
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    before = labels.data.copy()
    viewer.dims.set_current_step(0, 2)
    panel.form.scope.value = Scope.FIELD

    run(qtbot, panel)

    others = np.delete(before, 2, axis=0)
    np.testing.assert_array_equal(np.delete(labels.data, 2, axis=0), others)
    assert not np.intersect1d(labels.data[2][labels.data[2] > 0], others).size
    assert list(labels.features["index"]) == list(np.unique(labels.data[2])[1:])


def test_cancel_within_a_volume_leaves_no_layer(qtbot, viewer, depths, panel, held):
    panel.form.scope.value = Scope.STITCHED
    panel.form.segment.native.click()
    assert held.reached.wait(30)

    panel.form.cancel.native.click()
    held.go_on.set()
    qtbot.waitUntil(lambda: not panel.running)

    assert not predictions(viewer)
    assert "Stopped" in panel.status.value


def test_of_several_volumes_the_one_in_sight_is_segmented(qtbot, viewer, planes, panel, stand_in):
    viewer.add_image(np.stack([planes, planes]), name="times")
    viewer.dims.set_current_step(0, 1)
    panel.form.scope.value = Scope.STITCHED

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert not labels.data[0].any()
    assert labels.data[1].any()


@pytest.mark.parametrize("shape", [(9, 8), (3, 1, 9, 8)], ids=str)
def test_no_volume_is_offered_where_there_is_none(viewer, panel, shape):
    viewer.add_image(np.zeros(shape), name="flat")
    assert not set(DEPTHS) & set(panel.form.scope.choices)


def test_rows_of_volumes_are_there_where_they_count(viewer, depths, panel):
    rows = panel.form.volume
    seen = []
    for scope in (Scope.FIELD, Scope.STITCHED, Scope.IN_3D):
        panel.form.scope.value = scope
        seen.append(tuple(not row.native.isHidden() for row in rows.rows))
    assert seen == [(False, False), (True, False), (False, True)]
    assert not panel.form.params["flow_threshold"].enabled  # there is none in 3-D


def test_what_a_volume_cannot_be_made_of_is_told_with_the_layers_name(
    qtbot, viewer, depths, panel, told
):
    panel.form.model.value = "otsu"
    panel.form.scope.value = Scope.IN_3D

    run(qtbot, panel)

    assert "depths: otsu works on planes, not in 3-D; choose stitched" in panel.status.value
    assert panel.form.segment.enabled


@pytest.fixture
def told():
    """Warnings are shown, not raised."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_channels_that_napari_takes_for_columns_are_refused(viewer, panel):
    viewer.add_image(np.zeros((30, 40, 3), np.uint16), name="colours", rgb=False)

    panel.form.segment.native.click()

    assert "colours: its last axis, of length 3, seems to hold channels" in panel.status.value


def test_a_volume_tells_the_diameter_that_was_found(qtbot, viewer, drawn_fields, panel):
    small = drawn_fields[0].image[::2, ::2]
    viewer.add_image(np.stack([np.full_like(small, 100), small, small]), name="volume")
    panel.form.scope.value = Scope.STITCHED
    run(qtbot, panel)
    assert "px (estimated)." in panel.status.value

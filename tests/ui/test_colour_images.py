"""Colour images: which channel the segment panel proposes, and that it says so."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.io.channels import Channel
from napari_nucseg.ui.layers import record_of
from tests.drawn_histology import draw_histology
from tests.ui.segment_actions import predictions, run

PRESS = "Press Segment to find the nuclei."
PROPOSED = f"A colour image. Its {{}} is segmented; choose another under Channel. {PRESS}"


@pytest.fixture
def section(viewer):
    """A stained section, as a layer."""
    return viewer.add_image(draw_histology()[0], name="section", rgb=True)


@pytest.fixture
def blue(viewer):
    """Blue discs on black, as a layer."""
    _, nuclei = draw_histology()
    colours = (nuclei[..., None] * (10, 30, 220)).astype(np.uint8)
    return viewer.add_image(colours, name="blue", rgb=True)


def test_of_a_stained_section_the_haematoxylin_is_proposed_and_segmented(
    qtbot, viewer, panel, section
):
    assert panel.form.channel.value == "Haematoxylin"
    assert panel.status.value == PROPOSED.format("haematoxylin")
    panel.form.model.value = "otsu"

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.data.max() == 12
    assert record_of(labels).provenance["channel"] == "Haematoxylin"
    table = labels.features
    stain = Channel("haematoxylin").take(section.data, 2, 3)
    expected = [stain[labels.data == label].mean() for label in table["index"]]
    np.testing.assert_allclose(table["intensity_mean"], expected, rtol=1e-4)


def test_the_channel_with_the_contrast_is_proposed(panel, blue):
    assert panel.form.channel.value == "Blue"
    assert panel.status.value == PROPOSED.format("blue channel")


def test_a_grey_picture_in_colours_is_segmented_by_its_mean(viewer, panel, field):
    grey = (field.image / field.image.max()).astype(np.float32)
    viewer.add_image(np.dstack([grey] * 3), name="grey", rgb=True)
    assert panel.form.channel.value == "Mean"
    assert panel.status.value == PROPOSED.format("mean")


def test_an_image_that_is_there_when_the_panel_opens_gets_a_proposal(viewer, section):
    _, panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")
    assert panel.form.channel.value == "Haematoxylin"
    assert panel.status.value == PROPOSED.format("haematoxylin")


def test_of_a_grey_image_no_channel_is_said(panel, image):
    assert panel.status.value == PRESS
    assert not panel.form.channel.enabled


def test_what_the_user_chooses_is_told_and_kept(viewer, panel, section, blue):
    panel.form.image.value = section
    panel.form.channel.value = "Green"
    assert panel.status.value == PROPOSED.format("green channel")

    panel.form.image.value = blue
    assert panel.form.channel.value == "Blue"
    panel.form.image.value = section

    assert panel.form.channel.value == "Green"
    assert panel.status.value == PROPOSED.format("green channel")


def test_a_proposal_for_another_image_is_no_move_of_a_slider(
    qtbot, viewer, panel, section, blue, stand_in
):
    run(qtbot, panel)

    panel.form.image.value = section

    assert panel.form.channel.value == "Haematoxylin"
    assert not panel.follows


@pytest.mark.parametrize(("first", "proposed"), [(0, "Haematoxylin"), (1, "Blue")])
def test_of_a_stack_the_field_in_sight_is_looked_at(viewer, panel, first, proposed):
    picture, nuclei = draw_histology()
    fields = [picture, (nuclei[..., None] * (10, 30, 220)).astype(np.uint8)]
    viewer.add_image(np.stack([fields[first], fields[1 - first]]), name="stack", rgb=True)
    assert viewer.dims.current_step[0] == 0
    assert panel.form.channel.value == proposed


def test_of_a_pyramid_the_smallest_level_is_read(viewer, panel):
    picture = draw_histology()[0]
    levels = [np.stack([picture] * 3), picture[None, ::2, ::2]]
    viewer.add_image(levels, name="pyramid", rgb=True, multiscale=True)
    assert panel.form.channel.value == "Haematoxylin"


def test_intensities_are_those_stored_where_dark_nuclei_are_turned_over(
    qtbot, viewer, panel, field
):
    dark = field.image.max() - field.image
    viewer.add_image(dark, name="dark")
    panel.form.model.value = "otsu"
    panel.form.params["invert"].value = True

    run(qtbot, panel)

    (labels,) = predictions(viewer)
    table = labels.features
    assert len(table)
    expected = [dark[labels.data == label].mean() for label in table["index"]]
    np.testing.assert_allclose(table["intensity_mean"], expected)

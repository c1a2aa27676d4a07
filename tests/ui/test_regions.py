"""Segmenting a part of a field: a drawn rectangle, or what is in sight."""

import numpy as np
import pytest
from napari.layers import Shapes

from napari_nucseg.ui.edits import count_corrected
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.segment.image_source import drawn_box
from tests.ui.segment_actions import RUN, move, predictions, run


def test_a_drawn_rectangle_is_segmented_alone(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    outside = labels.data.copy()
    y, x, scale = 20, 30, 0.645
    corners = np.array([[y, x], [y, x + 50], [y + 40, x + 50], [y + 40, x]]) * scale + (3, 4)
    viewer.add_shapes([corners], shape_type="rectangle")
    panel.form.image.value = image
    panel.form.scope.value = Scope.BOX

    run(qtbot, panel)

    assert stand_in.calls[-1][0].shape == (60 + 64, 80 + 64)  # with what lies around it
    assert shapes(labels.data) == shapes(outside)
    inside = np.unique(labels.data[25:55, 35:75])
    assert (inside[inside > 0] > outside.max()).any()


def shapes(labels):
    """The nuclei as sets of pixels, whatever their numbers."""
    return {(labels == label).tobytes() for label in np.unique(labels)[1:]}


def test_without_a_rectangle_the_panel_asks_for_one(image, panel):
    panel.form.scope.value = Scope.BOX

    panel.form.segment.native.click()

    assert "Draw a rectangle" in panel.status.value


def draw(viewer, image, box, shape_type="rectangle", **settings):
    """Draw a rectangle over pixels of an image, or a line from its first corner to its third."""
    top, left, bottom, right = box
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    points = corners if shape_type == "rectangle" else [corners[0], corners[2]]
    placed = [image.data_to_world(point) for point in points]
    return viewer.add_shapes([np.array(placed)], shape_type=shape_type, **settings)


def segment_box(qtbot, viewer, image, panel, box):
    for layer in [layer for layer in viewer.layers if isinstance(layer, Shapes)]:
        viewer.layers.remove(layer)
    draw(viewer, image, box)
    panel.form.image.value = image
    panel.form.scope.value = Scope.BOX
    run(qtbot, panel)


def test_the_provenance_tells_of_the_field_and_of_the_rectangle(
    qtbot, viewer, image, panel, stand_in
):
    run(qtbot, panel)
    panel.form.params["min_size"].value = 77
    segment_box(qtbot, viewer, image, panel, (20, 30, 60, 80))

    (labels,) = predictions(viewer)
    made = record_of(labels).provenance
    assert made["box"] is None
    assert made["parameters"]["min_size"] == 15
    (box,) = made["boxes"]
    assert box["box"] == [20, 30, 60, 80]
    assert box["parameters"]["min_size"] == 77

    viewer.layers.selection.active = labels
    told = panel.provenance.text.value
    assert told.startswith("All of A01\n")
    assert "Rows 20 to 59, columns 30 to 79 of A01, later:\n" in told
    assert told.index("Minimum size 15 px") < told.index("later:") < told.index("size 77 px")


def test_a_field_that_is_segmented_whole_again_forgets_its_rectangles(
    qtbot, viewer, image, panel, stand_in
):
    segment_box(qtbot, viewer, image, panel, (20, 30, 60, 80))
    segment_box(qtbot, viewer, image, panel, (10, 20, 70, 90))
    made = record_of(predictions(viewer)[0]).provenance
    assert (made["box"], made.get("boxes", [])) == ([10, 20, 70, 90], [])

    panel.form.scope.value = Scope.FIELD
    run(qtbot, panel)

    made = record_of(predictions(viewer)[0]).provenance
    assert (made["box"], made.get("boxes", [])) == (None, [])


def test_field_and_rectangle_follow_the_sliders_together(qtbot, viewer, image, panel):
    run(qtbot, panel)
    box = (0, 0, 100, 120)
    segment_box(qtbot, viewer, image, panel, box)
    (labels,) = predictions(viewer)

    move(qtbot, panel, {"min_size": 250})

    made = record_of(labels).provenance
    assert made["parameters"]["min_size"] == 250
    assert made["boxes"][0]["parameters"]["min_size"] == 250
    sizes = np.bincount(labels.data.ravel())[1:]
    assert sizes[sizes > 0].min() >= 250  # whole, on both sides of the edge


def test_nuclei_that_a_rectangle_cuts_are_measured_again(qtbot, viewer, image, panel):
    run(qtbot, panel)
    segment_box(qtbot, viewer, image, panel, (20, 30, 90, 111))
    qtbot.waitUntil(lambda: not panel.measurements.measuring, timeout=RUN)

    (labels,) = predictions(viewer)
    ids, areas = np.unique(labels.data[labels.data > 0], return_counts=True)
    np.testing.assert_array_equal(labels.features["index"], ids)
    np.testing.assert_array_equal(labels.features["area_px"], areas)
    assert labels.features["flow_error"].notna().all()


def test_no_nucleus_is_cut_or_there_twice_after_rectangles_and_sliders(
    qtbot, viewer, image, panel, stand_in
):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    whole = shapes(labels.data)

    for box in ((20, 30, 60, 80), (0, 0, 75, 200), (50, 60, 160, 111)):
        segment_box(qtbot, viewer, image, panel, box)
        assert shapes(labels.data) == whole
    move(qtbot, panel, {"min_size": 16})

    assert shapes(labels.data) == whole


def test_in_an_empty_field_a_rectangle_gives_whole_nuclei(
    qtbot, viewer, image, panel, stand_in, field
):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    whole = shapes(labels.data)
    viewer.layers.remove(labels)

    segment_box(qtbot, viewer, image, panel, (0, 0, 80, 100))

    (part,) = predictions(viewer)
    assert 0 < len(shapes(part.data)) < len(whole)
    assert shapes(part.data) < whole


def test_edits_far_from_a_rectangle_stay_without_a_question(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.brush_size = 5
    labels.paint((155, 195), 99)

    segment_box(qtbot, viewer, image, panel, (0, 0, 20, 30))

    assert labels.data[155, 195] == 99
    assert count_corrected(labels) >= 1


def test_the_rectangle_of_the_selected_shapes_counts(viewer, image):
    below = draw(viewer, image, (1, 2, 30, 40))
    draw(viewer, image, (5, 6, 70, 80))
    viewer.layers.selection.active = below
    assert drawn_box(viewer, image) == (1, 2, 30, 40)


def test_else_the_topmost_in_sight_does(viewer, image):
    draw(viewer, image, (1, 2, 30, 40))
    draw(viewer, image, (5, 6, 70, 80), visible=False)
    viewer.layers.selection.active = image
    assert drawn_box(viewer, image) == (1, 2, 30, 40)


def test_a_line_is_no_rectangle(viewer, image):
    draw(viewer, image, (1, 2, 30, 40))
    draw(viewer, image, (5, 6, 70, 80), "line")
    viewer.layers.selection.active = image
    assert drawn_box(viewer, image) == (1, 2, 30, 40)


def test_what_is_in_sight_is_segmented_alone(qtbot, viewer, image, panel, stand_in):
    centre = image.data_to_world((80, 100))
    viewer.scene.camera.center = centre
    height, width = viewer.canvas.viewbox_size(viewer.layers)
    viewer.scene.camera.zoom = width / (60 * 0.645)  # 60 px wide
    panel.form.scope.value = Scope.SEEN

    run(qtbot, panel)

    top, left, bottom, right = record_of(predictions(viewer)[0]).provenance["box"]
    assert (left, right) == (70, 130)
    assert abs((top + bottom) / 2 - 80) <= 0.5
    assert bottom - top == pytest.approx(60 * height / width, abs=1.5)


def test_all_of_a_field_in_sight_is_all_of_it(qtbot, viewer, image, panel, stand_in):
    panel.form.scope.value = Scope.SEEN

    run(qtbot, panel)

    assert record_of(predictions(viewer)[0]).provenance["box"] is None


def test_nothing_in_sight_is_nothing_to_segment(viewer, image, panel):
    viewer.scene.camera.center = (5000, 5000)
    panel.form.scope.value = Scope.SEEN

    panel.form.segment.native.click()

    assert (
        panel.status.value
        == "No part of this image is in sight. Move it into the canvas, then press Segment."
    )


def test_a_drawn_line_proposes_the_diameter(viewer, image, panel):
    draw(viewer, image, (10, 10, 40, 50), "line", name="across")

    panel.form.measure.native.click()

    assert panel.form.params["diameter"].value == 50.0
    assert panel.status.value == (
        "Diameter 50.0 px: the length of the line in across. Press Segment to use it."
    )


def test_labels_propose_the_diameter_without_a_line(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.data = np.zeros_like(labels.data)
    labels.data[20:40, 20:40] = 1
    labels.data[0:90, 100:190] = 2  # cut by the border

    panel.form.measure.native.click()

    assert panel.form.params["diameter"].value == pytest.approx(22.6)
    assert "the median of the 1 whole nuclei of A01 fluo-nuclei in sight" in panel.status.value


def test_without_line_or_labels_the_panel_says_what_to_draw(image, panel):
    panel.form.measure.native.click()

    assert "Draw a line across a nucleus" in panel.status.value

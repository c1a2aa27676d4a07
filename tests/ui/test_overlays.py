"""Overlays in a viewer: what they show, that they do not pile up, and that they can be left."""

import numpy as np
import pytest
from scipy import ndimage

from napari_nucseg.analysis.drawing import VERDICT_COLOURS, look_up
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import DIFFERENCE, ERRORS, IOU
from napari_nucseg.ui.score.legend import ColourBar
from napari_nucseg.ui.score.overlay_drawing import DrawnPlanes
from napari_nucseg.ui.score.panel import COMPARE
from tests.ui.scored import add_stacks, open_panel, overlays, settled, spoil


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields])


@pytest.fixture
def layers(viewer, truths):
    return add_stacks(viewer, truths, spoil(truths))


@pytest.fixture
def panel(qtbot, viewer, layers):
    panel = open_panel(qtbot, viewer)
    viewer.dims.set_current_step(0, 0)
    return panel


def test_nuclei_are_filled_by_their_iou(viewer, panel, truths):
    panel.buttons.iou.native.click()

    (layer,) = overlays(viewer, IOU)
    drawn = np.asarray(layer.data[0])
    assert (drawn[truths[0] == 3] == 1).all()
    row = panel.state.objects.find(0, 5, is_true=True)
    assert (drawn[truths[0] == 5] == 1 + round(100 * panel.state.objects.iou[row])).all()
    assert not drawn[truths[0] == 0].any()
    missed, *found = (np.asarray(layer.colormap.map(value))[:3].sum() for value in range(1, 102))
    assert missed > max(found)


def test_spurious_nuclei_are_outlined_as_brightly_as_missed_ones(qtbot, viewer, truths):
    found = truths[0].copy()
    y, x = np.argwhere(ndimage.minimum_filter(truths[0] == 0, 12))[0]
    found[y : y + 8, x : x + 8] = 99
    add_stacks(viewer, truths[0], found)
    panel = open_panel(qtbot, viewer)

    panel.buttons.iou.native.click()

    (layer,) = overlays(viewer, IOU)
    drawn = np.asarray(layer.data)
    assert set(np.unique(drawn[found == 99])) == {0, 1}
    assert (drawn[y, x : x + 8] == 1).all()


def test_the_legend_is_of_the_overlay_in_sight(qtbot, viewer, layers, panel):
    buttons = panel.buttons
    assert buttons.legend is None

    buttons.errors.native.click()
    assert buttons.legend.text == "truth match no match"
    buttons.agreement.native.click()
    assert buttons.legend.text == "found missed too many"
    buttons.iou.native.click()
    assert buttons.legend.text == "IoU 0 1"
    overlays(viewer, IOU)[0].visible = False
    assert buttons.legend.isHidden()


def test_the_legend_of_two_predictions_follows_their_difference(qtbot, viewer, layers, panel):
    viewer.add_labels(layers[1].data.copy(), name="other")
    panel.tabs.setCurrentIndex(COMPARE)
    panel.comparison.start.click()
    qtbot.waitUntil(lambda: bool(panel.comparison.scores.all_scored) and not panel.running)
    panel.comparison.differ.click()
    assert panel.buttons.legend.text == "only in first only in second"

    panel.buttons.iou.native.click()
    assert panel.buttons.legend.text == "IoU 0 1"
    panel.buttons.iou.native.click()
    overlays(viewer, IOU)[0].visible = False
    (difference,) = overlays(viewer, DIFFERENCE)
    difference.visible = True
    assert panel.buttons.legend.text == "only in first only in second"
    viewer.layers.remove(difference)
    assert panel.buttons.legend.isHidden()


def test_a_difference_is_seen_without_labels_until_it_is_removed(qtbot, viewer, layers, panel):
    other = viewer.add_labels(layers[1].data.copy(), name="other")
    seen = [layer.visible for layer in (*layers, other)]
    panel.tabs.setCurrentIndex(COMPARE)
    panel.comparison.start.click()
    qtbot.waitUntil(lambda: bool(panel.comparison.scores.all_scored) and not panel.running)

    panel.comparison.differ.click()
    assert [layer.name for layer in viewer.layers if layer.visible and layer in layers] == []
    assert not other.visible

    viewer.layers.remove(overlays(viewer, DIFFERENCE)[0])
    assert [layer.visible for layer in (*layers, other)] == seen


def test_the_colour_bar_has_the_colours_of_the_overlay(qtbot, make_napari_viewer, truths):
    viewer = make_napari_viewer(show=True)
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    panel.buttons.iou.native.click()
    (layer,) = overlays(viewer, IOU)
    (bar,) = panel.buttons.legend.findChildren(ColourBar)

    seen = bar.grab().toImage()
    for x, value in ((1, 1), (bar.width() - 2, 101)):
        wanted = 255 * np.asarray(layer.colormap.map(value))[:3]
        np.testing.assert_allclose(seen.pixelColor(x, 5).getRgb()[:3], wanted, atol=6)


def test_overlays_do_not_pile_up(qtbot, viewer, panel):
    for _ in range(2):
        for button in (panel.buttons.errors, panel.buttons.agreement, panel.buttons.iou):
            button.native.click()
    panel.threshold.value = 0.9
    settled(qtbot, panel)

    assert len(viewer.layers) == 5


def test_a_hidden_verdict_leaves_the_overlay_and_comes_back(viewer, panel):
    panel.show_errors()
    (errors,) = overlays(viewer, ERRORS)

    panel.legend.buttons[Verdict.MATCHED].click()
    assert np.asarray(errors.colormap.map(int(Verdict.MATCHED)))[3] == 0
    assert np.asarray(errors.colormap.map(int(Verdict.MISSED)))[3] == 1
    panel.legend.buttons[Verdict.MATCHED].click()
    assert np.asarray(errors.colormap.map(int(Verdict.MATCHED)))[3] == 1


def test_one_click_hides_all_but_the_errors_and_another_brings_it_back(viewer, layers, panel):
    image = viewer.add_image(np.zeros(layers[0].data.shape))
    other = viewer.add_image(np.zeros((5, 5)))

    panel.buttons.errors_only.native.click()
    (errors,) = overlays(viewer, ERRORS)
    assert [layer for layer in viewer.layers if layer.visible] == [image, errors]
    assert not panel.buttons.errors.native.isChecked()
    assert panel.state.hidden == {Verdict.MATCHED, Verdict.LOOSE}
    assert panel.buttons.errors_only.native.isChecked()

    panel.buttons.errors_only.native.click()
    assert not panel.state.hidden
    assert not panel.buttons.errors_only.native.isChecked()
    assert [layer for layer in viewer.layers if layer.visible] == [*layers, image, other]


def test_an_overlay_follows_to_another_prediction(qtbot, viewer, layers, panel, truths):
    panel.show_errors()
    other = np.where(truths == 5, 0, truths)
    panel.prediction.value = viewer.add_labels(other, name="other")
    settled(qtbot, panel)

    (errors,) = overlays(viewer, ERRORS)
    drawn = np.asarray(errors.data[0])
    assert (drawn[truths[0] == 5] == Verdict.MISSED).any()
    assert not (drawn[truths[0] == 3] == Verdict.MISSED).any()


def test_an_overlay_follows_to_fields_of_another_size(qtbot, viewer, layers, panel):
    panel.show_errors()
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 5:15] = 1
    truth = viewer.add_labels(labels, name="small truth")
    panel.prediction.value = viewer.add_labels(np.zeros_like(labels), name="small")
    panel.truth.value = truth
    settled(qtbot, panel)

    (errors,) = overlays(viewer, ERRORS)
    assert errors.data.shape == labels.shape
    assert (np.asarray(errors.data)[labels > 0] == Verdict.MISSED).any()


@pytest.mark.parametrize("number", [0, 1])
def test_without_a_compared_layer_overlays_are_blank(qtbot, viewer, layers, panel, number):
    panel.show_errors()
    panel.buttons.iou.native.click()
    viewer.layers.remove(layers[number])

    viewer.dims.set_current_step(0, 1)

    for role in (ERRORS, IOU):
        (layer,) = overlays(viewer, role)
        assert not np.asarray(layer.data).any()


def test_an_overlay_follows_the_panel_that_is_open(qtbot, viewer, panel):
    panel.show_errors()
    viewer.window.remove_dock_widget(panel.native)
    panel = open_panel(qtbot, viewer)

    panel.threshold.value = 0.95
    settled(qtbot, panel)

    (errors,) = overlays(viewer, ERRORS)
    assert panel.state.score_of(0).verdicts.matched == 0
    assert not (np.asarray(errors.data[0]) == Verdict.MATCHED).any()


def test_an_overlay_cannot_be_painted(viewer, panel):
    panel.show_errors()
    (errors,) = overlays(viewer, ERRORS)
    viewer.dims.set_current_step(0, 1)

    errors.mode = "paint"

    assert errors.mode == "pan_zoom"


def test_one_overlay_is_shown_and_a_second_press_brings_the_labels_back(viewer, layers, panel):
    other = viewer.add_labels(layers[0].data.copy(), name="other", visible=True)
    panel.prediction.value = layers[0]
    buttons = panel.buttons

    buttons.errors.native.click()
    buttons.iou.native.click()
    (errors,), (iou,) = overlays(viewer, ERRORS), overlays(viewer, IOU)
    assert [layer for layer in viewer.layers if layer.visible] == [iou]
    assert buttons.iou.native.isChecked()
    assert not buttons.errors.native.isChecked()

    buttons.iou.native.click()
    assert [layer for layer in viewer.layers if layer.visible] == [*layers, other]
    assert not buttons.iou.native.isChecked()
    errors.visible = True
    assert buttons.errors.native.isChecked()


def test_labels_that_came_while_an_overlay_was_shown_are_brought_back(viewer, layers, panel):
    panel.buttons.errors.native.click()
    new = viewer.add_labels(layers[0].data.copy(), name="new")
    panel.buttons.iou.native.click()
    assert not new.visible

    panel.buttons.iou.native.click()

    assert new.visible


@pytest.mark.parametrize("how", ["deleted", "hidden"])
def test_labels_come_back_when_their_overlay_is_gone(viewer, layers, panel, how):
    panel.buttons.errors.native.click()
    (errors,) = overlays(viewer, ERRORS)
    if how == "deleted":
        viewer.layers.remove(errors)
    else:
        errors.visible = False

    assert all(layer.visible for layer in layers)
    assert not panel.buttons.errors.native.isChecked()


def test_another_overlay_ends_errors_only(viewer, layers, panel):
    image = viewer.add_image(np.zeros(layers[0].data.shape))
    panel.buttons.errors_only.native.click()
    panel.buttons.iou.native.click()

    assert [layer for layer in viewer.layers if layer.visible] == [image, *overlays(viewer, IOU)]
    assert panel.buttons.iou.native.isChecked()
    assert not panel.buttons.errors_only.native.isChecked()
    assert not panel.state.hidden


def test_errors_only_gives_the_overlay_back_that_was_shown(viewer, layers, panel):
    panel.buttons.iou.native.click()
    panel.buttons.errors_only.native.click()
    panel.buttons.errors_only.native.click()

    assert [layer for layer in viewer.layers if layer.visible] == overlays(viewer, IOU)


def test_closing_the_panel_ends_errors_only(viewer, layers, panel):
    panel.buttons.errors_only.native.click()

    viewer.window.remove_dock_widget(panel.native)

    assert all(layer.visible for layer in layers)


def test_errors_only_ends_when_its_overlay_is_deleted(viewer, layers, panel):
    panel.buttons.errors_only.native.click()
    viewer.layers.remove(overlays(viewer, ERRORS)[0])

    assert not panel.buttons.errors_only.native.isChecked()
    assert not panel.state.hidden
    assert layers[0].visible


def test_the_overlay_lies_where_the_labels_lie(viewer, layers, panel):
    layers[0].scale, layers[0].translate = (1, 0.5, 0.5), (0, 3, 4)
    panel.show_errors()

    (errors,) = overlays(viewer, ERRORS)
    assert np.array_equal(errors.scale, layers[0].scale)
    assert np.array_equal(errors.translate, layers[0].translate)


def test_every_verdict_has_a_colour_of_its_own():
    assert len(set(VERDICT_COLOURS.values())) == len(Verdict)


def test_labels_that_are_not_known_are_no_value():
    labels = np.array([[0, 3, 4], [9, 3, 0]])

    assert look_up(labels, np.array([3, 9]), np.array([5, 6], np.uint8)).tolist() == [
        [0, 5, 0],
        [6, 5, 0],
    ]


def test_a_drawn_stack_is_read_like_an_array():
    planes = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    drawn = DrawnPlanes(planes.shape, lambda number: planes.reshape(6, 4, 5)[number])

    for key in (0, (1, 2), (slice(None), 1), (0, 1, 2, 3), (..., 2), (1, ..., slice(1, 3))):
        assert np.array_equal(drawn[key], planes[key])
    assert np.array_equal(np.asarray(drawn), planes)


def test_a_field_is_drawn_when_it_is_looked_at(viewer, panel, monkeypatch):
    drawn = []
    draw = panel.overlays._draw
    monkeypatch.setattr(
        panel.overlays, "_draw", lambda role, plane: drawn.append(plane) or draw(role, plane)
    )
    panel.show_errors()

    viewer.dims.set_current_step(0, 1)

    assert set(drawn) == {0, 1}


def test_overlays_lie_on_layers_that_are_turned_and_sheared(qtbot, viewer, truths):
    found, truth = add_stacks(viewer, truths[0], spoil(truths)[0])
    for layer in (found, truth):
        layer.rotate, layer.shear = 20, [0.2]
        layer.affine = [[1, 0.1, 40], [0, 1.2, 0], [0, 0, 1]]
    panel = open_panel(qtbot, viewer)

    panel.show_errors()

    (errors,) = overlays(viewer, ERRORS)
    for corner in ((0, 0), (0, 200), (160, 0)):
        np.testing.assert_allclose(errors.data_to_world(corner), found.data_to_world(corner))
    assert "elsewhere" not in panel.status.value

"""The size of nuclei on the form and on the canvas."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_nucseg.ui.segment.image_source import drawn_box, drawn_length
from tests.ui.segment_actions import predictions, run

BETWEEN = 15
"""Milliseconds between moves of the mouse; VisPy leaves out what follows within 10."""


def circles(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Shapes)]


def toggle(qtbot, panel):
    qtbot.mouseClick(panel.form.circle.native, Qt.MouseButton.LeftButton)


def diameter_of(layer):
    """Diameters along both axes, in pixels of the image."""
    return np.ptp(layer.data[0], axis=0)


@pytest.mark.parametrize(
    ("estimate", "said"),
    [(None, "auto: fits nuclei of 22 to 55 px"), (91.4, "auto: 91 px, found in this field")],
)
def test_after_a_run_the_panel_says_what_automatic_means(
    qtbot, viewer, image, panel, stand_in, estimate, said
):
    assert panel.form.params["diameter"].native.text() == "auto"
    assert panel.form.size.value == ""
    stand_in.estimate = estimate
    run(qtbot, panel)
    assert panel.form.size.value == said

    panel.form.params["diameter"].value = 40
    assert panel.form.size.value == ""
    panel.form.params["diameter"].value = 0
    assert panel.form.size.value == said

    panel.form.image.value = viewer.add_image(np.zeros((8, 9)), name="other")
    assert panel.form.size.value == ""


def test_a_models_own_diameter_is_said(qtbot, viewer, image, panel, stand_in, monkeypatch):
    call = type(stand_in).__call__

    def with_diameter(self, image, params, report):
        found = call(self, image, params, report)
        return replace(found, provenance=replace(found.provenance, diameter=30.0))

    monkeypatch.setattr(type(stand_in), "__call__", with_diameter)

    run(qtbot, panel)

    assert panel.form.size.value == "auto: 30 px, the model's own"


def test_a_circle_of_the_diameter_is_shown_on_the_image_and_put_away(
    qtbot, viewer, image, panel, stand_in
):
    panel.form.params["diameter"].value = 40
    toggle(qtbot, panel)

    (circle,) = circles(viewer)
    np.testing.assert_allclose(diameter_of(circle), 40)
    inside = (160, 200)
    np.testing.assert_allclose(circle.data_to_world(inside), image.data_to_world(inside))
    assert viewer.layers.selection == {circle}
    assert circle.selected_data == {0}
    assert circle.mode == "select"

    panel.form.params["diameter"].value = 25
    np.testing.assert_allclose(diameter_of(circle), 25)

    toggle(qtbot, panel)
    assert not circle.visible
    assert viewer.layers.selection == {image}

    viewer.scene.camera.center = image.data_to_world((50, 60))
    toggle(qtbot, panel)
    assert circles(viewer) == [circle]
    assert circle.visible
    np.testing.assert_allclose(circle.data[0].mean(axis=0), (50, 60))
    assert viewer.layers.selection == {circle}


def test_the_button_follows_a_circle_that_is_hidden_or_shown_among_the_layers(
    qtbot, viewer, image, panel
):
    toggle(qtbot, panel)
    (circle,) = circles(viewer)

    circle.visible = False
    assert not panel.form.circle.native.isChecked()
    circle.visible = True
    assert panel.form.circle.native.isChecked()


def test_the_circle_has_the_diameter_that_was_found(qtbot, viewer, image, panel, stand_in):
    stand_in.estimate = 91.4
    run(qtbot, panel)

    toggle(qtbot, panel)

    np.testing.assert_allclose(diameter_of(circles(viewer)[0]), 91.4)
    assert panel.form.params["diameter"].value == 0  # showing changes nothing


def drag(qtbot, viewer, image, start, step):
    """Drag on the canvas from a place of an image, in pixels, by so many."""
    camera, middle = viewer.scene.camera, np.divide(viewer.canvas.size, 2)
    canvas = viewer.window._qt_viewer.canvas.native

    def seen(part):
        place = image.data_to_world(start + part * step)
        y, x = (place - np.asarray(camera.center[-2:])) * camera.zoom + middle
        return QPoint(round(x), round(y))

    left = Qt.MouseButton.LeftButton
    qtbot.mouseMove(canvas, seen(0))
    qtbot.mousePress(canvas, left, pos=seen(0))
    for part in (0.3, 0.6, 1):
        qtbot.wait(BETWEEN)
        there = QPointF(seen(part)), QPointF(canvas.mapToGlobal(seen(part)))
        none = Qt.MouseButton.NoButton, left, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, *there, *none))
    qtbot.mouseRelease(canvas, left, pos=seen(1))


def test_the_circle_is_dragged_onto_a_nucleus_and_resized_with_the_mouse(
    qtbot, make_napari_viewer, field
):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(field.image, name="A01", scale=(2, 2))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    panel.form.params["diameter"].value = 40
    viewer.reset_view()
    QApplication.processEvents()
    toggle(qtbot, panel)
    (circle,) = circles(viewer)
    QApplication.processEvents()
    middle = circle.data[0].mean(axis=0)

    drag(qtbot, viewer, image, middle, np.array((10, 20)))
    np.testing.assert_allclose(circle.data[0].mean(axis=0), middle + np.array((10, 20)), atol=2)
    np.testing.assert_allclose(diameter_of(circle), 40, atol=0.5)
    assert panel.form.params["diameter"].value == 40

    low, high = circle.data[0].min(axis=0), circle.data[0].max(axis=0)
    drag(qtbot, viewer, image, high, np.array((20, 20)))
    diameter = panel.form.params["diameter"].value
    assert diameter == pytest.approx(60, abs=3)
    assert f"Diameter {diameter:g} px" in panel.status.value
    np.testing.assert_allclose(circle.data[0].min(axis=0), low, atol=1)

    low, high = circle.data[0].min(axis=0), circle.data[0].max(axis=0)
    side = np.array((high[0], (low[1] + high[1]) / 2))
    drag(qtbot, viewer, image, side, np.array((20, 0)))
    assert panel.form.params["diameter"].value > diameter + 5
    np.testing.assert_allclose(*diameter_of(circle), rtol=0.01)  # it stays round


def test_deleting_the_circle_is_safe(qtbot, viewer, image, panel, stand_in):
    toggle(qtbot, panel)
    viewer.layers.remove_selected()
    assert not panel.form.circle.native.isChecked()
    panel.form.params["diameter"].value = 33

    toggle(qtbot, panel)
    (circle,) = circles(viewer)
    circle.selected_data = {0}
    circle.remove_selected()
    assert not panel.form.circle.native.isChecked()

    toggle(qtbot, panel)
    np.testing.assert_allclose(diameter_of(circles(viewer)[-1]), 33)
    run(qtbot, panel)
    assert len(predictions(viewer)) == 1


def test_the_circle_is_not_taken_for_something_drawn(qtbot, viewer, image, panel):
    toggle(qtbot, panel)

    assert drawn_box(viewer, image) is None
    assert drawn_length(viewer, image) is None


def test_an_image_and_its_circle_are_deleted_together(qtbot, viewer, image, panel):
    toggle(qtbot, panel)
    viewer.layers.selection = {image, *circles(viewer)}

    viewer.layers.remove_selected()

    assert not viewer.layers
    assert not panel.form.circle.native.isChecked()


def test_no_panel_offers_the_circle_as_something_drawn(qtbot, viewer, image, panel, field):
    toggle(qtbot, panel)
    viewer.add_labels(field.labels, name="truth")
    drawn = viewer.add_shapes(name="drawn")
    score, train = (
        viewer.window.add_plugin_dock_widget("napari-nucseg", name)[1]
        for name in ("Score nuclei", "Train on labels")
    )

    for box in (score.controls.ignore.inside, train.form.inside):
        assert [one for one in box.choices if one is not None] == [drawn]


def test_the_circle_goes_with_the_panel_and_with_its_image(qtbot, viewer, image, panel):
    toggle(qtbot, panel)
    (circle,) = circles(viewer)
    other = viewer.add_image(np.zeros((8, 9)), name="other", scale=(3, 3), units=("um", "um"))
    panel.form.image.value = other
    assert not circle.visible
    assert not panel.form.circle.native.isChecked()

    toggle(qtbot, panel)
    assert circles(viewer) == [circle]
    assert (circle.name, circle.visible) == ("other diameter", True)
    assert circle.units == other.units
    np.testing.assert_allclose(circle.data_to_world((4, 5)), other.data_to_world((4, 5)))

    panel.native.parent().destroyOnClose()
    assert not circles(viewer)

"""Segmenting a part of a field: a drawn rectangle, or what is in sight."""

import numpy as np

from napari_nucseg.ui.segment_form import Scope
from tests.ui.segment_actions import predictions, run


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

    assert stand_in.calls[-1][0].shape == (40, 50)
    outside[20:60, 30:80] = 0
    changed = labels.data.copy()
    changed[20:60, 30:80] = 0
    np.testing.assert_array_equal(changed, outside)


def test_without_a_rectangle_the_panel_asks_for_one(image, panel):
    panel.form.scope.value = Scope.BOX

    panel.form.segment.native.click()

    assert "Draw a rectangle" in panel.status.value

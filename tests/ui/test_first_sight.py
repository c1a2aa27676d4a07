"""A result is seen at once: as outlines over its image, without what would cover it."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_nucseg.ui.edits import add_copy
from napari_nucseg.ui.layers import GROUND_TRUTH, LayerRecord, luminance, tag
from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import RUN, move, predictions, run


@pytest.fixture
def truth(viewer, image, field):
    """The ground truth of the image, which lies above it and is seen."""
    record = LayerRecord(GROUND_TRUTH, source=str(image.unique_id))
    placed = {"scale": image.scale, "translate": image.translate}
    return viewer.add_labels(field.labels, name="truth", metadata=tag(record), **placed)


def pick(row, text):
    """Choose an entry of a combo box as the user does with the keyboard, though it is chosen."""
    box = row.native
    box.setFocus()
    box.showPopup()
    box.view().setCurrentIndex(box.model().index(box.findText(text), 0))
    QTest.keyClick(box.view(), Qt.Key.Key_Return)


def visible(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


def test_a_result_opens_as_outlines_alone_over_its_image(
    qtbot, viewer, image, truth, panel, stand_in
):
    above = viewer.add_shapes(name="above")
    run(qtbot, panel)

    (labels,) = predictions(viewer)
    assert labels.contour == 2
    assert viewer.layers[-1] == labels
    assert viewer.layers.selection == {labels}
    assert visible(viewer) == [image.name, above.name, labels.name]


def test_outlines_are_seen_on_black_and_on_white(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)

    assert labels.opacity == 1
    for number in range(1, 200):
        colour = luminance(labels.get_color(number)[:3])
        assert (colour + 0.05) / (0 + 0.05) > 4  # contrast by WCAG; lines of 3 are seen well
        assert (1 + 0.05) / (colour + 0.05) > 2
    assert labels.get_color(0) is None  # background
    assert len({tuple(labels.get_color(number)) for number in range(1, 100)}) > 90


def test_what_was_hidden_for_a_result_comes_back_when_it_goes(
    qtbot, viewer, image, truth, panel, stand_in
):
    run(qtbot, panel)
    pick(panel.form.model, "otsu")
    run(qtbot, panel)
    assert visible(viewer) == [image.name, "A01 otsu"]

    viewer.layers.remove("A01 otsu")
    assert visible(viewer) == [image.name, "A01 fluo-nuclei"]

    viewer.layers.selection = {viewer.layers["A01 fluo-nuclei"]}
    viewer.layers.remove_selected()
    assert visible(viewer) == [image.name, "truth"]


def test_a_result_that_goes_out_of_sight_leaves_the_truth_to_the_one_in_sight(
    qtbot, viewer, image, truth, panel, stand_in
):
    run(qtbot, panel)
    pick(panel.form.model, "otsu")
    run(qtbot, panel)

    viewer.layers.remove("A01 fluo-nuclei")
    assert visible(viewer) == [image.name, "A01 otsu"]

    viewer.layers.remove("A01 otsu")
    assert visible(viewer) == [image.name, "truth"]


def test_what_is_shown_again_by_hand_stays(qtbot, viewer, image, truth, panel, stand_in):
    run(qtbot, panel)
    truth.visible = True

    run(qtbot, panel)

    assert truth.visible


def test_an_older_result_that_is_chosen_again_comes_to_the_top(
    qtbot, viewer, image, panel, stand_in
):
    run(qtbot, panel)
    pick(panel.form.model, "otsu")
    run(qtbot, panel)

    pick(panel.form.model, "fluo-nuclei")

    assert visible(viewer) == [image.name, "A01 fluo-nuclei"]
    assert viewer.layers[-1].name == "A01 fluo-nuclei"
    assert viewer.layers.selection.active.name == "A01 fluo-nuclei"


def test_labels_of_other_images_stay_in_sight(qtbot, viewer, image, panel, stand_in, field):
    elsewhere = viewer.add_labels(field.labels, name="elsewhere", translate=(500, 500))
    small = viewer.add_labels(np.ones((5, 6), int), name="small")

    run(qtbot, panel)

    assert elsewhere.visible
    assert small.visible


def test_selecting_an_image_selects_no_labels(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)

    viewer.layers.selection.active = image

    assert viewer.layers.selection == {image}


def test_sliders_bring_a_hidden_result_into_sight(qtbot, viewer, image, truth, panel):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    labels.visible, truth.visible = False, False

    move(qtbot, panel, {"min_size": 200})

    assert visible(viewer) == [image.name, labels.name]


def test_what_is_selected_while_further_fields_are_segmented_stays(
    qtbot, viewer, stack, panel, stand_in
):
    go_on = threading.Event()
    stand_in.before = lambda report: go_on.wait(30) if stand_in.calls else None
    panel.form.scope.value = Scope.ALL
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: viewer.layers.selection == set(predictions(viewer)) != set())

    viewer.layers.selection = {stack}
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert viewer.layers.selection == {stack}


def test_nuclei_are_shown_filled_and_as_outlines(qtbot, viewer, image, truth, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)

    pick(panel.result.show_as, "filled")
    assert labels.contour == 0
    assert labels.opacity == 0.7
    pick(panel.form.model, "otsu")
    run(qtbot, panel)
    assert [layer.contour for layer in predictions(viewer)] == [0, 0]

    pick(panel.result.show_as, "outlines")
    assert [layer.contour for layer in predictions(viewer)] == [2, 2]


def test_a_measure_is_not_tinted_by_what_lies_below(qtbot, viewer, image, truth, panel, stand_in):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    truth.visible = True

    pick(panel.result.show_as, "area")

    assert labels.opacity == 1
    assert labels.contour == 0
    assert viewer.layers[-1] == labels


def test_a_copy_of_edits_is_hidden_with_the_result_that_it_is_of(
    qtbot, viewer, image, panel, stand_in
):
    run(qtbot, panel)
    copy = add_copy(viewer, predictions(viewer)[0])
    copy.visible = True
    pick(panel.form.model, "otsu")

    run(qtbot, panel)

    assert not copy.visible

"""What the segment panel says where a model does not seem to suit an image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.segmenters.api import Concern
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import RUN, move, predictions, run

LARGER = Concern(
    "12 bright objects, 0 nuclei: the objects look 4.0 times larger than expected",
    "Set the diameter to 112 px",
    {"diameter": 112.0},
)
UNSURE = Concern("The network is unsure of many outlines", "Look at the most doubtful nuclei")


def is_shown(panel, widget=None) -> bool:
    """Whether the advice, or a widget of it, is to be seen in the panel."""
    native = (widget or panel.advice).native
    return bool(native.isVisibleTo(panel.native))


@pytest.fixture
def concerned(stand_in):
    """A segmenter that is concerned until it is given a diameter."""
    stand_in.concerns = lambda image, params: () if params.diameter else (LARGER, UNSURE)
    return stand_in


@pytest.fixture
def advised(qtbot, image, panel, concerned):
    """A panel that has just given advice."""
    run(qtbot, panel)
    assert is_shown(panel)
    return panel


def test_without_a_concern_nothing_is_shown(qtbot, image, panel, stand_in):
    assert not is_shown(panel)
    run(qtbot, panel)
    assert not is_shown(panel)


def test_a_concern_is_told_with_what_to_press(advised):
    assert advised.advice.text.value == f"Check the result. {LARGER.reason}. {LARGER.advice}."
    assert is_shown(advised, advised.advice.button)
    assert advised.advice.button.text == "Use diameter 112 px"


def test_the_button_sets_the_value_and_segments_again(qtbot, viewer, advised, concerned):
    advised.advice.button.native.click()
    qtbot.waitUntil(lambda: not advised.running and not advised.follows, timeout=RUN)

    assert [params.diameter for _, params in concerned.calls] == [0, 112]
    assert advised.form.params["diameter"].value == 112
    (labels,) = predictions(viewer)
    assert record_of(labels).provenance["parameters"]["diameter"] == 112
    assert not is_shown(advised)


def test_a_concern_that_no_value_helps_has_no_button(qtbot, image, panel, stand_in):
    stand_in.concerns = lambda image, params: (UNSURE,)
    run(qtbot, panel)
    assert is_shown(panel)
    assert panel.advice.text.value == f"Check the result. {UNSURE.reason}. {UNSURE.advice}."
    assert not is_shown(panel, panel.advice.button)


def test_dark_nuclei_are_advised_by_the_name_of_their_switch(qtbot, image, panel, stand_in):
    dark = Concern("The nuclei seem to be dark", "Switch on Dark nuclei", {"invert": True})
    stand_in.concerns = lambda image, params: () if params.invert else (dark,)
    run(qtbot, panel)
    assert panel.advice.button.text == "Switch on Dark nuclei"

    panel.advice.button.native.click()
    qtbot.waitUntil(lambda: not panel.running and not panel.follows, timeout=RUN)

    assert panel.form.params["invert"].value is True
    assert stand_in.calls[-1][1].invert
    assert not is_shown(panel)


def test_several_fields_are_counted(qtbot, stack, drawn_fields, panel, stand_in):
    good = drawn_fields[1].image
    stand_in.concerns = lambda image, params: () if np.array_equal(image, good) else (LARGER,)
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    first = f"{LARGER.reason}. {LARGER.advice}."
    assert panel.advice.text.value == f"Check 2 of 3 fields. The first: {first}"
    assert panel.advice.button.text == "Use diameter 112 px"


# When it goes


def test_it_goes_with_another_image(viewer, advised, field):
    viewer.add_image(np.fliplr(field.image), name="other")
    assert not is_shown(advised)


def test_it_goes_with_another_model(advised):
    advised.form.model.value = "otsu"
    assert not is_shown(advised)


def test_it_goes_with_another_channel(qtbot, viewer, panel, field, concerned):
    colours = np.dstack([field.image >> shift for shift in (4, 5, 6)]).astype(np.uint8)
    viewer.add_image(colours, name="colour", rgb=True)
    run(qtbot, panel)
    assert is_shown(panel)
    move(qtbot, panel, {"channel": "Green"})
    assert not is_shown(panel)


def test_it_goes_while_another_run_is_on_its_way(qtbot, advised, held):
    advised.form.segment.native.click()
    assert held.reached.wait(30)
    assert not is_shown(advised)
    held.go_on.set()
    qtbot.waitUntil(lambda: not advised.running, timeout=RUN)
    assert is_shown(advised)  # the same concern again


# The diameter that was found


def test_a_diameter_that_was_found_is_told(qtbot, viewer, image, panel, stand_in):
    stand_in.estimate = 112.4
    run(qtbot, panel)
    assert ", diameter 112 px (estimated)." in panel.status.value
    viewer.layers.selection.active = predictions(viewer)[0]
    assert "Diameter 112 px (estimated)" in panel.provenance.text.value


def test_of_several_fields_the_median_is_told(qtbot, stack, panel, stand_in):
    found = iter((100.0, 112.0, 130.0))
    stand_in.before = lambda report: setattr(stand_in, "estimate", next(found))
    panel.form.scope.value = Scope.ALL
    run(qtbot, panel)
    assert ", diameter 112 px (estimated)." in panel.status.value


def test_a_diameter_that_was_not_needed_is_not_told(qtbot, viewer, image, panel, stand_in):
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]
    assert "estimated" not in panel.status.value
    assert "estimated" not in panel.provenance.text.value


def test_the_bundled_model_finds_and_tells_the_diameter(qtbot, viewer, panel, field):
    viewer.add_image(np.kron(field.image, np.ones((4, 4), np.uint16)), name="large")
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    made = record_of(labels).provenance
    assert made["is_estimated"]
    assert f", diameter {made['diameter']:.0f} px (estimated)." in panel.status.value

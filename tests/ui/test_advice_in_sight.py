"""The advice of the segment panel is about what is in sight, and its button says what it does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import RUN, move, run


def is_shown(panel) -> bool:
    """Whether the advice is to be seen in the panel."""
    return bool(panel.advice.native.isVisibleTo(panel.native))


@pytest.fixture
def half_dark(viewer, drawn_fields):
    """A stack of a usual field and of one whose nuclei are dark."""
    fields = [field.image for field in drawn_fields[:2]]
    return viewer.add_image(np.stack([fields[0], fields[1].max() - fields[1]]), name="half dark")


@pytest.fixture
def advised(qtbot, viewer, half_dark, panel):
    """A panel that has just given advice about the dark field."""
    viewer.dims.set_current_step(0, 1)
    run(qtbot, panel)
    assert is_shown(panel)
    return panel


def test_it_goes_with_another_field(viewer, advised):
    viewer.dims.set_current_step(0, 0)
    assert not is_shown(advised)


def test_it_stays_while_its_field_does(viewer, advised):
    viewer.add_points(np.zeros((1, 3)))
    assert is_shown(advised)


def test_what_is_said_of_several_fields_stays(qtbot, viewer, advised):
    advised.form.scope.value = Scope.ALL
    run(qtbot, advised)
    viewer.dims.set_current_step(0, 0)
    assert "1 of 2 fields" in advised.advice.text.value
    assert is_shown(advised)


def test_it_goes_when_labels_follow_a_slider(qtbot, advised):
    move(qtbot, advised, {"cellprob_threshold": -1.0})
    assert not is_shown(advised)


def test_a_button_that_switches_off_says_so(qtbot, viewer, half_dark, panel):
    viewer.dims.set_current_step(0, 0)
    panel.form.params["invert"].value = True
    run(qtbot, panel)
    assert panel.advice.button.text == "Switch off Dark nuclei"

    panel.advice.button.native.click()
    qtbot.waitUntil(lambda: not panel.running and not panel.follows, timeout=RUN)

    assert panel.form.params["invert"].value is False
    assert not is_shown(panel)

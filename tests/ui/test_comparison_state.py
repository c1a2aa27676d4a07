"""What is the same object in two comparisons that follow each other is not drawn anew."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nucseg.analysis.comparison import compare_planes, score_dataset
from napari_nucseg.metrics.matching import STARDIST
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.score.model import ComparisonState

BOX = (slice(2, 6), slice(2, 6))


@pytest.fixture
def state():
    viewer = ViewerModel()
    truth = np.zeros((2, 20, 20), np.int32)
    truth[(slice(None), *BOX)] = 1
    truth[:, 10:16, 10:16] = 2
    layers = [viewer.add_labels(truth.copy(), name=name) for name in ("found", "truth")]
    viewer.dims.set_point(0, 0)
    state = ComparisonState(viewer)
    state.choose_layers(*layers)
    state.show(compare_planes(state.now.label_reader(), (0, 1), {}, no_progress))
    return state


def no_progress(done, total, what):
    pass


def changes_of(state):
    changes = []
    state.changed.connect(lambda old, new: changes.append((old, new)))
    return changes


def test_another_field_is_not_scored_again_when_it_is_come_back_to(state):
    first, changes = state.now, changes_of(state)
    score = first.score
    for plane in (1, 0):
        state.viewer.dims.set_point(0, plane)
        state.follow_viewer()

    assert [new.plane for _, new in changes] == [1, 0]
    assert state.now.score is score
    assert state.now.objects is first.objects
    assert state.now.pairs is first.pairs


def test_hiding_verdicts_judges_nothing_again(state):
    first, score = state.now, state.now.score
    state.hide(frozenset({Verdict.MATCHED}))

    assert state.now.objects is first.objects
    assert state.now.score is score
    assert not first.hidden


def test_an_edit_changes_its_field_alone(state):
    first = state.now
    state.now.prediction.data[0][BOX] = 0
    state.recount(0, BOX, state.now.label_reader()(0))

    assert state.now.edited_since(first) == {0}
    assert state.now.pairs[1] is first.pairs[1]
    assert state.now.score.objects.fn == 1
    assert first.score.objects.fn == 0


def test_a_field_whose_outlines_are_compared_later_was_not_edited(state):
    state.now.prediction.data[0][BOX] = 0
    state.recount(0, BOX, state.now.label_reader()(0))
    edited, score = state.now, state.now.score
    found = score_dataset(edited.pairs, state.copy_unmeasured(), edited.rule, no_progress)
    state.take(state.now.measured(found.measured))

    assert list(found.measured) == [0]
    assert score.boundaries is None
    assert state.now.score.boundaries is not None
    assert state.now.objects is edited.objects
    assert not state.now.edited_since(edited)


def test_a_rule_that_is_used_already_changes_nothing(state):
    changes = changes_of(state)
    state.use_rule(state.now.rule)
    state.use_rule(ScoreRule(0.9, STARDIST))

    ((old, new),) = changes
    assert new.rule.threshold == 0.9
    assert new.score is not old.score
    assert not new.edited_since(old)


def test_a_change_made_on_hearing_of_one_is_told_after_it(state):
    told = []
    state.changed.connect(lambda old, new: state.hide(frozenset({Verdict.MATCHED})))
    state.changed.connect(lambda old, new: told.append(state.now is new))
    state.use_rule(ScoreRule(0.9, STARDIST))

    assert told == [False, True]

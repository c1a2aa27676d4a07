from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.core.scoring import score_with_boundaries
from napari_nucseg.core.summaries import summarise
from napari_nucseg.core.verdicts import Agreement, Verdict
from napari_nucseg.runs.comparing import Comparison, compare


class Reader:
    """Gives labels and counts how often it is asked."""

    def __init__(self, labels):
        self.labels = labels
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return self.labels


@pytest.fixture
def shifted(drawn_fields):
    """Truth and prediction of the first drawn field: the same, two pixels apart."""
    labels = drawn_fields[0].labels
    return Reader(labels), Reader(np.roll(labels, 2, axis=0))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_the_score_is_that_of_the_labels_at_any_threshold(shifted, threshold):
    pair = compare(*shifted)
    labels = shifted[0].labels, shifted[1].labels
    assert pair.score(threshold) == score_with_boundaries(*labels, threshold)


def test_labels_are_read_once_however_often_the_threshold_changes(shifted):
    pair = compare(*shifted)
    scores = [pair.score(threshold).objects.tp for threshold in (0.3, 0.5, 0.7, 0.9, 1.0)]
    assert [reader.reads for reader in shifted] == [1, 1]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] == 0


def test_pictures_follow_the_threshold(shifted):
    pair = compare(*shifted)
    lenient, strict = pair.draw_verdicts(0.3), pair.draw_verdicts(1.0)
    assert lenient.shape == strict.shape == shifted[0].labels.shape
    assert Verdict.MATCHED in lenient
    assert Verdict.MATCHED not in strict
    assert Verdict.LOOSE not in strict
    assert Verdict.OFF in strict


def test_the_agreement_of_pixels_is_drawn(shifted):
    drawn = compare(*shifted).draw_agreement()
    truth, predicted = (reader.labels > 0 for reader in shifted)
    assert np.array_equal(drawn == Agreement.TRUE_POSITIVE, truth & predicted)
    assert np.array_equal(drawn == Agreement.FALSE_NEGATIVE, truth & ~predicted)
    assert np.array_equal(drawn == Agreement.FALSE_POSITIVE, ~truth & predicted)


def test_several_fields_are_summarised(drawn_fields):
    pairs = {
        number: compare(Reader(field.labels), Reader(np.roll(field.labels, number)))
        for number, field in zip((0, 4, 7), drawn_fields, strict=True)
    }
    summary = Comparison(pairs).summarise(0.6)
    assert summary == summarise([pair.score(0.6) for pair in pairs.values()])
    assert summary.empty == 1


@pytest.mark.parametrize(
    "other", [np.zeros((3, 4), int), np.zeros((160, 200)), np.full((160, 200), -1)]
)
def test_what_cannot_be_compared_is_refused(shifted, other):
    with pytest.raises(ValueError, match="labels"):
        compare(shifted[0], Reader(other))

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.analysis.comparison import compare
from napari_nucseg.metrics.score import score_with_boundaries


@pytest.fixture
def shifted(drawn_fields):
    """Truth and prediction of the first drawn field: the same, two pixels apart."""
    labels = drawn_fields[0].labels
    return labels, np.roll(labels, 2, axis=0)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_the_score_is_that_of_the_labels_at_any_threshold(shifted, threshold):
    assert compare(*shifted).score(threshold) == score_with_boundaries(*shifted, threshold)


def test_fewer_objects_match_at_a_higher_threshold(shifted):
    pair = compare(*shifted)
    matched = [pair.score(threshold).objects.tp for threshold in (0.3, 0.5, 0.7, 0.9, 1.0)]
    assert matched == sorted(matched, reverse=True)
    assert matched[0] > matched[-1] == 0


@pytest.mark.parametrize(
    "other", [np.zeros((3, 4), int), np.zeros((160, 200)), np.full((160, 200), -1)]
)
def test_what_cannot_be_compared_is_refused(shifted, other):
    with pytest.raises(ValueError, match="labels"):
        compare(shifted[0], other)

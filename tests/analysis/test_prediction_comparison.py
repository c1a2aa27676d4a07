"""Predictions of the same fields, side by side."""

import numpy as np
import pytest

from napari_nucseg.analysis.prediction_comparison import (
    TrueFields,
    best_of,
    compare_predictions,
    disagreements,
)
from napari_nucseg.metrics.registry import find_metric
from napari_nucseg.metrics.score import DEFAULT_RULE, ScoreRule, score
from napari_nucseg.metrics.summary import compare_fields


@pytest.fixture
def truths(drawn_fields):
    return [field.labels for field in drawn_fields]


def spoiled(truths, label: int):
    return [np.where(truth == label, 0, truth) for truth in truths]


def rivals_of(truths, **predictions):
    reads = {name: fields.__getitem__ for name, fields in predictions.items()}
    fields = TrueFields(truths.__getitem__, range(len(truths)))
    return compare_predictions(fields, reads, DEFAULT_RULE, lambda *told: None)


def test_each_prediction_has_its_own_scores(truths):
    perfect, worse = rivals_of(truths, perfect=truths, worse=spoiled(truths, 1))

    assert perfect.summary.pooled.objects.f1 == 1
    expected = [score(t, p).objects.f1 for t, p in zip(truths, spoiled(truths, 1), strict=True)]
    assert worse.summary.spread["objects", "f1"].mean == pytest.approx(np.nanmean(expected))
    assert best_of([worse, perfect], find_metric("objects", "f1")) == 1


def test_a_prediction_does_not_differ_from_itself(truths):
    _, same = rivals_of(truths, one=spoiled(truths, 1), same=spoiled(truths, 1))

    spread = same.differences["objects", "f1"]
    assert (spread.mean, *spread.interval) == (0, 0, 0)


def test_the_pairing_keeps_what_fields_have_in_common_out(truths):
    """Fields that differ much among one another, and a rival that is worse by a little in each."""
    rng = np.random.default_rng(0)
    fields = [np.arange(1, 41).reshape(1, 40)] * 20
    lost = rng.integers(2, 30, size=20)
    one = [np.where(f > 40 - n, 0, f) for f, n in zip(fields, lost, strict=True)]
    two = [np.where(f > 39 - n, 0, f) for f, n in zip(fields, lost, strict=True)]
    ours = [score(t, p) for t, p in zip(fields, two, strict=True)]
    theirs = [score(t, p) for t, p in zip(fields, one, strict=True)]

    difference = compare_fields(ours, theirs)["objects", "recall"]

    assert difference.mean == pytest.approx(-1 / 40)
    assert difference.interval == pytest.approx((-1 / 40, -1 / 40))


def test_disagreements_name_who_is_right(truths):
    one, two = rivals_of(truths, one=spoiled(truths, 1), two=spoiled(truths, 2))

    found = {(d.plane, d.label, d.in_first) for d in disagreements(one, two)}
    assert found == {(0, 1, False), (0, 2, True), (1, 1, False), (1, 2, True)}
    assert all(max(d.ious) == 1 and min(d.ious) == 0 for d in disagreements(one, two))


def test_nuclei_at_the_border_are_left_out_of_all_predictions():
    truth = np.zeros((30, 30), np.int32)
    truth[0:8, 0:8], truth[12:20, 12:20] = 1, 2
    without = np.where(truth == 1, 0, truth)
    rule = ScoreRule(ignore_border=True)

    both = compare_predictions(
        TrueFields(lambda plane: truth, [0]),
        {"all": lambda plane: truth, "inner": lambda plane: without},
        rule,
        lambda done, total, what: None,
    )

    assert [one.fields[0].score for one in both] == [
        score(truth, found, ignore=rule.ignored) for found in (truth, without)
    ]
    assert disagreements(*both) == []

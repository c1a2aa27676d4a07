"""Presets, the policy for empty fields, and bootstrap intervals."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction
from inspect import isfunction, signature

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.metrics import functions as metrics
from napari_nucseg.metrics.matching import (
    AP_THRESHOLDS,
    DSB2018,
    F1_THRESHOLDS,
    PRESETS,
    STARDIST,
    find_preset,
    match,
)
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import Score, score, score_matching, score_with_boundaries
from napari_nucseg.metrics.summary import RESAMPLES, SEED, summarise
from tests.metrics.brute_force import exact_ious
from tests.metrics.distortions import distort_all, draw_discs, shift
from tests.metrics.test_matching import EXACT, best_matching, from_table, label_pairs, quick

EMPTY = np.zeros((4, 5), dtype=int)
HALF = from_table([[0, 0], [5, 5]])
"""One nucleus with an IoU of exactly 1/2."""


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    """Of six fields and an empty one."""
    truths = [draw_discs(seed) for seed in range(6)]
    fields = [score_with_boundaries(truth, shift(truth)) for truth in truths]
    return [*fields, score_with_boundaries(EMPTY, EMPTY)]


# Presets


def test_an_iou_of_exactly_one_half_is_a_hit_of_stardist_and_of_no_other_preset():
    hits = {name: score(*HALF, preset=preset).objects.tp for name, preset in PRESETS.items()}
    assert hits == {"stardist": 1, "dsb2018": 0, "caicedo2019": 0}
    assert score(*HALF, preset=STARDIST).mean_ap == 0.1
    assert score(*HALF, preset=DSB2018).mean_ap == 0


@quick
@given(label_pairs(most=3), st.sampled_from(EXACT))
def test_a_strict_hit_is_above_the_threshold(pair, threshold):
    above = {pair: iou for pair, iou in exact_ious(*pair).items() if iou > threshold}
    matching = match(find_overlap(*pair), float(threshold), strict=True)
    assert (matching.tp, Fraction(0)) <= best_matching(above, threshold)
    assert matching.tp == best_matching(above, threshold)[0]


def test_thresholds_are_those_that_were_published():
    assert len(AP_THRESHOLDS) == 10
    assert AP_THRESHOLDS[-1] == 0.95
    assert F1_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


def test_each_preset_reports_its_own_average(scores):
    truths = [draw_discs(seed) for seed in range(3)]
    reported = {
        name: summarise([score(t, shift(t), preset=preset) for t in truths]).reported
        for name, preset in PRESETS.items()
    }
    assert list(reported["stardist"]) == ["mean of fields", "pooled"]
    assert list(reported["dsb2018"]) == list(reported["caicedo2019"]) == ["mean of fields"]
    by_field = [[metrics.f1(t, shift(t), at, strict=True) for at in F1_THRESHOLDS] for t in truths]
    # Fields first and then thresholds, as published, or the other way round: it is the same
    assert reported["caicedo2019"]["mean of fields"] == pytest.approx(np.mean(by_field))


def test_an_unknown_preset_is_refused_with_those_there_are():
    assert find_preset("dsb2018") is DSB2018
    with pytest.raises(ValueError, match="no preset 'coco'; choose one of stardist, dsb2018"):
        find_preset("coco")


def test_scores_by_different_rules_are_not_mixed():
    with pytest.raises(ValueError, match="by StarDist / Cellpose and by DSB2018"):
        summarise([score(*HALF), score(*HALF, preset=DSB2018)])
    with pytest.raises(ValueError, match="matched by another rule than IoU > t"):
        score_matching(match(find_overlap(*HALF)), DSB2018)
    with pytest.raises(ValueError, match="measure them in all or none"):
        summarise([score(*HALF), score_with_boundaries(*HALF)])


# Every rule as a function


FUNCTIONS = [
    name
    for name, value in vars(metrics).items()
    if isfunction(value) and value.__module__ == metrics.__name__ and not name.startswith("_")
]


def test_the_examples_are_right():
    assert doctest.testmod(metrics).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_refuses_labels_that_cannot_be_compared(name):
    function, labels = getattr(metrics, name), np.ones((3, 4), dtype=int)
    with pytest.raises(ValueError, match=r"\(3, 4\) px and the prediction \(4, 3\) px"):
        function(labels, labels.T)
    with pytest.raises(ValueError, match="the prediction holds float64 values"):
        function(labels, labels * 0.5)
    if "threshold" in signature(function).parameters:
        with pytest.raises(ValueError, match="IoU threshold is 0; it must be above 0"):
            function(labels, labels, threshold=0)


@pytest.mark.parametrize("seed", range(3))
def test_every_score_is_also_a_function(seed):
    truth = draw_discs(seed)
    pair = truth, distort_all(truth)
    found = score_with_boundaries(*pair, 0.6)
    ratios = found.ratios()
    assert len(FUNCTIONS) == 23
    for name, value in ratios["pixels"].items():
        assert getattr(metrics, f"pixel_{name}")(*pair) == value
    at = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
    for name, function in (at | {"ap": metrics.average_precision}).items():
        assert function(*pair, 0.6) == ratios["objects"].pop(name)
    functions = {
        "mean_ap": metrics.mean_average_precision,
        "mean_f1": metrics.mean_f1,
        "sq": metrics.segmentation_quality,
        "rq": metrics.recognition_quality,
        "pq": metrics.panoptic_quality,
        "aji": metrics.aggregated_jaccard,
        "aji_plus": metrics.aggregated_jaccard_plus,
        "seg": metrics.seg,
    }
    assert {name: f(*pair) for name, f in functions.items()} == pytest.approx(ratios["objects"])
    assert metrics.boundary_f(*pair) == ratios["boundaries"]["boundary_f"]
    assert metrics.count_error(*pair) == found.count_error
    assert metrics.caicedo_errors(*pair) == found.caicedo
    verdicts = metrics.verdicts(*pair, 0.6)
    assert len(verdicts.truth.ids) == found.areas.true


# Empty fields


def test_an_empty_field_counts_as_1_where_that_is_asked_for(scores):
    left_out, as_one = summarise(scores), summarise(scores, empty_as_one=True)
    assert left_out.empty == as_one.empty == 1
    for key, spread in as_one.spread.items():
        before = left_out.spread[key]
        if key == ("pixels", "accuracy"):
            assert spread.mean == before.mean
        elif key[1] in ("hausdorff_px", "hd95_px", "distance_px"):
            assert spread == before  # a distance of 1 would be no reward
        else:
            assert (before.count, spread.count) == (6, 7)
            assert spread.mean == pytest.approx((6 * before.mean + 1) / 7)
    assert as_one.pooled == left_out.pooled


def test_a_field_where_something_is_made_up_counts_0_all_the_same():
    full = np.ones((4, 5), dtype=int)
    summary = summarise([score(EMPTY, full), score(EMPTY, EMPTY)], empty_as_one=True)
    assert summary.spread["objects", "f1"].mean == 0.5


def test_the_count_error_is_the_mean_of_absolute_values():
    one, two = from_table([[0, 3, 3], [3, 0, 0]]), from_table([[0], [3], [3], [3]])
    summary = summarise([score(*one), score(*two)])
    assert summary.pooled.count_error == 1 - 3
    assert (summary.count_error.mean, summary.count_error.high) == (2, 3)


# Bootstrap


def drawn_fields(n: int) -> np.ndarray:
    """The fields of each draw, as the summary draws them."""
    return np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)


def test_intervals_are_percentiles_of_summaries_of_drawn_fields(scores):
    summary = summarise(scores)
    draws = [
        summarise([field for field, times in zip(scores, draw, strict=True) for _ in range(times)])
        for draw in drawn_fields(len(scores))[:40]
    ]
    # The first draws, summarised one by one, lie within all draws as they should
    for key in (("objects", "mean_ap"), ("pixels", "dice"), ("boundaries", "hausdorff_px")):
        means = np.array([draw.spread[key].mean for draw in draws])
        low, high = summary.spread[key].interval
        assert np.mean((means >= low) & (means <= high)) > 0.8
        assert low <= summary.spread[key].mean <= high


@pytest.mark.parametrize(
    "key", [("objects", "mean_ap"), ("objects", "aji_plus"), ("pixels", "iou")]
)
def test_pooled_intervals_are_exact(scores, key):
    group, name = key
    values = []
    for draw in drawn_fields(len(scores)):
        sample = [field for field, times in zip(scores, draw, strict=True) for _ in range(times)]
        values.append(sum(sample[1:], start=sample[0]).ratios()[group][name])
    expected = np.percentile(np.array(values)[~np.isnan(values)], [2.5, 97.5])
    assert summarise(scores).intervals[key] == pytest.approx(tuple(expected), rel=1e-12)


def test_scores_at_each_threshold_are_those_of_scoring_at_it():
    pairs = [(draw_discs(seed), shift(draw_discs(seed))) for seed in range(6)] + [(EMPTY, EMPTY)]
    summary = summarise([score(*pair) for pair in pairs])
    names = ("precision", "recall", "f1", "ap")
    assert list(summary.spread_at) == [(t, name) for t in AP_THRESHOLDS for name in names]
    for t in AP_THRESHOLDS:
        expected = summarise([score(*pair, t) for pair in pairs])
        for name in names:
            assert summary.spread_at[t, name] == expected.spread["objects", name]
            assert summary.intervals_at[t, name] == expected.intervals["objects", name]
    as_one = summarise([score(*pair) for pair in pairs], empty_as_one=True)
    assert as_one.spread_at[0.9, "ap"].count == summary.spread_at[0.9, "ap"].count + 1
    assert as_one.spread_at[0.9, "ap"].high == 1


def test_intervals_are_the_same_every_time(scores):
    one, other = summarise(scores), summarise(scores)
    assert one.intervals == other.intervals
    assert [s.interval for s in one.spread.values()] == [s.interval for s in other.spread.values()]


def test_fields_that_are_alike_have_no_width():
    summary = summarise([score(*HALF)] * 5)
    assert summary.spread["objects", "aji"].interval == (0.5, 0.5)
    assert summary.intervals["objects", "aji"] == (0.5, 0.5)


def test_of_a_single_field_there_is_no_interval():
    summary = summarise([score(*HALF)])
    assert all(map(math.isnan, summary.spread["objects", "aji"].interval))
    assert all(map(math.isnan, summary.intervals["objects", "aji"]))
    assert all(map(math.isnan, summary.intervals_at[0.5, "ap"]))

from __future__ import annotations

import csv
import math
import tracemalloc
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts, ObjectCounts, PixelCounts
from napari_nucseg.metrics.matching import AP_THRESHOLDS, STARDIST, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.registry import metrics
from napari_nucseg.metrics.score import Score, score, score_matching, score_with_boundaries
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.metrics.verdicts import VerdictCounts
from tests.metrics.distortions import distort_all
from tests.metrics.test_matching import EXACT, Pair, from_table, label_pairs, quick

REFERENCE = Path(__file__).parents[1] / "data" / "kloda_test_pixels.csv"
"""Published pixel agreement of Cellpose-SAM with the 50 test fields of BBBC039."""

PIXEL_RATIOS, OBJECT_RATIOS = (
    [metric.name for metric in metrics() if metric.group == group]
    for group in ("pixels", "objects")
)
EMPTY = np.zeros((4, 5), dtype=int)
FULL = np.array([[0, 1, 1, 0, 2]] * 4)


def score_of_pixels(pixels: PixelCounts) -> Score:
    """Score of a field of which only the pixels are known."""
    nothing = ObjectCounts(0, 0, 0, 0.0)
    no_verdicts, no_areas = VerdictCounts(*[0] * 12), AreaCounts(*[0] * 7)
    errors = CaicedoCounts(*[0] * 10)
    return Score(0.5, STARDIST, pixels, nothing, (nothing,) * 10, no_verdicts, no_areas, errors)


def object_of_iou(percent: int) -> Pair:
    """One nucleus of 100 px, of which as many per cent are found."""
    return from_table([[0, 0], [100 - percent, percent]])


# The published figures of pixels


@pytest.fixture(scope="module")
def published() -> list[dict[str, float]]:
    with REFERENCE.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def published_counts(published: list[dict[str, float]]) -> list[PixelCounts]:
    return [
        PixelCounts(*(int(row[name]) for name in ("tp", "fp", "fn", "tn"))) for row in published
    ]


def test_published_pixel_scores_follow_from_their_counts(published, published_counts):
    assert len(published) == 50
    names = {"f1": "dice", "percentage": "accuracy"}
    for row, counts in zip(published, published_counts, strict=True):
        for name in ("dice", "iou", "precision", "recall", "f1", "percentage"):
            ratio = getattr(counts, names.get(name, name))
            assert ratio == pytest.approx(row[name], rel=1e-12)


def test_published_counts_pool_to_the_published_scores(published_counts):
    pooled = reduce(add, published_counts)
    ratios = [round(getattr(pooled, name), 5) for name in PIXEL_RATIOS]
    assert ratios == [0.96799, 0.93796, 0.97177, 0.96423, 0.98789]


def test_means_of_fields_are_the_published_ones(published_counts):
    summary = summarise([score_of_pixels(counts) for counts in published_counts])
    spreads = [summary.spread["pixels", name] for name in PIXEL_RATIOS]
    means = [round(spread.mean, 5) for spread in spreads]
    assert means == [0.96730, 0.93684, 0.97247, 0.96256, 0.98789]
    assert [spread.count for spread in spreads] == [50] * 5
    assert (round(spreads[0].low, 4), round(spreads[0].high, 4)) == (0.9302, 0.9812)
    assert round(summary.pooled.pixels.dice, 5) == 0.96799


# Counts of a field


@quick
@given(label_pairs())
def test_pixels_are_counted_as_foreground_and_background(pair):
    truth, predicted = (labels > 0 for labels in pair)
    counts = score(*pair).pixels
    assert counts.tp == np.count_nonzero(truth & predicted)
    assert counts.fp == np.count_nonzero(~truth & predicted)
    assert counts.fn == np.count_nonzero(truth & ~predicted)
    assert counts.tn == np.count_nonzero(~truth & ~predicted)


def test_every_ratio_of_a_field_follows_from_its_counts():
    # One nucleus found at 8/10, one missed, one made up.
    ratios = score(*from_table([[20, 0, 5], [2, 8, 0], [5, 0, 0]])).ratios()
    assert ratios["pixels"] == pytest.approx(
        {"dice": 16 / 28, "iou": 8 / 20, "precision": 8 / 13, "recall": 8 / 15, "accuracy": 0.7}
    )
    assert ratios["objects"] == pytest.approx(
        {
            "precision": 1 / 2,
            "recall": 1 / 2,
            "f1": 1 / 2,
            "ap": 1 / 3,
            "mean_ap": 7 / 10 / 3,
            "mean_f1": 7 / 9 / 2,
            "sq": 8 / 10,
            "rq": 1 / 2,
            "pq": 4 / 10,
            # 8 shared; below, the found pair has 10, the missed 5 + 2 = 7 too many, the others 5
            "aji": 8 / 20,
            "aji_plus": 8 / 20,
            "seg": 4 / 10,
        }
    )


def test_a_field_scored_against_itself_is_perfect(drawn_fields):
    ratios = score(drawn_fields[0].labels, drawn_fields[0].labels).ratios()
    assert set(ratios["pixels"].values()) == set(ratios["objects"].values()) == {1.0}


@quick
@given(label_pairs(), st.sampled_from(EXACT))
def test_panoptic_quality_is_segmentation_times_recognition(pair, threshold):
    counts = score(*pair, float(threshold)).objects
    if counts.tp + counts.fp + counts.fn == 0:
        assert math.isnan(counts.pq)
        return
    assert counts.rq == counts.f1
    assert counts.pq == pytest.approx(counts.sq * counts.rq)
    assert counts.pq == pytest.approx(counts.iou_sum / (counts.tp + (counts.fp + counts.fn) / 2))


# Mean AP


def test_mean_ap_is_over_ten_thresholds_from_one_half_to_95_percent():
    assert AP_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@pytest.mark.parametrize(
    ("percent", "mean_ap"),
    [(49, 0.0), (50, 0.1), (54, 0.1), (55, 0.2), (70, 0.5), (94, 0.9), (95, 1.0), (100, 1.0)],
)
def test_mean_ap_counts_the_thresholds_that_an_object_reaches(percent, mean_ap):
    assert score(*object_of_iou(percent)).mean_ap == pytest.approx(mean_ap)


@quick
@given(label_pairs())
def test_mean_ap_is_the_mean_of_ap_at_each_threshold(pair):
    overlap = find_overlap(*pair)
    aps = [ObjectCounts.of(match(overlap, threshold)).ap for threshold in AP_THRESHOLDS]
    assert score(*pair).mean_ap == pytest.approx(np.mean(aps), nan_ok=True)


@pytest.mark.parametrize(("threshold", "tp"), [(0.5, 1), (0.6, 1), (0.61, 0), (0.9, 0)])
def test_the_threshold_decides_on_matches_but_not_on_mean_ap(threshold, tp):
    scored = score(*object_of_iou(60), threshold)
    assert (scored.threshold, scored.objects.tp, scored.verdicts.matched) == (threshold, tp, tp)
    assert scored.mean_ap == pytest.approx(0.3)
    assert scored.pixels.iou == pytest.approx(0.6)


def test_scores_of_labels_and_of_their_matching_are_the_same(drawn_fields):
    truth = drawn_fields[0].labels
    predicted = distort_all(truth)
    matching = match(find_overlap(truth, predicted), 0.7)
    assert score_matching(matching) == score(truth, predicted, 0.7)


# Fields without nuclei


def test_without_objects_on_either_side_every_ratio_is_undefined():
    ratios = score(EMPTY, EMPTY).ratios()
    assert ratios["pixels"].pop("accuracy") == 1.0
    values = [*ratios["pixels"].values(), *ratios["objects"].values()]
    assert len(values) == len(PIXEL_RATIOS) + len(OBJECT_RATIOS) - 1
    assert all(map(math.isnan, values))


@pytest.mark.parametrize(
    ("truth", "predicted"), [(FULL, EMPTY), (EMPTY, FULL)], ids=["nothing found", "nothing there"]
)
def test_with_objects_on_one_side_alone_every_ratio_is_zero(truth, predicted):
    ratios = score(truth, predicted).ratios()
    assert ratios["pixels"].pop("accuracy") == pytest.approx(8 / 20)
    assert set(ratios["pixels"].values()) == set(ratios["objects"].values()) == {0.0}


def test_objects_of_which_none_is_matched_have_ratios_of_zero():
    ratios = score(*object_of_iou(40)).ratios()["objects"]
    assert ratios.pop("aji") == ratios.pop("aji_plus") == 0.4  # these know no threshold
    assert set(ratios.values()) == {0.0}


def test_empty_fields_are_left_out_of_means_and_counted():
    halves = from_table([[0, 0], [5, 5]])
    summary = summarise([score(EMPTY, EMPTY), score(*halves), score(FULL, FULL)])
    assert summary.empty == 1
    dice = summary.spread["pixels", "dice"]
    assert (dice.mean, dice.low, dice.high, dice.count) == pytest.approx((5 / 6, 2 / 3, 1, 2))
    assert summary.spread["objects", "mean_ap"].mean == pytest.approx((0.1 + 1) / 2)
    assert summary.spread["pixels", "accuracy"].count == 3


@pytest.mark.parametrize(("truth", "predicted"), [(FULL, EMPTY), (EMPTY, FULL)])
def test_a_field_empty_on_one_side_counts_in_means_as_zero(truth, predicted):
    summary = summarise([score(truth, predicted), score(FULL, FULL)])
    assert summary.empty == 0
    f1 = summary.spread["objects", "f1"]
    assert (f1.mean, f1.low, f1.high, f1.count) == (0.5, 0.0, 1.0, 2)


def test_pooled_scores_take_no_notice_of_empty_fields_but_for_their_background():
    full = score(*object_of_iou(80))
    pooled = summarise([score(EMPTY, EMPTY), full, score(EMPTY, EMPTY)]).pooled
    assert pooled.ratios()["objects"] == full.ratios()["objects"]
    assert pooled.pixels.dice == full.pixels.dice
    assert pooled.pixels.tn == 2 * EMPTY.size


def test_where_all_fields_are_empty_means_are_undefined_of_no_field():
    summary = summarise([score(EMPTY, EMPTY)] * 3)
    f1 = summary.spread["objects", "f1"]
    assert summary.empty == 3
    assert f1.count == 0
    assert all(map(math.isnan, (f1.mean, f1.low, f1.high, summary.pooled.objects.f1)))


def test_the_real_fields_without_nuclei_are_empty(bbbc039):
    fields = open_dataset(bbbc039, "validation").fields[-20:]
    truths = [field.read_truth() for field in fields]
    summary = summarise([score(truth, truth) for truth in truths])
    assert summary.empty == sum(not truth.any() for truth in truths)
    assert summary.spread["objects", "pq"].count == 20 - summary.empty
    assert summary.spread["objects", "pq"].mean == summary.pooled.objects.pq == 1.0


# Pooling


def beside(one: Pair, other: Pair) -> Pair:
    """Put two fields side by side, with other numbers for the objects of the second."""
    truth, predicted = (
        np.hstack([a, np.where(b > 0, b + 1000, 0)]) for a, b in zip(one, other, strict=True)
    )
    return truth, predicted


def assert_pooled_is_the_score_of_both(one: Pair, other: Pair, threshold: float) -> None:
    pooled = score(*one, threshold) + score(*other, threshold)
    both = score(*beside(one, other), threshold)
    assert pooled.pixels == both.pixels
    assert pooled.verdicts == both.verdicts
    for a, b in zip(
        (pooled.objects, *pooled.by_threshold), (both.objects, *both.by_threshold), strict=True
    ):
        assert (a.tp, a.fp, a.fn) == (b.tp, b.fp, b.fn)
        assert a.iou_sum == pytest.approx(b.iou_sum)
    assert pooled.mean_ap == pytest.approx(both.mean_ap, nan_ok=True)


@quick
@given(label_pairs(), label_pairs(), st.sampled_from(EXACT))
def test_pooled_is_the_score_of_the_fields_side_by_side(one, other, threshold):
    assert_pooled_is_the_score_of_both(one, other, float(threshold))


def test_pooled_is_the_score_of_real_fields_side_by_side(bbbc039):
    truths = [f.read_truth() for f in open_dataset(bbbc039, "validation").fields[10:12]]
    one, other = ((truth, distort_all(truth) % 1_000_003) for truth in truths)
    assert_pooled_is_the_score_of_both(one, other, 0.5)


def test_pooled_and_mean_of_fields_differ_where_fields_differ_in_size():
    summary = summarise([score(*from_table([[0, 0], [0, 9]])), score(*object_of_iou(50))])
    assert summary.pooled.pixels.recall == pytest.approx(59 / 109)
    assert summary.spread["pixels", "recall"].mean == pytest.approx(0.75)


def test_the_summary_of_one_field_is_its_score():
    only = score(*object_of_iou(80))
    summary = summarise([only])
    assert summary.pooled == only
    for (group, name), spread in summary.spread.items():
        assert spread.mean == spread.low == spread.high == only.ratios()[group][name]


def test_scores_at_different_thresholds_are_not_pooled():
    one, other = score(FULL, FULL, 0.5), score(FULL, FULL, 0.75)
    with pytest.raises(ValueError, match=r"0\.5 and 0\.75"):
        one + other
    with pytest.raises(ValueError, match="same threshold"):
        summarise([one, one, other])


def test_there_is_no_summary_of_no_field():
    with pytest.raises(ValueError, match="no field"):
        summarise([])


@pytest.mark.parametrize("partner", ["the same", "none"])
def test_a_label_a_pixel_is_scored_in_little_memory(partner):
    """As many labels as pixels, of which 9 million shall fit into 3 GB."""
    truth = np.arange(1, 500 * 500 + 1, dtype=np.int32).reshape(500, 500)
    predicted = truth if partner == "the same" else np.where(truth % 2, truth, 0)
    truth = truth if partner == "the same" else np.where(truth % 2, 0, truth)
    tracemalloc.start()
    found = score_with_boundaries(truth, predicted)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.objects.tp == (truth.size if partner == "the same" else 0)
    assert most / truth.size < 3e9 / 9e6

"""Every score against references by other people, on real fields and on drawn discs.

Where a reference is known to be wrong on a case, a test says which, and why.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.metrics import hausdorff_distance

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics import functions
from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts, ObjectCounts
from napari_nucseg.metrics.matching import AP_THRESHOLDS, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import score
from tests.conftest import sampled
from tests.metrics import brute_force
from tests.metrics.brute_force import Ious, Pixels, pairwise, pixels_of
from tests.metrics.distortions import DISTORTIONS, consecutive, draw_discs
from tests.metrics.test_boundaries import border
from tests.metrics.test_matching import quick
from tests.metrics.test_verdicts import assert_verdicts_are_those_of_their_definition

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, *AP_THRESHOLDS, 1.0)
PANOPTICA = Path(__file__).parents[1] / "data" / "panoptica.csv"
"""What panoptica says, which needs an environment of its own; scripts/panoptica_reference.py."""
EXACT = {"rel": 1e-12, "abs": 1e-12, "nan_ok": True}

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def truths(bbbc039: Path) -> Mapping[str, np.ndarray]:
    """The ground truth of many fields by their stems."""
    return {field.stem: field.read_truth() for field in sampled(open_dataset(bbbc039).fields)}


@pytest.fixture(scope="module")
def pairs(truths: Mapping[str, np.ndarray]) -> list[Pair]:
    """Every real field against a distorted copy; the distortions take turns.

    The copies' numbers have gaps and may be huge, which the references do not take: they get
    `consecutive` ones.
    """
    distortions = itertools.cycle(DISTORTIONS.values())
    return [
        (truth, distort(truth))
        for truth, distort in zip(truths.values(), distortions, strict=False)
    ]


def without_empty(pairs: list[Pair]) -> Iterator[Pair]:
    return (pair for pair in pairs if pair[0].any() or pair[1].any())


# stardist


@pytest.mark.slow
def test_real_fields_are_matched_as_by_stardist(pairs):
    from stardist.matching import matching as stardist_matching

    for truth, predicted in without_empty(pairs):
        overlap = find_overlap(truth, predicted)
        expected = stardist_matching(truth, consecutive(predicted), thresh=THRESHOLDS)
        for threshold, reference in zip(THRESHOLDS, expected, strict=True):
            counts = ObjectCounts.of(match(overlap, threshold))
            assert (counts.tp, counts.fp, counts.fn) == (reference.tp, reference.fp, reference.fn)
            ours = counts.precision, counts.recall, counts.f1, counts.ap
            theirs = reference.precision, reference.recall, reference.f1, reference.accuracy
            assert ours == pytest.approx(theirs, **EXACT)


@pytest.mark.slow
def test_the_ious_of_real_matches_are_those_of_the_pairs_that_stardist_matched(pairs):
    # stardist keeps IoUs as 32-bit floats, wrong from the eighth digit on; its own overlap
    # table is of whole numbers, from which the IoUs of its pairs follow exactly.
    from stardist.matching import label_overlap
    from stardist.matching import matching as stardist_matching

    for truth, predicted in without_empty(pairs):
        numbered = consecutive(predicted)
        reference = stardist_matching(truth, numbered, thresh=0.5, report_matches=True)
        table = label_overlap(truth, numbered).astype(np.int64)
        unions = table.sum(0)[None] + table.sum(1)[:, None] - table
        matched = np.array([reference.matched_pairs[i] for i in reference.matched_tps], int)
        rows, columns = matched.reshape(-1, 2).T
        total = (table[rows, columns] / unions[rows, columns]).sum()
        counts = score(truth, predicted).at_half
        assert counts.iou_sum == pytest.approx(total, **EXACT)
        tp, fp, fn = reference.tp, reference.fp, reference.fn
        assert counts.pq == pytest.approx(total / (tp + fp / 2 + fn / 2), **EXACT)
        assert counts.sq == pytest.approx(reference.mean_matched_score, abs=1e-6)


@pytest.mark.parametrize("by_image", [False, True], ids=["pooled", "mean of fields"])
def test_all_fields_together_score_as_by_stardist(pairs, by_image):
    from stardist.matching import matching_dataset

    thresholds = (0.5, 0.75, 0.9)
    truths, predictions = zip(*((t, consecutive(p)) for t, p in pairs), strict=True)
    expected = matching_dataset(
        truths, predictions, thresh=thresholds, by_image=by_image, show_progress=False
    )
    for threshold, reference in zip(thresholds, expected, strict=True):
        counts = [ObjectCounts.of(match(find_overlap(*pair), threshold)) for pair in pairs]
        pooled = sum(counts[1:], start=counts[0])
        assert (pooled.tp, pooled.fp, pooled.fn) == (reference.tp, reference.fp, reference.fn)
        for name, theirs in (
            ("precision", reference.precision),
            ("recall", reference.recall),
            ("f1", reference.f1),
            ("ap", reference.accuracy),
        ):
            # In means stardist counts a field without objects on either side as 0, where
            # nothing is wrong; here such a field is left out.
            values = [getattr(field, name) for field in counts]
            mean = sum(value for value in values if not math.isnan(value)) / len(values)
            ours = mean if by_image else getattr(pooled, name)
            assert ours == pytest.approx(theirs, **EXACT)


def test_stardist_counts_a_field_without_objects_as_0():
    from stardist.matching import matching as stardist_matching

    empty = np.zeros((4, 4), np.int32)
    assert stardist_matching(empty, empty).f1 == 0
    assert math.isnan(score(empty, empty).objects.f1)


# Cellpose


@pytest.mark.slow
def test_real_fields_have_the_average_precision_of_cellpose(pairs):
    from cellpose.metrics import average_precision

    for truth, predicted in without_empty(pairs):
        counts = score(truth, predicted).by_threshold
        numbered = consecutive(predicted)
        ap, tp, fp, fn = average_precision(truth, numbered, list(AP_THRESHOLDS))
        assert [c.tp for c in counts] == tp.tolist()
        assert [c.fp for c in counts] == fp.tolist()
        assert [c.fn for c in counts] == fn.tolist()
        # Its AP is a 32-bit float; the quotient of its counts is the same to the last digit.
        assert [c.ap for c in counts] == (tp / (tp + fp + fn).astype(np.float64)).tolist()
        assert [c.ap for c in counts] == pytest.approx(ap, abs=1e-6)


def test_cellpose_miscounts_labels_without_background():
    # It takes the smallest label for background, and so misses one object on either side.
    from cellpose.metrics import average_precision

    truth, predicted = np.array([[1, 1, 2, 2]]), np.array([[1, 2, 1, 2]])
    with np.errstate(invalid="ignore"):
        fn = average_precision(truth, predicted, [0.5])[3]
    assert fn[0] == 1
    assert score(truth, predicted).objects.fn == 2


def test_the_aji_of_cellpose_is_another_score():
    # It keeps the shared pixels of pairs that are no match, and divides by all foreground
    # instead of by the pairs' unions.
    from cellpose.metrics import aggregated_jaccard_index

    truth, predicted = np.array([[1, 1, 1, 1, 0, 0]]), np.array([[1, 1, 0, 2, 2, 2]])
    counts = score(truth, predicted).areas
    assert aggregated_jaccard_index([truth], [predicted])[0] == pytest.approx(2 / 6)
    assert counts.aji == counts.aji_plus == pytest.approx(2 / (4 + 3))


# panoptica


def panoptica_rows() -> list[dict[str, str]]:
    with PANOPTICA.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_as_by_panoptica(truth: np.ndarray, row: Mapping[str, str]) -> None:
    counts = score(truth, DISTORTIONS[row["distortion"]](truth)).at_half
    assert [counts.tp, counts.fp, counts.fn] == [int(row[name]) for name in ("tp", "fp", "fn")]
    # Without a match panoptica has no SQ, and then no PQ; PQ is 0 by its definition.
    for name in ("pq", "sq", "rq") if counts.tp else ("rq",):
        assert getattr(counts, name) == pytest.approx(float(row[name]), **EXACT)


def test_drawn_discs_have_the_panoptic_quality_of_panoptica():
    rows = [row for row in panoptica_rows() if row["truth"].startswith("discs ")]
    assert len(rows) == 12 * len(DISTORTIONS)
    for row in rows:
        assert_as_by_panoptica(draw_discs(int(row["truth"].split()[1])), row)


@pytest.mark.slow
def test_real_fields_have_the_panoptic_quality_of_panoptica(truths):
    rows = [row for row in panoptica_rows() if row["truth"] in truths]
    assert len(rows) == len(truths)
    for row in rows:
        assert_as_by_panoptica(truths[row["truth"]], row)


# scikit-image


@pytest.mark.slow
def test_outlines_on_real_fields_lie_as_far_apart_as_by_scikit_image(pairs):
    for truth, predicted in pairs:
        matches = functions.matched_pairs(truth, predicted)
        distances = functions.boundary_distances(truth, predicted)["hausdorff"]
        assert len(distances) == len(matches)
        for row in range(0, len(matches), 20):
            true, found = truth == matches[row][0], predicted == matches[row][1]
            box = ndimage.find_objects((true | found).astype(np.uint8))[0]
            outlines = [border(np.pad(mask, 1))[1:-1, 1:-1] for mask in (true[box], found[box])]
            assert distances[row] == pytest.approx(hausdorff_distance(*outlines), **EXACT)


# Stacks


@quick
@given(st.integers(0, 2**32 - 1), st.sampled_from(["uint8", "int16", "uint32", "int64"]))
def test_stacks_score_as_by_stardist_and_as_sets_of_pixels_do(seed, dtype):
    from stardist.matching import matching as stardist_matching

    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 4, (2, 3, 3)), np.ones((2, 2, 3), int)).astype(dtype)
    predicted = np.where(rng.random(truth.shape) < 0.3, np.roll(truth, 1, 2), truth)
    thresholds = THRESHOLDS if truth.any() else ()  # without objects stardist says 0
    for threshold, reference in zip(
        thresholds,
        stardist_matching(consecutive(truth), consecutive(predicted), thresh=thresholds),
        strict=True,
    ):
        counts = ObjectCounts.of(match(find_overlap(truth, predicted), threshold))
        assert (counts.tp, counts.fp, counts.fn) == (reference.tp, reference.fp, reference.fn)
    true, found = pixels_of(truth), pixels_of(predicted)
    ious = pairwise(true, found)
    exact = brute_force.aji(true, found, ious)
    ours = AreaCounts.of(find_overlap(truth, predicted)).aji
    assert ours == pytest.approx(math.nan if exact is None else float(exact), **EXACT)


# Brute force


def best_sum_of_iou(true: Pixels, found: Pixels, ious: Ious) -> frozenset[tuple[int, int]]:
    """One-to-one pairs as HoVer-Net chooses them: an assignment on the table of all IoUs."""
    rows, columns = list(true), list(found)
    table = np.zeros((len(rows), len(columns)))
    for (a, b), iou in ious.items():
        table[rows.index(a), columns.index(b)] = iou
    one, other = linear_sum_assignment(table, maximize=True)
    chosen = ((rows[i], columns[j]) for i, j in zip(one, other, strict=True))
    return frozenset(pair for pair in chosen if pair in ious)


@pytest.mark.slow
def test_real_fields_score_as_sets_of_pixels_do(pairs):
    for truth, predicted in pairs:
        true, found = pixels_of(truth), pixels_of(predicted)
        ious = pairwise(true, found)
        overlap = find_overlap(truth, predicted)
        counts = AreaCounts.of(overlap)
        chosen = best_sum_of_iou(true, found, ious)
        for ours, exact in (
            (counts.aji, brute_force.aji(true, found, ious)),
            (counts.seg, brute_force.seg(true, found, ious)),
            (counts.aji_plus, brute_force.jaccard_of(chosen, true, found)),
        ):
            assert ours == pytest.approx(math.nan if exact is None else float(exact), **EXACT)
        expected = brute_force.caicedo(true, found, ious)
        assert {name: getattr(CaicedoCounts.of(overlap), name) for name in expected} == expected
        assert_verdicts_are_those_of_their_definition(match(overlap, 0.7), true, found, ious)

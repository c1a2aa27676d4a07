"""Matching against stardist, Cellpose, and a brute-force search over sets of pixels.

stardist compares IoU as 32-bit floats. The pairs compared with it have objects of fewer than
100,000 pixels and thresholds that are multiples of 0.05, where no IoU lies close enough to a
threshold for rounding to matter. Ties and other fractions go to the brute-force search instead,
which compares exact fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.counts import ObjectCounts
from napari_nucseg.metrics.matching import AP_THRESHOLDS, Matching, match
from napari_nucseg.metrics.overlap import Overlap, find_overlap
from tests.metrics.brute_force import exact_ious, pixels_of
from tests.metrics.distortions import DISTORTIONS, consecutive, distort_all, shift

Pair = tuple[np.ndarray, np.ndarray]

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, *AP_THRESHOLDS, 1.0)
EXACT = [Fraction(1, 20), Fraction(1, 5), Fraction(1, 4), Fraction(1, 3), Fraction(2, 5)]
EXACT += [Fraction(1, 2), Fraction(11, 20), Fraction(2, 3), Fraction(7, 10), Fraction(1)]

quick = settings(deadline=None, max_examples=300)


@pytest.fixture(scope="module", params=["drawn", "real"])
def truths(request: pytest.FixtureRequest) -> list[np.ndarray]:
    """Ground truths with nuclei: the drawn ones, and a handful of real ones."""
    if request.param == "drawn":
        return [field.labels for field in request.getfixturevalue("drawn_fields")[:2]]
    dataset = open_dataset(request.getfixturevalue("bbbc039"), "validation")
    return [field.read_truth() for field in dataset.fields[4:40:9]]


# Pairs of label images drawn by hypothesis


@st.composite
def label_pairs(draw: st.DrawFn, most: int = 4) -> Pair:
    """Two label images of few objects that share any numbers of pixels."""
    shape = (draw(st.integers(1, most + 1)), draw(st.integers(1, most + 1)))
    pixels = st.one_of(st.integers(0, 7), st.sampled_from([0, 0, 0, 1, 2, 4, 8]))
    table = draw(arrays(np.int64, shape, elements=draw(st.sampled_from([pixels, st.just(1)]))))
    return from_table(table)


def from_table(table: Sequence[Sequence[int]] | np.ndarray) -> Pair:
    """Make the label images whose objects share as many pixels as the table says.

    Row and column 0 are background.
    """
    counts = np.asarray(table)
    rows, columns = np.indices(counts.shape)
    sides = (np.repeat(side.ravel(), counts.ravel())[None] for side in (rows, columns))
    truth, predicted = sides
    return truth, predicted


# Brute force over sets of pixels


def best_matching(
    ious: Mapping[tuple[int, int], Fraction], threshold: Fraction
) -> tuple[int, Fraction]:
    """Number and sum of IoU of the best of all one-to-one matchings."""
    hits = [(pair, iou) for pair, iou in ious.items() if iou >= threshold]

    def best(start: int, taken: frozenset[tuple[str, int]]) -> tuple[int, Fraction]:
        if start == len(hits):
            return 0, Fraction(0)
        (a, b), iou = hits[start]
        without = best(start + 1, taken)
        if ("truth", a) in taken or ("predicted", b) in taken:
            return without
        number, total = best(start + 1, taken | {("truth", a), ("predicted", b)})
        return max(without, (number + 1, total + iou))

    return best(0, frozenset())


def named_pairs(matching: Matching) -> list[tuple[int, int]]:
    """Matched pairs by the layers' own numbers."""
    overlap = matching.overlap
    return [
        (int(overlap.truth_ids[a]), int(overlap.predicted_ids[b]))
        for a, b in zip(matching.truth_index, matching.predicted_index, strict=True)
    ]


def named_shares(overlap: Overlap) -> dict[tuple[int, int], int]:
    """Pixels that each pair shares, by the layers' own numbers."""
    pairs = zip(overlap.truth_index, overlap.predicted_index, overlap.shared, strict=True)
    return {
        (int(overlap.truth_ids[a]), int(overlap.predicted_ids[b])): int(shared)
        for a, b, shared in pairs
    }


# Overlap


def assert_overlap_is_exact(truth: np.ndarray, predicted: np.ndarray) -> None:
    overlap = find_overlap(truth, predicted)
    pairs = Counter(zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    sides = (
        (truth, overlap.truth_ids, overlap.truth_areas),
        (predicted, overlap.predicted_ids, overlap.predicted_areas),
    )
    for labels, numbers, areas in sides:
        expected = {i: n for i, n in sorted(Counter(labels.ravel().tolist()).items()) if i}
        assert dict(zip(numbers.tolist(), areas.tolist(), strict=True)) == expected
        assert numbers.tolist() == list(expected)
    assert named_shares(overlap) == {pair: n for pair, n in pairs.items() if all(pair)}
    assert overlap.pixels == truth.size


@quick
@given(label_pairs())
def test_the_overlap_counts_every_pixel_once(pair):
    assert_overlap_is_exact(*pair)


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_the_overlap_of_distorted_labels_counts_every_pixel_once(truths, distort):
    for truth in truths:
        assert_overlap_is_exact(truth, distort(truth))


def test_the_overlap_of_thousands_of_objects_counts_every_pixel_once():
    objects = np.arange(2500).reshape(50, 50).repeat(3, 0).repeat(3, 1)
    assert_overlap_is_exact(objects, shift(objects))


@quick
@given(label_pairs())
def test_swapping_the_sides_swaps_the_overlap(pair):
    truth, predicted = pair
    swapped = named_shares(find_overlap(predicted, truth))
    assert named_shares(find_overlap(truth, predicted)) == {
        (a, b): shared for (b, a), shared in swapped.items()
    }


@quick
@given(label_pairs())
def test_ious_are_intersections_over_unions(pair):
    overlap = find_overlap(*pair)
    expected = exact_ious(*pair)
    pairs = list(named_shares(overlap))
    assert overlap.ious.tolist() == [float(expected[pair]) for pair in pairs]
    sizes = [pixels_of(labels) for labels in pair]
    assert overlap.unions.tolist() == [len(sizes[0][a] | sizes[1][b]) for a, b in pairs]


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
)
def test_labels_of_every_integer_type_are_matched(dtype):
    truth, predicted = from_table([[2, 0, 1], [0, 3, 1], [1, 0, 4]])
    matching = match(find_overlap(truth.astype(dtype), predicted.astype(dtype)))
    assert named_pairs(matching) == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("number", "dtype"), [(2**31 - 1, np.int32), (2**32 - 1, np.uint32), (2**62, np.int64)]
)
@pytest.mark.parametrize("background", [0, 1], ids=["background", "no background"])
def test_the_largest_numbers_are_kept(number, dtype, background):
    labels = np.array([[1, number, number], [background, background, 7]]).astype(dtype)
    assert find_overlap(labels, labels).truth_ids.tolist() == [1, 7, number]
    assert named_pairs(match(find_overlap(labels, labels))) == [(1, 1), (7, 7), (number, number)]


def memory_layouts(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the same labels in memory of every kind."""
    yield np.asfortranarray(labels)
    yield np.repeat(np.repeat(labels, 2, 0), 3, 1)[::2, ::3]
    yield labels[::-1, ::-1].copy()[::-1, ::-1]
    frozen = labels.copy()
    frozen.setflags(write=False)
    yield frozen


def test_the_layout_in_memory_makes_no_difference(drawn_fields):
    truth = drawn_fields[0].labels
    predicted = distort_all(truth)
    expected = named_shares(find_overlap(truth, predicted))
    layouts = zip(memory_layouts(truth), memory_layouts(predicted), strict=True)
    assert [named_shares(find_overlap(*pair)) == expected for pair in layouts] == [True] * 4


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (3, 1, 2), (1, 1, 1, 6)])
def test_labels_of_any_number_of_axes_are_matched(shape):
    truth = np.array([0, 1, 1, 2, 2, 2]).reshape(shape)
    predicted = np.array([5, 5, 5, 0, 4, 4]).reshape(shape)
    assert named_shares(find_overlap(truth, predicted)) == {(1, 5): 2, (2, 4): 2}
    assert named_pairs(match(find_overlap(truth, predicted))) == [(1, 5), (2, 4)]


@pytest.mark.parametrize(
    ("truth", "predicted", "n", "m"),
    [([[0, 0]], [[0, 0]], 0, 0), ([[1, 2]], [[0, 0]], 2, 0), ([[0, 0]], [[3, 3]], 0, 1)],
    ids=["both", "prediction", "truth"],
)
def test_a_side_without_objects_leaves_the_other_unmatched(truth, predicted, n, m):
    matching = match(find_overlap(np.array(truth), np.array(predicted)))
    assert (matching.tp, matching.fn, matching.fp) == (0, n, m)


def test_an_image_without_pixels_has_no_objects():
    nothing = np.zeros((0, 5), dtype=int)
    matching = match(find_overlap(nothing, nothing))
    assert (matching.tp, matching.fp, matching.fn, matching.overlap.pixels) == (0, 0, 0, 0)


@pytest.mark.parametrize("number", [1, 9])
def test_a_single_pixel_is_matched_with_itself(number):
    one = np.array([[number]])
    assert match(find_overlap(one, one), 1.0).tp == 1


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\) px and the prediction \(5, 4\)"):
        find_overlap(np.zeros((4, 5), dtype=int), np.zeros((5, 4), dtype=int))


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((2, 2), bool), np.full((2, 2), -1)])
def test_labels_that_are_no_whole_numbers_from_zero_are_refused(bad):
    good = np.zeros((2, 2), dtype=int)
    with pytest.raises(ValueError, match="the ground truth holds"):
        find_overlap(bad, good)
    with pytest.raises(ValueError, match="the prediction holds"):
        find_overlap(good, bad)


# Matching against the references


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_objects_are_matched_as_stardist_matches_them(truths, distort):
    from stardist.matching import matching as stardist_matching

    for truth in truths:
        predicted = distort(truth)
        overlap = find_overlap(truth, predicted)
        expected = stardist_matching(truth, consecutive(predicted), thresh=THRESHOLDS)
        for threshold, reference in zip(THRESHOLDS, expected, strict=True):
            matching = match(overlap, threshold)
            counts = ObjectCounts.of(matching)
            assert (counts.tp, counts.fp, counts.fn) == (reference.tp, reference.fp, reference.fn)
            assert counts.f1 == pytest.approx(reference.f1)
            assert counts.ap == pytest.approx(reference.accuracy)
            if threshold >= 0.5:
                assert counts.sq == pytest.approx(reference.mean_matched_score, abs=1e-6)
                assert counts.pq == pytest.approx(reference.panoptic_quality, abs=1e-6)


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_objects_are_matched_as_cellpose_matches_them(truths, distort):
    from cellpose.metrics import average_precision

    for truth in truths:
        predicted = distort(truth)
        overlap = find_overlap(truth, predicted)
        thresholds = list(AP_THRESHOLDS)
        ap, tp, fp, fn = average_precision(truth, consecutive(predicted), thresholds)
        counts = [ObjectCounts.of(match(overlap, threshold)) for threshold in thresholds]
        assert [c.tp for c in counts] == tp.tolist()
        assert [c.fp for c in counts] == fp.tolist()
        assert [c.fn for c in counts] == fn.tolist()
        assert [c.ap for c in counts] == pytest.approx(ap, abs=1e-6)


@quick
@given(label_pairs(), st.sampled_from(THRESHOLDS))
def test_few_objects_are_matched_as_stardist_matches_them(pair, threshold):
    from stardist.matching import matching as stardist_matching

    assume(any(labels.any() for labels in pair))
    truth, predicted = (consecutive(labels) for labels in pair)
    reference = stardist_matching(truth, predicted, thresh=threshold)
    counts = ObjectCounts.of(match(find_overlap(truth, predicted), threshold))
    assert (counts.tp, counts.fp, counts.fn) == (reference.tp, reference.fp, reference.fn)
    # Below one half stardist lets pairs that are no match decide between those that are.
    if threshold >= 0.5:
        assert counts.sq == pytest.approx(reference.mean_matched_score, abs=1e-6)
    else:
        assert counts.sq >= reference.mean_matched_score - 1e-6


# Matching against brute force


@quick
@given(label_pairs(), st.sampled_from(EXACT))
@example(from_table([[0, 0, 0], [0, 2, 2]]), Fraction(1, 2))
@example(from_table([[0, 0, 0], [0, 4, 3], [0, 3, 0]]), Fraction(1, 4))
@example(from_table([[0, 0, 0], [0, 8, 1], [0, 1, 0]]), Fraction(1, 20))
def test_no_matching_has_more_pairs_nor_as_many_of_larger_iou(pair, threshold):
    ious = exact_ious(*pair)
    matching = match(find_overlap(*pair), float(threshold))
    pairs = named_pairs(matching)
    assert all(ious[pair] >= threshold for pair in pairs)
    assert (len(pairs), sum(ious[pair] for pair in pairs)) == best_matching(ious, threshold)
    assert matching.ious.tolist() == [float(ious[pair]) for pair in pairs]


@quick
@given(label_pairs(), st.sampled_from(EXACT))
def test_every_object_has_one_partner_at_most(pair, threshold):
    matching = match(find_overlap(*pair), float(threshold))
    assert len(set(matching.truth_index.tolist())) == matching.tp
    assert len(set(matching.predicted_index.tolist())) == matching.tp
    assert matching.tp + matching.fn == len(pixels_of(pair[0]))
    assert matching.tp + matching.fp == len(pixels_of(pair[1]))


@quick
@given(label_pairs(), st.sampled_from(EXACT), st.permutations(range(1, 5)))
def test_other_numbers_change_nothing(pair, threshold, order):
    numbers = np.array([0, *order]) * 123_456_789
    before = match(find_overlap(*pair), float(threshold))
    after = match(find_overlap(numbers[pair[0]], numbers[pair[1]]), float(threshold))
    assert (after.tp, after.fp, after.fn) == (before.tp, before.fp, before.fn)
    assert after.ious.sum() == pytest.approx(before.ious.sum())
    if threshold > Fraction(1, 2):
        renamed = {(int(numbers[a]), int(numbers[b])) for a, b in named_pairs(before)}
        assert set(named_pairs(after)) == renamed


@quick
@given(label_pairs(), st.sampled_from(EXACT))
def test_swapping_the_sides_swaps_the_matching(pair, threshold):
    truth, predicted = pair
    there = match(find_overlap(truth, predicted), float(threshold))
    back = match(find_overlap(predicted, truth), float(threshold))
    assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)
    assert there.ious.sum() == pytest.approx(back.ious.sum())
    if threshold > Fraction(1, 2):
        assert named_pairs(there) == sorted((a, b) for b, a in named_pairs(back))


@pytest.mark.parametrize(
    ("shared", "union", "threshold"),
    [(1, 2, 0.5), (11, 20, 0.55), (3, 5, 0.6), (7, 10, 0.7), (19, 20, 0.95), (1, 3, 1 / 3)],
)
def test_an_iou_of_exactly_the_threshold_is_a_match(shared, union, threshold):
    truth, predicted = from_table([[0, 0], [union - shared, shared]])
    assert match(find_overlap(truth, predicted), threshold).tp == 1
    assert match(find_overlap(truth, predicted), threshold + 1e-4).tp == 0


def test_of_two_halves_one_is_matched():
    matching = match(find_overlap(*from_table([[0, 0, 0], [0, 5, 5]])))
    assert (matching.tp, matching.fp, matching.fn) == (1, 1, 0)


@pytest.mark.parametrize(
    ("table", "pairs"),
    [
        ([[0, 0, 0], [0, 8, 1], [0, 1, 0]], [(1, 2), (2, 1)]),
        ([[0] * 4, [0, 1, 8, 0], [0, 0, 1, 8], [0, 0, 0, 1]], [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_more_pairs_outweigh_larger_ious(table, pairs):
    # The pairs that share 8 fit best, but leave one object on either side alone.
    assert named_pairs(match(find_overlap(*from_table(table)), 0.05)) == pairs


def test_of_as_many_pairs_those_of_the_larger_iou_are_matched():
    truth, predicted = from_table([[0, 0, 0], [0, 3, 6], [0, 6, 3]])
    assert named_pairs(match(find_overlap(truth, predicted), 0.1)) == [(1, 2), (2, 1)]


def test_a_pair_that_is_no_match_decides_nothing():
    # stardist pairs 1 with 2, since 1 is then left over for 2, although 1/5 is below 0.3.
    from stardist.matching import matching as stardist_matching

    truth, predicted = from_table([[0, 0, 0], [0, 10, 8], [6, 4, 0]])
    matching = match(find_overlap(truth, predicted), 0.3)
    assert named_pairs(matching) == [(1, 1)]
    assert matching.ious.tolist() == [10 / 22]
    reference = stardist_matching(truth, predicted, thresh=0.3)
    assert reference.mean_matched_score == pytest.approx(8 / 18)


def test_a_chain_of_competitors_is_matched_from_end_to_end():
    length = 200
    truth = np.repeat(np.arange(1, length + 1), 2)[None]
    predicted = np.roll(truth, 1)
    predicted[0, 0] = 0
    matching = match(find_overlap(truth, predicted), 0.3)
    assert named_pairs(matching) == [(i, i) for i in range(1, length + 1)]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, 50, float("nan")])
def test_a_threshold_that_is_no_iou_is_refused(threshold):
    one = np.array([[1]])
    with pytest.raises(ValueError, match=f"IoU threshold is {threshold}"):
        match(find_overlap(one, one), threshold)

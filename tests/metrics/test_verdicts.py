from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.analysis.drawing import draw_agreement, draw_verdicts
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.counts import PixelCounts
from napari_nucseg.metrics.matching import Matching, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import (
    Agreement,
    ObjectVerdicts,
    Verdict,
    VerdictCounts,
    Verdicts,
    classify,
)
from tests.metrics.brute_force import Ious, Pixels, pairwise, pixels_of, shared
from tests.metrics.distortions import DISTORTIONS
from tests.metrics.test_matching import EXACT, Pair, label_pairs, named_pairs, quick

MATCHED, LOOSE, MISSED, MERGED, SPLIT, OFF, TANGLED, SPURIOUS = Verdict

Named = Mapping[int, Verdict]
Joined = Mapping[int, Sequence[int]]
"""Objects of the other side that share more than half of the smaller of the two."""


def row(picture: str) -> np.ndarray:
    """Labels of one row of pixels: digits are objects, dots background."""
    return np.array([[0 if pixel == "." else int(pixel) for pixel in picture]])


def judge_labels(truth: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Verdicts:
    return classify(match(find_overlap(truth, predicted), threshold))


def judge_rows(truth: str, predicted: str, threshold: float = 0.5) -> Verdicts:
    return judge_labels(row(truth), row(predicted), threshold)


def named(side: ObjectVerdicts) -> Named:
    return dict(zip(side.ids.tolist(), map(Verdict, side.codes), strict=True))


# Each verdict in a picture


@pytest.mark.parametrize(
    ("truth", "predicted", "true_verdicts", "predicted_verdicts"),
    [
        pytest.param("1111", "7777", {1: MATCHED}, {7: MATCHED}, id="the same"),
        pytest.param("1111111111", ".7777777..", {1: MATCHED}, {7: MATCHED}, id="70 percent"),
        pytest.param("1111111111", "..777777..", {1: LOOSE}, {7: LOOSE}, id="60 percent"),
        pytest.param("1111111111", "..77777...", {1: LOOSE}, {7: LOOSE}, id="one half"),
        pytest.param("1111111111", "...7777...", {1: OFF}, {7: OFF}, id="too small"),
        pytest.param("...1111...", "7777777777", {1: OFF}, {7: OFF}, id="too large"),
        pytest.param("11111.....", "..77777...", {1: OFF}, {7: OFF}, id="beside"),
        pytest.param(".111..", "......", {1: MISSED}, {}, id="nothing predicted"),
        pytest.param("......", "..777.", {}, {7: SPURIOUS}, id="nothing there"),
        pytest.param("1111....", "...77777", {1: MISSED}, {7: SPURIOUS}, id="hardly met"),
        pytest.param("1111..", "..7777", {1: MISSED}, {7: SPURIOUS}, id="half met"),
        pytest.param(
            "112233", "777777", {1: MERGED, 2: MERGED, 3: MERGED}, {7: MERGED}, id="three in one"
        ),
        pytest.param(
            "1111111122", "7777777777", {1: MATCHED, 2: MERGED}, {7: MATCHED}, id="swallowed"
        ),
        pytest.param("111111", "778899", {1: SPLIT}, {7: SPLIT, 8: SPLIT, 9: SPLIT}, id="three of"),
        pytest.param(
            "1111111111", "7777777788", {1: MATCHED}, {7: MATCHED, 8: SPLIT}, id="a piece off"
        ),
        pytest.param(
            "111111222222", "8877777777..", {1: TANGLED, 2: TANGLED}, {7: TANGLED, 8: TANGLED},
            id="a tangle",
        ),
        pytest.param(
            "111..222..", "777.....99", {1: MATCHED, 2: MISSED}, {7: MATCHED, 9: SPURIOUS},
            id="side by side",
        ),
    ],
)  # fmt: skip
def test_an_error_is_called_what_it_is(truth, predicted, true_verdicts, predicted_verdicts):
    verdicts = judge_rows(truth, predicted)
    assert named(verdicts.truth) == true_verdicts
    assert named(verdicts.predicted) == predicted_verdicts


def test_without_objects_there_are_no_verdicts():
    verdicts = judge_rows("....", "....")
    assert named(verdicts.truth) == named(verdicts.predicted) == {}
    nothing = match(find_overlap(row("...."), row("....")))
    assert sum(vars(VerdictCounts.of(nothing)).values()) == 0


@pytest.mark.parametrize(("threshold", "verdict"), [(0.3, LOOSE), (0.4, LOOSE), (0.41, OFF)])
def test_the_verdict_follows_the_threshold(threshold, verdict):
    assert named(judge_rows("1111111111", "...7777...", threshold).truth) == {1: verdict}


def test_every_verdict_has_its_word_for_the_screen():
    words = " ".join(verdict.word for verdict in Verdict)
    assert words == "matched loose missed merged split off tangled spurious"
    assert [verdict for verdict in Verdict if verdict.is_match] == [MATCHED, LOOSE]


@pytest.mark.parametrize(
    ("truth", "predicted", "true_partners", "predicted_partners"),
    [
        pytest.param("1111", "7777", ((7,),), ((1,),), id="matched"),
        pytest.param("1111111111", "...7777...", ((7,),), ((1,),), id="off"),
        pytest.param("112233", "777777", ((7,), (7,), (7,)), ((1, 2, 3),), id="merged"),
        pytest.param("111111", "778899", ((7, 8, 9),), ((1,), (1,), (1,)), id="split"),
        pytest.param("1111222222", "7777777777", ((7,), (7,)), ((2, 1),), id="the match first"),
        pytest.param("1111..", "..7777", ((),), ((),), id="hardly met"),
        pytest.param("1..", "..7", ((),), ((),), id="apart"),
    ],
)
def test_a_verdict_names_its_partners(truth, predicted, true_partners, predicted_partners):
    verdicts = judge_rows(truth, predicted)
    assert verdicts.truth.partners == true_partners
    assert verdicts.predicted.partners == predicted_partners


def test_a_verdict_carries_the_iou_that_explains_it():
    verdicts = judge_rows("1111111111.22..3", "77777777.88999..")
    assert verdicts.truth.ious.tolist() == [8 / 10, 2 / 3, 0]
    assert verdicts.predicted.ious.tolist() == [8 / 10, 1 / 11, 2 / 3]


def test_of_a_matched_object_the_iou_is_that_of_its_match():
    # Object 1 fits 1 best (6 of 14), but is matched with 2 (4 of 10) for the sake of object 2.
    verdicts = judge_rows("11111111112222", "11111122221111", threshold=0.25)
    assert verdicts.truth.partners[0][0] == 2
    assert verdicts.truth.ious.tolist() == [4 / 10, 4 / 10]


def test_a_match_beside_an_error_of_another_object_says_so():
    assert judge_rows("1111111122", "7777777777").truth.beside.tolist() == [True, False]
    assert judge_rows("1111111122", "7777777777").predicted.beside.tolist() == [True]
    assert judge_rows("1111111111", "7777777788").truth.beside.tolist() == [True]
    assert judge_rows("1111111111", "7777777788").predicted.beside.tolist() == [True, False]
    assert judge_rows("1111122222", "7777788888").truth.beside.tolist() == [False, False]


def test_the_layers_own_numbers_are_named():
    truth = row("1122.3") * 700_000_001
    predicted = row("999988") * 100_000_007
    verdicts = judge_labels(truth, predicted, 0.6)
    assert verdicts.truth.ids.tolist() == [700_000_001, 1_400_000_002, 2_100_000_003]
    assert verdicts.truth.partners == ((900_000_063,), (900_000_063,), (800_000_056,))
    assert verdicts.predicted.partners == ((2_100_000_003,), (700_000_001, 1_400_000_002))


# Brute force over sets of pixels


def component_of(start: int, mine: Joined, others: Joined) -> tuple[int, int]:
    """How many objects of either side hang together with one."""
    sides: tuple[set[int], set[int]] = ({start}, set())
    while True:
        reached = (
            sides[0].union(*(others[b] for b in sides[1])),
            sides[1].union(*(mine[a] for a in sides[0])),
        )
        if reached == sides:
            return len(sides[0]), len(sides[1])
        sides = reached


def expected_side(
    joined: tuple[Joined, Joined],
    ious: Mapping[int, Mapping[int, Fraction]],
    partners: Mapping[int, int],
    alone: Verdict,
    merged: Verdict,
) -> list[tuple[int, Verdict, float, tuple[int, ...], bool]]:
    """Verdicts of one side by their definition; `merged` is what several of mine in one are."""
    cut = SPLIT if merged is MERGED else MERGED
    rows = []
    for number, edges in joined[0].items():
        of_mine, of_others = component_of(number, *joined)
        if number in partners:
            partner = partners[number]
            verdict = LOOSE if 10 * ious[number][partner] < 7 else MATCHED
            edges = [partner, *(other for other in edges if other != partner)]
            iou, beside = ious[number][partner], of_mine + of_others > 2
        else:
            kinds = {(of_mine, 1): merged, (1, of_others): cut, (1, 0): alone, (1, 1): OFF}
            verdict = kinds.get((of_mine, of_others), TANGLED)
            iou, beside = max(ious[number].values(), default=0), False
        rows.append((number, verdict, float(iou), tuple(edges), beside))
    return rows


def rows_of(side: ObjectVerdicts) -> list[tuple[int, Verdict, float, tuple[int, ...], bool]]:
    columns = (side.ids.tolist(), map(Verdict, side.codes), side.ious.tolist(), side.partners)
    return list(zip(*columns, side.beside.tolist(), strict=True))


@quick
@given(label_pairs(), st.sampled_from(EXACT))
def test_verdicts_are_those_of_their_definition(pair, threshold):
    true, found = map(pixels_of, pair)
    matching = match(find_overlap(*pair), float(threshold))
    assert_verdicts_are_those_of_their_definition(matching, true, found, pairwise(true, found))


def assert_verdicts_are_those_of_their_definition(
    matching: Matching, true: Pixels, found: Pixels, exact: Ious
) -> None:
    ious: dict[int, dict[int, Fraction]] = {a: {} for a in true}
    suoi: dict[int, dict[int, Fraction]] = {b: {} for b in found}
    for (a, b), iou in exact.items():
        ious[a][b] = suoi[b][a] = iou

    def is_edge(a: int, b: int) -> bool:
        return 2 * shared(true[a], found[b]) > min(len(true[a]), len(found[b]))

    joined = (
        {a: [b for b in sorted(ious[a]) if is_edge(a, b)] for a in true},
        {b: [a for a in sorted(suoi[b]) if is_edge(a, b)] for b in found},
    )
    verdicts = classify(matching)
    there = dict(named_pairs(matching))
    back = {b: a for a, b in there.items()}
    assert rows_of(verdicts.truth) == expected_side(joined, ious, there, MISSED, MERGED)
    assert rows_of(verdicts.predicted) == expected_side(joined[::-1], suoi, back, SPURIOUS, SPLIT)


@quick
@given(label_pairs(), st.sampled_from([0.55, 0.7, 0.95]))
def test_swapping_the_sides_swaps_the_errors(pair, threshold):
    mirror = {MISSED: SPURIOUS, SPURIOUS: MISSED, MERGED: SPLIT, SPLIT: MERGED}
    there = judge_labels(*pair, threshold)
    back = judge_labels(*reversed(pair), threshold)
    for one, other in ((there.truth, back.predicted), (there.predicted, back.truth)):
        assert named(one) == {i: mirror.get(v, v) for i, v in named(other).items()}
        assert one.partners == other.partners


# Verdicts explain the score


def assert_verdicts_add_up(truth: np.ndarray, predicted: np.ndarray, threshold: float) -> None:
    matching = match(find_overlap(truth, predicted), threshold)
    verdicts = classify(matching)
    counts = VerdictCounts.of(matching)
    assert counts.matched == matching.tp
    assert counts.missed + counts.off + counts.merged + counts.split + counts.tangled == matching.fn
    predicted_errors = (
        counts.predicted_off
        + counts.predicted_merged
        + counts.predicted_split
        + counts.predicted_tangled
    )
    assert counts.spurious + predicted_errors == matching.fp
    assert counts.loose == np.count_nonzero(matching.ious < 0.7)
    for side in (verdicts.truth, verdicts.predicted):
        assert set(side.codes.tolist()) <= set(Verdict)
        assert sum(side.count(verdict) for verdict in Verdict) == len(side.ids)
        assert side.count(MATCHED) + side.count(LOOSE) == matching.tp
    assert verdicts.truth.count(SPURIOUS) == verdicts.predicted.count(MISSED) == 0


@quick
@given(label_pairs(), st.sampled_from(EXACT))
def test_verdicts_add_up_to_the_score(pair, threshold):
    assert_verdicts_add_up(*pair, float(threshold))


@pytest.mark.slow
@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_verdicts_of_real_fields_add_up_to_the_score(bbbc039, distort):
    for field in open_dataset(bbbc039, "validation").fields[4:40:9]:
        truth = field.read_truth()
        for threshold in (0.3, 0.5, 0.75, 0.95):
            assert_verdicts_add_up(truth, distort(truth), threshold)


@pytest.mark.parametrize(
    ("distortion", "verdicts"),
    [
        ("merge_neighbours", {MATCHED, LOOSE, MERGED}),
        ("split", {LOOSE, MATCHED, SPLIT}),
        ("drop_some", {MATCHED, MISSED}),
        ("renumber", {MATCHED}),
    ],
)
def test_a_distorted_field_has_the_errors_it_was_given(drawn_fields, distortion, verdicts):
    truth = drawn_fields[0].labels
    found = named(judge_labels(truth, DISTORTIONS[distortion](truth)).truth)
    assert set(found.values()) <= verdicts
    if distortion == "drop_some":
        assert {number for number, verdict in found.items() if verdict is MISSED} == {
            number for number in found if number % 3 == 1
        }


# Pictures


@st.composite
def pictures(draw: st.DrawFn) -> Pair:
    """Two label images of a few rectangles each."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    sides = []
    for _ in range(2):
        labels = np.zeros((height, width), dtype=np.int32)
        for number in draw(st.lists(st.integers(1, 9), max_size=4, unique=True)):
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 8))
            labels[top : top + rows, left : left + columns] = number
        sides.append(labels)
    return sides[0], sides[1]


def touches_another(labels: np.ndarray) -> np.ndarray:
    """Tell which pixels of objects have a neighbour, by an edge, of another label."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (labels > 0) & np.any([labels != neighbour for neighbour in neighbours], axis=0)


def paint(labels: np.ndarray, codes: Named) -> np.ndarray:
    numbers, index = np.unique(labels, return_inverse=True)
    return np.array([codes.get(number, 0) for number in numbers.tolist()])[index]


def assert_outlines_tell_the_verdicts(truth: np.ndarray, predicted: np.ndarray) -> None:
    verdicts = judge_labels(truth, predicted)
    drawn = draw_verdicts(truth, predicted, verdicts)
    true_code = paint(truth, named(verdicts.truth))
    found_code = paint(predicted, named(verdicts.predicted))
    assert np.all((drawn == 0) | (drawn == true_code) | (drawn == found_code))
    edge = touches_another(truth)
    np.testing.assert_array_equal(drawn[edge], true_code[edge])
    edge = touches_another(predicted) & (truth == 0)
    assert np.all((drawn[edge] == 0) | (drawn[edge] == found_code[edge]))
    inside = ~touches_another(predicted) & (truth == 0) & (found_code != SPURIOUS)
    assert not drawn[inside].any()


@quick
@given(pictures())
def test_outlines_carry_the_verdicts_of_the_objects_they_run_round(pair):
    assert_outlines_tell_the_verdicts(*pair)


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_outlines_of_drawn_fields_carry_their_verdicts(drawn_fields, distort):
    for field in drawn_fields:
        assert_outlines_tell_the_verdicts(field.labels, distort(field.labels))


def square(size: int, at: int, edge: int) -> np.ndarray:
    labels = np.zeros((size, size), dtype=np.uint16)
    labels[at : at + edge, at : at + edge] = 40_000
    return labels


def test_a_missed_nucleus_is_outlined_two_pixels_wide_and_open_within():
    truth, nothing = square(11, 2, 7), square(11, 0, 0)
    expected = np.where(square(11, 2, 7), MISSED, 0) * (square(11, 4, 3) == 0)
    np.testing.assert_array_equal(
        draw_verdicts(truth, nothing, judge_labels(truth, nothing)), expected
    )


def gaps(line: np.ndarray) -> list[int]:
    """Lengths of the pieces that are drawn and not drawn by turns, without those at the ends."""
    turns = np.flatnonzero(np.diff((line > 0).astype(int)))
    return np.diff(turns).tolist()


def test_a_spurious_nucleus_is_outlined_in_dashes_of_two_pixels():
    nothing, predicted = square(60, 0, 0), square(60, 5, 50)
    drawn = draw_verdicts(nothing, predicted, judge_labels(nothing, predicted))

    assert set(np.unique(drawn)) == {0, SPURIOUS}
    assert not drawn[7:53, 7:53].any()
    for line in (drawn[5, 8:52], drawn[6, 8:52], drawn[8:52, 5], drawn[8:52, 54]):
        assert set(gaps(line)) == {5, 3}


def test_a_matched_prediction_is_outlined_in_dots_beside_the_line_of_its_truth():
    truth, predicted = square(60, 5, 40), square(60, 5, 44)
    drawn = draw_verdicts(truth, predicted, judge_labels(truth, predicted))

    assert set(np.unique(drawn)) == {0, MATCHED}
    assert set(gaps(drawn[48, 8:46])) == {2}
    assert not drawn[47, 8:46].any()
    assert (drawn[5:45, 5:7] == MATCHED).all()


def test_an_outline_is_broken_whichever_way_it_runs():
    y, x = np.indices((120, 120))
    disc = ((y - 60) ** 2 + (x - 60) ** 2 < 50**2).astype(np.uint16)
    nothing = np.zeros_like(disc)
    drawn = draw_verdicts(nothing, disc, judge_labels(nothing, disc)) > 0
    edge = touches_another(disc)
    sector = ((np.degrees(np.arctan2(y - 60, x - 60)) + 360) // 30).astype(int) % 12

    for part in range(12):
        assert 0.4 < drawn[edge & (sector == part)].mean() < 0.85


@quick
@given(pictures())
def test_agreeing_pixels_are_marked_as_they_are_counted(pair):
    drawn = draw_agreement(*pair)
    counts = PixelCounts.of(find_overlap(*pair))
    marked = {code: np.count_nonzero(drawn == code) for code in (0, *Agreement)}
    assert marked == {
        0: counts.tn,
        Agreement.TRUE_POSITIVE: counts.tp,
        Agreement.FALSE_NEGATIVE: counts.fn,
        Agreement.FALSE_POSITIVE: counts.fp,
    }


def test_agreement_is_marked_where_it_is():
    np.testing.assert_array_equal(draw_agreement(row(".11122."), row("..7.889")), row(".212113"))

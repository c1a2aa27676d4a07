"""Objects of many fields at once are those of each field by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from napari_nucseg.analysis.comparison import count_objects
from napari_nucseg.analysis.object_pixels import find_geometry, move_geometry
from napari_nucseg.analysis.objects import list_objects
from napari_nucseg.metrics.ignoring import Ignored
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import join_overlaps
from napari_nucseg.metrics.score import score_matching
from napari_nucseg.metrics.verdicts import Verdict, classify


@pytest.fixture
def fields(drawn_fields):
    """Truth and a spoiled prediction of three fields, under numbers 2, 5 and 9."""
    fields = {}
    for plane, drawn in zip((2, 5, 9), drawn_fields, strict=True):
        truth = drawn.labels.astype(np.int64) * 1000
        found = np.roll(drawn.labels, 3, axis=1)
        found[found == 4] = 3
        found[found == 5] = 0
        fields[plane] = (truth, found)
    return fields


@pytest.fixture
def placed(fields):
    return {plane: count_objects(*both) for plane, both in fields.items()}


def test_places_are_those_of_scikit_image(fields):
    for truth, _ in fields.values():
        ids = np.unique(truth[truth > 0])
        places = find_geometry(truth, ids)
        for row, region in enumerate(regionprops(truth)):
            assert region.label == ids[row]
            assert tuple(places.boxes[row]) == region.bbox
            assert (places.y[row], places.x[row]) == pytest.approx(region.centroid)


@given(
    arrays(np.uint8, (7, 9), elements=st.integers(0, 5)),
    arrays(np.uint8, (3, 4), elements=st.integers(0, 7)),
    st.integers(0, 4),
    st.integers(0, 5),
)
def test_after_an_edit_places_are_as_if_found_anew(before, painted, top, left):
    box = (slice(top, top + 3), slice(left, left + 4))
    after = before.copy()
    after[box] = painted
    old_ids, ids = (np.unique(one[one > 0]).astype(np.int64) for one in (before, after))
    places = find_geometry(before, old_ids)

    moved = move_geometry(places, old_ids, ids, box, before[box], after)

    anew = find_geometry(after, ids)
    for name in ("y", "x", "boxes"):
        assert np.array_equal(getattr(moved, name), getattr(anew, name)), name


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_the_rows_are_the_verdicts_of_each_field(fields, placed, threshold):
    objects = list_objects(placed, threshold, strict=False)

    assert (np.diff(objects.plane) >= 0).all()
    for plane in fields:
        verdicts = classify(match(placed[plane].overlap, threshold))
        for side, is_true in ((verdicts.truth, True), (verdicts.predicted, False)):
            for number, code, iou, partners in zip(
                side.ids, side.codes, side.ious, side.partners, strict=True
            ):
                row = objects.find(plane, int(number), is_true=is_true)
                if not is_true and objects.is_true[row]:
                    assert objects.partners_of(row)[0] == number
                    assert Verdict(code).is_match or code == objects.code[row] == Verdict.OFF
                    continue
                assert (objects.code[row], objects.iou[row]) == (code, iou)
                assert objects.partners_of(row) == partners


def test_a_nucleus_that_is_off_with_a_matched_one_has_a_row_of_its_own():
    """At a low threshold: P1 holds T1's best part, but P2 is matched with it."""
    truth, found = np.zeros((1, 60), np.int32), np.zeros((1, 60), np.int32)
    truth[0, 10:30] = 1
    found[0, 10:14], found[0, 20:45] = 1, 2
    placed = {0: count_objects(truth, found)}
    assert match(placed[0].overlap, 0.2).truth_index.tolist() == [0]

    objects = list_objects(placed, 0.2, strict=False)

    rows = [objects.find(0, label, is_true=False) for label in (1, 2)]
    assert [Verdict(objects.code[row]) for row in rows] == [Verdict.OFF, Verdict.LOOSE]
    assert objects.is_true[rows].tolist() == [False, True]
    assert len(objects) == 2


def test_a_nucleus_that_is_off_with_an_ignored_one_has_a_row_of_its_own():
    """The scores count it as an error, to which the table and the steps have to lead."""
    truth, found = np.zeros((1, 60), np.int32), np.zeros((1, 60), np.int32)
    truth[0, 10:30], found[0, 18:43] = 1, 1
    pair = count_objects(truth, found)
    assert len(list_objects({0: pair}, 0.5, strict=False)) == 1

    pair = pair.ignoring(Ignored(truth=frozenset({1})), (truth, found))
    objects = list_objects({0: pair}, 0.5, strict=False)

    assert objects.is_true.tolist() == [True, False]
    assert objects.is_error.tolist() == [False, True]


def test_joined_fields_score_as_pooled_ones(placed):
    joined = join_overlaps([part.overlap for part in placed.values()])

    one, two, three = (score_matching(match(part.overlap)) for part in placed.values())
    pooled = score_matching(match(joined))
    assert pooled.objects.tp == (one + two + three).objects.tp
    assert pooled.pixels == (one + two + three).pixels
    assert pooled.verdicts == (one + two + three).verdicts


def test_one_field_is_exchanged_for_another_state_of_it(fields, placed):
    before = list_objects(placed, 0.5, strict=False)
    truth, found = fields[5]
    edited = np.where(found == 2, 0, found)
    placed[5] = count_objects(truth, edited)

    new = before.replaced(5, list_objects({5: placed[5]}, 0.5, strict=False))
    anew = list_objects(placed, 0.5, strict=False)

    for name in ("plane", "is_true", "label", "code", "iou", "area", "y", "x", "box", "counts"):
        assert np.array_equal(getattr(new, name), getattr(anew, name)), name
    assert [new.partners_of(r) for r in range(len(new))] == [
        anew.partners_of(r) for r in range(len(anew))
    ]


def test_no_field_has_no_object():
    assert len(list_objects({}, 0.5, strict=False)) == 0

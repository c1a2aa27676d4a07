from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.analysis.comparison import count_objects
from napari_nucseg.analysis.marks import (
    Mark,
    Marked,
    marks_in_force,
    rows_of,
)
from napari_nucseg.analysis.marks_file import MarksFile, marks_record, read_marks
from napari_nucseg.analysis.objects import ObjectKey, list_objects
from napari_nucseg.metrics.ignoring import Regions

NAMES = ("A01_s1", "A01_s2", "with, a comma")
PLANES = {name: plane for plane, name in enumerate(NAMES)}
keys = st.builds(ObjectKey, st.integers(0, 2), st.integers(1, 2**40), st.booleans())
boxes = st.tuples(*[st.integers(0, 5000)] * 4)
marks = st.dictionaries(keys, st.builds(Marked, st.sampled_from(Mark), st.text(), boxes))
SIZE = (40, 60)
corners = st.tuples(*[st.floats(-99, 99)] * 2)
polygons = st.lists(st.lists(corners, min_size=3).map(tuple), min_size=1).map(tuple)
regions = st.builds(Regions, st.just(SIZE), st.dictionaries(st.integers(0, 2), polygons))
TRIANGLE = ((0.0, 0.0), (0.0, 9.5), (9.25, 0.0))


@given(marks, regions)
def test_marks_and_regions_are_read_as_they_were_written(marked, drawn):
    text = json.dumps(marks_record(marked, drawn, NAMES.__getitem__))

    assert read_marks(json.loads(text), PLANES, SIZE, "marks.json") == MarksFile(marked, drawn)


def test_a_file_of_the_first_version_has_marks_and_no_regions():
    marked = {ObjectKey(0, 3, True): Marked(Mark.IGNORE, "", (0, 0, 9, 9))}
    record = marks_record(marked, Regions(), NAMES.__getitem__) | {"version": 1}
    del record["ignored_regions"]

    read = read_marks(record, PLANES, SIZE, "marks.json")
    assert read == MarksFile(marked, Regions(SIZE, {}))


def test_marks_of_fields_that_are_not_there_are_counted():
    marked = {ObjectKey(plane, 3, True): Marked(Mark.IGNORE, "", (0, 0, 9, 9)) for plane in (0, 2)}
    drawn = Regions(SIZE, {0: (TRIANGLE,), 1: (TRIANGLE,)})
    record = marks_record(marked, drawn, NAMES.__getitem__)

    read = read_marks(record, {"A01_s1": 7}, SIZE, "marks.json")

    assert [key.plane for key in read.marks] == [7]
    assert read.regions.by_plane == {7: (TRIANGLE,)}
    assert read.elsewhere == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"form": "other"}, "holds no marks"),
        ({"version": 3}, "version 3"),
        ({"marks": None}, "marks: input should be a valid list"),
        ({"marks": [3]}, "marks.0: input should be"),
        ({"label": "3"}, "marks.0.label: input should be a valid integer"),
        ({"label": True}, "marks.0.label: input should be a valid integer"),
        ({"label": 0}, "marks.0.label: input should be greater than or equal to 1"),
        ({"mark": "nice"}, "marks.0.mark: input should be 'reviewed', "),
        ({"side": "left"}, "marks.0.side: input should be 'truth' or 'predicted'"),
        ({"box_px": [1, 2, 3]}, "marks.0.box_px.3: field required"),
        ({"note": None}, "marks.0.note: input should be"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_with_its_name(change, told):
    marked = {ObjectKey(0, 3, True): Marked(Mark.IGNORE, "", (0, 0, 9, 9))}
    record = marks_record(marked, Regions(), NAMES.__getitem__)
    for name, value in change.items():
        (record if name in record else record["marks"][0])[name] = value

    with pytest.raises(ValueError, match=r"^marks\.json: ") as error:
        read_marks(record, PLANES, SIZE, "marks.json")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ignored_regions": {}}, "ignored_regions: input should be a valid list"),
        ({"field": 1}, "ignored_regions.0.field: input should be"),
        ({"polygon_px": [[0, 1], [2, 3]]}, "polygon_px: list should have at least 3 items"),
        ({"polygon_px": [[0, 1], [2, 3], [4, "5"]]}, "polygon_px.2.1: input should be"),
        ({"polygon_px": [[0, 1], [2, 3], [4, float("nan")]]}, "polygon_px.2.1: input should be"),
        ({"field_px": [20, 30]}, "a field of 20 x 30 px, and the field here has 40 x 60 px"),
    ],
)
def test_a_region_that_is_not_whole_or_of_another_size_is_refused(change, told):
    record = marks_record({}, Regions(SIZE, {0: (TRIANGLE,)}), NAMES.__getitem__)
    for name, value in change.items():
        (record if name in record else record["ignored_regions"][0])[name] = value

    with pytest.raises(ValueError, match=r"^marks\.json: ") as error:
        read_marks(record, PLANES, SIZE, "marks.json")
    assert told in str(error.value)


@pytest.fixture
def labels():
    truth = np.zeros((40, 40), np.int32)
    truth[2:8, 2:8], truth[20:30, 20:30] = 1, 2
    found = np.roll(truth, 1, axis=0)
    found[35:38, 3:9] = 9
    return truth, found


def test_a_mark_is_in_force_while_its_nucleus_is_there(labels):
    truth, found = labels
    key = ObjectKey(0, 2, True)
    marked = {key: Marked(Mark.REVIEWED, "", (20, 20, 30, 30))}
    gone = np.where(truth == 2, 0, truth)
    other = gone.copy()
    other[2:5, 30:34] = 2  # a new nucleus that took the number

    force = [marks_in_force(marked, {0: count_objects(one, found)}) for one in (truth, gone, other)]

    assert force == [marked, {}, {}]


def test_a_match_has_the_marks_of_both_sides_and_its_own_first(labels):
    pairs = {0: count_objects(*labels)}
    objects = list_objects(pairs, 0.5, strict=False)
    true, found = (Marked(mark, "", (0, 0, 40, 40)) for mark in (Mark.REVIEWED, Mark.IGNORE))
    marked = {ObjectKey(0, 2, True): true, ObjectKey(0, 2, False): found}
    marked[ObjectKey(0, 1, False)] = marked[ObjectKey(0, 9, False)] = found

    rows = rows_of(marked, pairs, objects)

    assert {int(objects.label[row]): one for row, one in rows.items()} == {
        2: true,
        1: found,
        9: found,
    }

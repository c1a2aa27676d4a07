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
    marks_record,
    read_marks,
    rows_of,
)
from napari_nucseg.analysis.objects import ObjectKey, list_objects

NAMES = ("A01_s1", "A01_s2", "with, a comma")
PLANES = {name: plane for plane, name in enumerate(NAMES)}
keys = st.builds(ObjectKey, st.integers(0, 2), st.integers(1, 2**40), st.booleans())
boxes = st.tuples(*[st.integers(0, 5000)] * 4)
marks = st.dictionaries(keys, st.builds(Marked, st.sampled_from(Mark), st.text(), boxes))


@given(marks)
def test_marks_are_read_as_they_were_written(marked):
    text = json.dumps(marks_record(marked, NAMES.__getitem__))

    assert read_marks(json.loads(text), PLANES, "marks.json") == (marked, 0)


def test_marks_of_fields_that_are_not_there_are_counted():
    marked = {ObjectKey(plane, 3, True): Marked(Mark.IGNORE, "", (0, 0, 9, 9)) for plane in (0, 2)}
    record = marks_record(marked, NAMES.__getitem__)

    read, elsewhere = read_marks(record, {"A01_s1": 7}, "marks.json")

    assert [key.plane for key in read] == [7]
    assert elsewhere == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"form": "other"}, "holds no marks"),
        ({"version": 2}, "version 2"),
        ({"marks": None}, "list of marks is missing"),
        ({"marks": [3]}, "mark 1 is no object"),
        ({"label": "3"}, "mark 1: its label is '3'"),
        ({"label": True}, "its label is True"),
        ({"label": 0}, "label 0"),
        ({"mark": "nice"}, "'nice'"),
        ({"side": "left"}, "'left'"),
        ({"box_px": [1, 2, 3]}, "box [1, 2, 3]"),
        ({"note": None}, "its note is None"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_with_its_name(change, told):
    record = marks_record(
        {ObjectKey(0, 3, True): Marked(Mark.IGNORE, "", (0, 0, 9, 9))}, NAMES.__getitem__
    )
    for name, value in change.items():
        (record if name in record else record["marks"][0])[name] = value

    with pytest.raises(ValueError, match=r"^marks\.json: ") as error:
        read_marks(record, PLANES, "marks.json")
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

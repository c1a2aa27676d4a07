"""Results that are kept for the sliders: what replaces what, and what can follow."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from napari_nucseg.analysis.field_parts import Rectangle
from napari_nucseg.segmenters.api import Provenance, Segmentation
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.segment.live_update import plan
from napari_nucseg.ui.segment.result_cache import CachedResult, ResultCache, ResultKey

BYTES = 10 * 10 * (4 + 4 + 4)


def kept(**values: float) -> CachedResult:
    params = SegmentParams(**values)
    made = Provenance("net", "", asdict(params), "CPU, test", "float32", {}, 0.1)
    labels = np.zeros((10, 10), np.int32)
    result = Segmentation(labels, None, made, lambda params: labels)
    return CachedResult(result, np.zeros((10, 10), np.int32), None)


def key(plane: int = 0, box: Rectangle | None = None, channel: str = "") -> ResultKey:
    return ResultKey("image", "net", plane, channel, box)


@pytest.fixture
def results() -> ResultCache:
    return ResultCache(100 * BYTES)


SMALL, LARGE, OTHER = Rectangle(2, 2, 4, 4), Rectangle(1, 1, 5, 5), Rectangle(3, 3, 8, 8)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (None, SMALL, [None, SMALL]),
        (SMALL, None, [None]),
        (SMALL, LARGE, [LARGE]),
        (LARGE, SMALL, [LARGE, SMALL]),
        (LARGE, OTHER, [LARGE, OTHER]),
        (SMALL, SMALL, [SMALL]),
    ],
)
def test_a_result_replaces_what_it_covers(results, first, second, left):
    for box in (first, second):
        results.replace(key(box=box), kept())
    assert [where.box for where in results.of("image", "net")[0]] == left


def test_another_channel_replaces_the_one_before(results):
    results.replace(key(channel="Red"), kept())
    results.replace(key(channel="Blue"), kept())
    assert [where.channel for where in results.of("image", "net")[0]] == ["Blue"]


def test_the_oldest_are_dropped_beyond_the_limit(results):
    for plane in range(5):
        results.replace(key(plane), kept())
    results.limit = 2 * BYTES
    results.shrink()
    assert sorted(results.of("image", "net")) == [3, 4]
    assert results.taken == 2 * BYTES


def test_fields_are_asked_one_by_one_what_keeps_them_from_following(results):
    results.replace(key(0), kept(diameter=30))
    results.replace(key(1), kept())
    results.replace(key(2, box=SMALL), kept())  # its field is not in memory
    told = {0: {}, 1: {}, 2: {"boxes": [{}]}, 3: {}}

    todo = plan(range(6), told, results.of("image", "net"), SegmentParams(), "")

    assert [list(parts) for parts in todo.fields] == [[key(1)]]
    assert todo.remark == (
        "Press Segment to use the new diameter in 1 field. "
        "The result of 2 fields is not in memory. Press Segment to use the new values."
    )


def test_nothing_is_said_where_all_follow(results):
    results.replace(key(0), kept())
    todo = plan([0], {0: {}}, results.of("image", "net"), SegmentParams(min_size=50), "")
    assert todo.remark == ""

"""Results in the viewer: what they replace comes back, and labels that do not fit are kept."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.analysis.corrections import PackedLabels
from napari_nucseg.analysis.measurements import measure
from napari_nucseg.ui.edits import count_corrected, has_history
from napari_nucseg.ui.layers import GROUND_TRUTH, LayerRecord, tag
from napari_nucseg.ui.segment.hand_edits import (
    join_replacements,
    notice_undo,
    provenance_by_field,
)
from napari_nucseg.ui.segment.prediction_layer import put_prediction
from napari_nucseg.ui.segment.result_cache import FieldResult, ResultKey
from tests.ui.scored import open_panel, settled

SQUARES = [(10, 10), (10, 40), (40, 10), (40, 40)]


def draw(count: int) -> np.ndarray:
    """Draw so many square nuclei."""
    labels = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate(SQUARES[:count], start=1):
        labels[y : y + 8, x : x + 8] = number
    return labels


def made(image, plane: int, labels: np.ndarray, seconds: float = 1.0) -> FieldResult:
    """Return labels as a model that took so long made them."""
    key = ResultKey(str(image.unique_id), "fluo-nuclei", plane)
    provenance = {"model": "fluo-nuclei", "seconds": seconds, "depth": {}, "box": None}
    nuclei = measure(labels, np.ones(labels.shape))
    return FieldResult(key, labels, nuclei, provenance, PackedLabels.of(labels))


def counts(layer) -> list[int]:
    """Count the nuclei of each field."""
    return [len(np.unique(plane[plane > 0])) for plane in layer.data]


@pytest.fixture
def fields(viewer):
    return viewer.add_image(np.ones((2, 64, 64)), name="fields")


def test_undo_takes_back_all_fields_of_a_result_those_that_were_empty_too(viewer, fields):
    layer = put_prediction(viewer, fields, [made(fields, n, draw(2 - 2 * n), 1) for n in (0, 1)])
    put_prediction(viewer, fields, [made(fields, n, draw(1 + n), 2) for n in (0, 1)])
    assert counts(layer) == [1, 2]

    layer.undo()
    notice_undo(layer)
    assert counts(layer) == [2, 0]
    assert count_corrected(layer) == 0
    assert [one["seconds"] for one in provenance_by_field(layer).values()] == [1, 1]

    layer.redo()
    notice_undo(layer)
    assert counts(layer) == [1, 2]
    assert count_corrected(layer) == 0


def test_a_stroke_between_two_fields_of_a_run_is_undone_by_itself(viewer, fields):
    layer = put_prediction(viewer, fields, [made(fields, n, draw(3)) for n in (0, 1)])
    step = None
    for count, plane in ((2, 0), (1, 1)):
        put_prediction(viewer, fields, [made(fields, plane, draw(count))])
        step = join_replacements(layer, step)
        if not plane:
            layer.data_setitem(tuple(np.array([n]) for n in (0, 60, 60)), 7)
    assert counts(layer) == [3, 1]

    found = []
    for _ in range(3):
        layer.undo()
        notice_undo(layer)
        found.append(counts(layer))
    assert found == [[3, 3], [2, 3], [3, 3]]
    assert not has_history(layer)


def test_a_field_that_was_empty_joins_no_stroke_to_its_run(viewer, fields):
    layer = put_prediction(viewer, fields, [made(fields, 0, draw(3))])
    put_prediction(viewer, fields, [made(fields, 0, draw(2))])
    step = join_replacements(layer, None)
    layer.data_setitem(tuple(np.array([n]) for n in (0, 60, 60)), 7)
    put_prediction(viewer, fields, [made(fields, 1, draw(4))])
    assert join_replacements(layer, step) is step

    layer.undo()
    assert counts(layer) == [2, 4]


def test_scores_of_all_fields_follow_an_undone_result(qtbot, viewer, fields):
    layer = put_prediction(viewer, fields, [made(fields, n, draw(2)) for n in (0, 1)])
    truth = np.stack([draw(2), draw(2)])
    viewer.add_labels(truth, metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = open_panel(qtbot, viewer)

    def matched() -> list[int]:
        return [panel.state.score_of(plane).objects.tp for plane in (0, 1)]

    put_prediction(viewer, fields, [made(fields, n, draw(1)) for n in (0, 1)])
    qtbot.waitUntil(lambda: panel.state.is_there and matched() == [1, 1])
    settled(qtbot, panel)

    layer.undo()
    qtbot.waitUntil(lambda: panel.state.is_there and matched() == [2, 2])
    settled(qtbot, panel)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_labels_that_are_too_many_for_their_type_widen_it(viewer, fields, kind):
    layer = put_prediction(viewer, fields, [made(fields, 0, draw(2))])
    layer.data_setitem(tuple(np.array([n]) for n in (0, 60, 60)), 7)
    layer.data = layer.data.astype(kind)
    many = np.arange(64 * 64, dtype=np.int32).reshape(64, 64) // 4

    put_prediction(viewer, fields, [made(fields, 1, many)])

    np.testing.assert_array_equal(layer.data[1], many)
    assert layer.data[0, 60, 60] == 7
    layer.undo()
    np.testing.assert_array_equal(layer.data[0], draw(2))


def test_write_protected_labels_are_replaced_in_a_copy(viewer, fields):
    layer = put_prediction(viewer, fields, [made(fields, 0, draw(2))])
    mine = layer.data.copy()
    mine.flags.writeable = False
    layer.data = mine

    put_prediction(viewer, fields, [made(fields, 0, draw(3))])

    assert (counts(layer), mine.max()) == ([3, 0], 2)

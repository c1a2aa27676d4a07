"""What is learned from, and what is said of it, without a window."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nucseg.batch.train_log import Epoch, LogRow
from napari_nucseg.io.sources import sha256
from napari_nucseg.segmenters import networks, timing
from napari_nucseg.ui.jobs import BatchCountdown
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, PREDICTION, LayerRecord, tag
from napari_nucseg.ui.train.fields import AFTER, copy_fields, count_fields, find_labelled
from napari_nucseg.ui.train.worker import (
    HeldOut,
    describe_hold_out,
    describe_pace,
    outcome_of,
)

SHAPE = (20, 30)


@pytest.fixture
def viewer():
    return ViewerModel()


def add_field(viewer, shape=SHAPE, name="A01", **placed):
    labels = np.zeros(shape, int)
    labels[..., 4:9, 4:9] = 1
    image = viewer.add_image(labels * 100 + 7, name=name, **placed)
    return image, viewer.add_labels(labels, name=f"{name} painted", **placed)


def read(viewer, shapes=None):
    pairs, _ = find_labelled(viewer.layers)
    return [field.read() for _, _, field in copy_fields(viewer, pairs, shapes)]


def test_fields_are_copied_as_they_are_when_asked(viewer):
    image, labels = add_field(viewer)
    pairs, _ = find_labelled(viewer.layers)
    ((_, _, field),) = copy_fields(viewer, pairs, None)
    image.data[...] = 0
    labels.data[...] = 0

    assert field.read().labels.any()
    assert field.read().image.max() == 107
    assert field.read().complete is None


def test_fields_on_disk_are_read_late_and_one_by_one(viewer):
    asked = []

    def plane(block, block_info=None):
        asked.append(block_info[0]["chunk-location"][0])
        return block

    data = np.ones((3, *SHAPE), int)
    lazy = da.from_array(data, chunks=(1, *SHAPE)).map_blocks(plane, dtype=int)
    viewer.add_image(lazy, name="plate", contrast_limits=(0, 1))
    viewer.add_labels(data, name="plate truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    asked.clear()
    pairs, _ = find_labelled(viewer.layers)
    fields = copy_fields(viewer, pairs, None)
    assert not asked

    fields[1][2].read()
    assert asked == [1]


def test_overlays_and_outlines_of_a_training_are_not_learned_from(viewer):
    add_field(viewer)
    for role in (ERRORS, AFTER):
        viewer.add_labels(np.ones(SHAPE, int), metadata=tag(LayerRecord(role)))
    pairs, alone = find_labelled(viewer.layers)

    assert [pair.labels.name for pair in pairs] == ["A01 painted"]
    assert not alone


def test_of_a_stack_that_is_being_labelled_only_labelled_fields_count(viewer):
    _, labels = add_field(viewer, (3, *SHAPE))
    labels.data[1] = 0
    ((pair,), _) = find_labelled(viewer.layers)
    assert pair.planes == (0, 2)
    assert pair.title == "A01 painted: 2 labelled fields"
    assert [field.stem for field in read(viewer)] == ["A01, field 1", "A01, field 3"]

    labels.metadata = tag(LayerRecord(GROUND_TRUTH))  # where a field may have no nuclei
    ((pair,), _) = find_labelled(viewer.layers)
    assert pair.planes == (0, 1, 2)


def test_of_a_prediction_the_fields_that_were_made_count(viewer):
    image, labels = add_field(viewer, (3, *SHAPE))
    labels.metadata = tag(LayerRecord(PREDICTION, source=str(image.unique_id), fields=(1,)))
    ((pair,), _) = find_labelled(viewer.layers)

    assert pair.planes == (1,)
    assert not pair.is_proposed


def test_the_channel_that_labels_were_made_of_is_learned_from(viewer):
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[..., 0], colours[..., 1] = 10, 20
    image = viewer.add_image(colours, name="A01", rgb=True)
    made = LayerRecord(PREDICTION, source=str(image.unique_id), provenance={"channel": "Green"})
    viewer.add_labels(np.ones(SHAPE, int), metadata=tag(made))

    assert read(viewer)[0].image.tolist() == np.full(SHAPE, 20).tolist()


@pytest.mark.parametrize("kind", ["rectangle", "polygon", "ellipse"])
def test_only_what_is_drawn_around_is_complete(viewer, kind):
    placed = {"scale": (2, 2), "translate": (10, 10)}
    add_field(viewer, **placed)
    corners = np.array([(1.5, 1.5), (1.5, 12.5), (10.5, 12.5), (10.5, 1.5)])
    shapes = viewer.add_shapes([corners * 2 + 10], shape_type=kind)
    ((complete),) = [field.complete for field in read(viewer, shapes)]

    expected = np.zeros(SHAPE, bool)
    expected[2:11, 2:13] = True
    if kind == "ellipse":
        y, x = np.indices(SHAPE)
        expected = ((y - 6) / 4.5) ** 2 + ((x - 7) / 5.5) ** 2 < 1
        assert (complete != expected).sum() <= 4
    else:
        np.testing.assert_array_equal(complete, expected)


def test_fields_without_a_shape_are_left_out(viewer):
    add_field(viewer, (3, *SHAPE))
    box = [(1, 2, 2), (1, 2, 12), (1, 11, 12), (1, 11, 2)]
    shapes = viewer.add_shapes([box], shape_type="rectangle")
    (field,) = read(viewer, shapes)
    assert field.stem == "A01, field 2"

    shapes.data = []
    with pytest.raises(ValueError, match="No area is drawn in"):
        read(viewer, shapes)


def test_shapes_of_two_axes_lie_on_all_fields_and_lines_enclose_nothing(viewer):
    add_field(viewer, (3, *SHAPE))
    pairs, _ = find_labelled(viewer.layers)
    shapes = viewer.add_shapes([[(2, 2), (11, 12)]], shape_type="line")
    assert count_fields(pairs, shapes) == 0

    shapes.add_rectangles([np.array([(2, 2), (11, 12)])])
    assert count_fields(pairs, shapes) == 3
    assert len(read(viewer, shapes)) == 3


def test_what_is_drawn_on_any_channel_is_complete(viewer):
    image = viewer.add_image(np.ones((2, 3, *SHAPE)), name="A01", axis_labels=("t", "c", "y", "x"))
    record = LayerRecord(PREDICTION, source=str(image.unique_id))
    viewer.add_labels(np.ones((2, 1, *SHAPE), int), metadata=tag(record))
    box = [(1, 2, y, x) for y, x in ((2, 2), (2, 12), (11, 12), (11, 2))]
    shapes = viewer.add_shapes([box], shape_type="polygon")
    (field,) = read(viewer, shapes)

    assert field.stem == "A01, field 2"
    assert field.complete.any()
    assert not field.complete.all()


def test_labels_and_image_of_two_sizes_do_not_belong_together(viewer):
    image, labels = add_field(viewer)
    labels.metadata = tag(LayerRecord(PREDICTION, source=str(image.unique_id)))
    image.data = np.zeros((5, 6))

    assert find_labelled(viewer.layers) == ([], [labels])


@pytest.mark.parametrize(
    ("count", "held", "told"),
    [
        (2, None, "1 of 2 fields will be held out."),
        (9, None, "2 of 9 fields will be held out."),
        (9, 3, "3 of 9 fields will be held out."),
        (1, None, "There is one field only, so none can be held out"),
        (1, 0, "Nothing is held out, so nothing will tell whether it gets better."),
    ],
)
def test_it_is_said_how_many_fields_are_held_out(count, held, told):
    assert describe_hold_out(count, held).startswith(told)


def test_the_names_of_what_is_held_out_are_told():
    names = ("a", "b", "c", "d", "e", "f")

    assert HeldOut(names, 0, None, 1, ()).told == (
        "Held out, and never learned from: a, b, c, d, 2 more. Learning from 1 other field."
    )


def card(path, share, before=0.6, after=0.7):
    path.write_bytes(b"weights")
    scores = {"f1_50": before, "mean_ap": before / 2}
    best = {"batch": 25, "share": share, "f1_50": after, "mean_ap": after and after / 2}
    record = {"sha256": sha256(path), "before": scores, "best": best}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_the_outcome_says_how_much_better_it_became(tmp_path):
    path = card(tmp_path / "mine.pt", 0.5)

    assert outcome_of(path, ["A01"], "fluo-nuclei", []).told == (
        "F1 at 0.5: 0.600 \u2192 0.700, mean AP: 0.300 \u2192 0.350, on what was held out (A01). "
        f"Saved as {path}."
    )


def test_the_outcome_says_plainly_that_it_became_no_better(tmp_path):
    told = outcome_of(card(tmp_path / "mine.pt", 0.0), ["A01"], "fluo-nuclei", []).told

    assert told.startswith("It became no better than fluo-nuclei on what was held out (A01)")
    assert "The file holds the weights of fluo-nuclei." in told


def test_the_outcome_says_why_better_scores_were_not_taken(tmp_path):
    rows = LogRow(0, 0.1, None, share=0.0, mean_ap=0.3), LogRow(9, 0.1, 1, share=0.5, mean_ap=0.45)
    epochs = [Epoch(row, None) for row in rows]
    path = card(tmp_path / "mine.pt", 0.0, 0.6, 0.6)
    told = outcome_of(path, ["A01"], "fluo-nuclei", epochs).told

    assert told.startswith("What it learned raised the mean AP from 0.300 to 0.450 on what was")
    assert "So the file holds the weights of fluo-nuclei." in told


def test_the_outcome_of_a_stop_says_what_is_kept(tmp_path):
    path = tmp_path / "mine.pt"
    (tmp_path / "mine.pt.checkpoint").touch()
    nothing = outcome_of(path, ["A01"], "fluo-nuclei", [], stopped=True)
    assert nothing.path is None
    assert nothing.told.startswith("Stopped before anything was scored, so no model is saved.")

    best = outcome_of(card(path, 1.0), ["A01"], "fluo-nuclei", [], stopped=True)
    assert best.path == path
    assert best.told.startswith("Stopped. The best so far is kept. F1 at 0.5: 0.600")
    assert best.told.endswith("To go on from there, leave Resume ticked and press Train.")


def test_the_pace_is_told_once_it_was_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path))
    assert describe_pace(None, "cpu", 5).endswith("after 5 min at the latest; not timed here yet")

    device = describe_pace(None, "cpu", 5).partition(";")[0]
    timing.of_this_machine().record(f"seconds a batch of training: {device}", 2.0)
    assert describe_pace(None, "cpu", 5).endswith("at the latest; that is about 150 batches")
    large = networks.SAMS[0].path
    assert describe_pace(large, "cpu", 5).endswith("not timed here yet")  # it takes longer


def test_progress_of_a_training_tells_the_time_left_from_where_it_began():
    told, now = [], iter((0.0, 10.0, 10.0, 20.0))
    countdown = BatchCountdown(lambda *one: told.append(one), lambda: next(now))
    countdown.report(100, 200, "loss 0.2")
    countdown.report(110, 200, "loss 0.1")
    countdown.report(0, 200, "preparing A01")
    countdown.report(10, 20)

    assert told == [
        (100, 200, "Batch 100 of 200, loss 0.2"),
        (110, 200, "Batch 110 of 200, loss 0.1, 2 min left"),
        (0, 200, "Batch 0 of 200, preparing A01"),
        (10, 20, "Batch 10 of 20, 10 s left"),
    ]

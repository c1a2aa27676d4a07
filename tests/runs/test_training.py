from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nucseg import __version__
from napari_nucseg.core.datasets import open_dataset
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Stopped
from napari_nucseg.core.sources import sha256
from napari_nucseg.runs.training import Recipe, train_on
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.recipe import TrainParams

BRIEF = TrainParams(width=4, epochs=2, crops_per_epoch=4, crop=64, batch_size=2)


def ignore(done, total):
    """Take no notice of progress."""


def never(done, total):
    """Say that there should have been no training."""
    raise AssertionError("a training was begun")


@pytest.fixture
def splits(drawn_dataset):
    """The drawn training fields, and the one held out."""
    return open_dataset(drawn_dataset, "training"), open_dataset(drawn_dataset, "test")


def test_weights_and_how_they_came_about_are_written(splits, tmp_path, drawn_fields):
    out = tmp_path / "new" / "mine.pt"
    steps = []
    train_on(*splits, Recipe(BRIEF, "cpu"), out, lambda done, total: steps.append((done, total)))
    assert steps[:4] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.json", "mine.pt"]
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["learned_from"] == {"name": "drawn training", "fields": 2}
    assert record["held_out"] == {"name": "drawn test", "fields": 1}
    assert record["parameters"]["width"] == 4
    assert TrainParams(**record["parameters"]) == BRIEF
    assert record["device"].startswith("CPU, ")
    assert record["version"] == __version__
    assert record["minutes"] >= 0
    segmenter = catalogue.load(catalogue.find(str(out)), "cpu")
    labels = segmenter(drawn_fields[0].image, SegmentParams(), ignore).labels
    assert labels.shape == drawn_fields[0].image.shape
    assert load_unet(out).shape.widths == BRIEF.widths


def test_a_training_that_is_stopped_leaves_no_weights(splits, tmp_path):
    out = tmp_path / "mine.pt"
    out.write_bytes(b"the weights of yesterday")

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        train_on(*splits, Recipe(BRIEF, "cpu"), out, stop)
    assert out.read_bytes() == b"the weights of yesterday"
    assert not out.with_suffix(".json").exists()


def test_fields_that_are_learned_from_cannot_be_held_out(drawn_dataset, splits, tmp_path):
    everything = open_dataset(drawn_dataset)
    with pytest.raises(ValueError, match="2 fields are in both drawn training and drawn") as error:
        train_on(splits[0], everything, Recipe(BRIEF, "cpu"), tmp_path / "mine.pt", never)
    assert splits[0].fields[0].stem in str(error.value)


def test_an_absent_device_is_refused(splits, tmp_path):
    with pytest.raises(ValueError, match="is not on this machine"):
        train_on(*splits, Recipe(BRIEF, "tpu"), tmp_path / "mine.pt", never)


def test_a_field_without_a_mask_is_named(drawn_dataset, tmp_path):
    stem = open_dataset(drawn_dataset, "training").fields[1].stem
    (drawn_dataset / "masks" / f"{stem}.png").unlink()
    learn, held_out = open_dataset(drawn_dataset, "training"), open_dataset(drawn_dataset, "test")
    with pytest.raises(ValueError, match=stem):
        train_on(learn, held_out, Recipe(BRIEF, "cpu"), tmp_path / "mine.pt", never)


@pytest.mark.parametrize("obstacle", ["a folder of that name", "a file in place of the folder"])
def test_weights_that_could_not_be_saved_are_refused_before_the_training(
    splits, tmp_path, obstacle
):
    out = tmp_path / "weights" / "mine.pt"
    if obstacle == "a folder of that name":
        out.mkdir(parents=True)
    else:
        out.parent.write_text("no folder")
    with pytest.raises(OSError, match=r"mine\.pt|weights"):
        train_on(*splits, Recipe(BRIEF, "cpu"), out, never)


def test_weights_survive_a_name_that_ends_in_json(splits, tmp_path):
    out = tmp_path / "mine.json"
    try:
        train_on(*splits, Recipe(BRIEF, "cpu"), out, ignore)
    except ValueError:
        return  # refusing the name is as good
    labels = catalogue.load(catalogue.find(str(out)), "cpu")(
        np.zeros((20, 20)), SegmentParams(), ignore
    ).labels
    assert not labels.any()


def test_a_training_can_go_on_from_a_model(splits, tmp_path):
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    train_on(*splits, Recipe(BRIEF, "cpu"), first, ignore)

    train_on(*splits, Recipe(BRIEF, "cpu", start=first), second, ignore)

    record = json.loads(second.with_suffix(".json").read_text())
    assert record["start"] == sha256(first)
    assert sha256(second) != sha256(first)

"""Trainings from datasets to files: what is written, and what an interruption leaves."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from roifile import ImagejRoi

from napari_nucseg import __version__
from napari_nucseg.batch.train_data import TrainSets
from napari_nucseg.batch.train_run import Recipe, Watch, train_on
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.sources import sha256
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.score import score
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.checkpoints import load_unet, read_state
from napari_nucseg.segmenters.fluo_unet import FluoUNet
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.params import TrainParams
from tests.batch.trainings import make_start, rows_of
from tests.conftest import write_mask

pytestmark = pytest.mark.usefixtures("one_thread")  # weights are compared to the last bit

PARAMS = TrainParams(batches=10, batch_size=2, crop=64, validate_every=4, learning_rate=0.02)
BESIDE = ("mine.csv", "mine.json", "mine.png", "mine.pt")
EVERY_FEW_CALLS = 70.0
"""Seconds from one look at the clock to the next, so that checkpoints are between batches, too."""

# Trains, and kills its own process before a step of that name
TRAIN_AND_DIE = """
import itertools, os, signal, sys
from pathlib import Path
from tests.batch.test_train_run import PARAMS, clock, recipe_of, sets_of
from napari_nucseg.batch.train_run import Watch, train_on

root, start, out, last = map(str, sys.argv[1:])

def follow(done, total, told):
    if f"{done} {'scoring' * told.startswith('scoring')}".strip() == last:
        os.kill(os.getpid(), signal.SIGKILL)

train_on(sets_of(Path(root)), recipe_of(Path(start)), Path(out), Watch(follow, clock=clock()))
"""


def never(done, total, told):
    """Say that there should have been no training."""
    raise AssertionError("a training was begun")


def stop_at(batch, among="loss"):
    """Ask to stop before a batch, or while held-out images are scored then."""

    def follow(done, total, told):
        if done == batch and among in told:
            raise Stopped

    return follow


def clock():
    """A clock that takes long steps."""
    return itertools.count(0.0, EVERY_FEW_CALLS).__next__


def recipe_of(start, **others):
    return Recipe(PARAMS, "cpu", start, **others)


def sets_of(root):
    return TrainSets([open_dataset(root, "training")], [open_dataset(root, "validation")])


def make_dataset(root, seeds, held_out):
    """Write drawn fields as BBBC039 is laid out; return the folder."""
    for part in ("images", "masks", "metadata"):
        (root / part).mkdir(parents=True)
    for seed in (*seeds, *held_out):
        field = draw_field(seed, shape=(160, 200), nuclei=10)
        tifffile.imwrite(root / "images" / f"f{seed}.tif", field.image)
        write_mask(root / "masks" / f"f{seed}.png", field.labels)
    for name, of in (("training", seeds), ("validation", held_out)):
        (root / "metadata" / f"{name}.txt").write_text("".join(f"f{seed}\n" for seed in of))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset of two fields to learn from and two that are held out."""
    return make_dataset(tmp_path_factory.mktemp("data") / "drawn", (0, 1), (2, 3))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return make_start(tmp_path_factory.mktemp("start") / "small.pt")


@pytest.fixture(scope="module")
def undisturbed(root, start, tmp_path_factory):
    """The weights of a training that nothing disturbed; its files lie beside."""
    out = tmp_path_factory.mktemp("whole") / "mine.pt"
    train_on(sets_of(root), recipe_of(start), out, Watch(clock=clock()))
    return out


@pytest.fixture
def out(tmp_path):
    return tmp_path / "mine.pt"


def assert_same(out, expected):
    """Compare weights to the last bit, the log but for its seconds, and what was the best."""
    one, other = read_state(out), read_state(expected)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    without = [[row | {"seconds": ""} for row in rows_of(path)] for path in (out, expected)]
    assert without[0] == without[1]
    records = [json.loads(path.with_suffix(".json").read_text()) for path in (out, expected)]
    assert records[0]["best"] == records[1]["best"]


# What is written


def test_weights_and_how_they_came_about_are_written(undisturbed, start):
    assert sorted(path.name for path in undisturbed.parent.iterdir()) == sorted(BESIDE)
    assert isinstance(load_unet(undisturbed), FluoUNet)
    record = json.loads(undisturbed.with_suffix(".json").read_text())
    assert record["learned_from"] == [{"name": "drawn training", "fields": 2}]
    assert record["held_out"] == [{"name": "drawn validation", "fields": 2}]
    assert TrainParams(**record["parameters"]) == PARAMS
    assert record["start"] == sha256(start)
    assert record["batches"] == PARAMS.batches
    assert record["device"].startswith("CPU, ")
    assert record["precision"] in ("float32", "bfloat16")
    assert record["versions"]["napari-nucseg"] == __version__
    assert record["hours"] >= 0
    assert [text.split()[0] for text in record["fields"]["learned_from"]] == ["f0", "f1"]


def test_the_log_tells_losses_and_scores(undisturbed):
    rows = rows_of(undisturbed)
    assert list(rows[0]) == [
        *("batch", "learning_rate", "loss", "held_out_loss", "mean_ap", "ap_50", "f1_50"),
        *("seconds", "share", "kept"),
    ]
    assert [int(row["batch"]) for row in rows] == [4, 8, 10]
    assert rows[0]["kept"] == "1"
    assert all(float(row[name]) >= 0 for row in rows for name in row)
    with Image.open(undisturbed.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


def test_losses_are_logged_more_often_than_scores(root, start, out):
    params = replace(PARAMS, batches=250, validate_every=240)
    train_on(sets_of(root), Recipe(params, "cpu", start), out, Watch())
    rows = rows_of(out)
    assert [int(row["batch"]) for row in rows] == [100, 200, 240, 250]
    assert [bool(row["mean_ap"]) for row in rows] == [False, False, True, True]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["mean_ap"]) > 0.05


def test_the_best_by_held_out_ap_are_kept_and_score_so_when_they_are_used(root, out):
    bundled = catalogue.find(catalogue.BUNDLED)
    params = replace(PARAMS, batches=4, validate_every=1, learning_rate=0.005)
    train_on(sets_of(root), Recipe(params, "cpu", bundled.path), out, Watch())
    best = json.loads(out.with_suffix(".json").read_text())["best"]
    found = [float(row["mean_ap"]) for row in rows_of(out)]
    assert found[0] == max(found) > found[-1]  # it is spoilt by learning too fast
    assert (best["batch"], best["mean_ap"]) == (1, pytest.approx(found[0]))
    segment = catalogue.load(catalogue.find(str(out)), "cpu")
    scores = []
    for field in open_dataset(root, "validation").fields:
        image = field.read_image().data
        labels = segment(image, SegmentParams(), lambda done, total: None).labels
        scores.append(score(field.read_truth(), labels).ratios()["objects"])
    for name, ratio in (("mean_ap", "mean_ap"), ("ap_50", "ap"), ("f1_50", "f1")):
        assert np.mean([of[ratio] for of in scores]) == pytest.approx(best[name], abs=0.02)


def test_safetensors_hold_the_same_weights(root, start, undisturbed, tmp_path):
    out = tmp_path / "new" / "mine.safetensors"
    train_on(sets_of(root), recipe_of(start), out, Watch())
    assert out.read_bytes()[8:9] == b"{"
    assert_same(out, undisturbed)  # and the same seed gives the same course
    assert not list(out.parent.glob("*.checkpoint"))


def test_several_datasets_are_learned_from_together(root, start, out, tmp_path):
    other = make_dataset(tmp_path / "other", (5,), (6,))
    train_on(
        TrainSets(
            [open_dataset(path, "training") for path in (root, other)],
            [open_dataset(path, "validation") for path in (root, other)],
        ),
        Recipe(replace(PARAMS, batches=1), "cpu", start),
        out,
        Watch(),
    )
    record = json.loads(out.with_suffix(".json").read_text())
    assert [one["name"] for one in record["learned_from"]] == ["drawn training", "other training"]
    stems = [text.split()[0] for text in record["fields"]["held_out"]]
    assert stems == ["f2", "f3", "f6"]


def test_progress_tells_loss_and_best_score(root, start, out):
    told = []
    train_on(sets_of(root), recipe_of(start), out, Watch(lambda *step: told.append(step)))
    batches = [step for step in told if "preparing" not in step[2] and "scoring" not in step[2]]
    assert [done for done, _, _ in batches] == list(range(11))
    assert {total for _, total, _ in told} == {10}
    assert batches[0][2] == ""
    assert batches[3][2].startswith("loss ")
    assert ", best AP 0." in batches[-1][2]
    assert (8, 10, "scoring held-out image 2 of 2") in told


# Interrupted


@pytest.mark.slow
@pytest.mark.parametrize("last", ["1", "7", "8 scoring"])
def test_a_training_that_is_killed_goes_on_to_the_same_weights(root, start, out, undisturbed, last):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_DIE, str(root), str(start), str(out), last],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    seen = []
    train_on(
        sets_of(root),
        recipe_of(start, resume=True),
        out,
        Watch(
            lambda done, total, told: seen.append(done) if "preparing" not in told else None,
            clock=clock(),
        ),
    )
    assert seen[0] > 0 or last == "1"  # it did not begin anew
    assert_same(out, undisturbed)
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(BESIDE)


@pytest.mark.parametrize(("batch", "among"), [(6, "loss"), (8, "scoring")])
def test_a_training_that_is_stopped_keeps_the_best_and_goes_on(
    root, start, out, undisturbed, batch, among
):
    with pytest.raises(Stopped, match=r"of batch 4 with AP 0\..*mine\.pt; go on with --resume"):
        train_on(sets_of(root), recipe_of(start), out, Watch(stop_at(batch, among)))
    record = json.loads(out.with_suffix(".json").read_text())
    assert (record["best"]["batch"], record["batches"]) == (4, batch)
    assert isinstance(load_unet(out), FluoUNet)
    train_on(sets_of(root), recipe_of(start, resume=True), out, Watch())
    assert_same(out, undisturbed)
    assert not out.with_name("mine.pt.checkpoint").exists()


def test_a_training_that_is_stopped_before_it_was_scored_leaves_a_checkpoint_alone(
    root, start, out, undisturbed
):
    with pytest.raises(Stopped, match="no weights were scored yet, so none are saved"):
        train_on(sets_of(root), recipe_of(start), out, Watch(stop_at(2)))
    assert [path.name for path in out.parent.iterdir()] == ["mine.pt.checkpoint"]
    train_on(sets_of(root), recipe_of(start, resume=True), out, Watch())
    assert_same(out, undisturbed)


@pytest.fixture
def stopped(root, start, out):
    """A training that was stopped."""
    with pytest.raises(Stopped):
        train_on(sets_of(root), recipe_of(start), out, Watch(stop_at(5)))
    return out


def test_another_training_does_not_go_on_from_it(root, start, stopped, tmp_path):
    before = stopped.with_name("mine.pt.checkpoint").read_bytes()

    def refusal(sets, recipe):
        with pytest.raises(
            ValueError, match=r"mine\.pt\.checkpoint: it belongs to another training"
        ) as error:
            train_on(sets, recipe, stopped, Watch(never_a_batch))
        return str(error.value)

    longer = Recipe(replace(PARAMS, batches=20), "cpu", start, resume=True)
    assert "parameters batches: 10 before, 20 now" in refusal(sets_of(root), longer)
    without = Recipe(PARAMS, "cpu", None, resume=True)
    assert f"start: {sha256(start)} before, none now" in refusal(sets_of(root), without)
    other = make_dataset(tmp_path / "other" / "drawn", (0, 5), (2, 3))
    told = refusal(sets_of(other), recipe_of(start, resume=True))
    assert "learned_from: 1 only before, the first is f1 " in told
    labels = tmp_path / "labels" / "drawn"
    make_dataset(labels, (0, 1), (2, 3))
    write_mask(labels / "masks" / "f3.png", np.eye(160, 200, dtype=np.int32))
    assert "held_out: 1 only before" in refusal(sets_of(labels), recipe_of(start, resume=True))
    assert stopped.with_name("mine.pt.checkpoint").read_bytes() == before


def never_a_batch(done, total, told):
    assert "preparing" in told, "a training was begun"


def test_without_a_checkpoint_there_is_nothing_to_resume(root, start, out):
    with pytest.raises(FileNotFoundError, match=r"mine\.pt\.checkpoint: there is no checkpoint"):
        train_on(sets_of(root), recipe_of(start, resume=True), out, Watch(never))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "weights"], ids=str)
def test_a_file_that_is_no_checkpoint_is_refused(root, start, out, content):
    path = out.with_name("mine.pt.checkpoint")
    path.write_bytes(start.read_bytes() if content == "weights" else content)
    with pytest.raises(ValueError, match=r"mine\.pt\.checkpoint"):
        train_on(sets_of(root), recipe_of(start, resume=True), out, Watch(never))


# Files that are there


def test_a_folder_where_a_file_of_the_training_belongs_is_told_before_it_begins(root, start, out):
    (out.parent / "mine.csv").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"mine\.csv: this is a folder; give another name"):
        train_on(sets_of(root), replace(recipe_of(start), overwrite=True), out, Watch(never))


def test_files_of_an_earlier_training_are_not_replaced_unless_asked_for(root, start, stopped):
    before = {path: path.read_bytes() for path in stopped.parent.iterdir()}
    with pytest.raises(FileExistsError, match=r"mine\.pt already exists; go on from the check"):
        train_on(sets_of(root), recipe_of(start), stopped, Watch(never))
    stopped.unlink()
    with pytest.raises(FileExistsError, match=r"mine\.pt\.checkpoint already exists"):
        train_on(sets_of(root), recipe_of(start), stopped, Watch(never))
    assert {path: path.read_bytes() for path in stopped.parent.iterdir()} == {
        path: content for path, content in before.items() if path != stopped
    }
    with pytest.raises(ValueError, match="--resume and --overwrite exclude each other"):
        train_on(
            sets_of(root), recipe_of(start, resume=True, overwrite=True), stopped, Watch(never)
        )


def test_files_are_replaced_when_asked_for(root, start, stopped, undisturbed):
    train_on(sets_of(root), recipe_of(start, overwrite=True), stopped, Watch())
    assert_same(stopped, undisturbed)


def test_weights_of_yesterday_stay_until_there_are_better_ones(root, start, out):
    out.write_bytes(b"the weights of yesterday")
    with pytest.raises(FileExistsError, match="choose another name, or replace it"):
        train_on(sets_of(root), recipe_of(start), out, Watch(never))
    with pytest.raises(Stopped):
        train_on(sets_of(root), recipe_of(start, overwrite=True), out, Watch(stop_at(1)))
    assert out.read_bytes() == b"the weights of yesterday"


@pytest.mark.parametrize("obstacle", ["a folder of that name", "a file in place of the folder"])
def test_weights_that_could_not_be_saved_are_refused_before_the_training(root, tmp_path, obstacle):
    out = tmp_path / "weights" / "mine.pt"
    if obstacle == "a folder of that name":
        out.mkdir(parents=True)
    else:
        out.parent.write_text("no folder")
    with pytest.raises(OSError, match=r"mine\.pt|weights"):
        train_on(sets_of(root), Recipe(PARAMS, "cpu"), out, Watch(never))


@pytest.mark.parametrize("name", ["mine", "mine.json", "mine.csv", "mine.pth.png"])
def test_weights_have_a_name_of_their_own(root, tmp_path, name):
    with pytest.raises(ValueError, match=r"the weights must end with \.pt or \.safetensors"):
        train_on(sets_of(root), Recipe(PARAMS, "cpu"), tmp_path / name, Watch(never))


# Data


def test_fields_that_are_learned_from_cannot_be_held_out(root, out):
    sets = TrainSets([open_dataset(root, "training")], [open_dataset(root)])
    with pytest.raises(ValueError, match="2 fields are in both drawn training and drawn, the fi"):
        train_on(sets, Recipe(PARAMS, "cpu"), out, Watch(never))
    assert not list(out.parent.iterdir())


def test_the_same_image_under_another_name_cannot_be_held_out(root, out, tmp_path):
    other = make_dataset(tmp_path / "other", (7,), (8,))
    for part, ending in (("images", "tif"), ("masks", "png")):
        source = root / part / f"f0.{ending}"
        (other / part / f"f8.{ending}").write_bytes(source.read_bytes())
    sets = TrainSets([open_dataset(root, "training")], [open_dataset(other, "validation")])
    with pytest.raises(ValueError, match=r"1 field is in both .*, the first is f8"):
        train_on(sets, Recipe(PARAMS, "cpu"), out, Watch(never))


def test_fields_without_nuclei_alone_tell_nothing(root, out, drawn_dataset):
    sets = TrainSets([open_dataset(root, "training")], [open_dataset(drawn_dataset, "test")])
    with pytest.raises(ValueError, match="drawn test: no field has nuclei"):
        train_on(sets, Recipe(PARAMS, "cpu"), out, Watch(never))


def test_a_field_without_a_mask_is_named(drawn_dataset, root, out):
    stem = open_dataset(drawn_dataset, "training").fields[1].stem
    (drawn_dataset / "masks" / f"{stem}.png").unlink()
    sets = TrainSets([open_dataset(drawn_dataset, "training")], [open_dataset(root, "validation")])
    with pytest.raises(ValueError, match=stem):
        train_on(sets, Recipe(PARAMS, "cpu"), out, Watch(never))


def test_an_absent_device_is_refused(root, out):
    with pytest.raises(ValueError, match="is not on this machine"):
        train_on(sets_of(root), Recipe(PARAMS, "tpu"), out, Watch(never))


# Labels of a part


def draw_area(path, box, **properties):
    """Draw a rectangle from top left to bottom right, as QuPath exports it."""
    top, left, bottom, right = box
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation"} | properties,
    }
    before = json.loads(path.read_text())["features"] if path.exists() else []
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*before, feature]}))


@pytest.fixture
def areas(tmp_path):
    """A folder of areas: of a field to learn from by GeoJSON, of one held out by ImageJ."""
    folder = tmp_path / "areas"
    folder.mkdir()
    draw_area(folder / "f0.geojson", (10, 20, 90, 120))
    corners = np.array([[0, 0], [200, 0], [200, 80], [0, 80]])
    ImagejRoi.frompoints(corners).tofile(folder / "f2.roi")
    return folder


def parts_of(root, areas):
    return replace(sets_of(root), complete_in=areas)


def test_fields_are_complete_in_the_areas_that_are_drawn_and_left_out_without(root, areas):
    draw_area(areas / "f0.geojson", (0, 0, 160, 200), objectType="detection")  # a nucleus, no area
    data = parts_of(root, areas).read(0)
    (learned,), (held,) = data.learn, data.held_out
    assert (learned.stem, held.stem) == ("f0", "f2")
    expected = np.zeros((160, 200), bool)
    expected[10:90, 20:120] = True
    assert np.array_equal(learned.complete, expected)
    assert np.array_equal(np.flatnonzero(held.complete.all(axis=1)), np.arange(80))
    assert data.learned_from == {"drawn training": 1}
    assert data.held_out_from == {"drawn validation": 1}
    told = list(parts_of(root, areas).notes_of(data))
    assert any("f0.geojson: 1 detection within, and left out" in note for note in told)
    assert told[-1] == f"{areas}: no areas for 2 fields, left out"


def test_a_training_on_areas_tells_what_is_left_out(root, start, areas, out):
    told = []
    recipe = Recipe(replace(PARAMS, batches=1), "cpu", start)
    train_on(parts_of(root, areas), recipe, out, Watch(tell=told.append))
    assert f"{areas}: no areas for 2 fields, left out" in told
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["learned_from"] == [{"name": "drawn training", "fields": 1}]


def test_areas_that_are_of_no_field_or_of_several_are_refused(root, areas, tmp_path):
    with pytest.raises(ValueError, match=r"drawn: no file of areas .* such as f0\.geojson"):
        parts_of(root, root).read(0)
    with pytest.raises(ValueError, match=r"f0\.geojson: several fields have this name; rename"):
        replace(parts_of(root, areas), held_out=[open_dataset(root, "training")]).read(0)
    (areas / "f0.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"f0\.geojson: f0\.zip is there, too; keep one of them"):
        parts_of(root, areas).read(0)

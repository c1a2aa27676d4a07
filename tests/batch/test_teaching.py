"""Teaching a model from a few fields: it helps, does no harm, and survives bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from napari_nucseg.batch.train_data import TrainData, TrainField, TrainSets, hold_out, read_fields
from napari_nucseg.batch.train_run import Recipe, Watch, train_fields, train_on
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.sources import Source, sha256
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.score import score
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue, networks
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.checkpoints import read_state
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training import params as training_params
from napari_nucseg.segmenters.training.package import check_packable
from napari_nucseg.segmenters.training.params import FINE_TUNING, starting_params
from tests.batch.trainings import make_start, rows_of
from tests.conftest import sampled
from tests.segmenters.random_nets import small_sam, write_small_sam

pytestmark = pytest.mark.usefixtures("one_thread")

BRIEF = replace(FINE_TUNING, batches=4, batch_size=2, crop=64, validate_every=2)
BUNDLED = networks.BUNDLED.path
KINDS = [(256, 256), (360, 360), (512, 640), (520, 696)]
"""Sizes of real fields, which tell what kind they are of."""


def ring(field, stem):
    """A field whose nuclei are stained at their rims alone, as by lamin."""
    rims = ndi.gaussian_gradient_magnitude(field.image.astype(np.float32), 1.5)
    return TrainField(stem, rims, field.labels)


def plain(seed, nuclei=12, shape=(160, 200)):
    drawn = draw_field(seed, shape=shape, nuclei=nuclei)
    return TrainField(f"f{seed}", drawn.image, drawn.labels)


@pytest.fixture(scope="module")
def fields():
    return [plain(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_start(tmp_path_factory.mktemp("start") / "small.pt")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "mine.safetensors"


def card_of(out):
    return json.loads(out.with_suffix(".json").read_text())


def open_dataset_that_is_not_read():
    """A dataset whose only field has no file."""
    return Dataset("absent", (Field("f0", Source(Path("absent.tif"))),))


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# It helps, and does no harm


@pytest.mark.slow
def test_a_kind_that_the_model_does_not_know_is_learned_from_three_fields(out):
    fields = [
        ring(draw_field(seed, shape=(260, 260), nuclei=25), f"ring{seed}") for seed in range(6)
    ]
    data = hold_out(fields[:3], "rings")
    params = replace(FINE_TUNING, batches=60, batch_size=4, crop=128, validate_every=20)
    train_fields(data, Recipe(params, "cpu", BUNDLED), out, Watch())
    means = []
    for name in (catalogue.BUNDLED, str(out)):
        segment = catalogue.load(catalogue.find(name), "cpu")
        found = [segment(one.image, SegmentParams(), ignore).labels for one in fields[3:]]
        f1 = [
            score(one.labels, labels).objects.f1
            for one, labels in zip(fields[3:], found, strict=True)
        ]
        means.append(np.mean(f1))
    sys.stdout.write(f"rings: F1 {means[0]:.4f} to {means[1]:.4f}\n")
    assert means[1] > means[0] + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("size", sampled(KINDS, 2), ids=str)
def test_three_real_fields_do_no_harm_to_others_of_their_kind(dsb2018, out, size):
    """A short form of ``examples/measure_teaching.py``: small crops, some of the images."""
    learn, others = (
        [
            one
            for one in open_dataset(dsb2018, split).fields
            if one.read_image_header().shape == size
        ]
        for split in ("training", "validation")
    )
    few = Dataset("few", tuple(learn[:: len(learn) // 3][:3]))
    params = replace(FINE_TUNING, batches=50, batch_size=4, crop=128)
    train_fields(hold_out(read_fields([few]), "few"), Recipe(params, "cpu", BUNDLED), out, Watch())
    others = others[:: max(1, len(others) // 8)]
    means = []
    for name in (catalogue.BUNDLED, str(out)):
        segment = catalogue.load(catalogue.find(name), "cpu")
        found = [segment(one.read_image().data, SegmentParams(), ignore).labels for one in others]
        pairs = zip(others, found, strict=True)
        means.append(np.mean([score(one.read_truth(), of).objects.f1 for one, of in pairs]))
    sys.stdout.write(f"{size}: F1 {means[0]:.4f} to {means[1]:.4f}, {card_of(out)['best']}\n")
    assert means[1] > means[0] - 0.005


def test_what_is_kept_is_never_worse_on_what_is_held_out_than_the_start(fields, out):
    wild = replace(BRIEF, learning_rate=0.5)
    epochs = []
    train_fields(
        hold_out(fields, "mine"), Recipe(wild, "cpu", BUNDLED), out, Watch(on_epoch=epochs.append)
    )
    card = card_of(out)
    assert card["best"]["mean_ap"] >= card["before"]["mean_ap"]
    assert (card["best"]["batch"], card["best"]["share"]) == (0, 0.0)
    assert same(read_state(BUNDLED), read_state(out))
    assert [epoch.row.kept for epoch in epochs] == [True, False, False]


def test_each_epoch_tells_losses_scores_and_outlines_of_a_held_out_field(fields, out):
    epochs = []
    data = hold_out(fields, "mine")
    train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), out, Watch(on_epoch=epochs.append))
    assert [epoch.row.batch for epoch in epochs] == [0, 2, 4]
    assert epochs[0].row.loss is None
    assert all(0 < epoch.row.loss < 10 for epoch in epochs[1:])
    for epoch in epochs:
        assert epoch.labels.shape == data.held_out[0].image.shape
        assert score(data.held_out[0].labels, epoch.labels).objects.f1 == pytest.approx(
            epoch.row.f1_50
        )


def test_it_stops_when_nothing_gets_better(fields, out):
    params = replace(BRIEF, learning_rate=0.0, batches=100, validate_every=1, patience=3)
    train_fields(hold_out(fields, "mine"), Recipe(params, "cpu", BUNDLED), out, Watch())
    assert card_of(out)["ended_by"] == "patience"
    assert [int(row["batch"]) for row in rows_of(out)] == [0, 1, 2, 3]


def test_it_stops_after_the_minutes(fields, out, small):
    times = iter(range(10**6))
    recipe = Recipe(replace(BRIEF, batches=1000), "cpu", small, minutes=1.0)
    totals = []

    def progress(done, total, told):
        totals.append(total)

    watch = Watch(progress, clock=lambda: float(next(times)))
    train_fields(hold_out(fields, "mine"), recipe, out, watch)
    card = card_of(out)
    assert card["ended_by"] == "minutes"
    assert 0 < card["batches"] < 60
    assert totals[-1] == card["batches"]
    assert int(rows_of(out)[-1]["batch"]) == card["batches"]


def test_however_short_the_time_a_batch_is_learned_and_weights_are_written(fields, out, small):
    params = replace(BRIEF, fine_tune=False, batches=1000)
    recipe = Recipe(params, "cpu", small, minutes=1e-9)
    train_fields(hold_out(fields, "mine"), recipe, out, Watch())
    assert card_of(out)["batches"] == 1
    assert out.is_file()


def test_cancel_keeps_the_best_so_far_and_it_goes_on_to_the_same_weights(fields, out, tmp_path):
    data = hold_out(fields, "mine")

    def progress(done, total, told):
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped, match=r"the best weights so far, of batch .*mine\.safetensors"):
        train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), out, Watch(progress))
    assert card_of(out)["sha256"] == sha256(out)
    train_fields(data, Recipe(BRIEF, "cpu", BUNDLED, resume=True), out, Watch())
    other = tmp_path / "other.safetensors"
    train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), other, Watch())
    assert out.read_bytes() == other.read_bytes()


# What is held out


def test_a_quarter_is_held_out_and_one_at_least(fields):
    for count, held in ((2, 1), (3, 1), (4, 1), (8, 2), (9, 2)):
        many = [replace(fields[0], stem=f"f{i}") for i in range(count)]
        data = hold_out(many, "mine")
        assert len(data.held_out) == held
        assert {one.stem for one in data.learn}.isdisjoint(one.stem for one in data.held_out)
        assert len(data.learn) + held == count
        assert data.learned_from == {"mine": count - held}


def test_datasets_of_one_name_are_told_apart(drawn_dataset, tmp_path):
    other = tmp_path / "other" / drawn_dataset.name
    shutil.copytree(drawn_dataset, other)
    both = [open_dataset(path, "training") for path in (drawn_dataset, other)]
    (name,) = {one.name for one in both}

    data = TrainSets(both, both[:1]).read(0)
    assert data.learned_from == {name: 2, f"{name} (2)": 2}
    assert data.held_out_from == {name: 2}

    data = TrainSets(both, 1).read(0)
    assert data.learned_from == {f"{name}, {name} (2)": 3}


def test_a_field_without_nuclei_is_held_out_last(fields):
    empty = replace(fields[0], stem="empty", labels=np.zeros_like(fields[0].labels))
    for seed in range(5):
        data = hold_out([empty, fields[1], fields[2]], "mine", seed=seed)
        assert data.held_out[0].stem != "empty"


def test_of_one_field_nothing_can_be_held_out_but_it_is_learned_from_on_request(fields, out):
    with pytest.raises(ValueError, match=r"mine: there is one field only, so none can be held o"):
        hold_out(fields[:1], "mine")
    data = hold_out(fields[:1], "mine", 0)
    train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), out, Watch())
    card = card_of(out)
    assert card["best"]["batch"] == 4
    assert card["best"]["mean_ap"] is None
    assert 0 < card["best"]["share"] < 1
    assert not same(read_state(BUNDLED), read_state(out))


def test_one_field_at_least_is_left_to_learn_from(fields):
    with pytest.raises(ValueError, match="mine: 3 of 3 fields cannot be held out"):
        hold_out(fields, "mine", 3)


# Labels of a part


def test_what_lies_outside_the_complete_part_is_not_learned_from(fields, out, tmp_path):
    whole = fields[0]
    complete = np.zeros(whole.labels.shape, bool)
    complete[:, :100] = True
    inside = np.where(complete, whole.labels, 0)
    wrong = np.where(complete, whole.labels, 9999)
    written = []
    for labels in (inside, wrong):
        sparse = replace(whole, labels=labels, complete=complete)
        data = TrainData([sparse], [fields[1]], {"mine": 1}, {"mine": 1})
        target = tmp_path / f"{len(written)}.safetensors"
        train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), target, Watch())
        written.append([float(row["loss"]) for row in rows_of(target) if row["loss"]])
    assert written[0] == written[1]


def test_what_is_found_outside_the_complete_part_is_no_error(fields, out):
    whole = fields[1]
    complete = np.zeros(whole.labels.shape, bool)
    complete[:, :100] = True
    sparse = replace(whole, labels=np.where(complete, whole.labels, 0), complete=complete)
    scores = []
    for held in (whole, sparse):
        data = TrainData([fields[0]], [held], {"mine": 1}, {"mine": 1})
        target = out.with_name(f"{len(scores)}.safetensors")
        once, epochs = replace(BRIEF, batches=1), []
        train_fields(data, Recipe(once, "cpu", BUNDLED), target, Watch(on_epoch=epochs.append))
        assert [epoch.labels.shape for epoch in epochs] == [whole.labels.shape] * 2
        scores.append(card_of(target)["before"]["f1_50"])
    assert scores[0] > 0.9
    assert scores[1] > 0.9


# The result


def test_the_card_tells_data_split_seed_scores_versions_and_licence(fields, out):
    train_fields(hold_out(fields, "my layers"), Recipe(BRIEF, "cpu", BUNDLED), out, Watch())
    card = card_of(out)
    assert card["learned_from"] == [{"name": "my layers", "fields": 2}]
    assert card["held_out"] == [{"name": "my layers", "fields": 1}]
    assert len(card["fields"]["learned_from"]) == 2
    assert card["seed"] == 0
    assert card["started_from"] == "fluo-nuclei.safetensors"
    assert card["licence"] == "CC0-1.0"
    assert card["sha256"] == sha256(out)
    assert 0 < card["before"]["f1_50"] <= 1
    assert 0 < card["best"]["f1_50"] <= 1
    assert "torch" in card["versions"]


def test_a_model_list_tells_what_a_file_learned(fields, out):
    train_fields(hold_out(fields, "my layers"), Recipe(BRIEF, "cpu", BUNDLED), out, Watch())
    model = catalogue.find(str(out))
    assert model.licence == "CC0-1.0"
    assert "learned from 2 fields, starting from fluo-nuclei.safetensors." in model.about
    assert "F1 of what was held out" in model.about
    out.write_bytes(b"other weights")
    assert "learned" not in catalogue.find(str(out)).about  # the card is of other weights


def test_a_taught_model_runs_by_onnx_runtime_on_the_cpu_and_finds_the_same(fields, out):
    params = replace(BRIEF, learning_rate=1e-3)
    train_fields(hold_out(fields[:1], "mine", 0), Recipe(params, "cpu", BUNDLED), out, Watch())
    by_torch = out.with_suffix(".pt")
    torch.save(dict(read_state(out)), by_torch)
    assert networks.fits_graph(out)
    assert not networks.fits_graph(by_torch)
    outputs = []
    for path in (out, by_torch, BUNDLED):
        segment = catalogue.load(catalogue.find(str(path)), "cpu")
        outputs.append(segment(fields[1].image, SegmentParams(), ignore).flows.cellprob)
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-3
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-2


def test_a_file_that_is_cut_off_does_not_fit_the_graph(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(BUNDLED.read_bytes()[:-4])
    assert not networks.fits_graph(path)
    with pytest.raises(ValueError, match=r"cut\.safetensors: not a readable model file"):
        catalogue.load(catalogue.find(str(path)), "cpu")


def test_a_package_of_yesterday_is_not_replaced_unless_asked_for(fields, out):
    package = out.with_name("mine.bioimageio.zip")
    package.write_bytes(b"yesterday's")
    with pytest.raises(FileExistsError, match=r"mine\.bioimageio\.zip already exists; choose an"):
        train_fields(hold_out(fields, "mine"), Recipe(BRIEF, "cpu", BUNDLED), out, Watch())
    assert package.read_bytes() == b"yesterday's"


# Cellpose-SAM, a small one, where a GPU is said to be


@pytest.fixture
def sam(tmp_path, monkeypatch):
    """A file of weights, on a computer whose device has the memory to teach it."""
    monkeypatch.setattr(training_params, "gpu_memory", lambda device: 16 * 10**9)
    with small_sam():
        yield write_small_sam(tmp_path / "cells.pt")


def test_cellpose_sam_is_taught_stopped_gone_on_with_and_used(fields, sam, tmp_path):
    from cellpose.models import CellposeModel

    data, out = hold_out(fields, "mine"), tmp_path / "mine.pt"
    params = starting_params(sam, {"fine_tune": True, "batches": 4, "validate_every": 2})
    recipe = Recipe(replace(params, batch_size=3), "cpu", sam)

    def stop(done, total, told):
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped, match=r"are in .*mine\.pt; go on with --resume"):
        train_fields(data, recipe, out, Watch(stop))
    train_fields(data, replace(recipe, resume=True), out, Watch())
    other = tmp_path / "other.pt"
    train_fields(data, recipe, other, Watch())
    assert same(read_state(out), read_state(other))

    card = card_of(out)
    assert card["started_from"] == "cells.pt"
    assert card["batches"] == 4
    assert card["best"]["mean_ap"] >= card["before"]["mean_ap"]
    segment = catalogue.load(catalogue.find(str(out)), "cpu")
    assert segment(fields[0].image, SegmentParams(), ignore).labels.shape == (160, 200)
    net = CellposeModel(pretrained_model=str(out), device=torch.device("cpu"), use_bfloat16=False)
    assert same(read_state(out), net.net.state_dict())


def test_cellpose_sam_without_a_large_gpu_is_refused_before_data_are_read(sam, out, monkeypatch):
    monkeypatch.setattr(training_params, "gpu_memory", lambda device: 0)
    recipe = Recipe(FINE_TUNING, "cpu", sam)
    with pytest.raises(ValueError, match=r"12 GB of memory; CPU, .*; start from fluo-nucl"):
        train_on(TrainSets([open_dataset_that_is_not_read()], 0), recipe, out, Watch())
    assert not list(out.parent.glob("mine*"))


def test_cellpose_sam_is_not_packed_for_others(sam, out):
    with pytest.raises(ValueError, match=r"only networks like fluo-nuclei, saved as \.saf"):
        check_packable(out, sam)


# Bad input


def test_labels_without_nuclei_are_refused(fields, out):
    empty = [replace(one, labels=np.zeros_like(one.labels)) for one in fields[:2]]
    data = TrainData(empty, [fields[2]], {"mine": 2}, {"mine": 1})
    with pytest.raises(ValueError, match="mine: no field has nuclei, so there is nothing to learn"):
        train_fields(data, Recipe(BRIEF, "cpu", BUNDLED), out, Watch())
    assert not list(out.parent.iterdir())


def test_labels_of_another_shape_are_refused(fields):
    with pytest.raises(ValueError, match="f0: the labels are 160 x 199 px but the image is 160 x "):
        replace(fields[0], labels=fields[0].labels[:, :-1])
    with pytest.raises(ValueError, match="f0: the part that is complete is given on 9 x 9 px"):
        replace(fields[0], complete=np.ones((9, 9), bool))


def test_labels_that_are_none_and_parts_without_a_pixel_are_refused(fields):
    with pytest.raises(ValueError, match="f0: the labels are not whole numbers from 0 on"):
        replace(fields[0], labels=fields[0].labels.astype(float))
    with pytest.raises(ValueError, match="f0: no part of it is complete"):
        replace(fields[0], complete=np.zeros(fields[0].labels.shape, bool))


def test_a_loss_that_is_no_number_ends_it_and_the_best_weights_are_kept(fields, out):
    endless = replace(BRIEF, learning_rate=1.0, batches=10_000, batch_size=2, validate_every=1000)
    data = hold_out(fields, "mine")
    with pytest.raises(
        ValueError,
        match=r"the loss of batch \d+ is (nan|inf).*lower the learning ra"
        r"te; the best weights so far, of batch 0 with AP 0\.\d+, are in .*mine",
    ):
        train_fields(data, Recipe(endless, "cpu", BUNDLED), out, Watch())
    assert same(read_state(BUNDLED), read_state(out))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are of POSIX")
def test_a_full_disk_ends_it_and_tells_so(out, small):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(small), str(out)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "too large for this disk" in done.stdout
    assert not list(out.parent.glob("*.partial"))


FULL_DISK = """
import resource, sys
from pathlib import Path
from napari_nucseg.batch.train_data import hold_out
from napari_nucseg.batch.train_run import Recipe, Watch, train_fields
from tests.batch.test_teaching import BRIEF, plain

start, out = map(Path, sys.argv[1:])
data = hold_out([plain(0), plain(1)], "mine")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    train_fields(data, Recipe(BRIEF, "cpu", start), out, Watch())
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(bool(find_spec("tensorboard")), reason="it is installed")
def test_without_tensorboard_a_log_for_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the package tensorboard is not installed.*pip install"):
        Recipe(BRIEF, "cpu", BUNDLED, tensorboard=tmp_path)


def test_a_log_for_tensorboard_is_written(fields, out, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = Recipe(BRIEF, "cpu", BUNDLED, tensorboard=tmp_path / "log")
    train_fields(hold_out(fields, "mine"), recipe, out, Watch())
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert [event.step for event in log.Scalars("mean_ap")] == [0, 2, 4]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"minutes": 0.0}, "minutes is 0; it must be above 0"),
        ({"start": None}, "fine-tuning changes a model that is there; choose one to start from"),
        ({"resume": True, "overwrite": True}, "--resume and --overwrite exclude each other"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        Recipe(**({"params": BRIEF, "device": "cpu", "start": BUNDLED} | options))

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.scoring import score
from napari_nucseg.core.segmenting import Stopped
from napari_nucseg.segmenters import torch_unet
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.devices import Device, choose
from napari_nucseg.segmenters.net_segmenter import NetSegmenter
from napari_nucseg.segmenters.recipe import LEVELS, WIDEST, TrainParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.training import save, train

BRIEF = TrainParams(width=4, epochs=2, crops_per_epoch=5, crop=64, batch_size=2)
LONGER = replace(BRIEF, width=8, epochs=20, crops_per_epoch=40, batch_size=4, learning_rate=0.003)
PROCESSOR = Device("cpu", "any")


@pytest.fixture(scope="module")
def examples(drawn_fields):
    """Two drawn fields with nuclei and one without."""
    return [(field.image, field.labels) for field in drawn_fields]


@pytest.fixture(scope="module")
def learned(examples):
    """A net that has learned from the drawn nuclei for some seconds."""
    return train(examples[:2], examples[2:], LONGER, device=choose("cpu"), report=ignore)


def brief(examples, params=BRIEF, report=None, **options):
    device = choose("cpu")
    return train(examples, examples[:1], params, device=device, report=report or ignore, **options)


def same_weights(one, other):
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def untrained(params, seed=0):
    torch.manual_seed(seed)
    return ResidualUNet(UNetShape(widths=params.widths)).eval()


def segment(net, image):
    return NetSegmenter("net", "0" * 64, torch_unet.wrap(net, PROCESSOR))(
        image, SegmentParams(), ignore
    )


def loss(net, image, labels):
    """Cross entropy of the cell probability."""
    cellprob = torch.from_numpy(segment(net, image).flows.cellprob)
    return float(F.binary_cross_entropy_with_logits(cellprob, torch.from_numpy(labels > 0).float()))


# Learning


def test_a_net_learns_to_find_nuclei(learned, examples):
    image, labels = examples[0]
    before = untrained(LONGER)
    assert loss(learned, image, labels) < loss(before, image, labels) / 2
    assert score(labels, segment(before, image).labels).pixels.dice < 0.5
    assert score(labels, segment(learned, image).labels).pixels.dice > 0.75
    assert score(labels, segment(learned, image).labels).objects.f1 > 0.4


def test_a_net_learns_from_fields_without_nuclei(drawn_fields):
    empty = drawn_fields[2]
    params = replace(BRIEF, epochs=6, crops_per_epoch=20, learning_rate=0.01)
    net = brief([(empty.image, empty.labels)] * 2, params)
    assert loss(net, empty.image, empty.labels) < loss(untrained(params), empty.image, empty.labels)


def test_the_net_comes_back_ready_to_run(learned):
    assert not learned.training
    assert learned.autocast is None
    assert learned.dtype == torch.float32
    assert {tensor.dtype for tensor in learned.parameters()} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in learned.parameters())
    assert learned.shape == UNetShape(widths=LONGER.widths)
    assert not learned._forward_pre_hooks


def test_the_net_remembers_the_diameter_of_what_it_learned_from(learned, examples):
    areas = [np.bincount(labels.ravel())[1:] for _, labels in examples[:2]]
    expected = np.mean([np.median(2 * np.sqrt(area / np.pi)) for area in areas])
    assert float(learned.diam_labels) == pytest.approx(expected, rel=1e-5)


def test_numbers_of_labels_may_have_gaps(examples):
    gapped = [(image, labels * 3) for image, labels in examples]
    expected = float(brief(examples, replace(BRIEF, epochs=1)).diam_labels)
    found = float(brief(gapped, replace(BRIEF, epochs=1)).diam_labels)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_saved_net_is_the_same_net(learned, examples, tmp_path):
    save(learned, tmp_path / "net.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
    loaded = load_unet(tmp_path / "net.pt")
    assert same_weights(loaded, learned)
    image = examples[0][0]
    assert np.array_equal(segment(loaded, image).labels, segment(learned, image).labels)


# Course of a training


def test_every_batch_is_reported(examples):
    steps = []
    brief(examples, report=lambda done, total: steps.append((done, total)))
    assert steps[:6] == [(batch, 6) for batch in range(6)]  # 2 epochs of 5 crops by 2
    assert all(step == (6, 6) for step in steps[6:])


def test_the_same_seed_gives_the_same_weights(examples):
    first = brief(examples)
    assert same_weights(first, brief(examples))
    assert not same_weights(first, brief(examples, replace(BRIEF, seed=1)))


def test_a_report_that_raises_stops_the_training(examples):
    seen = []

    def stop(done, total):
        seen.append(done)
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        brief(examples, report=stop)
    assert seen == [0, 1, 2]
    assert not brief(examples).training  # and the next one works


def test_a_net_can_go_on_learning(examples):
    start = untrained(BRIEF)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    net = brief(examples, start=start)
    assert net is start
    name = "output.2.weight"
    assert not torch.equal(net.state_dict()[name], before[name])


def test_a_net_whose_training_was_stopped_can_be_used(examples):
    start = untrained(BRIEF)

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        brief(examples, report=stop, start=start)
    assert not start._forward_pre_hooks
    assert segment(start.eval(), examples[0][0]).labels.shape == examples[0][0].shape


def test_nothing_but_the_net_is_changed(examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from cellpose.models import normalize_default

    settings = dict(normalize_default)
    brief(examples)
    assert list(tmp_path.iterdir()) == []
    assert normalize_default == settings


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_images_and_labels_are_left_as_they_were(examples, kind):
    given = [(image.astype(kind), labels * 3) for image, labels in examples]
    before = [(image.copy(), labels.copy()) for image, labels in given]
    brief(given)
    for pair, pair_before in zip(given, before, strict=True):
        assert np.array_equal(pair[0], pair_before[0])
        assert np.array_equal(pair[1], pair_before[1])


# Parameters


def test_the_widths_double_up_to_a_limit():
    assert TrainParams(width=4).widths == (4, 8, 16, 32, 64)
    assert TrainParams(width=24).widths == (24, 48, 96, 128, 128)
    assert len(TrainParams().widths) == LEVELS
    assert max(TrainParams(width=64).widths) == WIDEST


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("epochs", 0), ("crop", 63), ("learning_rate", -1), ("seed", -1)],
)
def test_parameters_outside_their_bounds_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name.replace('_', ' ')} is {value}; it must be"):
        TrainParams(**{name: value})


def ignore(done, total):
    """Take no notice of progress."""

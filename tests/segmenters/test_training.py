"""The loop that trains: what is learned, and that it goes on as if nothing had happened."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.training.crops import batches
from napari_nucseg.segmenters.training.examples import Example
from napari_nucseg.segmenters.training.held_out import score_network
from napari_nucseg.segmenters.training.learner import copy_of, learner_of, new_net
from napari_nucseg.segmenters.training.loop import AVERAGED, Training, loss_of
from napari_nucseg.segmenters.training.params import (
    FINE_TUNING,
    WARM_UP,
    TrainParams,
    learning_rate,
)
from tests.segmenters.random_nets import learn, same

BRIEF = TrainParams(batches=6, batch_size=2, crop=64)
NETS = {
    "fluo": lambda: FluoUNet(FluoShape((8, 8, 8))),
    "u2os": lambda: ResidualUNet(UNetShape(widths=(4, 8))),
    "classic": lambda: ResidualUNet(UNetShape(2, (4, 8), residuals=2, style=True)),
}


def training_of(kind="fluo", params=BRIEF):
    torch.manual_seed(params.seed)
    return Training(learner_of(NETS[kind]()), params, choose("cpu"))


def examples_for(learner, fields):
    return [Example.of(learner.normalise(field.image), field.labels) for field in fields]


@pytest.fixture(scope="module")
def examples(drawn_fields):
    """Two drawn fields with nuclei and one without."""
    return examples_for(learner_of(NETS["fluo"]()), drawn_fields)


def same_weights(one, other):
    return same(one.state_dict(), other.state_dict())


# Learning


@pytest.mark.parametrize("kind", NETS)
def test_every_kind_of_net_learns_from_drawn_nuclei(kind, drawn_fields):
    params = replace(BRIEF, batches=48, batch_size=4, learning_rate=0.01)
    training = training_of(kind, params)
    examples = examples_for(training.learner, drawn_fields)
    losses = learn(training, examples)
    assert len(losses) == training.done == 48
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])
    assert all(torch.isfinite(tensor).all() for tensor in training.averaged.state_dict().values())


def test_a_new_net_is_decided_by_the_seed():
    assert same_weights(new_net(BRIEF), new_net(BRIEF))
    assert not same_weights(new_net(BRIEF), new_net(replace(BRIEF, seed=1)))


def test_the_same_seed_gives_the_same_weights(examples):
    first, same, other = (training_of(params=replace(BRIEF, seed=seed)) for seed in (0, 0, 1))
    for training in (first, same, other):
        learn(training, examples)
    assert same_weights(first.averaged, same.averaged)
    assert not same_weights(first.averaged, other.averaged)


@pytest.mark.parametrize("kind", NETS)
def test_what_was_interrupted_goes_on_to_the_same_weights(kind, examples):
    whole = training_of(kind)
    losses = learn(whole, examples)
    first = training_of(kind)
    begun = learn(first, examples, until=3)
    second = training_of(kind, replace(BRIEF, seed=0))
    second.restore(first.state())
    assert begun + learn(second, examples) == losses
    assert same_weights(second.averaged, whole.averaged)
    assert same_weights(second.learner.net, whole.learner.net)


def test_a_net_without_a_finite_loss_is_left_as_it_was(examples):
    training = training_of()
    with closing(batches(examples, BRIEF, 0)) as drawn:
        batch = next(drawn)
    before = copy_of(training.averaged)
    batch.images[0] = np.nan
    with pytest.raises(ValueError, match="the loss of batch 1 is nan; lower the learning rate"):
        training.learn(batch)
    after = copy_of(training.averaged)
    names = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], after[name]) for name in names)


def test_the_average_follows_the_net_fast_at_first_and_slowly_in_the_end(examples):
    training = training_of(params=replace(BRIEF, learning_rate=0.05))
    name = "head.weight"
    expected = training.averaged.state_dict()[name].double()
    for number, batch in enumerate(batches(examples, training.params, 0), start=1):
        training.learn(batch)
        share = max(1 / AVERAGED, 10 / (10 + number))
        expected = expected + share * (training.learner.net.state_dict()[name] - expected)
    found = training.averaged.state_dict()[name].double()
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.equal(found.float(), training.learner.net.state_dict()[name])


def hold_at_most(net, crops):
    """Let a net's device have memory for so many crops alone."""

    def check(module, inputs):
        if len(inputs[0]) > crops:
            raise torch.OutOfMemoryError("CUDA out of memory")

    net.register_forward_pre_hook(check)


def test_where_memory_is_short_less_goes_through_the_net_at_once_and_the_same_is_learned(examples):
    params = replace(BRIEF, batch_size=8, fine_tune=True)
    roomy, tight = training_of(params=params), training_of(params=params)
    hold_at_most(tight.learner.net, 3)
    losses = learn(roomy, examples), learn(tight, examples)
    assert (roomy.at_once, tight.at_once) == (8, 2)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for one, other in zip(
        copy_of(roomy.averaged).values(), copy_of(tight.averaged).values(), strict=True
    ):
        assert torch.allclose(one.float(), other.float(), atol=1e-3)


def test_memory_for_no_crop_at_all_is_told(examples):
    training = training_of()
    hold_at_most(training.learner.net, 0)
    with pytest.raises(OSError, match="does not have enough memory for a crop of 64 px; lower the"):
        learn(training, examples)


# Fine-tuning


def test_fine_tuning_keeps_the_means_of_the_batches_that_the_model_knows(examples):
    training = training_of(params=replace(BRIEF, fine_tune=True))
    before = copy_of(training.averaged)
    learn(training, examples)
    after = copy_of(training.averaged)
    kept = [name for name in before if "running" in name]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_a_blend_lies_between_the_start_and_what_was_learned(examples):
    training = training_of()
    start = copy_of(training.averaged)
    learn(training, examples)
    learned = copy_of(training.averaged)
    for share in (0.0, 0.25, 1.0):
        blend = copy_of(training.blended(share))
        for name in ("head.weight", "see.bias"):
            expected = start[name] + share * (learned[name] - start[name])
            assert torch.allclose(blend[name], expected, atol=1e-6)


def test_a_part_of_the_crops_is_of_the_old_kind(examples):
    params = replace(BRIEF, batch_size=8)
    old = [replace(one, image=one.image + 1000) for one in examples]
    with closing(batches(examples, params, 0, old)) as drawn:
        crops = next(drawn).images
    assert (crops.reshape(8, -1).max(axis=1) > 500).tolist() == [False] * 6 + [True] * 2


def test_the_learning_rate_of_fine_tuning_stays_after_it_rose():
    rates = [learning_rate(done, FINE_TUNING) for done in (0, 9, 10, 1500)]
    assert rates[0] == pytest.approx(FINE_TUNING.learning_rate / 10)
    assert rates[1:] == [FINE_TUNING.learning_rate] * 3


def test_weights_that_were_copied_do_not_change_any_more(examples):
    training = training_of()
    kept = copy_of(training.averaged)
    before = {name: tensor.clone() for name, tensor in kept.items()}
    learn(training, examples)
    assert all(torch.equal(kept[name], before[name]) for name in kept)
    assert all(tensor.is_contiguous() for tensor in kept.values())


# Loss and learning rate


def test_the_right_answer_has_almost_no_loss_and_each_wrong_one_has(examples):
    batch = examples[0].whole()
    right = torch.from_numpy(np.concatenate([5 * batch.flows, batch.inside[:, None] * 40 - 20], 1))
    assert loss_of(right, batch).item() < 1e-6
    for part in ((slice(None), slice(0, 2)), (slice(None), 2)):
        wrong = right.clone()
        wrong[part] *= -1
        assert loss_of(wrong, batch).item() > 1


def test_the_learning_rate_rises_and_then_falls_to_0():
    params = TrainParams(batches=1000, learning_rate=0.1)
    rates = [learning_rate(done, params) for done in range(1000)]
    highest = int(np.argmax(rates))
    assert highest == pytest.approx(1000 * WARM_UP, abs=1)
    assert rates[highest] == pytest.approx(0.1, rel=0.02)
    assert rates[0] < 0.003
    assert 0 < rates[-1] < 1e-5
    assert all(np.diff(rates[:highest]) > 0)
    assert all(np.diff(rates[highest:]) < 0)


# Batches


def test_a_batch_depends_on_its_number_alone(examples):
    all_of_them = list(batches(examples, BRIEF, 0))
    assert len(all_of_them) == BRIEF.batches
    for first in range(BRIEF.batches):
        later = list(batches(examples, BRIEF, first))
        assert len(later) == BRIEF.batches - first
        for one, other in zip(later, all_of_them[first:], strict=True):
            assert np.array_equal(one.images, other.images)
    assert len({batch.images.tobytes() for batch in all_of_them}) == BRIEF.batches


def test_drawing_ends_with_the_training(examples):
    threads = cv2.getNumThreads()
    with closing(batches(examples, replace(BRIEF, batches=1000), 0)) as drawn:
        next(drawn)
    assert cv2.getNumThreads() == threads
    assert not [one for one in threading.enumerate() if one.name.startswith("crops")]


# Held-out images


@pytest.mark.parametrize("kind", NETS)
def test_held_out_images_are_scored_by_the_averaged_weights(kind, drawn_fields):
    training = training_of(kind)
    examples = examples_for(training.learner, drawn_fields)
    learn(training, examples)
    seen = []
    network = training.network(1.0)
    scores, labels = score_network(network, examples, lambda *step: seen.append(step))
    assert sorted({step[:2] for step in seen}) == [(0, 3), (1, 3), (2, 3)]
    assert labels.shape == examples[0].image.shape
    assert 0 <= scores.mean_ap <= scores.ap_50 <= scores.f1_50 <= 1
    assert 0 < scores.held_out_loss < 100
    assert scores == score_network(network, examples, ignore)[0]


# What a net is fed with


def test_a_residual_net_remembers_the_diameter_of_what_it_learned_from():
    net = NETS["classic"]()
    learner_of(net).set_diameter(21.5)
    assert float(net.diam_labels) == float(net.diam_mean) == 21.5  # so that images stay as they are


def test_a_second_channel_is_empty():
    net = NETS["classic"]().eval()
    image = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        expected = net(torch.cat([image, torch.zeros_like(image)], dim=1))[0]
        assert torch.equal(learner_of(net).forward(net, image), expected)


# Parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [("batches", 0), ("batch_size", 1), ("crop", 63), ("learning_rate", -1), ("seed", -1)],
)
def test_parameters_outside_their_bounds_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name.replace('_', ' ')} is {value}; it must be"):
        TrainParams(**{name: value})


def test_a_crop_fits_every_net():
    with pytest.raises(ValueError, match="crop is 80; it must be a multiple of 32 px"):
        TrainParams(crop=80)


def test_the_smallest_diameter_is_not_above_the_largest():
    with pytest.raises(ValueError, match="smallest diameter is 40 px, above the largest, 30 px"):
        TrainParams(smallest=40, largest=30)

"""Training as the plugin does it, and as Cellpose does: the same residual U-Net, drawn fields."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.rows import Peer, Row, TimesFaster
from benchmarks.setting import Setting
from benchmarks.timing import Clock, interleave
from napari_nucseg.io.synthetic import SyntheticField, draw_field
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.intensities import normalise
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.training.crops import batches
from napari_nucseg.segmenters.training.examples import Example
from napari_nucseg.segmenters.training.learner import learner_of
from napari_nucseg.segmenters.training.loop import Training
from napari_nucseg.segmenters.training.params import TrainParams

WIDTHS = (24, 48, 96, 128, 128)
SHAPE, NUCLEI = (520, 696), (24, 93, 110, 142)
PARAMS = TrainParams(batches=8, batch_size=8, crop=256)
MOST_RUNS = 3
BAR = 1.5


def measure(setting: Setting) -> list[Row]:
    """Take the times of a crop, drawing it included, with the same net on the CPU."""
    torch.manual_seed(PARAMS.seed)
    net = ResidualUNet(UNetShape(widths=WIDTHS))
    fields = [draw_field(nuclei, shape=SHAPE, nuclei=nuclei) for nuclei in NUCLEI]
    learner = learner_of(net)
    examples = [Example.of(learner.normalise(field.image), field.labels) for field in fields]
    ours, cellpose = interleave(
        [_clock(net, _ours(examples)), _clock(net, _cellpose(fields))],
        min(setting.runs, MOST_RUNS),
    )
    precision = Training(learner, PARAMS, choose("cpu")).precision
    what = f"Learning from a crop of {PARAMS.crop} px, in {precision}"
    return [Row(what, ours, Peer("Cellpose's train_seg", cellpose), TimesFaster(BAR))]


def _clock(net: ResidualUNet, train: Callable[[ResidualUNet], None]) -> Clock:
    """Make a clock of a training of a copy; it returns the seconds of a crop.

    They are counted from batch to batch, so that what comes before the first is left out.
    """

    def clock() -> float:
        learning, times = deepcopy(net), []

        def note(module: Any, inputs: Any) -> None:
            times.append(time.perf_counter())

        learning.register_forward_pre_hook(note)
        train(learning)
        return (times[-1] - times[0]) / ((len(times) - 1) * PARAMS.batch_size)

    return clock


def _ours(examples: list[Example]) -> Callable[[ResidualUNet], None]:
    def train(net: ResidualUNet) -> None:
        training = Training(learner_of(net), PARAMS, choose("cpu"))
        with closing(batches(examples, PARAMS, 0)) as drawn:
            for batch in drawn:
                training.learn(batch)

    return train


def _cellpose(fields: list[SyntheticField]) -> Callable[[ResidualUNet], None]:
    def train(net: ResidualUNet) -> None:
        from cellpose.train import train_seg

        with TemporaryDirectory() as folder, warnings.catch_warnings():
            # It opens a float32 autocast, which the CPU does not have and says so
            warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
            train_seg(
                net,
                train_data=[normalise(field.image) for field in fields],
                train_labels=[field.labels.copy() for field in fields],
                normalize={"normalize": False},
                learning_rate=PARAMS.learning_rate,
                weight_decay=PARAMS.weight_decay,
                batch_size=PARAMS.batch_size,
                n_epochs=1,
                nimg_per_epoch=PARAMS.batches * PARAMS.batch_size,
                bsize=PARAMS.crop,
                save_path=folder,
                model_name="net",
            )

    return train

"""Whether an accelerator gives what the CPU gives, and how fast: ``make gpu-check``.

Each check is a function from a `Setting` to its figures; it passes or raises `Missed`. The file
that is written tells all figures, so that two machines can be compared.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.machine import describe
from benchmarks.transformer import random_weights
from napari_nucseg.io.synthetic import SyntheticField, draw_field
from napari_nucseg.metrics.functions import matched_pairs
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Flows, OutOfDeviceMemory, Stopped
from napari_nucseg.segmenters.cellpose4 import CellposeSAM, Tiles, inference_on
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.devices import Device, choose
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.network import NetSegmenter, Network, infer, prepared
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.crops import batches
from napari_nucseg.segmenters.training.examples import Batch, Example
from napari_nucseg.segmenters.training.learner import Learner, learner_of, new_net
from napari_nucseg.segmenters.training.loop import Training
from napari_nucseg.segmenters.training.params import TrainParams, lack_for_sam
from napari_nucseg.segmenters.unet import wrap

PARAMS = SegmentParams()
TOLERANCE = 0.02
"""Mean difference of outputs, in their standard deviations; bfloat16 makes 0.003 of a ViT-L's."""
ALIKE, SHARE = 0.9, 0.99
"""IoU of nuclei that count as the same, and the share of all that has to be."""
TILE = 256
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Figures = Mapping[str, float | int | str]


class Missed(Exception):
    """A device does not do what it should; the message says what it did."""


@dataclass(frozen=True)
class Setting:
    """What every check is told.

    Attributes
    ----------
    device : Device
        The device that is checked.
    fields : tuple of SyntheticField
        Drawn fields, the largest last.
    steps : int
        Batches to learn from.
    crop : int
        Edge of crops that are learned from, in pixels.
    """

    device: Device
    fields: tuple[SyntheticField, ...]
    steps: int
    crop: int


@dataclass(frozen=True)
class Outcome:
    """How a check ended: its name, whether it passed, why not, its seconds and its figures."""

    name: str
    passed: bool
    why: str
    seconds: float
    figures: Figures


def bundled(setting: Setting) -> Figures:
    """Compare the bundled network on the device with the CPU's, which ONNX Runtime runs."""
    model = catalogue.find(catalogue.BUNDLED)
    assert model.path is not None
    by_onnx = catalogue.load(model, "cpu")
    by_torch = NetSegmenter(model, "", wrap(load_unet(model.path), setting.device))
    worst, same, count = 0.0, 0, 0
    for field in setting.fields:
        expected, found = (one(field.image, PARAMS, ignore) for one in (by_onnx, by_torch))
        assert expected.flows is not None
        assert found.flows is not None
        worst = max(worst, _difference(found.flows, expected.flows))
        same += _same(expected.labels, found.labels)
        count += int(max(expected.labels.max(), found.labels.max()))
    _require(worst <= TOLERANCE, f"outputs differ by {worst:.4f} standard deviations")
    return {"difference": worst, **_alike(same, count)}


def transformer(setting: Setting) -> Figures:
    """Compare a Cellpose-SAM with random weights on the device with the CPU's: two tiles."""
    image = draw_field(1, shape=(TILE, 2 * TILE - 64), nuclei=40).image
    with TemporaryDirectory() as folder:
        path = Path(folder) / "random"
        torch.save(random_weights(), path)
        networks = [CellposeSAM.load(path, one) for one in (setting.device, choose("cpu"))]
    found, expected = (_flows(network, image) for network in networks)
    difference = _difference(found, expected)
    _require(difference <= TOLERANCE, f"outputs differ by {difference:.4f} standard deviations")
    precisions = ", ".join(network.precision for network in networks)
    return {"difference": difference, "precisions": precisions}


def flows_to_labels(setting: Setting) -> Figures:
    """Compare labels that the device follows from the CPU's flows with the CPU's."""
    segment = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    same, count = 0, 0
    for field in setting.fields:
        expected = segment(field.image, PARAMS, ignore)
        assert expected.flows is not None
        labels = Labeller(expected.flows, setting.device)(PARAMS)
        same += _same(expected.labels, labels)
        count += int(max(expected.labels.max(), labels.max()))
    return _alike(same, count)


def short_memory(setting: Setting) -> Figures:
    """Let memory suffice for one tile: fewer are run at once. Then for none: the CPU is offered."""
    tiles = Tiles.of(np.ones((1, 2 * TILE, 2 * TILE), np.float32), TILE)

    def scarce(fits: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        def run(some: NDArray[np.float32]) -> NDArray[np.float32]:
            with inference_on(setting.device):
                _fill(setting.device, len(some) / (fits + 0.5))
            return np.zeros((len(some), 3, TILE, TILE), np.float32)

        return run

    _, notes = tiles.run(scarce(1), setting.device, 8, ignore)
    _require(bool(notes) and "1 were run at once" in notes[-1], f"it was not halved: {notes}")
    try:
        tiles.run(scarce(0), setting.device, 8, ignore)
    except OutOfDeviceMemory as error:
        _require("choose the device cpu" in str(error), f"the CPU is not offered: {error}")
        return {"halved": len(notes), "message": str(error)}
    raise Missed("too little memory for a tile was not told")


def cancel(setting: Setting) -> Figures:
    """Ask to stop while the second of many tiles is run: it is the last."""
    tiles = Tiles.of(np.ones((1, 4 * TILE, 4 * TILE), np.float32), TILE)
    place, ran, asked = torch.device(setting.device.kind), 0, math.inf

    def run(some: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal ran, asked
        ran += 1
        asked = time.perf_counter() if ran == 2 else asked
        with inference_on(setting.device):
            threefold = torch.from_numpy(some).to(place).expand(-1, 3, -1, -1)
            smooth: NDArray[np.float32] = functional.avg_pool2d(threefold, 3, 1, 1).cpu().numpy()
        return smooth

    def stop(done: int, total: int, name: str = "", /) -> None:
        if time.perf_counter() >= asked:
            raise Stopped

    try:
        tiles.run(run, setting.device, 1, stop)
    except Stopped:
        waited = time.perf_counter() - asked
        _require(ran == 2, f"{ran} tiles were run though the second was to be the last")
        return {"tiles": len(tiles.cut), "run": ran, "seconds_to_stop": waited}
    raise Missed("it did not stop")


def training(setting: Setting) -> Figures:
    """Learn from a few batches: the loss is finite and falls."""
    params = TrainParams(batches=setting.steps, batch_size=4, crop=setting.crop)
    learner = learner_of(new_net(params))
    with closing(batches(_examples(learner, setting), params, 0)) as drawn:
        return _learned(Training(learner, params, setting.device), drawn)


def transformer_training(setting: Setting) -> Figures:
    """Learn one batch by heart with a Cellpose-SAM of random weights, where that can be taught."""
    if lack := lack_for_sam(setting.device):
        return {"left_out": lack}
    from cellpose.vit import CPSAM

    if setting.device.kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    learner = learner_of(CPSAM())
    params = TrainParams(
        batches=setting.steps, batch_size=4, crop=TILE, learning_rate=1e-4, fine_tune=True
    )
    learning = Training(learner, params, setting.device)
    with closing(batches(_examples(learner, setting), params, 0)) as drawn:
        figures = _learned(learning, [next(drawn)] * setting.steps)
    if setting.device.kind != "cuda":
        return figures
    most = torch.cuda.max_memory_allocated() / 1e9
    return {**figures, "crops_at_once": learning.at_once, "gigabytes": most}


def speed(setting: Setting) -> Figures:
    """Take the seconds of a field, image in, labels out, once the model is warm."""
    model = catalogue.find(catalogue.BUNDLED)
    segment, image = catalogue.load(model, setting.device.kind), setting.fields[-1].image
    times = []
    for _ in range(4):
        start = time.perf_counter()
        segment(image, PARAMS, ignore)
        times.append(time.perf_counter() - start)
    height, width = image.shape
    return {"seconds_a_field": float(np.median(times[1:])), "field": f"{height} x {width} px"}


CHECKS = (
    bundled, transformer, flows_to_labels, short_memory, cancel, training, transformer_training,
    speed,
)  # fmt: skip
LONG = (transformer, transformer_training)
"""Checks that a shortened run leaves out."""


def check(device: Device, short: bool = False) -> list[Outcome]:
    """Do all checks on a device, or all but the long ones on small fields."""
    shape, counts = ((128, 160), (12,)) if short else ((520, 696), (24, 110, 231))
    fields = tuple(draw_field(n, shape=shape, nuclei=n) for n in counts)
    setting = Setting(device, fields, steps=4 if short else 20, crop=64 if short else 256)
    return [_outcome(one, setting) for one in CHECKS if not (short and one in LONG)]


def _outcome(one: Callable[[Setting], Figures], setting: Setting) -> Outcome:
    start, why = time.perf_counter(), ""
    figures: Figures = {}
    try:
        figures = one(setting)
    except Exception as error:  # noqa: BLE001 - whatever a device does, the other checks go on
        why = str(error) if isinstance(error, Missed) else f"{type(error).__name__}: {error}"
    return Outcome(one.__name__, not why, why, time.perf_counter() - start, figures)


def _examples(learner: Learner, setting: Setting) -> list[Example]:
    return [Example.of(learner.normalise(one.image), one.labels) for one in setting.fields]


def _learned(learning: Training, drawn: Iterable[Batch]) -> Figures:
    """Learn from batches; the loss has to fall."""
    start = time.perf_counter()
    losses = [learning.learn(batch) for batch in drawn]
    seconds = (time.perf_counter() - start) / len(losses)
    few = max(1, len(losses) // 4)
    first, last = float(np.mean(losses[:few])), float(np.mean(losses[-few:]))
    _require(last < first, f"the loss went from {first:.3f} to {last:.3f}")
    return {"steps": len(losses), "first_loss": first, "last_loss": last, "seconds_a_step": seconds}


def _flows(network: Network, image: NDArray[Any]) -> Flows:
    return infer(network, network.normalise(prepared(image, PARAMS), PARAMS), PARAMS, ignore)


def _difference(found: Flows, expected: Flows) -> float:
    """Return the larger mean difference of flows and cell probability, in standard deviations."""
    pairs = (found.vectors, expected.vectors), (found.cellprob, expected.cellprob)
    return max(float(np.abs(one - other).mean() / other.std()) for one, other in pairs)


def _same(expected: NDArray[np.int32], found: NDArray[np.int32]) -> int:
    return len(matched_pairs(expected, found, threshold=ALIKE))


def _alike(same: int, count: int) -> Figures:
    _require(same >= SHARE * count > 0, f"{same} of {count} nuclei are the same")
    return {"same_nuclei": same, "nuclei": count}


def _fill(device: Device, share: float) -> None:
    """Ask for a share of the memory; other devices than CUDA promise more than they have."""
    if device.kind == "cuda":
        free, _ = torch.cuda.mem_get_info()
        torch.empty(int(share * free), dtype=torch.uint8, device="cuda")
    elif share > 1:
        raise torch.OutOfMemoryError("not enough memory, for a check")


def _require(met: bool, why: str) -> None:
    if not met:
        raise Missed(why)


@app.command()
def main(
    device: Annotated[str, typer.Option(help="cuda, mps or cpu.")] = "cuda",
    short: Annotated[
        bool, typer.Option("--short", help="Small fields, fewer batches, no transformer.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
) -> None:
    """Check a device against the CPU; exit code 1 if it does not do what it should."""
    try:
        place = choose(device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    outcomes = check(place, short)
    for one in outcomes:
        told = one.why or ", ".join(f"{name} {value}" for name, value in one.figures.items())
        print(f"{'ok  ' if one.passed else 'FAIL'} {one.name}, {one.seconds:.1f} s: {told}")
    if json_file is not None:
        left_out = [one.__name__ for one in LONG] if short else []
        record = {"device": str(place), "machine": asdict(describe()), "left_out": left_out}
        text = json.dumps(record | {"checks": [asdict(one) for one in outcomes]}, indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")
    if not all(one.passed for one in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    app()

"""Training on a dataset, with a record of how the weights came about."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_nucseg import __version__
from napari_nucseg.core.fields import Dataset
from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Report
from napari_nucseg.core.sources import sha256
from napari_nucseg.runs.saving import write_json
from napari_nucseg.segmenters.recipe import TrainParams
from napari_nucseg.segmenters.torch_import import load_torch


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    params : TrainParams
        Size of the net and course of the training.
    device : str
        auto, cuda, mps or cpu.
    start : Path or None
        Weights to go on from; random ones if None.
    """

    params: TrainParams
    device: str = "auto"
    start: Path | None = None


def train_on(
    learn: Dataset,
    held_out: Dataset,
    recipe: Recipe,
    out: Path,
    report: Report,
) -> None:
    """Train a net and write its weights, and beside them ``<name>.json``: how they were made.

    Parameters
    ----------
    learn, held_out : Dataset
        What is learned from, and what the loss is logged on.
    recipe : Recipe
        Size of the net, course of the training, and where it begins.
    out : Path
        File of the weights.
    report : callable
        Called with (batches done, batches in all).
    """
    _require_target(out)
    load_torch()
    from napari_nucseg.segmenters.checkpoints import load_unet
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.training import save, train

    shared = {field.stem for field in learn.fields} & {field.stem for field in held_out.fields}
    if shared:
        raise ValueError(
            f"{len(shared)} fields are in both {learn.name} and {held_out.name}, the first is "
            f"{min(shared)}; hold out fields that are not learned from"
        )
    place = choose(recipe.device)
    begin = None if recipe.start is None else load_unet(recipe.start)
    start = time.perf_counter()
    net = train(
        _examples(learn),
        _examples(held_out),
        recipe.params,
        device=place,
        report=report,
        start=begin,
    )
    save(net, out)
    write_json(
        out.with_suffix(".json"),
        {
            "learned_from": {"name": learn.name, "fields": len(learn.fields)},
            "held_out": {"name": held_out.name, "fields": len(held_out.fields)},
            "parameters": asdict(recipe.params),
            "start": None if recipe.start is None else sha256(recipe.start),
            "device": str(place),
            "version": __version__,
            "minutes": round((time.perf_counter() - start) / 60, 1),
        },
    )


def _require_target(out: Path) -> None:
    """Find out before hours of training that its result could not be saved."""
    if out.is_dir():
        raise IsADirectoryError(f"{out}: a folder; give the name of a file for the weights")
    if out.suffix == ".json":
        raise ValueError(f"{out}: weights are no JSON; name the file .pt")
    out.parent.mkdir(parents=True, exist_ok=True)


def _examples(dataset: Dataset) -> list[tuple[NDArray[Any], Labels]]:
    return [(field.read_image().data, field.read_truth()) for field in dataset.fields]

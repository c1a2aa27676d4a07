"""Training on a dataset, with a record of how the weights came about."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_nucseg import __version__
from napari_nucseg.core.fields import Dataset
from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Report
from napari_nucseg.runs.saving import write_json
from napari_nucseg.segmenters.recipe import TrainParams


def train_on(
    learn: Dataset,
    held_out: Dataset,
    params: TrainParams,
    out: Path,
    device: str,
    report: Report,
) -> None:
    """Train a net and write its weights, and beside them ``<name>.json``: how they were made.

    Parameters
    ----------
    learn, held_out : Dataset
        What is learned from, and what the loss is logged on.
    params : TrainParams
        Size of the net and course of the training.
    out : Path
        File of the weights.
    device : str
        auto, cuda, mps or cpu.
    report : callable
        Called with (batches done, batches in all).
    """
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.training import save, train

    shared = {field.stem for field in learn.fields} & {field.stem for field in held_out.fields}
    if shared:
        raise ValueError(
            f"{len(shared)} fields are in both {learn.name} and {held_out.name}, the first is "
            f"{min(shared)}; hold out fields that are not learned from"
        )
    place = choose(device)
    start = time.perf_counter()
    net = train(_examples(learn), _examples(held_out), params, device=place, report=report)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(net, out)
    write_json(
        out.with_suffix(".json"),
        {
            "learned_from": {"name": learn.name, "fields": len(learn.fields)},
            "held_out": {"name": held_out.name, "fields": len(held_out.fields)},
            "parameters": asdict(params),
            "device": str(place),
            "version": __version__,
            "minutes": round((time.perf_counter() - start) / 60, 1),
        },
    )


def _examples(dataset: Dataset) -> list[tuple[NDArray[Any], Labels]]:
    return [(field.read_image().data, field.read_truth()) for field in dataset.fields]

"""The command that trains a model."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucseg.cli.options import (
    Components,
    DeviceName,
    console,
    counting,
    errors,
    fetch_weights,
    follow_with,
    takes,
    warn_of_reading,
)
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.parameters import TrainParams


@takes(TrainParams, "Training")
def train(
    datasets: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATASET...",
            help="Folders, or tables of pairs (.csv), of one or more datasets; or a folder of "
            "images and one of their ground truth.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File of the new weights, .pt or .safetensors.")
    ],
    split: Annotated[str, typer.Option(help="Split of each dataset to learn from.")] = "training",
    held_out: Annotated[
        str, typer.Option(help="Split of each dataset that decides which weights are the best.")
    ] = "validation",
    start: Annotated[
        str | None,
        typer.Option(
            help="U-Net to go on from: fluo-nuclei, nuclei ... or a file; a new one if not given."
        ),
    ] = None,
    device: DeviceName = "auto",
    components: Components = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier training.")
    ] = False,
    chosen: dict[str, Any] | None = None,
) -> None:
    """Train a U-Net; the weights that do best on the held-out split are saved.

    Beside them lie a log (.csv, .png) and how they were made (.json). After Ctrl-C the best so
    far are saved; after any interruption the same command with --resume goes on.
    """
    from napari_nucseg.batch.train_run import Recipe, TrainSets, train_on
    from napari_nucseg.io.datasets import open_datasets

    params = TrainParams(**(chosen or {}))
    learn, held = open_datasets(datasets, split), open_datasets(datasets, held_out)
    if components:
        learn, held = ([one.with_components() for one in each] for each in (learn, held))
    sets = TrainSets(learn, held)
    recipe = Recipe(params, device, _find_start(start, device), resume, overwrite)
    try:
        with counting() as bar, _stop_between_steps() as check:
            move = follow_with(bar, "Batches")

            def follow(done: int, total: int, told: str = "", /) -> None:
                move(done, total, told)
                check()

            train_on(sets, recipe, out, follow, tell=partial(warn_of_reading, components))
    except Stopped as stop:
        told = str(stop) or "nothing was learned yet"
        errors.print(f"Stopped; {told}", soft_wrap=True, markup=False, highlight=False)
        raise KeyboardInterrupt from None
    console.print(f"Weights are in {out}; use them with --model {out}")


def _find_start(name: str | None, device: str) -> Path | None:
    """Look up the weights to go on from, and fetch them if need be."""
    if name is None:
        return None
    model = catalogue.find(name)
    if model.path is None:
        raise ValueError(
            f"{name} has no weights to go on from; choose a U-Net, such as fluo-nuclei"
        )
    fetch_weights(model, device)
    return model.path


@contextmanager
def _stop_between_steps() -> Iterator[Callable[[], None]]:
    """Give what raises `Stopped` after Ctrl-C, so that nothing is left half done.

    A second Ctrl-C stops at once. Where Ctrl-C is ignored, as by background jobs of a shell, it
    stays so.
    """
    pressed: list[int] = []

    def note(number: int, frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    def check() -> None:
        if pressed:
            raise Stopped

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)

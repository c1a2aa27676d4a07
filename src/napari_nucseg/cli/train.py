"""The command that trains a model."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucseg.cli.options import (
    Components,
    DeviceName,
    console,
    counting,
    errors,
    fetch_weights,
    follow_with,
    grouped,
    takes,
    warn_of_reading,
)
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.parameters import TrainParams

if TYPE_CHECKING:
    from napari_nucseg.batch.train_run import Recipe, TrainSets


@dataclass(frozen=True)
class DataOptions:
    """What to learn from, and what to be scored on."""

    datasets: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATASET...",
            help="Folders, or tables of pairs (.csv), of one or more datasets; or a folder of "
            "images and one of their ground truth.",
        ),
    ]
    split: Annotated[str, typer.Option(help="Split of each dataset to learn from.")] = "training"
    held_out: Annotated[
        str, typer.Option(help="Split of each dataset that decides which weights are the best.")
    ] = "validation"
    components: Components = False

    def open(self) -> TrainSets:
        """Open the datasets."""
        from napari_nucseg.batch.train_run import TrainSets
        from napari_nucseg.io.datasets import open_datasets

        sets = [open_datasets(self.datasets, split) for split in (self.split, self.held_out)]
        if self.components:
            sets = [[one.with_components() for one in each] for each in sets]
        return TrainSets(*sets)


@dataclass(frozen=True)
class CourseOptions:
    """Where training begins, and what becomes of an earlier one."""

    start: Annotated[
        str | None,
        typer.Option(
            help="U-Net to go on from: fluo-nuclei, nuclei ... or a file; a new one if not given."
        ),
    ] = None
    device: DeviceName = "auto"
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier training.")
    ] = False

    def recipe(self, chosen: dict[str, Any] | None) -> Recipe:
        """Say how to train, by parameters other than the usual ones."""
        from napari_nucseg.batch.train_run import Recipe

        params = TrainParams(**(chosen or {}))
        start = _find_start(self.start, self.device)
        return Recipe(params, self.device, start, self.resume, self.overwrite)


@takes(TrainParams, "Training")
@grouped
def train(
    data: DataOptions,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File of the new weights, .pt or .safetensors.")
    ],
    course: CourseOptions,
    chosen: dict[str, Any] | None = None,
) -> None:
    """Train a U-Net; the weights that do best on the held-out split are saved.

    Beside them lie a log (.csv, .png) and how they were made (.json). After Ctrl-C the best so
    far are saved; after any interruption the same command with --resume goes on.
    """
    from napari_nucseg.batch.train_run import train_on

    sets, recipe = data.open(), course.recipe(chosen)
    try:
        with counting() as bar, _stop_between_steps() as check:
            move = follow_with(bar, "Batches")

            def follow(done: int, total: int, told: str = "", /) -> None:
                move(done, total, told)
                check()

            train_on(sets, recipe, out, follow, tell=partial(warn_of_reading, data.components))
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

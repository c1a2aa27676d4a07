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

from napari_nucseg.cli.console import (
    console,
    counting,
    errors,
    follow_with,
    print_json,
    told_beside,
    warn_of_reading,
)
from napari_nucseg.cli.options import (
    AsJson,
    Components,
    DeviceName,
    WellOptions,
    complete_splits,
    examples,
    fetch_weights,
    grouped,
    path_argument,
    path_option,
    takes,
)
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.training.params import TrainParams, check_start, starting_params

EXAMPLES = examples(
    ("Teach the bundled model", "train images labels --fine-tune --out mine.safetensors")
)

if TYPE_CHECKING:
    from napari_nucseg.batch.train_data import TrainSets
    from napari_nucseg.batch.train_run import Recipe
    from napari_nucseg.io.fields import Dataset
    from napari_nucseg.io.plates import PlateOptions
    from napari_nucseg.segmenters.model import Model


@dataclass(frozen=True)
class DataOptions:
    """What to learn from, and what to be scored on."""

    datasets: Annotated[
        list[Path],
        path_argument(
            "Folders, tables of pairs (.csv) or plates of OME-Zarr, of one or more datasets; or a "
            "folder of images and one of their ground truth.",
            metavar="DATASET...",
        ),
    ]
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of each dataset to learn from: training if there are lists, else all.",
            autocompletion=complete_splits,
        ),
    ] = None
    held_out: Annotated[
        str | None,
        typer.Option(
            help="Split of each dataset that decides which weights are the best; validation if "
            "there are lists.",
            autocompletion=complete_splits,
        ),
    ] = None
    hold_out: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many fields to hold out instead of a split, chosen by the seed; 0 for none. "
            "A quarter if there are no lists.",
        ),
    ] = None
    components: Components = False
    complete_in: Annotated[
        Path | None,
        path_option(
            "Folder of GeoJSON or ImageJ ROI files named as the fields: all nuclei inside their "
            "polygons are labelled. Nothing outside is learned or scored, and fields without a "
            "file are left out."
        ),
    ] = None

    def open(self, plate: PlateOptions) -> TrainSets:
        """Open the datasets."""
        from napari_nucseg.batch.train_data import TrainSets
        from napari_nucseg.io.datasets import list_splits

        if self.hold_out is not None and self.held_out is not None:
            raise ValueError("--hold-out and --held-out exclude each other; choose one of them")
        has_lists = any(list_splits(path) for path in self.datasets)
        split = self.split or ("training" if has_lists else None)
        held_out = self.held_out or ("validation" if has_lists else None)
        if self.hold_out is not None or held_out is None:
            return TrainSets(self._open(split, plate), self.hold_out, self.complete_in)
        return TrainSets(self._open(split, plate), self._open(held_out, plate), self.complete_in)

    def _open(self, split: str | None, plate: PlateOptions) -> list[Dataset]:
        from napari_nucseg.io.datasets import open_datasets

        opened = open_datasets(self.datasets, split, plate)
        return [one.with_components() for one in opened] if self.components else opened


@dataclass(frozen=True)
class CourseOptions:
    """Where training begins, and what becomes of an earlier one."""

    start: Annotated[
        str | None,
        typer.Option(
            help="Model to go on from: fluo-nuclei, nuclei, cpsam (on a GPU of 12 GB) ... or a "
            "file; a new one if not given, but fluo-nuclei with --fine-tune."
        ),
    ] = None
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes at the latest.")
    ] = None
    device: DeviceName = "auto"
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier training.")
    ] = False
    tensorboard: Annotated[Path | None, path_option("Folder for a log that TensorBoard shows.")] = (
        None
    )
    bioimageio: Annotated[
        bool,
        typer.Option("--bioimageio", help="Write a BioImage.IO package (.bioimageio.zip), too."),
    ] = False

    def start_model(self, chosen: dict[str, Any] | None) -> Model | None:
        """Look up the model to go on from; None for a new network.

        Raises
        ------
        ValueError
            If there is none of that name, or it cannot be taught.
        """
        name = self.start or (catalogue.BUNDLED if (chosen or {}).get("fine_tune") else None)
        model = None if name is None else catalogue.find(name)
        if model is not None and model.path is None:
            raise ValueError(f"{name} has no weights to go on from; choose fluo-nuclei, or another")
        return model

    def recipe(self, chosen: dict[str, Any] | None, start: Path | None) -> Recipe:
        """Say how to train, by parameters other than those that suit the start."""
        from napari_nucseg.batch.train_run import Recipe

        return Recipe(
            starting_params(start, chosen or {}),
            self.device,
            start,
            self.resume,
            self.overwrite,
            float("inf") if self.minutes is None else self.minutes,
            self.tensorboard,
        )


@takes(TrainParams, "Training")
@grouped
def train(
    data: DataOptions,
    wells: WellOptions,
    out: Annotated[
        Path, path_option("File of the new weights, .pt or .safetensors.", "--out", "-o")
    ],
    course: CourseOptions,
    chosen: dict[str, Any] | None = None,
    as_json: AsJson = False,
) -> None:
    """Train a model; the weights that do best on the held-out fields are saved.

    To teach a model from a few fields of your own, use --fine-tune.

    Beside the weights lie a log (.csv, .png) and how they were made (.json).

    After Ctrl-C the best so far are saved. After any stop the same command with --resume goes on.
    """
    from napari_nucseg.batch.train_run import Watch, train_on
    from napari_nucseg.segmenters.model import card_of
    from napari_nucseg.segmenters.training.package import write_package

    with told_beside(as_json):
        sets, recipe = _prepare(data, wells.plate, course, chosen, out)
    try:
        with counting() as bar, _stop_between_steps() as check:
            move = follow_with(bar, "Batches")

            def follow(done: int, total: int, told: str = "", /) -> None:
                move(done, total, told)
                check()

            warn = partial(warn_of_reading, data.components)
            train_on(sets, recipe, out, Watch(follow, tell=warn))
    except Stopped as stop:
        told = str(stop) or "nothing was learned yet"
        errors.print(f"Stopped; {told}", soft_wrap=True, markup=False, highlight=False)
        raise KeyboardInterrupt from None
    package = str(write_package(out)) if course.bioimageio else None
    if as_json:
        print_json({"weights": str(out), "bioimageio": package, "card": card_of(out)})
        return
    console.print(f"Weights are in {out}; use them with --model {out}")
    if package is not None:
        console.print(f"The BioImage.IO package is {package}")


def _prepare(
    data: DataOptions,
    plate: PlateOptions,
    course: CourseOptions,
    chosen: dict[str, Any] | None,
    out: Path,
) -> tuple[TrainSets, Recipe]:
    """Refuse what cannot be done, then open the datasets and fetch the weights to go on from."""
    from napari_nucseg.segmenters.training.package import check_packable

    model = course.start_model(chosen)
    recipe = course.recipe(chosen, None if model is None else model.path)
    check_start(recipe.start, recipe.params, recipe.device, out)
    if course.bioimageio:
        check_packable(out, recipe.start)
    sets = data.open(plate)
    if model is not None:
        fetch_weights(model, course.device)
    return sets, recipe


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

"""Training on datasets, with a log, checkpoints, and a record of how the weights came about."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg import __version__
from napari_nucseg.batch.plan import differences
from napari_nucseg.batch.train_course import TrainFiles, write_curves, write_log
from napari_nucseg.batch.train_data import TrainField, check_held_out, read_fields
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.sources import sha256
from napari_nucseg.io.writers import write_json
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.devices import load_torch
from napari_nucseg.segmenters.parameters import TrainParams
from napari_nucseg.system_info import versions

if TYPE_CHECKING:
    from napari_nucseg.batch.train_course import TrainingCourse

ENDINGS = (".pt", ".safetensors")
"""Endings of files of weights; each is written in its own format."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    params : TrainParams
        Batches, crops and learning rate of the training.
    device : str
        auto, cuda, mps or cpu.
    start : Path or None
        Weights to go on from; a new network for any nuclei if None.
    resume : bool
        Whether to go on with a training that was interrupted.
    overwrite : bool
        Whether to replace files of an earlier training.
    """

    params: TrainParams
    device: str = "auto"
    start: Path | None = None
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class TrainSets:
    """Datasets to train with.

    Attributes
    ----------
    learn : sequence of Dataset
        Datasets that the network learns from.
    held_out : sequence of Dataset
        Datasets whose scores decide which weights are the best.
    """

    learn: Sequence[Dataset]
    held_out: Sequence[Dataset]


def _ignore(note: str) -> None:
    """Take no notice of how files were read."""


def train_on(
    sets: TrainSets,
    recipe: Recipe,
    out: Path,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = _ignore,
) -> None:
    """Train a net and write the weights that did best on what is held out.

    Beside them lie ``<name>.csv`` and ``<name>.png``, the log, and ``<name>.json``: how they were
    made. Until it is done there is a checkpoint, too, from which the same command goes on.

    Parameters
    ----------
    sets : TrainSets
        Datasets to learn from, and datasets that are held out.
    recipe : Recipe
        Course of the training, and where it begins.
    out : Path
        File of the weights, ``.pt`` or ``.safetensors``.
    progress : Progress
        Called with (batches done, batches in all, how it goes) before each batch and each
        held-out image.
    clock : callable
        Seconds from any beginning on, which tell when a checkpoint is due.
    tell : callable
        Called with what the user should know of how files were read.

    Raises
    ------
    Stopped
        If `progress` raised it: the best weights so far are written, and so is the checkpoint. It
        says so.
    ValueError, OSError
        If the files are taken, the data are of no use, or the checkpoint is of something else.
    """
    files = TrainFiles(out)
    _check_targets(files, recipe)
    load_torch()
    course = _prepare(sets, recipe, files, progress, clock, tell)
    try:
        course.save()
        course.run()
    except Stopped:
        course.save()
        _finish(course, sets)
        raise Stopped(_where_it_is(course)) from None
    _finish(course, sets)
    files.checkpoint.unlink()


def _check_targets(files: TrainFiles, recipe: Recipe) -> None:
    """Find out before hours of training that its result could not be saved."""
    if files.weights.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"{files.weights}: the name of the file for the weights must end with "
            f"{' or '.join(ENDINGS)}"
        )
    if files.weights.is_dir():
        raise IsADirectoryError(
            f"{files.weights}: this is a folder; give the name of a file for the weights"
        )
    if recipe.resume and recipe.overwrite:
        raise ValueError("--resume and --overwrite exclude each other; choose one of them")
    if recipe.resume and not files.checkpoint.is_file():
        raise FileNotFoundError(
            f"{files.checkpoint}: there is no checkpoint to go on from; leave out --resume to "
            "begin, and give the same --out as before to go on"
        )
    if not recipe.resume and not recipe.overwrite:
        _refuse_taken(files)
    files.weights.parent.mkdir(parents=True, exist_ok=True)


def _refuse_taken(files: TrainFiles) -> None:
    taken = [path for path in files.all if path.exists()]
    if not taken:
        return
    ways = ["choose another name", "replace it with --overwrite"]
    if files.checkpoint in taken:
        ways.insert(0, "go on from the checkpoint with --resume")
    raise FileExistsError(f"{taken[0]} already exists; {', or '.join(ways)}")


def _prepare(
    sets: TrainSets,
    recipe: Recipe,
    files: TrainFiles,
    progress: Progress,
    clock: Callable[[], float],
    tell: Callable[[str], None],
) -> TrainingCourse:
    """Read the data, make or load the net, and bring it to where it was if it is to go on."""
    from napari_nucseg.batch.train_course import TrainingCourse
    from napari_nucseg.segmenters.checkpoints import load_unet, read_record
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.training.examples import Example, mean_diameter
    from napari_nucseg.segmenters.training.loop import Learner, Training, new_net

    device = choose(recipe.device)
    net = new_net(recipe.params) if recipe.start is None else load_unet(recipe.start)
    learn, held_out = read_fields(sets.learn), read_fields(sets.held_out)
    for note in (note for one in (*learn, *held_out) for note in one.notes):
        tell(note)
    check_held_out(learn, held_out, _names(sets.learn), _names(sets.held_out))
    plan = _plan(recipe, learn, held_out)
    record = read_record(files.checkpoint) if recipe.resume else None
    if record is not None:
        _refuse_another(record["plan"], plan, files.checkpoint)
    learner = Learner(net)
    examples: list[Example] = []
    for number, one in enumerate([*learn, *held_out]):
        progress(0, recipe.params.batches, f"preparing {one.stem}, image {number + 1}")
        examples.append(Example.of(learner.normalise(one.image), one.labels))
    count = len(learn)
    learner.set_diameter(mean_diameter(examples[:count]))
    training = Training(learner, recipe.params, device)
    course = TrainingCourse(
        training, examples[:count], examples[count:], files, plan, progress=progress, clock=clock
    )
    if record is not None:
        course.restore(record)
    return course


def _plan(
    recipe: Recipe, learn: Sequence[TrainField], held_out: Sequence[TrainField]
) -> dict[str, Any]:
    """Write down all that the course of a training depends on."""
    return {
        "version": __version__,
        "parameters": asdict(recipe.params),
        "start": None if recipe.start is None else sha256(recipe.start),
        "learned_from": [str(field) for field in learn],
        "held_out": [str(field) for field in held_out],
    }


def _refuse_another(old: dict[str, Any], new: dict[str, Any], checkpoint: Path) -> None:
    found = differences(old, new)
    if found:
        raise ValueError(
            f"{checkpoint}: it belongs to another training ({'; '.join(found)}); give the same "
            "options and data to go on, or start over with --overwrite"
        )


def _finish(course: TrainingCourse, sets: TrainSets) -> None:
    """Write the best weights there are, if any, with their record and the log."""
    from napari_nucseg.segmenters.checkpoints import write_state

    files, best = course.files, course.best
    if best is None:
        return
    ending = files.weights.suffix
    write_whole(files.weights, lambda file: write_state(best.weights, file, ending))
    write_log(files.log, course.rows)
    write_curves(files.curves, course.rows)
    training = course.training
    write_json(
        files.record,
        {
            "learned_from": _told(sets.learn),
            "held_out": _told(sets.held_out),
            "parameters": course.plan["parameters"],
            "start": course.plan["start"],
            "batches": training.done,
            "best": {"batch": best.batch, **asdict(best.scores)},
            "device": str(training.device),
            "precision": training.precision,
            "versions": versions(),
            "hours": round(course.seconds / 3600, 3),
            "fields": {name: course.plan[name] for name in ("learned_from", "held_out")},
        },
    )


def _where_it_is(course: TrainingCourse) -> str:
    """Tell after a stop what is there."""
    best = course.best
    if best is None:
        return "no weights were scored yet, so none are saved; go on with --resume"
    return (
        f"the best weights so far, of batch {best.batch} with AP {best.scores.mean_ap:.3f}, are in "
        f"{course.files.weights}; go on with --resume"
    )


def _names(datasets: Sequence[Dataset]) -> str:
    return ", ".join(dataset.name for dataset in datasets)


def _told(datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    return [{"name": dataset.name, "fields": len(dataset.fields)} for dataset in datasets]

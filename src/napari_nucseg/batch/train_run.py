"""Training on datasets or on fields in memory, with a log, checkpoints, and a card of the result.

A panel teaches a model in a worker so::

    data = hold_out(fields, "my layers")
    recipe = Recipe(FINE_TUNING, start=networks.BUNDLED.path, minutes=3)
    train_fields(data, recipe, Path("mine.safetensors"), Watch(progress, on_epoch))

`on_epoch` gets losses, scores and outlines each time that the held-out fields were scored. To
cancel, `progress` raises `Stopped`: the best weights so far are written, with their card.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucseg import __version__
from napari_nucseg.batch.run_setup import differences
from napari_nucseg.batch.train_data import TrainData, TrainSets
from napari_nucseg.batch.train_log import Epoch, TrainFiles
from napari_nucseg.io.atomic import is_of_disk
from napari_nucseg.io.sources import sha256
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.devices import load_torch
from napari_nucseg.segmenters.training.package import check_tensorboard, log_scalars
from napari_nucseg.segmenters.training.params import TrainParams, check_start

if TYPE_CHECKING:
    from napari_nucseg.batch.train_course import Lessons, TrainingCourse
    from napari_nucseg.segmenters.training.learner import Learner

ENDINGS = (".pt", ".safetensors")
"""Endings of files of weights; each is written in its own format."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: from what, for how long, and on which device.

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
    minutes : float
        When to stop at the latest; interruptions do not count. Infinite for no such limit.
    tensorboard : Path or None
        Folder for a log that TensorBoard shows; none is written if None.
    """

    params: TrainParams
    device: str = "auto"
    start: Path | None = None
    resume: bool = False
    overwrite: bool = False
    minutes: float = float("inf")
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes:g}; it must be above 0")
        if self.params.fine_tune and self.start is None:
            raise ValueError("fine-tuning changes a model that is there; choose one to start from")
        if self.tensorboard is not None:
            check_tensorboard()
        if self.resume and self.overwrite:
            raise ValueError("--resume and --overwrite exclude each other; choose one of them")


def _ignore(_: object) -> None:
    """Do nothing with what is told."""


@dataclass(frozen=True)
class Watch:
    """What is called while a training goes on.

    Attributes
    ----------
    progress : Progress
        Called with (batches done, batches in all, how it goes) before each batch and each
        held-out image. If it raises `Stopped`, the training ends.
    on_epoch : callable
        Called with an `Epoch` each time that the held-out images were scored.
    tell : callable
        Called with what the user should know of how files were read.
    clock : callable
        Seconds from any beginning on, which tell when a checkpoint is due and the time is over.
    """

    progress: Progress = ignore
    on_epoch: Callable[[Epoch], None] = _ignore
    tell: Callable[[str], None] = _ignore
    clock: Callable[[], float] = time.monotonic


def train_on(sets: TrainSets, recipe: Recipe, out: Path, watch: Watch) -> None:
    """Train on datasets; see `train_fields`, which raises the same."""
    _check_targets(TrainFiles(out), recipe)
    data = sets.read(recipe.params.seed)
    for note in sets.notes_of(data):
        watch.tell(note)
    if not isinstance(sets.held_out, Sequence):
        names = ", ".join(one.stem for one in data.held_out) or "none"
        watch.tell(f"held out, and not learned from: {names}")
    train_fields(data, recipe, out, watch)


def train_fields(data: TrainData, recipe: Recipe, out: Path, watch: Watch) -> None:
    """Train a net and write the weights that did best on what is held out.

    Beside them lie ``<name>.csv`` and ``<name>.png``, the log, and ``<name>.json``, the card:
    how they were made and how they do. Until it is done there is a checkpoint, too, from which it
    goes on after any interruption; see ``Recipe.resume``.

    Parameters
    ----------
    data : TrainData
        Fields to learn from, and fields that are held out; see `hold_out`.
    recipe : Recipe
        Course of the training, and where it begins.
    out : Path
        File of the weights, ``.pt`` or ``.safetensors``.
    watch : Watch
        Who is told how it goes, and may stop it.

    Raises
    ------
    Stopped
        If `progress` raised it: the best weights so far are written, and so is the checkpoint. It
        says so.
    ValueError, OSError
        If the files are taken, the data are of no use, the checkpoint is of something else; or if
        the loss is no number any more, memory is too short or the disk is full: then the best
        weights so far are written, if that can be, and the message says so.
    """
    files = TrainFiles(out)
    _check_targets(files, recipe)
    data.check()
    load_torch()
    course = _prepare(data, recipe, files, watch)
    try:
        course.save()
        course.run()
    except Stopped:
        course.save()
        course.save_result(data, recipe.start)
        raise Stopped(f"{_where_it_is(course)}; go on with --resume") from None
    except (ValueError, OSError) as error:
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{error}; {_rescue(course, data, recipe)}") from error
    course.save_result(data, recipe.start)
    files.checkpoint.unlink()


def _check_targets(files: TrainFiles, recipe: Recipe) -> None:
    """Find out before hours of training that its result could not be saved."""
    if files.weights.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"{files.weights}: the name of the file for the weights must end with "
            f"{' or '.join(ENDINGS)}"
        )
    check_start(recipe.start, recipe.params, recipe.device, files.weights)
    if folder := next((path for path in files.all if path.is_dir()), None):
        raise IsADirectoryError(f"{folder}: this is a folder; give another name to the weights")
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


def _prepare(data: TrainData, recipe: Recipe, files: TrainFiles, watch: Watch) -> TrainingCourse:
    """Make or load the net, and bring it to where it was if it is to go on."""
    from napari_nucseg.batch.train_course import TrainingCourse
    from napari_nucseg.segmenters.checkpoints import read_record
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.training.examples import mean_diameter
    from napari_nucseg.segmenters.training.learner import load_learner
    from napari_nucseg.segmenters.training.loop import Training

    device = choose(recipe.device)
    plan = _plan(recipe, data)
    record = read_record(files.checkpoint) if recipe.resume else None
    if record is not None:
        _refuse_another(record["plan"], plan, files.checkpoint)
    learner = load_learner(recipe.start, recipe.params)
    lessons = _prepare_lessons(learner, data, recipe.params, watch.progress)
    learner.set_diameter(mean_diameter(lessons.learn))
    course = TrainingCourse(
        Training(learner, recipe.params, device), lessons, files, plan, watch.progress,
        watch.clock, _telling(watch, data, recipe.tensorboard), recipe.minutes,
    )  # fmt: skip
    if record is not None:
        course.restore(record)
    return course


def _telling(watch: Watch, data: TrainData, folder: Path | None) -> Callable[[Epoch], None]:
    """Tell of each epoch with labels of the whole field, and write it for TensorBoard, too."""
    from napari_nucseg.segmenters.training.examples import around

    def tell(epoch: Epoch) -> None:
        if folder is not None:
            log_scalars(folder, epoch.row.batch, asdict(epoch.row))
        if epoch.labels is not None and data.held_out[0].complete is not None:
            whole = np.zeros(data.held_out[0].labels.shape, np.int32)
            whole[around(data.held_out[0].complete)] = epoch.labels
            epoch = replace(epoch, labels=whole)
        watch.on_epoch(epoch)

    return tell


def _prepare_lessons(
    learner: Learner, data: TrainData, params: TrainParams, progress: Progress
) -> Lessons:
    from napari_nucseg.batch.train_course import Lessons
    from napari_nucseg.segmenters.training.examples import Example, drawn_examples

    examples: list[Example] = []
    for number, one in enumerate([*data.learn, *data.held_out]):
        progress(0, params.batches, f"preparing {one.stem}, image {number + 1}")
        examples.append(Example.of(learner.normalise(one.image), one.labels, one.complete))
    count = len(data.learn)
    old = drawn_examples(learner.normalise) if params.fine_tune else ()
    return Lessons(examples[:count], examples[count:], old)


def _plan(recipe: Recipe, data: TrainData) -> dict[str, Any]:
    """Write down all that the course of a training depends on."""
    return {
        "version": __version__,
        "parameters": asdict(recipe.params),
        "start": None if recipe.start is None else sha256(recipe.start),
        "learned_from": [str(field) for field in data.learn],
        "held_out": [str(field) for field in data.held_out],
    }


def _refuse_another(old: dict[str, Any], new: dict[str, Any], checkpoint: Path) -> None:
    found = differences(old, new)
    if found:
        raise ValueError(
            f"{checkpoint}: it belongs to another training ({'; '.join(found)}); give the same "
            "options and data to go on, or start over with --overwrite"
        )


def _rescue(course: TrainingCourse, data: TrainData, recipe: Recipe) -> str:
    """Save the best weights after a failure, and tell where they are."""
    try:
        course.save_result(data, recipe.start)
    except OSError as error:
        if not is_of_disk(error):
            raise
        return "the best weights could not be saved either; free some space and go on with --resume"
    return _where_it_is(course)


def _where_it_is(course: TrainingCourse) -> str:
    """Tell after a stop what is there."""
    best = course.best
    if best is None:
        return "no weights were scored yet, so none are saved"
    how_good = "" if best.scores is None else f" with AP {best.scores.mean_ap:.3f}"
    return (
        f"the best weights so far, of batch {best.batch}{how_good}, are in {course.files.weights}"
    )

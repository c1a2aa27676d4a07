"""What the train panel's worker does: plain values in, and in words what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_nucseg.batch.train_data import TrainData, TrainField, TrainSets, hold_out
from napari_nucseg.batch.train_log import TrainFiles
from napari_nucseg.batch.train_run import Recipe, Watch, train_fields
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters import catalogue, devices, timing
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.model import Model, card_of
from napari_nucseg.segmenters.training.params import TrainParams, check_start, is_sam
from napari_nucseg.ui.jobs import BatchCountdown, Hand, RemainingTime
from napari_nucseg.ui.train.fields import FieldInput
from napari_nucseg.wording import as_duration, counted, listed

if TYPE_CHECKING:
    from napari_nucseg.batch.train_log import Epoch

RESUME = "Resume"
"""What the switch is called that goes on with an interrupted training."""
NOTHING = (
    "There are no labels to learn from. Open an image and paint its nuclei in a Labels layer, or "
    "segment it and correct the labels."
)
ONE_FIELD = (
    "There is one field only, so none can be held out, and nothing would tell whether the model "
    "gets better. Label a second one, or choose to hold out 0 fields."
)


@dataclass(frozen=True)
class TrainRequest:
    """What is asked for, as plain values.

    Attributes
    ----------
    fields : tuple of FieldInput
        Fields of layers; none if a folder is learned from.
    folder : Path or None
        Folder of a dataset, or none if layers are learned from.
    hold_out : int or None
        How many fields are held out; None for a quarter, or for a dataset's own list.
    start : Model
        Model that is taught.
    params : TrainParams
        How it learns.
    device : str
        auto, cuda, mps or cpu.
    minutes : float
        When to stop at the latest.
    out : Path
        File for the weights.
    resume : bool
        Whether to go on with an interrupted training.
    """

    fields: tuple[FieldInput, ...]
    folder: Path | None
    hold_out: int | None
    start: Model
    params: TrainParams
    device: str
    minutes: float
    out: Path
    resume: bool


@dataclass(frozen=True)
class HeldOut:
    """Which fields are held out.

    Attributes
    ----------
    names : tuple of str
        Names of the fields; none if nothing is held out.
    number : int or None
        Number of the first of them among the fields of the request.
    image : ndarray or None
        Its image, where it is of a folder.
    learned : int
        Number of the fields to learn from.
    notes : tuple of str
        What the user should know of how files were read.
    """

    names: tuple[str, ...]
    number: int | None
    image: NDArray[Any] | None
    learned: int
    notes: tuple[str, ...]

    @property
    def told(self) -> str:
        """Say which fields are held out."""
        if not self.names:
            return f"Nothing is held out. Learning from {counted(self.learned, 'field')}."
        return (
            f"Held out, and never learned from: {listed(self.names)}. Learning from "
            f"{counted(self.learned, 'other field')}."
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes
    ----------
    path : Path or None
        File of the weights; None if none were saved.
    told : str
        What came out, in words.
    """

    path: Path | None
    told: str


def teach(request: TrainRequest, progress: Progress, hand: Hand) -> Outcome:
    """Fetch weights, read the fields, and train; called in a worker.

    Parameters
    ----------
    request : TrainRequest
        What is asked for.
    progress : Progress
        Called with (batches done, batches in all, how it goes); may raise to stop.
    hand : callable
        Called with `HeldOut`, then with each `Epoch`, and with the `Outcome` if the training was
        stopped or failed; what was best until then is saved.

    Raises
    ------
    Stopped
        If `progress` raised it.
    ValueError, OSError
        If it cannot be done; the message says what to do in the panel.
    """
    start, fetching = request.start, RemainingTime(progress, 1)
    check_start(start.path, request.params, request.device, request.out)
    catalogue.download(start, fetching.follow_download(start.name, start.megabytes))
    data, held = _read(request, progress)
    hand(held)
    epochs: list[Epoch] = []

    def on_epoch(epoch: Epoch) -> None:
        epochs.append(epoch)
        hand(epoch)

    recipe = Recipe(
        request.params, request.device, start.path, request.resume, minutes=request.minutes
    )
    watch = Watch(BatchCountdown(progress).report, on_epoch)
    try:
        train_fields(data, recipe, request.out, watch)
    except Stopped:
        hand(outcome_of(request.out, held.names, start.name, epochs, stopped=True))
        raise
    except (ValueError, OSError) as error:
        if request.out.is_file():
            hand(outcome_of(request.out, held.names, start.name, epochs))
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(_in_words_of_the_panel(error)) from error
    finally:
        _remember_pace(epochs, start.path, request.device)
    return outcome_of(request.out, held.names, start.name, epochs)


def outcome_of(
    path: Path,
    held_out: Sequence[str],
    start: str,
    epochs: Sequence[Epoch],
    *,
    stopped: bool = False,
) -> Outcome:
    """Say what came of a training, by the card beside its weights.

    Parameters
    ----------
    path : Path
        File of the weights, if any were saved.
    held_out : sequence of str
        Names of the held-out fields.
    start : str
        Name of the model that was taught.
    epochs : sequence of Epoch
        What was tried, whether it was kept or not.
    stopped : bool
        Whether the user stopped it.
    """
    card = card_of(path)
    may_go_on = stopped and TrainFiles(path).checkpoint.is_file()
    on = f" To go on from there, leave {RESUME} ticked and press Train." if may_go_on else ""
    if not card:
        return Outcome(None, f"Stopped before anything was scored, so no model is saved.{on}")
    before, best = card.get("before") or {}, card["best"]
    tried = max((one.row.mean_ap or 0 for one in epochs if one.row.share), default=0.0)
    where = f"on what was held out ({listed(held_out)})"
    said = _describe_scores(before, {**best, "tried": tried}, start, where)
    begun = "Stopped. The best so far is kept. " if stopped else ""
    return Outcome(path, f"{begun}{said}. Saved as {path}.{on}")


def _describe_scores(
    before: Mapping[str, Any], best: Mapping[str, Any], start: str, where: str
) -> str:
    if best.get("mean_ap") is None:
        return "Nothing was held out, so nothing tells whether it became better: look at its labels"
    f1, ap, tried = best["f1_50"], best["mean_ap"], best["tried"]
    if not best["share"] and tried > ap:
        return (
            f"What it learned raised the mean AP from {ap:.3f} to {tried:.3f} {where}, but nuclei "
            f"are lost that {start} finds, there or in drawn fields. So the file holds the weights "
            f"of {start}. Label more fields"
        )
    if not best["share"]:
        return (
            f"It became no better than {start} {where}: F1 at 0.5 is {f1:.3f}, mean AP {ap:.3f}. "
            f"The file holds the weights of {start}. Label more fields"
        )
    f1, ap = (f"{before[name]:.3f} \u2192 {best[name]:.3f}" for name in ("f1_50", "mean_ap"))
    return f"F1 at 0.5: {f1}, mean AP: {ap}, {where}"


def describe_hold_out(count: int, held: int | None) -> str:
    """Say how many of so many fields will be held out: a number that is chosen, or a quarter."""
    if not count:
        return "Nothing is labelled, or lies in a shape of the layer that is chosen."
    if count == 1 and held is None:
        return ONE_FIELD
    if held == 0:
        return "Nothing is held out, so nothing will tell whether it gets better."
    some = max(1, count // 4) if held is None else held
    return f"{some} of {counted(count, 'field')} will be held out."


def describe_pace(start: Path | None, wanted: str, minutes: float) -> str:
    """Say where a model will learn, how long, and how much it learns in that time, if measured."""
    try:
        device = devices.known(wanted)
    except ValueError as error:
        return str(error)
    longest = f"stops by itself, after {as_duration(60 * minutes)} at the latest"
    if device is None:
        return f"A GPU if PyTorch can use one here, else the CPU; {longest}"
    pace = timing.of_this_machine().known(_pace_key(start, device))
    if not pace:
        return f"{device}; {longest}; not timed here yet"
    return f"{device}; {longest}; that is about {60 * minutes / pace:.0f} batches"


def _read(request: TrainRequest, progress: Progress) -> tuple[TrainData, HeldOut]:
    """Read all fields, and choose what is held out."""
    if request.folder is None:
        fields: list[TrainField] = []
        for number, one in enumerate(request.fields):
            progress(number, len(request.fields), f"Reading {one.stem}")
            fields.append(one.read())
        data = hold_out(fields, "layers", request.hold_out, request.params.seed)
    else:
        progress(0, 1, f"Reading {request.folder.name}")
        data = TrainSets.of_folder(request.folder, request.hold_out).read(request.params.seed)
        fields = []
    first = data.held_out[0] if data.held_out else None
    place = next((n for n, one in enumerate(fields) if one is first), None)
    image = None if first is None or place is not None else first.image
    names = tuple(one.stem for one in data.held_out)
    notes = tuple(note for one in (*data.learn, *data.held_out) for note in one.notes)
    return data, HeldOut(names, place, image, len(data.learn), notes)


def _in_words_of_the_panel(error: Exception) -> str:
    """Name what to press where a message names options of the command line."""
    return str(error).replace("with --overwrite", "under another name").replace("--resume", RESUME)


def _remember_pace(epochs: Sequence[Epoch], start: Path | None, wanted: str) -> None:
    """Remember how long a batch took, with its share of the scoring."""
    if len(epochs) < 2:
        return
    first, last = epochs[0].row, epochs[-1].row
    if last.batch > first.batch:
        pace = (last.seconds - first.seconds) / (last.batch - first.batch)
        timing.of_this_machine().record(_pace_key(start, devices.choose(wanted)), pace)


def _pace_key(start: Path | None, device: devices.Device) -> str:
    of = ", Cellpose-SAM" if start is not None and is_sam(start) else ""
    return f"seconds a batch of training: {device}{of}"

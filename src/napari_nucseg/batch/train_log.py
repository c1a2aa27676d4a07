"""What a training tells and writes: epochs, files, log and curves, and weights with their card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg.array_types import Labels
from napari_nucseg.batch.train_data import TrainData
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.sources import sha256
from napari_nucseg.io.writers import write_json, write_table
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model import card_of
from napari_nucseg.segmenters.training.package import ENDING as PACKAGE_ENDING
from napari_nucseg.system_info import versions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_nucseg.segmenters.checkpoints import State
    from napari_nucseg.segmenters.training.held_out import HeldOutScores

_SCORES = ("held_out_loss", "mean_ap", "ap_50", "f1_50")
"""Names of scores in a row of the log and in the card."""
_DOTS_PER_INCH = 150
_LOSS, _HELD_OUT, _AP, _AP_50, _F1 = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
_KEPT = "#808080"
_ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.0, "ncols": 3}
_ABOVE |= {"frameon": False, "fontsize": "small", "handlelength": 1.2, "columnspacing": 1.0}
"""Where the legend of a plot lies: above it, where it covers no curve."""


@dataclass(frozen=True)
class LogRow:
    """A moment of a training; the column names of its table.

    Attributes
    ----------
    batch : int
        Number of batches that were learned from so far.
    learning_rate : float
        Learning rate of the last of these batches.
    loss : float or None
        Mean over the batches since the row before; None without any.
    held_out_loss, mean_ap, ap_50, f1_50 : float or None
        Loss and scores of the averaged weights on the held-out images; None where they were not
        scored.
    seconds : float
        Seconds of training so far, without interruptions.
    share : float or None
        Share of what was learned in the weights that were scored, the rest being the start; 1
        where nothing is blended.
    kept : bool
        Whether these weights were kept, as the best so far.
    """

    batch: int
    learning_rate: float
    loss: float | None
    held_out_loss: float | None = None
    mean_ap: float | None = None
    ap_50: float | None = None
    f1_50: float | None = None
    seconds: float = 0.0
    share: float | None = None
    kept: bool = False


@dataclass(frozen=True)
class Epoch:
    """What is told each time that the held-out images were scored.

    Attributes
    ----------
    row : LogRow
        Losses and scores. In fine-tuning the first is of batch 0, the model before it learned.
    labels : ndarray of int32, shape (height, width), or None
        What these weights find in the first held-out image; None where nothing is held out.
    """

    row: LogRow
    labels: Labels | None


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes
    ----------
    batch : int
        Number of batches that were learned from before these weights were scored.
    scores : HeldOutScores or None
        Scores of these weights on the held-out images; None if nothing is held out.
    weights : mapping
        The weights, averaged over the batches so far, by their names in the network.
    share : float
        Share of what was learned in them; the rest is the start.
    """

    batch: int
    scores: HeldOutScores | None
    weights: State
    share: float


@dataclass(frozen=True)
class TrainFiles:
    """The files of a training, named after that of its weights."""

    weights: Path

    @property
    def checkpoint(self) -> Path:
        """What an interrupted training goes on from."""
        return self.weights.with_name(f"{self.weights.name}.checkpoint")

    @property
    def log(self) -> Path:
        """The table of `LogRow`."""
        return self.weights.with_suffix(".csv")

    @property
    def curves(self) -> Path:
        """Picture of the losses and scores of the table, batch by batch."""
        return self.weights.with_suffix(".png")

    @property
    def record(self) -> Path:
        """How the weights were made."""
        return self.weights.with_suffix(".json")

    @property
    def package(self) -> Path:
        """The weights for BioImage.IO, if they are asked for."""
        return self.weights.with_suffix(PACKAGE_ENDING)

    @property
    def all(self) -> tuple[Path, ...]:
        """All of them, the weights first."""
        own = self.weights, self.checkpoint, self.log, self.curves, self.record
        return *own, self.package


def write_log(path: Path, rows: Sequence[LogRow]) -> None:
    """Write the table; what is not known at a row is an empty cell, and what is true is 1."""
    write_table(path, [asdict(row) | {"kept": int(row.kept)} for row in rows])


def write_curves(path: Path, rows: Sequence[LogRow]) -> None:
    """Draw losses above and scores below, over the batches, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.0), layout="constrained")
    for axes in draw_curves(figure, rows):
        axes.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=_DOTS_PER_INCH))


def draw_curves(figure: Figure, rows: Sequence[LogRow]) -> tuple[Axes, Axes]:
    """Draw losses into the upper half of a figure and scores into the lower."""
    above, below = figure.subplots(2, 1, sharex=True)
    _draw(above, [(row.batch, row.loss) for row in rows], "loss", _LOSS)
    _draw(above, [(row.batch, row.held_out_loss) for row in rows], "held-out loss", _HELD_OUT)
    _draw(below, [(row.batch, row.mean_ap) for row in rows], "AP .50:.95", _AP)
    _draw(below, [(row.batch, row.ap_50) for row in rows], "AP at 0.5", _AP_50)
    _draw(below, [(row.batch, row.f1_50) for row in rows], "F1 at 0.5", _F1)
    above.set_ylabel("Loss")
    above.set_yscale("log")
    below.set_ylabel("Held-out score")
    below.set_xlabel("Batches")
    below.set_ylim(0, 1.02)
    kept = [row.batch for row in rows if row.kept]
    for axes in (above, below):
        axes.grid(alpha=0.25)
        if kept:
            label = "saved" if axes is above else "_"  # which no legend shows
            axes.axvline(kept[-1], color=_KEPT, linestyle=":", label=label)
        axes.legend(**_ABOVE)
    return above, below


def _draw(axes: Axes, points: Sequence[tuple[int, float | None]], label: str, colour: str) -> None:
    known = [(batch, value) for batch, value in points if value is not None]
    marker = "o" if len(known) <= 100 else ""
    batches, values = [batch for batch, _ in known], [value for _, value in known]
    axes.plot(batches, values, marker=marker, ms=3, color=colour, label=label)


def save_result(
    files: TrainFiles,
    rows: Sequence[LogRow],
    best: Best,
    course: Mapping[str, Any],
    data: TrainData,
    start: Path | None,
) -> None:
    """Write the best weights, with their log and their card.

    The card says what they learned from, how they do, and on which terms they may be used.

    Parameters
    ----------
    files : TrainFiles
        Where all is written.
    rows : sequence of LogRow
        The course of the training, at its end or wherever it stopped.
    best : Best
        The weights.
    course : mapping
        What the card says of the course of the training.
    data : TrainData
        What it learned from, and what was held out.
    start : Path or None
        Weights that it began with; None for a new network.
    """
    from napari_nucseg.segmenters.checkpoints import write_state

    write_whole(files.weights, lambda file: write_state(best.weights, file, files.weights.suffix))
    write_log(files.log, rows)
    write_curves(files.curves, rows)
    before = next((row for row in rows if row.batch == 0 and row.share == 0), None)
    card = {
        "name": files.weights.name,
        "sha256": sha256(files.weights),
        "licence": _licence_of(start),
        "learned_from": _listed(data.learned_from),
        "held_out": _listed(data.held_out_from),
        "started_from": None if start is None else start.name,
        "before": None if before is None else {key: getattr(before, key) for key in _SCORES},
        "best": {
            "batch": best.batch,
            "share": best.share,
            **(asdict(best.scores) if best.scores else dict.fromkeys(_SCORES)),
        },
        "versions": versions(),
    }
    write_json(files.record, {**card, **course})


def _licence_of(start: Path | None) -> str:
    """Return the terms of what a training began with; empty where they are not known."""
    if start is None:
        return ""
    known = [model.licence for model in catalogue.models() if model.path == start]
    return known[0] if known else str(card_of(start).get("licence", ""))


def _listed(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "fields": count} for name, count in counts.items()]

"""The course of a training: batches, scores, log and checkpoints, from any batch on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.writers import write_table
from napari_nucseg.progress import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_nucseg.segmenters.checkpoints import State
    from napari_nucseg.segmenters.training.examples import Batch, Example
    from napari_nucseg.segmenters.training.loop import HeldOutScores, Training

CHECKPOINT_SECONDS = 180
"""What an interruption costs at most, but for the time to score the held-out images."""
LOG_EVERY = 100
"""Batches."""

_DOTS_PER_INCH = 150
_LOSS, _HELD_OUT, _AP, _AP_50, _F1 = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes
    ----------
    batch : int
        Number of batches that were learned from before these weights were scored.
    scores : HeldOutScores
        Scores of these weights on the held-out images.
    weights : mapping
        The weights, averaged over the batches so far, by their names in the network.
    """

    batch: int
    scores: HeldOutScores
    weights: State


@dataclass
class TrainingCourse:
    """A training with its log; what it holds between two batches can be saved and gone on from.

    Attributes
    ----------
    training : Training
        The network, with its optimiser and its device.
    learn, held_out : sequence of Example
        Images to learn from, and images that the network is scored on.
    files : TrainFiles
        Paths of log, checkpoint and weights.
    plan : mapping
        Everything that the course depends on; kept in the checkpoint.
    progress : Progress
        Called before each batch and each held-out image.
    clock : callable
        Returns seconds, from any point in time on.
    rows : list of LogRow
        Rows of the log, one a validation.
    best : Best or None
        The weights to keep; None before the held-out images were scored.
    """

    training: Training
    learn: Sequence[Example]
    held_out: Sequence[Example]
    files: TrainFiles
    plan: Mapping[str, Any]
    progress: Progress
    clock: Callable[[], float]
    rows: list[LogRow] = field(default_factory=list, init=False)
    best: Best | None = field(default=None, init=False)
    _losses: list[float] = field(default_factory=list, init=False)
    """Losses of the batches since the last row."""
    _scored: int = field(default=0, init=False)
    """Batches done when the held-out images were last scored."""
    _seconds: float = field(default=0.0, init=False)
    """Seconds that earlier sessions took."""
    _saved: float = field(default=0.0, init=False)
    """Time of the last checkpoint, by the clock."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._begun = self._saved = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds of training so far; interruptions are not counted."""
        return self._seconds + self.clock() - self._begun

    def run(self) -> None:
        """Train to the end; what `progress` raises leaves a course that can be saved."""
        from napari_nucseg.segmenters.training.crops import batches

        training = self.training
        total = training.params.batches
        with closing(batches(self.learn, training.params, training.done)) as drawn:
            while training.done < total or self._is_scoring_due:
                if self._is_scoring_due:
                    self._score()
                else:
                    self.progress(training.done, total, self._told)
                    self._learn(next(drawn))
                if self.clock() - self._saved >= CHECKPOINT_SECONDS:
                    self.save()
        self.progress(total, total, self._told)

    def save(self) -> None:
        """Write the checkpoint."""
        from napari_nucseg.segmenters.checkpoints import write_record

        best = self.best
        record = {
            "plan": dict(self.plan),
            "training": self.training.state(),
            "rows": [asdict(row) for row in self.rows],
            "losses": self._losses,
            "scored": self._scored,
            "seconds": self.seconds,
            "best": best
            and {"batch": best.batch, "scores": asdict(best.scores), "weights": best.weights},
        }
        write_whole(self.files.checkpoint, lambda file: write_record(record, file))
        self._saved = self.clock()

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from what `save` wrote."""
        from napari_nucseg.segmenters.training.loop import HeldOutScores

        self.training.restore(record["training"])
        self.rows = [LogRow(**row) for row in record["rows"]]
        self._losses = list(record["losses"])
        self._scored = record["scored"]
        self._seconds = record["seconds"]
        best = record["best"]
        if best is not None:
            self.best = Best(best["batch"], HeldOutScores(**best["scores"]), best["weights"])

    @property
    def _is_scoring_due(self) -> bool:
        done, params = self.training.done, self.training.params
        due = done % params.validate_every == 0 or done == params.batches
        return due and self._scored < done

    @property
    def _told(self) -> str:
        """Say in words how far the training is and how it goes."""
        known = self._losses or [row.loss for row in self.rows[-1:] if row.loss is not None]
        parts = [f"loss {sum(known) / len(known):.3f}"] if known else []
        if self.best is not None:
            parts.append(f"best AP {self.best.scores.mean_ap:.3f}")
        return ", ".join(parts)

    def _learn(self, batch: Batch) -> None:
        self._losses.append(self.training.learn(batch))
        if self.training.done % LOG_EVERY == 0 and not self._is_scoring_due:
            self._log(None)

    def _score(self) -> None:
        """Score the averaged weights, and keep them if they are the best so far."""
        from napari_nucseg.segmenters.training.loop import score_held_out

        done, total = self.training.done, self.training.params.batches

        def tell(number: int, images: int, _: str = "", /) -> None:
            self.progress(done, total, f"scoring held-out image {number + 1} of {images}")

        scores = score_held_out(self.training, self.held_out, tell)
        if self.best is None or scores.mean_ap > self.best.scores.mean_ap:
            self.best = Best(done, scores, self.training.weights())
        self._scored = done
        self._log(scores)
        write_curves(self.files.curves, self.rows)
        self.save()

    def _log(self, scores: HeldOutScores | None) -> None:
        from napari_nucseg.segmenters.training.loop import learning_rate

        done, losses = self.training.done, self._losses
        row = LogRow(
            batch=done,
            learning_rate=learning_rate(done - 1, self.training.params),
            loss=sum(losses) / len(losses) if losses else None,
            seconds=round(self.seconds, 1),
        )
        if scores is not None:
            row = replace(row, **asdict(scores))
        self.rows.append(row)
        self._losses = []
        write_log(self.files.log, self.rows)


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
    """

    batch: int
    learning_rate: float
    loss: float | None
    held_out_loss: float | None = None
    mean_ap: float | None = None
    ap_50: float | None = None
    f1_50: float | None = None
    seconds: float = 0.0


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
    def all(self) -> tuple[Path, ...]:
        """All of them, the weights first."""
        return self.weights, self.checkpoint, self.log, self.curves, self.record


def write_log(path: Path, rows: Sequence[LogRow]) -> None:
    """Write the table; what is not known at a row is an empty cell."""
    write_table(path, [asdict(row) for row in rows])


def write_curves(path: Path, rows: Sequence[LogRow]) -> None:
    """Draw losses above and scores below, over the batches, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _draw(above, [(row.batch, row.loss) for row in rows], "loss", _LOSS)
    _draw(above, [(row.batch, row.held_out_loss) for row in rows], "held-out loss", _HELD_OUT)
    _draw(below, [(row.batch, row.mean_ap) for row in rows], "AP .50:.95", _AP)
    _draw(below, [(row.batch, row.ap_50) for row in rows], "AP at 0.5", _AP_50)
    _draw(below, [(row.batch, row.f1_50) for row in rows], "F1 at 0.5", _F1)
    above.set_ylabel("Loss")
    above.set_yscale("log")
    below.set_ylabel("Score of held-out images, mean")
    below.set_xlabel("Batches")
    below.set_ylim(0, 1.02)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=_DOTS_PER_INCH))


def _draw(axes: Axes, points: Sequence[tuple[int, float | None]], label: str, colour: str) -> None:
    known = [(batch, value) for batch, value in points if value is not None]
    marker = "o" if len(known) <= 100 else ""
    batches, values = [batch for batch, _ in known], [value for _, value in known]
    axes.plot(batches, values, marker=marker, ms=3, color=colour, label=label)

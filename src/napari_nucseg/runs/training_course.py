"""The course of a training: batches, scores, log and checkpoints, from any batch on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_nucseg.runs.training_log import LogRow, TrainFiles, write_curves, write_log
from napari_nucseg.runs.whole_files import write_whole

if TYPE_CHECKING:
    from napari_nucseg.segmenters.checkpoints import State
    from napari_nucseg.segmenters.crops import Batch, Example
    from napari_nucseg.segmenters.held_out import HeldOutScores
    from napari_nucseg.segmenters.training import Training

Follow = Callable[[int, int, str], None]
"""Called with (batches done, batches in all, how it goes); may raise `Stopped`."""
CHECKPOINT_SECONDS = 180
"""What an interruption costs at most, but for the time to score the held-out images."""
LOG_EVERY = 100
"""Batches."""


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes
    ----------
    batch : int
        Batches that they were averaged over.
    scores : HeldOutScores
        Theirs.
    weights : mapping
        By their names.
    """

    batch: int
    scores: HeldOutScores
    weights: State


@dataclass
class Course:
    """A training with its log; what it holds between two batches can be saved and gone on from.

    Attributes
    ----------
    training : Training
        Of the network.
    learn, held_out : sequence of Example
        What is learned from, and what the network is scored on.
    files : TrainFiles
        Where log and checkpoint go.
    plan : mapping
        All that the course depends on; kept in the checkpoint.
    follow : callable
        Called before each batch and each held-out image.
    clock : callable
        Seconds from any beginning on.
    rows : list of LogRow
        The log.
    best : Best or None
        The weights to keep; None before the held-out images were scored.
    """

    training: Training
    learn: Sequence[Example]
    held_out: Sequence[Example]
    files: TrainFiles
    plan: Mapping[str, Any]
    follow: Follow
    clock: Callable[[], float]
    rows: list[LogRow] = field(default_factory=list, init=False)
    best: Best | None = field(default=None, init=False)
    _losses: list[float] = field(default_factory=list, init=False)
    """Of the batches since the last row."""
    _scored: int = field(default=0, init=False)
    """Batches done when the held-out images were last scored."""
    _seconds: float = field(default=0.0, init=False)
    """Before this session."""
    _saved: float = field(default=0.0, init=False)
    """Time of the last checkpoint, by the clock."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._begun = self._saved = self.clock()

    @property
    def seconds(self) -> float:
        """That the training took, without interruptions."""
        return self._seconds + self.clock() - self._begun

    def run(self) -> None:
        """Train to the end; what `follow` raises leaves a course that can be saved."""
        from napari_nucseg.segmenters.training import batches

        training = self.training
        total = training.params.batches
        with closing(batches(self.learn, training.params, training.done)) as drawn:
            while training.done < total or self._is_scoring_due:
                if self._is_scoring_due:
                    self._score()
                else:
                    self.follow(training.done, total, self._told)
                    self._learn(next(drawn))
                if self.clock() - self._saved >= CHECKPOINT_SECONDS:
                    self.save()
        self.follow(total, total, self._told)

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
        from napari_nucseg.segmenters.held_out import HeldOutScores

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
        """How it goes, in words."""
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
        from napari_nucseg.segmenters.held_out import score_held_out

        done, total = self.training.done, self.training.params.batches
        images = len(self.held_out)

        def tick(number: int) -> None:
            self.follow(done, total, f"scoring held-out image {number + 1} of {images}")

        scores = score_held_out(self.training, self.held_out, tick)
        if self.best is None or scores.mean_ap > self.best.scores.mean_ap:
            self.best = Best(done, scores, self.training.weights())
        self._scored = done
        self._log(scores)
        write_curves(self.files.curves, self.rows)
        self.save()

    def _log(self, scores: HeldOutScores | None) -> None:
        from napari_nucseg.segmenters.training import learning_rate

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

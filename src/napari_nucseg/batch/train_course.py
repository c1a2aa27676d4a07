"""The course of a training: batches, scores, log and checkpoints, from any batch on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg.batch.train_data import TrainData
from napari_nucseg.batch.train_log import (
    Best,
    Epoch,
    LogRow,
    TrainFiles,
    save_result,
    write_curves,
    write_log,
)
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.progress import Progress, at_step
from napari_nucseg.segmenters.training.params import learning_rate

if TYPE_CHECKING:
    from napari_nucseg.segmenters.training.examples import Batch, Example
    from napari_nucseg.segmenters.training.held_out import Trial
    from napari_nucseg.segmenters.training.loop import Training

CHECKPOINT_SECONDS = 180
"""What an interruption costs at most, but for the time to score the held-out images."""
LOG_EVERY = 100
"""Batches."""


@dataclass(frozen=True)
class Lessons:
    """Images of a training, ready to be learned from.

    Attributes
    ----------
    learn, held_out : sequence of Example
        Images to learn from, and images that the network is scored on; none of the latter if
        nothing is held out.
    old : sequence of Example
        For fine-tuning: images of the kind that the network knows. The last is not learned from,
        but shows whether the network forgets.
    """

    learn: Sequence[Example]
    held_out: Sequence[Example]
    old: Sequence[Example] = ()


@dataclass
class TrainingCourse:
    """A training with its log; what it holds between two batches can be saved and gone on from.

    Attributes
    ----------
    training : Training
        The network, with its optimiser and its device.
    lessons : Lessons
        Images to learn from, and images that the network is scored on.
    files : TrainFiles
        Paths of log, checkpoint and weights.
    plan : mapping
        Everything that the course depends on; kept in the checkpoint.
    progress : Progress
        Called before each batch and each held-out image.
    clock : callable
        Returns seconds, from any point in time on.
    on_epoch : callable
        Called with each `Epoch`.
    minutes : float
        When to stop; infinite for never.
    rows : list of LogRow
        Rows of the log, one a validation.
    best : Best or None
        The weights to keep; None before the held-out images were scored.
    """

    training: Training
    lessons: Lessons
    files: TrainFiles
    plan: Mapping[str, Any]
    progress: Progress
    clock: Callable[[], float]
    on_epoch: Callable[[Epoch], None]
    minutes: float
    rows: list[LogRow] = field(default_factory=list, init=False)
    best: Best | None = field(default=None, init=False)
    _losses: list[float] = field(default_factory=list, init=False)
    """Losses of the batches since the last row."""
    _scored: int = field(init=False)
    """Batches done when the held-out images were last scored."""
    _seconds: float = field(default=0.0, init=False)
    """Seconds that earlier sessions took."""
    _saved: float = field(default=0.0, init=False)
    """Time of the last checkpoint, by the clock."""
    _old_ap: float | None = field(default=None, init=False)
    """Mean AP of the start in the last image of the old kind, once it is known."""

    def __post_init__(self) -> None:
        """Start the clock; a model that is fine-tuned is scored before it learns."""
        self._begun = self._saved = self.clock()
        self._scored = -1 if self.training.params.fine_tune else 0

    @property
    def seconds(self) -> float:
        """Seconds of training so far; interruptions are not counted."""
        return self._seconds + self.clock() - self._begun

    @property
    def ended_by(self) -> str:
        """What ended the training, or would now: batches, patience or minutes; empty if none."""
        done, params = self.training.done, self.training.params
        if done >= params.batches:
            return "batches"
        if self.best is not None and self.best.scores is not None and params.patience:
            waited = (self._scored - self.best.batch) / params.validate_every
            if waited >= params.patience:
                return "patience"
        return "minutes" if done and self.seconds >= 60 * self.minutes else ""

    def run(self) -> None:
        """Train to the end; what `progress` raises leaves a course that can be saved."""
        from napari_nucseg.segmenters.training.crops import batches

        training, lessons = self.training, self.lessons
        drawn = batches(lessons.learn, training.params, training.done, lessons.old[:-1])
        with closing(drawn):
            while not (ended := self.ended_by) or self._scored < training.done:
                if self._is_scoring_due(ended):
                    self._score()
                else:
                    self.progress(training.done, self._total, self._told)
                    self._learn(next(drawn))
                if self.clock() - self._saved >= CHECKPOINT_SECONDS:
                    self.save()
        self.progress(training.done, training.done, self._told)

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
            and {
                "batch": best.batch,
                "scores": best.scores and asdict(best.scores),
                "weights": best.weights,
                "share": best.share,
            },
        }
        write_whole(self.files.checkpoint, lambda file: write_record(record, file))
        self._saved = self.clock()

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from what `save` wrote."""
        from napari_nucseg.segmenters.training.held_out import HeldOutScores

        self.training.restore(record["training"])
        self.rows = [LogRow(**row) for row in record["rows"]]
        self._losses = list(record["losses"])
        self._scored = record["scored"]
        self._seconds = record["seconds"]
        best = record["best"]
        if best is not None:
            scores = best["scores"] and HeldOutScores(**best["scores"])
            self.best = Best(best["batch"], scores, best["weights"], best["share"])

    def save_result(self, data: TrainData, start: Path | None) -> None:
        """Write the best weights there are, if any, with their log and their card.

        Parameters
        ----------
        data : TrainData
            What was learned from, and what was held out.
        start : Path or None
            Weights that it began with; None for a new network.
        """
        if self.best is not None:
            save_result(self.files, self.rows, self.best, self._described, data, start)

    @property
    def _described(self) -> dict[str, Any]:
        """What the card of the weights says of the course."""
        training = self.training
        return {
            "seed": training.params.seed,
            "parameters": self.plan["parameters"],
            "start": self.plan["start"],
            "batches": training.done,
            "ended_by": self.ended_by or "a stop",
            "device": str(training.device),
            "precision": training.precision,
            "hours": round(self.seconds / 3600, 3),
            "fields": {name: self.plan[name] for name in ("learned_from", "held_out")},
        }

    def _is_scoring_due(self, ended: str) -> bool:
        done, params = self.training.done, self.training.params
        return self._scored < done and bool(done % params.validate_every == 0 or ended)

    @property
    def _total(self) -> int:
        """Batches in all; if minutes end it, as many as there will be at the pace so far."""
        done, total, seconds = self.training.done, self.training.params.batches, self.seconds
        if not done or not seconds or self.minutes == float("inf"):
            return total
        return max(done + 1, min(total, round(done * 60 * self.minutes / seconds)))

    @property
    def _told(self) -> str:
        """Say in words how far the training is and how it goes."""
        known = self._losses or [row.loss for row in self.rows[-1:] if row.loss is not None]
        parts = [f"loss {sum(known) / len(known):.3f}"] if known else []
        if self.best is not None and self.best.scores is not None:
            parts.append(f"best AP {self.best.scores.mean_ap:.3f}")
        if self.training.at_once < self.training.params.batch_size:
            parts.append(f"{self.training.at_once} crops at once, as memory is short")
        return ", ".join(parts)

    def _learn(self, batch: Batch) -> None:
        self._losses.append(self.training.learn(batch))
        if self.training.done % LOG_EVERY == 0 and not self._is_scoring_due(self.ended_by):
            self._log(None)

    def _score(self) -> None:
        """Score the averaged weights and blends, and keep them if they are the best so far."""
        from napari_nucseg.segmenters.training.held_out import merit, shares_of, try_blends

        done, total = self.training.done, self._total

        def tell(number: int, images: int, _: str = "", /) -> None:
            self.progress(done, total, f"scoring held-out image {number + 1} of {images}")

        shares = shares_of(self.training, bool(self.lessons.held_out))
        trials = try_blends(self.training, shares, self.lessons.held_out, tell)
        ranked = sorted(trials, key=lambda one: -merit(one.scores, one.share))
        kept = next((one for one in ranked if self._is_better(one)), None)
        if kept is not None:
            self.best = Best(done, kept.scores, self.training.weights(kept.share), kept.share)
        shown, self._scored = kept or ranked[0], done
        row = self._log(shown, kept is not None)
        write_curves(self.files.curves, self.rows)
        self.save()
        self.on_epoch(Epoch(row, shown.labels))

    def _is_better(self, trial: Trial) -> bool:
        """Tell whether weights do better on what is held out, and have not forgotten the rest.

        Better outlines do not make up for nuclei that are lost where a few images decide.
        """
        from napari_nucseg.segmenters.training.held_out import merit

        if (best := self.best) and best.scores and trial.scores:
            lost = trial.scores.f1_50 < best.scores.f1_50 and self.training.params.fine_tune
            if lost or merit(trial.scores, trial.share) <= merit(best.scores, best.share):
                return False
        return not self._forgets(trial)

    def _forgets(self, trial: Trial) -> bool:
        from napari_nucseg.segmenters.training.held_out import MOST_FORGOTTEN

        if not self.lessons.old or trial.share == 0:
            return False
        check = at_step(self.progress, self.training.done, self._total, "looking for what is lost")
        if self._old_ap is None:
            self._old_ap = self._score_old(0.0, check)
        return self._score_old(trial.share, check) < self._old_ap - MOST_FORGOTTEN

    def _score_old(self, share: float, check: Progress) -> float:
        from napari_nucseg.segmenters.training.held_out import score_network

        network = self.training.network(share)
        return score_network(network, self.lessons.old[-1:], check)[0].mean_ap

    def _log(self, trial: Trial | None, kept: bool = False) -> LogRow:
        done, losses = self.training.done, self._losses
        rate = learning_rate(done - 1, self.training.params)
        loss, seconds = sum(losses) / len(losses) if losses else None, round(self.seconds, 1)
        row = LogRow(done, rate, loss, seconds=seconds, kept=kept)
        if trial is not None:
            row = replace(row, share=trial.share, **(asdict(trial.scores) if trial.scores else {}))
        self.rows.append(row)
        self._losses = []
        write_log(self.files.log, self.rows)
        return row

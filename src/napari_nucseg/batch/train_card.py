"""The result of a training: weights, and their card, which says what they learned from.

The card says how they do, too, and on which terms they may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg.batch.train_data import TrainData
from napari_nucseg.batch.train_log import write_curves, write_log
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.sources import sha256
from napari_nucseg.io.writers import write_json
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model_card import card_of
from napari_nucseg.system_info import versions

if TYPE_CHECKING:
    from napari_nucseg.batch.train_course import Best, TrainingCourse

_SCORES = ("held_out_loss", "mean_ap", "ap_50", "f1_50")


def save_result(course: TrainingCourse, data: TrainData, start: Path | None) -> None:
    """Write the best weights there are, if any, with their log and their card.

    Parameters
    ----------
    course : TrainingCourse
        The training, at its end or wherever it stopped.
    data : TrainData
        What it learned from, and what was held out.
    start : Path or None
        Weights that it began with; None for a new network.
    """
    from napari_nucseg.segmenters.checkpoints import write_state

    files, best = course.files, course.best
    if best is None:
        return
    write_whole(files.weights, lambda file: write_state(best.weights, file, files.weights.suffix))
    write_log(files.log, course.rows)
    write_curves(files.curves, course.rows)
    write_json(files.record, _card(course, best, data, start))


def _card(
    course: TrainingCourse, best: Best, data: TrainData, start: Path | None
) -> dict[str, Any]:
    """Describe weights that were written."""
    training = course.training
    before = next((row for row in course.rows if row.batch == 0 and row.share == 0), None)
    return {
        "name": course.files.weights.name,
        "sha256": sha256(course.files.weights),
        "licence": _licence_of(start),
        "learned_from": _listed(data.learned_from),
        "held_out": _listed(data.held_out_from),
        "seed": training.params.seed,
        "parameters": course.plan["parameters"],
        "start": course.plan["start"],
        "started_from": None if start is None else start.name,
        "batches": training.done,
        "ended_by": course.ended_by or "a stop",
        "before": None if before is None else {key: getattr(before, key) for key in _SCORES},
        "best": {
            "batch": best.batch,
            "share": best.share,
            **(asdict(best.scores) if best.scores else dict.fromkeys(_SCORES)),
        },
        "device": str(training.device),
        "precision": training.precision,
        "versions": versions(),
        "hours": round(course.seconds / 3600, 3),
        "fields": {name: course.plan[name] for name in ("learned_from", "held_out")},
    }


def _licence_of(start: Path | None) -> str:
    """Return the terms of what a training began with; empty where they are not known."""
    if start is None:
        return ""
    known = [model.licence for model in catalogue.models() if model.path == start]
    return known[0] if known else str(card_of(start).get("licence", ""))


def _listed(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "fields": count} for name, count in counts.items()]

"""Scores of labels that are larger than memory, which are read and compared part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from magicgui.widgets import PushButton

from napari_nucseg.analysis.comparison import FieldPair
from napari_nucseg.array_types import Windowed
from napari_nucseg.metrics.score import Score, ScoreRule
from napari_nucseg.progress import Progress
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layer_fields import (
    FieldInParts,
    count_planes,
    full_data,
    plane_of,
    shown_plane,
)
from napari_nucseg.ui.score.controls import ScoreControls
from napari_nucseg.ui.score.model import Comparison, ComparisonState

ONLY_SCORES = (
    "Labels larger than memory are scored in parts. Overlays, nuclei, plots, gallery and files are "
    "for pairs that fit."
)
_NOTHING_LEFT_OUT = (
    "Labels larger than memory are scored in parts, where nothing can be left out. Count nuclei at "
    "the border and in drawn regions, too."
)


def compare_in_parts(
    sides: tuple[Windowed, Windowed], rule: ScoreRule, progress: Progress
) -> tuple[FieldPair, Score]:
    """Compare labels of any size but for their outlines, and find their score.

    Parameters
    ----------
    sides : tuple of two Windowed
        True and predicted labels of a field.
    rule : ScoreRule
        IoU threshold and preset.
    progress : Progress
        Called with (0, 1, parts done and in all, in words); may raise to stop.
    """
    from napari_nucseg.batch.label_pairs import overlap_in_parts  # few have such labels

    def tell(done: int, total: int, what: str = "", /) -> None:
        progress(0, 1, f"{what}: part {done + 1} of {total}")

    pair = FieldPair(overlap_in_parts(*sides, tell), None)
    return pair, pair.score(rule.threshold, rule.preset)


class ScoringInParts:
    """Scores the field in sight of two layers that are larger than memory.

    Nobody edits such layers, and none of their nuclei is listed.

    Parameters
    ----------
    state : ComparisonState
        The comparison, which gets the scores alone.
    button : PushButton
        Begins to score; it stops that meanwhile.
    begin : callable
        What the button calls to begin.
    run : callable
        Does work in the background, in place of what runs.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self,
        state: ComparisonState,
        button: PushButton,
        begin: Callable[[], None],
        run: Run,
        tell: Callable[[str], None],
    ) -> None:
        self._state, self._button, self._begin = state, button, begin
        self._run, self._tell = run, tell
        self._job: Job | None = None
        self._where, self._plane = "", 0
        self._controls: ScoreControls | None = None
        self._found: tuple[list[Any], FieldPair] | None = None
        state.changed.connect(self._on_changed)
        state.viewer.dims.events.current_step.connect(self._follow_viewer)

    def disconnect_viewer(self) -> None:
        """Let go of the field slider."""
        self._state.viewer.dims.events.current_step.disconnect(self._follow_viewer)

    def start(self, controls: ScoreControls) -> None:
        """Compare the field in sight of the chosen layers, and forget what was compared."""
        self._found = None
        self._end()  # what was begun before and has given way to this
        prediction, truth = controls.prediction.value, controls.truth.value
        self._state.choose_layers(None, None)
        if controls.border.value or controls.ignore.regions_of(prediction).by_plane:
            self._tell(_NOTHING_LEFT_OUT)
            return
        self._controls, self._plane = controls, self._plane_of(prediction)
        plane, self._where = self._plane, _where(self._plane, truth)
        true, found = (FieldInParts(plane_of(full_data(one), plane)) for one in (truth, prediction))
        self._tell("Comparing in parts...")
        work = partial(compare_in_parts, (true, found), controls.rule)
        self._job = job = self._run(work, partial(self._show, controls.rule))
        job.progressed.connect(lambda done, total, what: self._tell(what))
        job.finished.connect(self._end)
        self._button.text = "Cancel"
        self._button.changed.disconnect(self._begin)
        self._button.changed.connect(job.stop)

    def _end(self) -> None:
        """Let the button begin again, after the work or because other layers were chosen."""
        job, self._job = self._job, None
        if job is not None:
            self._button.changed.disconnect(job.stop)
            self._button.changed.connect(self._begin)
            self._button.text = "Score"
            if job.is_stopping:
                self._tell("Stopped. Press Score to compare again.")
            self._follow_viewer()

    def _show(self, rule: ScoreRule, found: tuple[FieldPair, Score]) -> None:
        (pair, score), now = found, self._state.now
        self._found = self._chosen(), pair
        scores = {now.plane: score} if now.rule == rule else {}
        self._state.take(replace(now, in_parts=pair, _scores=scores))

    def _follow_viewer(self, event: Any = None) -> None:
        """Show scores beside their own field alone, and keep them while another is in sight."""
        if self._job is not None or self._found is None or self._found[0] != self._chosen():
            return
        (prediction, truth), pair = self._found
        plane, now = self._plane_of(prediction), self._state.now
        shown = pair if plane == self._plane else None
        if shown is not now.in_parts:
            self._state.take(replace(now, in_parts=shown, _scores={}))
        if shown is None:
            self._tell(f"{_where(plane, truth)}not compared yet. Press Score.")

    def _chosen(self) -> list[Any]:
        controls = self._controls
        return [] if controls is None else [controls.prediction.value, controls.truth.value]

    def _plane_of(self, layer: Any) -> int:
        return shown_plane(self._state.viewer.dims.point, layer)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if self._job is not None and self._job.is_stopping:
            self._end()
        if new.in_parts is not None and new.score is not None and new.score is not old.score:
            self._tell(f"{self._where}{new.score.counts_in_words} {ONLY_SCORES}")


def _where(plane: int, truth: Any) -> str:
    """Say which field of several it is."""
    count = count_planes(truth)
    return f"Field {plane + 1} of {count}: " if count > 1 else ""

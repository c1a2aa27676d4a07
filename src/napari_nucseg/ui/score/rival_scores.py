"""Every prediction of the viewer scored against one ground truth, and kept right."""

from __future__ import annotations

from functools import partial

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_nucseg.core.knobs import describe_values
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.runs.rivals import FieldOfRival, Rival, score_rivals
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layers import GROUND_TRUTH, OVERLAYS, full_data, record_of, role_of
from napari_nucseg.ui.score.comparison_state import NOTHING_COMPARED, ComparisonState
from napari_nucseg.ui.score.scoring import read_plane, scored_planes

_PAUSE = 300
"""Milliseconds without an edit before edited fields are scored again."""


class RivalScores:
    """Scores predictions in the background, the chosen one first.

    Parameters
    ----------
    viewer : ViewerModel
        With the predictions.
    state : ComparisonState
        Whose prediction comes first, and is what the others are compared with.
    run : callable
        Does work in the background.
    parent : QObject
        Whose life the timer shares.
    """

    changed = Signal()
    """There are other scores, or none any more."""

    def __init__(
        self, viewer: ViewerModel, state: ComparisonState, run: Run, parent: QObject
    ) -> None:
        self._viewer, self._state, self._run = viewer, state, run
        self.rivals: list[Rival] = []
        self.layers: list[Labels] = []
        self._stale: set[int] = set()
        self._job: Job | None = None
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.timeout.connect(self._score_again)
        state.compared.connect(self.forget)
        state.ruled.connect(self.forget)
        state.edited.connect(self._on_edited)

    def compare(self) -> str:
        """Score all predictions that have the chosen one's shape; say what is done, or why not."""
        self.forget()
        if not self._state.is_there:
            return NOTHING_COMPARED
        self.layers = self._predictions()
        if len(self.layers) < 2:
            return "There is one prediction. Add another Labels layer of the same fields."
        planes = self._planes()
        if not planes:
            return "No field has all predictions; segment the same fields with each model."
        self._score({})
        return f"Scoring {len(self.layers)} predictions in {len(planes)} fields..."

    def forget(self) -> None:
        """Let go of the scores: other layers or another rule are compared now."""
        self._soon.stop()
        if self._job is not None:
            self._job.abandon()
        self.rivals, self._stale = [], set()
        self.changed.emit()

    def _planes(self) -> list[int]:
        return sorted(set.intersection(*(set(scored_planes(p)) for p in self.layers)))

    def _score(self, known: dict[str, dict[int, FieldOfRival]]) -> None:
        reads = {layer.name: partial(read_plane, full_data(layer)) for layer in self.layers}
        truth = partial(read_plane, full_data(self._state.truth))
        planes, rule = self._planes(), self._state.rule
        work = partial(score_rivals, truth, reads, planes, rule, known=known)
        self._job = self._run(work, self._show)

    def _score_again(self) -> None:
        """Score the edited fields again, of those predictions that are still there."""
        if any(layer not in self._viewer.layers for layer in self.layers):
            self.forget()
            return
        fields = {rival.name: dict(rival.fields) for rival in self.rivals}
        for plane in self._stale:
            for parts in fields.values():
                parts.pop(plane, None)
        self._score(fields)

    def _on_edited(self, plane: int) -> None:
        at_work = self._job is not None and not self._job.is_over
        if not self.rivals and not at_work:
            return
        self._stale.add(plane)
        if self._job is not None:
            self._job.abandon()
        self._soon.start()

    def _show(self, rivals: list[Rival]) -> None:
        self.rivals, self._stale = rivals, set()
        self.changed.emit()

    def _predictions(self) -> list[Labels]:
        """List the predictions, the chosen one first."""
        chosen, truth = self._state.prediction, self._state.truth
        shape = full_data(truth).shape
        others = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels)
            and role_of(layer) not in (GROUND_TRUTH, *OVERLAYS)
            and layer not in (chosen, truth)
            and full_data(layer).shape == shape
        ]
        return [chosen, *others] if chosen is not None else others


def how_made(layer: Labels) -> str:
    """Tell how a prediction was made, as far as its layer knows."""
    record = record_of(layer)
    made = None if record is None else record.provenance
    if not made:
        return "how it was made is not known"
    values = describe_values(SegmentParams, made.get("parameters") or {})
    return "; ".join([str(made.get("model")), *values])

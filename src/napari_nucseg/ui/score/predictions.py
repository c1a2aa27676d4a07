"""Predictions beside the compared one: every layer's scores, and labels that runs have saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_nucseg.analysis.marks import Mark
from napari_nucseg.analysis.prediction_comparison import (
    ScoredField,
    ScoredPrediction,
    TrueFields,
    compare_predictions,
)
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.batch.saved_results import holds_results, open_results
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import known_provenance
from napari_nucseg.progress import Progress
from napari_nucseg.report.page import name_made
from napari_nucseg.ui.jobs import Job, Run, single_shot
from napari_nucseg.ui.layer_fields import count_planes, full_data, read_plane
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    PREDICTION,
    LayerRecord,
    placement,
    predicted_planes,
    record_of,
    role_of,
    tag,
)
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.wording import counted

_PAUSE = 300
"""Milliseconds without an edit before edited fields are scored again."""


@dataclass(frozen=True)
class SavedRun:
    """A run whose labels lie on disk, to be compared with what is in the viewer.

    Attributes
    ----------
    name : str
        Name of the run for the screen.
    files : mapping
        Number of a field to the file of its labels; fields that are not done are left out.
    """

    name: str
    files: Mapping[int, Path]


def find_runs(folder: Path, truth: Labels) -> list[SavedRun]:
    """Find the labels of a run, or of each of several models, for the fields of a ground truth.

    Parameters
    ----------
    folder : Path
        Folder of results, or one with a file ``<stem>.tif`` for each field.
    truth : Labels
        Ground truth whose record names the fields.

    Raises
    ------
    ValueError
        If the layer does not name each of its fields, or a run has none of them.
    """
    record = record_of(truth)
    if record is None or len(record.stems) != count_planes(truth):
        raise ValueError(
            f"{truth.name} has no names of fields, so files cannot be assigned to them; open the "
            "ground truth with napari-nucseg, or add the saved labels as a Labels layer"
        )
    return [_find(name, labels, record.stems) for name, labels in _folders_of_labels(folder)]


def read_run(run: SavedRun, shape: tuple[int, ...], progress: Progress) -> LabelImage:
    """Read all labels of a run; fields that are not done are empty.

    Parameters
    ----------
    run : SavedRun
        Files of the labels, and the fields they belong to.
    shape : tuple of int
        Shape of the ground truth, (..., height, width) in pixels.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.

    Raises
    ------
    ValueError
        If labels have another size.
    """
    stack = np.zeros((int(np.prod(shape[:-2])), *shape[-2:]), dtype=np.int32)
    for done, (plane, path) in enumerate(run.files.items()):
        progress(done, len(run.files), "Reading")
        labels = read_labels(Source(path))
        if labels.shape != shape[-2:]:
            raise ValueError(
                f"{path}: its labels are {labels.shape} px and the ground truth {shape[-2:]} px; "
                "choose the folder of a run on the same fields"
            )
        stack[plane] = labels
    return stack.reshape(shape)


def as_layer(run: SavedRun, truth: Labels, labels: LabelImage) -> Labels:
    """Return labels that were read as a layer that lies where their ground truth does."""
    record = record_of(truth)
    assert record is not None
    done = tuple(run.files)
    named = LayerRecord(
        PREDICTION,
        stems=record.stems,
        fields=None if len(done) == len(record.stems) else done,
        provenance=known_provenance(run.files[done[0]]) or None,
    )
    return Labels(labels, name=run.name, metadata=tag(named), **placement(truth))


def _folders_of_labels(folder: Path) -> Iterator[tuple[str, Path]]:
    if not holds_results(folder):
        yield folder.name, folder
        return
    for results in open_results(folder):
        yield f"{folder.name} {results.model}", results.folder.labels


def _find(name: str, folder: Path, stems: tuple[str, ...]) -> SavedRun:
    paths = {plane: folder / f"{stem}.tif" for plane, stem in enumerate(stems)}
    files = {plane: path for plane, path in paths.items() if path.is_file()}
    if not files:
        raise ValueError(
            f"{folder}: it holds none of the {len(stems)} fields, for example no {paths[0].name}; "
            "choose the folder of a run on the same fields"
        )
    return SavedRun(name, files)


class PredictionScores:
    """Scores predictions in the background, the chosen one first.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Labels layers are scored.
    state : ComparisonState
        The comparison; its prediction is the first, which all others are compared with.
    run : callable
        Called with work to do in the background, and with what shows its result.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    changed = Signal()
    """There are other scores, or none any more."""

    def __init__(
        self, viewer: ViewerModel, state: ComparisonState, run: Run, parent: QObject
    ) -> None:
        self._viewer, self._state, self._run = viewer, state, run
        self.all_scored: list[ScoredPrediction] = []
        self.layers: list[Labels] = []
        self._stale: set[int] = set()
        self._job: Job | None = None
        self._soon = single_shot(parent, self._score_again, _PAUSE)
        state.changed.connect(self._on_changed)

    def compare(self) -> str:
        """Score all predictions that have the chosen one's shape; say what is done, or why not."""
        self.forget()
        if not self._state.now.is_there:
            return NOTHING_COMPARED
        self.layers = self._predictions()
        if len(self.layers) < 2:
            return (
                "There is only one prediction. Add another Labels layer of the same fields, or "
                "press Add saved run."
            )
        planes = self._planes()
        if not planes:
            return "No field is in all predictions. Segment the same fields with each model."
        self._score({})
        told = f"Scoring {len(self.layers)} predictions in {counted(len(planes), 'field')}..."
        ignored = (key for key, one in self._state.now.marks.items() if one.mark == Mark.IGNORE)
        some = not all(key.is_true for key in ignored)
        return f"{told} Predicted nuclei marked to be ignored are counted here." if some else told

    def forget(self) -> None:
        """Let go of the scores: other layers or another rule are compared now."""
        self._soon.stop()
        if self._job is not None:
            self._job.abandon()
        self.all_scored, self._stale = [], set()
        self.changed.emit()

    def _planes(self) -> list[int]:
        return sorted(set.intersection(*(set(predicted_planes(p)) for p in self.layers)))

    def _score(self, known: dict[str, dict[int, ScoredField]]) -> None:
        reads = {layer.name: partial(read_plane, full_data(layer)) for layer in self.layers}
        now, planes = self._state.now, self._planes()
        truth, ignored = full_data(now.truth), now.ignoring.of_any_prediction(now.pairs)
        fields = TrueFields(partial(read_plane, truth), planes, ignored)
        work = partial(compare_predictions, fields, reads, now.rule, known=known)
        self._job = self._run(work, self._show)

    def _score_again(self) -> None:
        """Score the edited fields again, of those predictions that are still there."""
        if any(layer not in self._viewer.layers for layer in self.layers):
            self.forget()
            return
        fields = {scored.name: dict(scored.fields) for scored in self.all_scored}
        for plane in self._stale:
            for parts in fields.values():
                parts.pop(plane, None)
        self._score(fields)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        edited = new.edited_since(old)
        if not edited and new.objects is not old.objects:
            self.forget()
        at_work = self._job is not None and not self._job.is_over
        if not edited or not (self.all_scored or at_work):
            return
        self._stale |= edited
        if self._job is not None:
            self._job.abandon()
        self._soon.start()

    def _show(self, all_scored: list[ScoredPrediction]) -> None:
        self.all_scored, self._stale = all_scored, set()
        self.changed.emit()

    def _predictions(self) -> list[Labels]:
        """List the predictions, the chosen one first."""
        chosen, truth = self._state.now.prediction, self._state.now.truth
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
    made = (record and record.provenance) or {}
    return name_made(made) or "not known how it was made"

"""Predictions side by side: which is better, by how much, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QPushButton, QWidget

from napari_nucseg.core.knobs import describe_values
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.summaries import LEVEL
from napari_nucseg.runs.rivals import Disagreement, Rival, best_of, disagreements, score_rivals
from napari_nucseg.runs.tables import as_number
from napari_nucseg.ui.jobs import Job, Work
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    full_data,
    record_of,
    role_of,
)
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.difference_overlay import COLOURS, FIRST, SECOND, show_difference
from napari_nucseg.ui.score.plain_model import PlainModel, table_view
from napari_nucseg.ui.score.saved_runs import add_run, find_runs, read_run
from napari_nucseg.ui.score.scoring import read_plane, scored_planes

RATIOS = {
    "AP .50:.95": ("objects", "mean_ap"),
    "F1 at t": ("objects", "f1"),
    "AP at t": ("objects", "ap"),
    "PQ": ("objects", "pq"),
    "AJI": ("objects", "aji"),
    "Dice of pixels": ("pixels", "dice"),
}
Run = Callable[[Work, Callable[[Any], None]], Job]


class RivalsBox(QWidget):
    """Scores every prediction of the viewer against the chosen ground truth.

    Parameters
    ----------
    viewer : ViewerModel
        With the predictions.
    state : ComparisonState
        Whose prediction comes first, and is what the others are compared with.
    run : callable
        Does work in the background.
    tell : callable
        Shows a line of text.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        state: ComparisonState,
        run: Run,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._run, self._tell = viewer, state, run, tell
        self.rivals: list[Rival] = []
        self.differing: list[Disagreement] = []
        self._layers: list[Labels] = []
        self._job: Job | None = None
        self._make_parts()
        state.compared.connect(self._forget)
        state.ruled.connect(self._forget)

    def compare(self) -> None:
        """Score all predictions that have the chosen one's shape."""
        state = self._state
        if not state.is_there or state.prediction is None or state.truth is None:
            self._tell("Press Score first.")
            return
        self._forget()
        self._layers = self._predictions()
        if len(self._layers) < 2:
            self._tell("There is one prediction. Add another Labels layer of the same fields.")
            return
        planes = sorted(set.intersection(*(set(scored_planes(p)) for p in self._layers)))
        if not planes:
            self._tell("No field has all predictions; segment the same fields with each model.")
            return
        reads = {layer.name: partial(read_plane, full_data(layer)) for layer in self._layers}
        truth = partial(read_plane, full_data(state.truth))
        self._job = self._run(partial(score_rivals, truth, reads, planes, state.rule), self._show)
        self._tell(f"Scoring {len(reads)} predictions in {len(planes)} fields...")

    def show_differences(self) -> None:
        """List and outline the true nuclei that the chosen prediction alone found, or missed."""
        index = self.table.currentIndex()
        if len(self.rivals) < 2:
            self._tell("Press Compare predictions first.")
            return
        second = self.rivals[max(index.row(), 1)]
        self.differing = disagreements(self.rivals[0], second)
        name_of = self._state.name_of
        self.listed.show_rows(
            [
                ("first" if d.in_first else "second", name_of(d.plane), str(d.label),
                 f"{d.ious[0]:.2f}", f"{d.ious[1]:.2f}")
                for d in self.differing
            ],
            colours=[COLOURS[FIRST if d.in_first else SECOND] for d in self.differing],
        )  # fmt: skip
        assert self._state.truth is not None
        show_difference(self._viewer, self._state.truth, self._layers[0], self.differing)
        first = sum(d.in_first for d in self.differing)
        self._tell(
            f"{first} nuclei are right in {self.rivals[0].name} alone, "
            f"{len(self.differing) - first} in {second.name} alone."
        )

    def ask_for_run(self) -> None:
        """Ask for the folder of a saved run, and add its labels as a layer."""
        truth = self._state.truth
        if truth is None:
            self._tell("Choose a ground truth first.")
            return
        name = QFileDialog.getExistingDirectory(self, "Folder of a saved run")
        if name:
            self.add_saved(Path(name), truth)

    def add_saved(self, folder: Path, truth: Labels) -> None:
        """Add the labels that a run has saved as a layer."""
        try:
            runs = find_runs(folder, truth)
        except ValueError as error:
            self._tell(str(error))
            return
        for run in runs:
            show = partial(add_run, self._viewer, run, truth)
            self._run(partial(read_run, run, full_data(truth).shape), show)
        self._tell(f"Reading {folder.name}...")

    def _make_parts(self) -> None:
        self.start = QPushButton("Compare predictions")
        self.start.setToolTip("Score all Labels layers of these fields against the ground truth.")
        self.start.clicked.connect(self.compare)
        self.saved = QPushButton("Add saved run...")
        self.saved.setToolTip(
            "Add the labels of a folder of results, or of any folder with one TIFF a field, named "
            "as the field."
        )
        self.saved.clicked.connect(self.ask_for_run)
        self.ratio = QComboBox()
        self.ratio.addItems(list(RATIOS))
        self.ratio.setToolTip("The score that is compared: mean of the fields.")
        self.ratio.currentTextChanged.connect(self._list_rivals)
        self.model = PlainModel(("prediction", "mean", "less first", f"{LEVEL} %"))
        self.table = table_view(self.model, (112, 46, 58, 112))
        self.table.setToolTip(
            f"The best in bold. Differences from the first, with the {LEVEL} % interval of a "
            "paired bootstrap over fields: without 0 inside, other fields would hardly turn it."
        )
        self.differ = QPushButton("Where do they differ?")
        self.differ.setToolTip(
            "Outline and list the nuclei that only the first or only the chosen prediction found."
        )
        self.differ.clicked.connect(self.show_differences)
        self.listed = PlainModel(("right in", "field", "nucleus", "IoU first", "IoU second"))
        self.list = table_view(self.listed, (72, 64, 56, 62, 74))
        self.list.clicked.connect(lambda index: self._go(index.row()))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.addWidget(self.start, 0, 0)
        grid.addWidget(self.saved, 0, 1)
        grid.addWidget(self.ratio, 1, 0)
        grid.addWidget(self.differ, 1, 1)
        grid.addWidget(self.table, 2, 0, 1, 2)
        grid.addWidget(self.list, 3, 0, 1, 2)
        grid.setRowStretch(2, 2)
        grid.setRowStretch(3, 3)

    def _show(self, rivals: list[Rival]) -> None:
        self.rivals = rivals
        self._list_rivals()
        best = rivals[best_of(rivals, RATIOS[self.ratio.currentText()])]
        self._tell(f"Best by {self.ratio.currentText()}: {best.name}.")

    def _list_rivals(self) -> None:
        key = RATIOS[self.ratio.currentText()]
        self.model.show_rows(
            [_cells(rival, key, number) for number, rival in enumerate(self.rivals)],
            bold=best_of(self.rivals, key) if self.rivals else None,
            tips=[_how(layer) for layer in self._layers[: len(self.rivals)]],
        )

    def _go(self, row: int) -> None:
        d = self.differing[row]
        found = self._state.objects.find(d.plane, d.label, is_true=True)
        if found is not None:
            self._state.chosen.emit(found)

    def _forget(self) -> None:
        """Empty the tables: other layers or another rule are compared now."""
        if self._job is not None:
            self._job.abandon()
        self.rivals, self.differing = [], []
        self.model.show_rows(())
        self.listed.show_rows(())

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


def _cells(rival: Rival, key: tuple[str, str], number: int) -> tuple[str, ...]:
    mean = as_number(rival.summary.spread[key].mean)
    if number == 0:
        return rival.name, mean, "", ""
    difference = rival.differences[key]
    low, high = difference.interval
    interval = "" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
    change = "empty" if math.isnan(difference.mean) else f"{difference.mean:+.3f}"
    return rival.name, mean, change, interval


def _how(layer: Labels) -> str:
    """Tell how a prediction was made, as far as its layer knows."""
    record = record_of(layer)
    made = None if record is None else record.provenance
    if not made:
        return f"{layer.name}: how it was made is not known"
    values = describe_values(SegmentParams, made.get("parameters") or {})
    return f"{layer.name}: {'; '.join([str(made.get('model')), *values])}"

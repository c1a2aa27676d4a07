"""Predictions side by side: which is better, by how much, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHeaderView, QPushButton, QWidget

from napari_nucseg.analysis.prediction_comparison import (
    Disagreement,
    ScoredPrediction,
    best_of,
    disagreements,
    prediction_rows,
)
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.writers import with_ending, write_table
from napari_nucseg.metrics.registry import Metric, shown_in
from napari_nucseg.metrics.summary import LEVEL, ScoreKey
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import full_data
from napari_nucseg.ui.score.model import ComparisonState
from napari_nucseg.ui.score.overlay_drawing import (
    COLOURS,
    FIRST,
    SECOND,
    redraw_difference,
    show_difference,
)
from napari_nucseg.ui.score.predictions import (
    PredictionScores,
    SavedRun,
    as_layer,
    find_runs,
    how_made,
    read_run,
)
from napari_nucseg.ui.score.score_table import PlainModel, table_view
from napari_nucseg.ui.widgets import tight
from napari_nucseg.wording import as_number, counted


class ComparisonWidget(QWidget):
    """Compares every prediction of the viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Labels layers are compared.
    state : ComparisonState
        The comparison; its prediction is the first, which all others are compared with.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    add : callable
        Adds a layer to the viewer without comparing it at once.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        state: ComparisonState,
        run: Run,
        tell: Callable[[str], None],
        add: Callable[[Labels], None],
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._run, self._tell, self._add = viewer, state, run, tell, add
        self.scores = PredictionScores(viewer, state, run, self)
        self.differing: list[Disagreement] = []
        self._second: int | None = None
        self._choice = shown_in("choice")
        self._make_buttons()
        self._make_tables()
        self._lay_out()
        self.scores.changed.connect(self._on_scores)

    def compare(self) -> None:
        """Score all predictions that have the chosen one's shape."""
        self._tell(self.scores.compare())

    def show_differences(self) -> None:
        """List and outline the true nuclei that the chosen prediction alone found, or missed."""
        if len(self.scores.all_scored) < 2:
            self._tell("Press Compare predictions first.")
            return
        chosen = self.table.currentIndex().row()
        if chosen == 0 and len(self.scores.all_scored) > 2:
            self._tell("Choose the row of another prediction. It is compared with the first.")
            return
        self._second = max(chosen, 1)
        self._list_differences()
        assert self._state.now.truth is not None
        show_difference(self._viewer, self._state.now.truth, self.scores.layers[0], self.differing)
        first, second = self.scores.all_scored[0], self.scores.all_scored[self._second]
        count = sum(d.in_first for d in self.differing)
        self._tell(
            f"Found only in {first.name}: {counted(count, 'nucleus')}; only in {second.name}: "
            f"{len(self.differing) - count}."
            if self.differing
            else f"{first.name} and {second.name} find the same nuclei."
        )

    def ask_for_run(self) -> None:
        """Ask for the folder of a saved run, and add its labels as a layer."""
        truth = self._state.now.truth
        if truth is None:
            self._tell("Choose a ground truth above first.")
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
            work = partial(read_run, run, full_data(truth).shape)
            self._run(work, partial(self._add_run, run, truth))
        self._tell(f"Reading {folder.name}...")

    def _add_run(self, run: SavedRun, truth: Labels, labels: LabelImage) -> None:
        self._add(as_layer(run, truth, labels))
        self._tell(f"{run.name} was added. Press Compare predictions.")

    def ask_and_save(self) -> None:
        """Ask for a file, and write all scores of all predictions to it."""
        if not self.scores.all_scored:
            self._tell("Press Compare predictions first.")
            return
        name, _ = QFileDialog.getSaveFileName(self, "Save table", "predictions.csv", "*.csv")
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write a row for every prediction and score."""
        made = {layer.name: how_made(layer) for layer in self.scores.layers}
        try:
            path = with_ending(path, ".csv")
        except OSError as error:
            self._tell(str(error))
            return
        scored = tuple(self.scores.all_scored)
        self._run(
            lambda progress: write_table(path, prediction_rows(scored, made)),
            lambda nothing: self._tell(f"Written: {path}"),
        )

    def _make_buttons(self) -> None:
        self.start = _button(
            "Compare predictions",
            "Score all Labels layers of these fields against the ground truth.",
            self.compare,
        )
        self.saved = _button(
            "Add saved run...",
            "Add the labels of a folder of results, or of any folder with one TIFF per field that "
            "is named like the field.",
            self.ask_for_run,
        )
        self.differ = _button(
            "Where do they differ?",
            "Outline and list the nuclei that only the first or only the chosen prediction found.",
            self.show_differences,
        )
        self.save = _button(
            "Save table...", "Save all scores, differences and intervals as CSV.", self.ask_and_save
        )
        self.ratio = QComboBox()
        self.ratio.addItems([metric.full_title for metric in self._choice])
        self.ratio.setToolTip("Score to compare by: its mean over the fields.")
        self.ratio.currentTextChanged.connect(self._list_rivals)

    def _make_tables(self) -> None:
        self.model = PlainModel(("prediction", "mean", "change", f"{LEVEL} % interval"))
        self.table = table_view(self.model, stretched=0)
        self.table.setToolTip(
            "The best mean is in bold. Change is the difference from the first prediction, with "
            f"the {LEVEL} % interval of a paired bootstrap over fields. If the interval does not "
            "include 0, other fields of this kind would hardly change the order."
        )
        self.listed = PlainModel(("found in", "field", "nucleus", "IoU\nfirst", "IoU\nsecond"))
        self.list = table_view(self.listed)
        across = self.list.horizontalHeader()
        assert across is not None
        across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)  # else it scrolls
        self.list.setToolTip("Click a row to go to its nucleus.")
        for table in (self.table, self.list):  # else no tab would fit a window of 800 px
            table.setMinimumHeight(48)
        self.list.clicked.connect(lambda index: self._go(index.row()))

    def _lay_out(self) -> None:
        grid = tight(QGridLayout(self), 3)
        grid.addWidget(self.start, 0, 0)
        grid.addWidget(self.saved, 0, 1)
        grid.addWidget(self.ratio, 1, 0)
        grid.addWidget(self.save, 1, 1)
        grid.addWidget(self.table, 2, 0, 1, 2)
        grid.addWidget(self.differ, 3, 0, 1, 2)
        grid.addWidget(self.list, 4, 0, 1, 2)
        grid.setRowStretch(2, 2)
        grid.setRowStretch(4, 3)

    @property
    def _metric(self) -> Metric:
        """The score that is compared."""
        return self._choice[self.ratio.currentIndex()]

    def _on_scores(self) -> None:
        self._list_rivals()
        all_scored = self.scores.all_scored
        if not all_scored:
            self._forget_differences()
        elif self._second is not None:
            self._list_differences()
            redraw_difference(self._viewer, self._state.now.truth, self.differing)
        else:
            best = all_scored[best_of(all_scored, self._metric)]
            self._tell(f"Best by {self.ratio.currentText()}: {best.name}.")

    def _list_rivals(self) -> None:
        metric, all_scored = self._metric, self.scores.all_scored
        layers = self.scores.layers[: len(all_scored)]
        self.model.show_rows(
            [_cells(scored, metric.key, is_first=scored is all_scored[0]) for scored in all_scored],
            bold=best_of(all_scored, metric) if all_scored else None,
            tips=[f"{layer.name}: {how_made(layer)}" for layer in layers],
        )

    def _list_differences(self) -> None:
        assert self._second is not None
        self.differing = disagreements(
            self.scores.all_scored[0], self.scores.all_scored[self._second]
        )
        name_of = self._state.now.name_of
        self.listed.show_rows(
            [
                ("first" if d.in_first else "second", name_of(d.plane), str(d.label),
                 f"{d.ious[0]:.2f}", f"{d.ious[1]:.2f}")
                for d in self.differing
            ],
            colours=[COLOURS[FIRST if d.in_first else SECOND] for d in self.differing],
        )  # fmt: skip

    def _forget_differences(self) -> None:
        """Empty list and overlay, which are of what is past."""
        self.differing, self._second = [], None
        self.listed.show_rows(())
        redraw_difference(self._viewer, None, ())

    def _go(self, row: int) -> None:
        d = self.differing[row]
        found = self._state.now.objects.find(d.plane, d.label, is_true=True)
        if found is not None:
            self._state.chosen.emit(found)


def _button(text: str, tooltip: str, act: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda: act())
    return button


def _cells(scored: ScoredPrediction, key: ScoreKey, *, is_first: bool) -> tuple[str, ...]:
    told = scored.name, as_number(scored.summary.spread[key].mean)
    if is_first:
        return *told, "", ""
    difference = scored.differences[key]
    low, high = difference.interval
    interval = "" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
    change = "empty" if math.isnan(difference.mean) else f"{difference.mean:+.3f}"
    return *told, change, interval

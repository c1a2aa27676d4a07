"""Buttons that correct the labels of the nucleus that is current, and save what was corrected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_nucseg.ui.jobs import Job, Work
from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.corrections import accept, save_corrected
from napari_nucseg.ui.score.edits import EditWatch
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.ui.score.scoring import read_all

Load = Callable[[Labels, Callable[[], None]], None]


class CorrectionBox(QWidget):
    """Takes one side's nucleus over into the other.

    Parameters
    ----------
    state : ComparisonState
        Whose layers are corrected.
    table : ObjectTable
        Its current row is what is corrected.
    tell : callable
        Shows a line of text.
    load : callable
        Reads a layer's labels into memory, then calls a function.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ObjectTable,
        tell: Callable[[str], None],
        load: Load,
    ) -> None:
        super().__init__()
        self._state, self._table, self._tell, self._load = state, table, tell, load
        self.prediction = PushButton(
            text="Accept prediction here",
            tooltip="Put the predicted nucleus of the chosen row into the ground truth, in place "
            "of what is there. Ctrl+Z on the layer takes it back.",
        )
        self.truth = PushButton(
            text="Accept truth here",
            tooltip="Put the true nucleus of the chosen row into the prediction, in place of what "
            "is there. Ctrl+Z on the layer takes it back.",
        )
        self.save = PushButton(
            text="Save corrected labels...",
            tooltip="Write the corrected fields as label TIFFs with a note of what was changed; "
            "no file is overwritten.",
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.addWidget(self.prediction.native, 0, 0)
        grid.addWidget(self.truth.native, 0, 1)
        grid.addWidget(self.save.native, 1, 0, 1, 2)
        self.prediction.changed.connect(lambda: self.accept(truth=False))
        self.truth.changed.connect(lambda: self.accept(truth=True))
        self.save.changed.connect(self.ask_and_save)

    def accept(self, *, truth: bool) -> None:
        """Make one side of the chosen nucleus like the other."""
        row, state = self._table.current, self._state
        if row is None:
            self._tell("Choose a nucleus first: click its row, or click on it in the canvas.")
            return
        target = state.prediction if truth else state.truth
        problem = _why_not(target)
        if problem:
            self._tell(problem)
            return
        if target is not None and not isinstance(full_data(target), np.ndarray):
            self._tell(f"Reading {target.name} into memory...")
            self._load(target, lambda: self.accept(truth=truth))
            return
        if int(state.objects.plane[row]) != state.plane:
            state.chosen.emit(row)
        try:
            accept(state, row, truth=truth)
        except ValueError as error:
            self._tell(str(error))

    def ask_and_save(self) -> None:
        """Ask for a folder, and write the corrected labels to it."""
        name = QFileDialog.getExistingDirectory(self, "Folder for the corrected labels")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write the corrected labels to a folder."""
        try:
            written = save_corrected(self._state, folder)
        except OSError as error:
            self._tell(str(error))
            return
        if written:
            self._tell(f"{len(written)} corrected fields are in {folder}.")
        else:
            self._tell("No label was corrected since the layers were opened.")


def _why_not(layer: Labels | None) -> str:
    """Say why a layer cannot be corrected; nothing if it can."""
    if layer is None:
        return "Press Score first."
    if layer.multiscale:
        return f"{layer.name} has several resolutions; correct a copy of one resolution."
    return ""


def read_first(
    run: Callable[[Work, Callable[[Any], None]], Job],
    edits: EditWatch,
    layer: Labels,
    then: Callable[[], None],
) -> None:
    """Read a layer's labels, which are read from files as they are shown, into memory."""

    def use(labels: Any) -> None:
        if edits.watches(layer):
            edits.exchange(layer, labels)
            then()

    run(partial(read_all, full_data(layer)), use)

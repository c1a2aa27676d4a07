"""Buttons that correct the labels of the nucleus that is current, and save what was corrected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_nucseg.runs.objects import ObjectKey
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.comparison_state import NOTHING_COMPARED, ComparisonState
from napari_nucseg.ui.score.corrections import accept, corrected_planes, save_corrected
from napari_nucseg.ui.score.edits import EditWatch
from napari_nucseg.ui.score.object_table import ObjectTable

_NOTHING = "No label was corrected since the layers were opened."


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
    edits : EditWatch
        Counts what was corrected, and reads labels that are in files.
    run : callable
        Does work in the background.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ObjectTable,
        tell: Callable[[str], None],
        edits: EditWatch,
        run: Run,
    ) -> None:
        super().__init__()
        self._state, self._table, self._tell = state, table, tell
        self._edits, self._run = edits, run
        self._loading: Job | None = None
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
        if target is None:
            self._tell(NOTHING_COMPARED)
        elif target.multiscale:
            self._tell(f"{target.name} has several resolutions; correct a copy of one resolution.")
        elif not isinstance(full_data(target), np.ndarray):
            self._load_and_accept(target, state.objects.key_of(row), truth)
        else:
            self._accept(state.objects.key_of(row), truth)

    def _load_and_accept(self, target: Labels, key: ObjectKey, truth: bool) -> None:
        if self._loading is not None and not self._loading.is_over:
            self._tell("Labels are still being read into memory; accept this one after that.")
            return
        self._loading = self._edits.load(self._run, target, lambda: self._accept(key, truth))
        self._tell(f"Reading {target.name} into memory...")

    def _accept(self, key: ObjectKey, truth: bool) -> None:
        row = self._state.objects.find(**key._asdict())
        if row is None:
            self._tell(f"Nucleus {key.label} has gone while labels were read.")
            return
        if key.plane != self._state.plane:
            self._state.chosen.emit(row)
        try:
            done = accept(self._state, row, truth=truth)
        except ValueError as error:
            done = str(error)
        self._edits.look()
        self._tell(done)

    def ask_and_save(self) -> None:
        """Ask for a folder, and write the corrected labels to it."""
        layers = (self._state.truth, self._state.prediction)
        if not any(layer is not None and corrected_planes(layer) for layer in layers):
            self._tell(_NOTHING)
            return
        name = QFileDialog.getExistingDirectory(self, "Folder for the corrected labels")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write the corrected labels to a folder."""
        try:
            written = save_corrected(self._state, folder)
        except (ValueError, OSError) as error:
            self._tell(str(error))
            return
        if written:
            files = "file is" if len(written) == 1 else "files are"
            self._tell(f"{len(written)} corrected {files} in {folder}.")
        else:
            self._tell(_NOTHING)

"""Correcting labels: one side's object taken over into the other, kept track of, and saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_nucseg.analysis.corrections import erase, find_changes, swapped, take_over
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.writers import write_labels
from napari_nucseg.ui.edits import changes_of, corrected_planes, is_tracked, write_field
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, full_data, record_of
from napari_nucseg.ui.score.edit_tracker import EditTracker
from napari_nucseg.ui.score.model import NOTHING_COMPARED, ComparisonState
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.ui.score.worker import read_plane

_NOTHING = "No label was corrected since the layers were opened."


def accept(state: ComparisonState, row: int, *, truth: bool) -> str:
    """Make one side of an object like the other; napari's undo takes it back.

    Parameters
    ----------
    state : ComparisonState
        With the object's field shown.
    row : int
        Of the objects.
    truth : bool
        Whether the truth is right; the prediction is changed then, else the truth is.

    Returns
    -------
    str
        What was done, in words.
    """
    assert state.truth is not None
    assert state.prediction is not None
    objects = state.objects
    plane, label, is_true = objects.key_of(row)
    both = state.labels_now(plane)
    overlap = state.pairs[plane].overlap
    source, target = both if truth else both[::-1]
    overlap = overlap if truth else swapped(overlap)
    if is_true == truth:
        new = take_over(source, target, label, overlap)
    else:
        new = erase(target, label)  # with what its partners leave of it
        for partner in objects.partners_of(row):
            new = take_over(source, new, partner, overlap)
    layer = state.prediction if truth else state.truth
    told = _in_words(layer, target, new)
    write_field(layer, plane, new)
    return told


def save_corrected(state: ComparisonState, folder: Path) -> list[Path]:
    """Write the corrected fields of both layers as label TIFFs that say what was changed.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    FileExistsError
        If one of the files is there; none is written then.
    ValueError
        If labels were edited through several fields at once.
    """
    for layer in (state.truth, state.prediction):
        if layer is not None and not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited through several fields at once, of which no note is "
                "kept; save the whole layer (File > Save Selected Layers)"
            )
    writes = {}
    for kind, layer in ((GROUND_TRUTH, state.truth), (PREDICTION, state.prediction)):
        for plane in () if layer is None else corrected_planes(layer):
            assert layer is not None
            path = folder / f"{state.name_of(plane)} {kind} corrected.tif"
            now = read_plane(full_data(layer), plane)
            writes[path] = partial(write_labels, path, now, _note(layer, plane))
    there = [path for path in writes if path.exists()]
    if there:
        raise FileExistsError(f"{there[0]} is there already; choose another folder, or move it")
    for write in writes.values():
        write()
    return list(writes)


def _in_words(layer: Labels, before: LabelImage, after: LabelImage) -> str:
    changes = find_changes(before, after)
    done = [
        f"{word} {', '.join(map(str, labels))}"
        for word, labels in (
            ("added", changes.added),
            ("removed", changes.removed),
            ("changed", changes.changed),
        )
        if labels
    ]
    if not done:
        return "Both sides are the same here already."
    return f"{layer.name}: {'; '.join(done)}. Ctrl+Z on that layer takes it back."


def _note(layer: Labels, plane: int) -> dict[str, Any]:
    record = record_of(layer)
    made: Mapping[str, Any] = {}
    if record is not None:
        made = (record.by_field or {}).get(plane) or record.provenance or {}
    return {**made, "layer": layer.name, "corrections": asdict(changes_of(layer, plane))}


class CorrectionControls(QWidget):
    """Takes one side's nucleus over into the other.

    Parameters
    ----------
    state : ComparisonState
        Whose layers are corrected.
    table : ObjectTable
        Its current row is what is corrected.
    tell : callable
        Shows a line of text.
    edits : EditTracker
        Counts what was corrected, and reads labels that are in files.
    run : callable
        Does work in the background.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ObjectTable,
        tell: Callable[[str], None],
        edits: EditTracker,
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

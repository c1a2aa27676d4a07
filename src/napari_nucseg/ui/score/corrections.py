"""Correcting labels: one side's object taken over into the other, kept track of, and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_nucseg.analysis.corrections import erase, find_changes, swapped, take_over
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.edits import (
    corrected_planes,
    count_corrected,
    has_history,
    save_corrected,
    write_field,
)
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    PREDICTION,
    count_planes,
    find_image,
    full_data,
    record_of,
)
from napari_nucseg.ui.params_form import text_line
from napari_nucseg.ui.score.canvas import EditTracker
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.wording import say_corrected

REST = 200
"""Milliseconds after an edit that corrected nuclei are counted."""
_NOTHING = "No label was corrected since the layers were opened."


def accept(comparison: Comparison, row: int, *, truth: bool) -> tuple[bool, str]:
    """Make one side of an object like the other; napari's undo takes it back.

    Parameters
    ----------
    comparison : Comparison
        The comparison; the object's field is the one shown.
    row : int
        Number of the object among all that are listed.
    truth : bool
        Whether the truth is right; the prediction is changed then, else the truth is.

    Returns
    -------
    (bool, str)
        Whether anything was changed, and what was done, in words.
    """
    assert comparison.truth is not None
    assert comparison.prediction is not None
    objects = comparison.objects
    plane, label, is_true = objects.key_of(row)
    both = comparison.labels_now(plane)
    overlap = comparison.pairs[plane].overlap
    source, target = both if truth else both[::-1]
    overlap = overlap if truth else swapped(overlap)
    if is_true == truth:
        new = take_over(source, target, label, overlap)
    else:
        new = erase(target, label)  # with what its partners leave of it
        for partner in objects.partners_of(row):
            new = take_over(source, new, partner, overlap)
    layer = comparison.prediction if truth else comparison.truth
    told = _in_words(layer, target, new)
    return write_field(layer, plane, new), told


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
        return "Prediction and ground truth are the same here already."
    return f"{layer.name}: {'; '.join(done)}. Undo takes it back."


class CorrectionControls(QWidget):
    """Takes one side's nucleus over into the other.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose layers are corrected.
    table : ObjectTable
        Table of objects, whose current row is corrected.
    tell : callable
        Called with a line of text, to show it.
    edits : EditTracker
        Counter of corrected nuclei, which also reads labels from files.
    run : callable
        Called with work to do in the background, and with what shows its result.
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
        self._accepted: list[Labels] = []
        self.prediction = PushButton(
            text="Accept prediction here",
            tooltip="Put the predicted nucleus of the chosen row into the ground truth. It "
            "replaces the true nucleus there. Undo takes it back.",
        )
        self.truth = PushButton(
            text="Accept truth here",
            tooltip="Put the true nucleus of the chosen row into the prediction. It replaces the "
            "predicted nucleus there. Undo takes it back.",
        )
        self.undo = PushButton(
            text="Undo",
            tooltip="Take back the last change of the labels that were corrected last, by these "
            "buttons or by hand. Ctrl+Z in the canvas does the same while they are shown.",
        )
        self.corrected = text_line()
        self._counting = QTimer(self)
        self._counting.setSingleShot(True)
        self._counting.setInterval(REST)
        self._counting.timeout.connect(self._count)
        self.save = PushButton(
            text="Save corrected labels...",
            tooltip="Save the corrected fields as label TIFFs with a note of what was changed. No "
            "file is overwritten.",
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.addWidget(self.prediction.native, 0, 0)
        grid.addWidget(self.truth.native, 0, 1)
        grid.addWidget(self.save.native, 1, 0)
        grid.addWidget(self.undo.native, 1, 1)
        grid.addWidget(self.corrected.native, 2, 0, 1, 2)
        self.prediction.changed.connect(lambda: self.accept(truth=False))
        self.truth.changed.connect(lambda: self.accept(truth=True))
        self.undo.changed.connect(self.take_back)
        self.save.changed.connect(self.ask_and_save)
        state.changed.connect(self._on_changed)
        self._counting.start()

    def accept(self, *, truth: bool) -> None:
        """Make one side of the chosen nucleus like the other."""
        row, now = self._table.current, self._state.now
        if row is None:
            self._tell("Choose a nucleus first: click its row, or click on it in the canvas.")
            return
        target = now.prediction if truth else now.truth
        if target is None:
            self._tell(NOTHING_COMPARED)
        elif target.multiscale:
            self._tell(
                f"{target.name} has several resolutions, which cannot be corrected. Correct "
                "a copy of its finest resolution."
            )
        elif not isinstance(full_data(target), np.ndarray):
            self._load_and_accept(target, now.objects.key_of(row), truth)
        else:
            self._accept(now.objects.key_of(row), truth)

    def _load_and_accept(self, target: Labels, key: ObjectKey, truth: bool) -> None:
        if self._loading is not None and not self._loading.is_over:
            self._tell(
                "Labels are still being read into memory. Press the button again after that."
            )
            return
        self._loading = self._edits.load(self._run, target, lambda: self._accept(key, truth))
        self._tell(f"Reading {target.name} into memory...")

    def _accept(self, key: ObjectKey, truth: bool) -> None:
        row = self._state.now.objects.find(**key._asdict())
        if row is None:
            self._tell(f"Nucleus {key.label} was removed while the labels were read.")
            return
        if key.plane != self._state.now.plane:
            self._state.chosen.emit(row)
        target = self._state.now.prediction if truth else self._state.now.truth
        assert target is not None
        try:
            changed, done = accept(self._state.now, row, truth=truth)
        except ValueError as error:
            changed, done = False, str(error)
        self._edits.look()
        if changed:
            self._accepted.append(target)
            self._state.viewer.layers.selection = {target}  # for Ctrl+Z, if it is shown
        self._tell(done)

    def take_back(self) -> None:
        """Undo the last change of the labels that were corrected last."""
        layers = self._state.viewer.layers
        self._accepted = [one for one in self._accepted if one in layers and has_history(one)]
        if self._accepted:
            target = self._accepted.pop()
        else:
            edited = [one for one in self._layers.values() if has_history(one)]
            if not edited:
                self._tell("There is nothing to undo.")
                return
            active = layers.selection.active
            target = active if active in edited else edited[0]
        target.undo()
        self._edits.look()
        self._tell(f"The last change of {target.name} is undone.")

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects and new.rule == old.rule:
            self._counting.start()

    @property
    def _layers(self) -> dict[str, Labels]:
        """What is compared, by what it is."""
        now = self._state.now
        layers = {PREDICTION: now.prediction, GROUND_TRUTH: now.truth}
        return {kind: layer for kind, layer in layers.items() if layer is not None}

    def _name(self, layer: Labels, plane: int) -> str:
        """Name a field: by its own stem, else by its image's layer, else by its number."""
        record = record_of(layer)
        if record is not None and plane < len(record.stems):
            return record.stems[plane]
        image = find_image(self._state.viewer.layers, layer)
        if image is None or count_planes(layer) > 1:
            return self._state.now.name_of(plane)
        return image.name

    def _count(self) -> None:
        """Tell how many nuclei were corrected by hand."""
        words = {
            kind: say_corrected(count_corrected(layer)) for kind, layer in self._layers.items()
        }
        self.corrected.value = " ".join(
            f"{k.capitalize()} {said}." for k, said in words.items() if said
        )

    def ask_and_save(self) -> None:
        """Ask for a folder, and write the corrected labels to it."""
        if not any(map(corrected_planes, self._layers.values())):
            self._tell(_NOTHING)
            return
        name = QFileDialog.getExistingDirectory(self, "Folder for the corrected labels")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write the corrected labels to folders for either side within a folder.

        Files have the names of their images, so that the command ``score`` pairs them.
        """
        try:
            written = save_corrected(self._layers, self._name, folder)
        except (ValueError, OSError) as error:
            self._tell(str(error))
            return
        if written:
            files = "file is" if len(written) == 1 else "files are"
            where = " and ".join(sorted({str(path.parent) for path in written}))
            self._tell(f"{len(written)} corrected {files} in {where}.")
        else:
            self._tell(_NOTHING)

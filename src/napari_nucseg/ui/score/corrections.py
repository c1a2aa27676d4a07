"""Correcting labels: one side's object taken over into the other, kept track of, and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_nucseg.analysis.corrections import erase, find_changes, swapped, take_over
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.edits import (
    can_take,
    corrected_planes,
    count_corrected,
    undo,
    with_room,
    write_field,
)
from napari_nucseg.ui.jobs import Job, Run, single_shot
from napari_nucseg.ui.layer_fields import full_data, read_plane, read_whole
from napari_nucseg.ui.score.canvas import EditTracker
from napari_nucseg.ui.score.export import collect_corrected
from napari_nucseg.ui.score.export_kinds import write_corrected
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.ui.widgets import TextLine
from napari_nucseg.wording import say_corrected

REST = 200
"""Milliseconds after an edit that corrected nuclei are counted."""
_PLUGIN, _TRAIN = "napari-nucseg", "Train on labels"
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
    both = comparison.label_reader()(plane)
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
        self.corrected = TextLine(label="")
        self._counting = single_shot(self, self._count, REST)
        self.save = PushButton(
            text="Save corrected labels...",
            tooltip="Save the corrected fields as label TIFFs with a note of what was changed. No "
            "file is overwritten.",
        )
        self._arrange()
        state.changed.connect(self._on_changed)
        self._counting.start()

    def _arrange(self) -> None:
        self.teach = PushButton(
            text="These corrections can teach a model...",
            tooltip="Open the panel that trains a model on labels.",
            visible=False,
        )
        self.prediction.changed.connect(lambda: self.accept(truth=False))
        self.truth.changed.connect(lambda: self.accept(truth=True))
        self.undo.changed.connect(self.take_back)
        self.save.changed.connect(self.ask_and_save)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.addWidget(self.prediction.native, 0, 0)
        grid.addWidget(self.truth.native, 0, 1)
        grid.addWidget(self.save.native, 1, 0)
        grid.addWidget(self.undo.native, 1, 1)
        grid.addWidget(self.corrected.native, 2, 0, 1, 2)
        grid.addWidget(self.teach.native, 3, 0, 1, 2)
        self.teach.changed.connect(self.open_training)

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
        data = full_data(target)

        def use(labels: LabelImage) -> None:
            if self._edits.watches(target) and full_data(target) is data:
                self._edits.exchange(target, labels)
                self._accept(key, truth)

        self._loading = self._run(partial(read_whole, data), use)
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
        self._make_room(target, key.plane)
        changed, done = accept(self._state.now, row, truth=truth)
        self._edits.look()
        if changed:
            self._state.viewer.layers.selection = {target}  # for Ctrl+Z, if it is shown
        self._tell(done)

    def _make_room(self, layer: Labels, plane: int) -> None:
        """Let a layer take a number more than it has, and be written to."""
        data = full_data(layer)
        highest = int(read_plane(data, plane).max(initial=0)) + 1
        if not can_take(data, highest):
            self._edits.exchange(layer, with_room(data, highest))

    def take_back(self) -> None:
        """Undo the last change of the labels that were corrected last."""
        target = self._edits.last_edited
        if target is None:
            self._tell("There is nothing to undo.")
            return
        done = undo(target)
        self._edits.look()
        self._tell(done)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects and new.rule == old.rule:
            self._counting.start()

    def _count(self) -> None:
        """Tell how many nuclei were corrected by hand."""
        layers = self._state.now.layers
        words = {kind: say_corrected(count_corrected(layer)) for kind, layer in layers.items()}
        self.corrected.value = " ".join(
            f"{k.capitalize()} {said}." for k, said in words.items() if said
        )

        self.teach.visible = bool(self.corrected.value)

    def open_training(self) -> None:
        """Open the panel that trains a model, which offers the corrected labels."""
        _, panel = self._state.viewer.window.add_plugin_dock_widget(_PLUGIN, _TRAIN)
        panel.come_to_front()

    def ask_and_save(self) -> None:
        """Ask for a folder, and write the corrected labels to it."""
        if not any(map(corrected_planes, self._state.now.layers.values())):
            self._tell(_NOTHING)
            return
        name = QFileDialog.getExistingDirectory(self, "Folder for the corrected labels")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write the corrected labels to folders for either side within a folder."""
        try:
            fields = collect_corrected(self._state.now, self._state.viewer.layers, folder)
        except ValueError as error:
            self._tell(str(error))
            return
        if fields:
            self._run(partial(write_corrected, fields), self._tell_saved)
        else:
            self._tell(_NOTHING)

    def _tell_saved(self, written: Sequence[Path]) -> None:
        files = "file is" if len(written) == 1 else "files are"
        where = " and ".join(sorted({str(path.parent) for path in written}))
        self._tell(f"{len(written)} corrected {files} in {where}.")

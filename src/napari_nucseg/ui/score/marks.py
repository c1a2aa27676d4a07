"""Marks on nuclei: *reviewed*, *truth is wrong* and *ignore* with a note, by button and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_nucseg.analysis.marks import Mark, Marked, unknown_regions, with_marks
from napari_nucseg.analysis.marks_file import MarksFile, marks_record, read_marks
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.io.geojson import read_json
from napari_nucseg.io.sources import Source, as_file_name
from napari_nucseg.io.writers import with_ending, write_json
from napari_nucseg.metrics.ignoring import Regions
from napari_nucseg.progress import Progress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.keys import IGNORE, REVIEWED, TRUTH_IS_WRONG, PanelKeys
from napari_nucseg.ui.layer_fields import field_shape
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.object_model import SYMBOLS
from napari_nucseg.ui.score.regions import IgnoreControls, count_anew, draw_regions
from napari_nucseg.ui.score.unsaved_marks import (
    count_unsaved,
    note_saved,
    say_marks,
    watch_closing,
)
from napari_nucseg.ui.widgets import tight
from napari_nucseg.wording import counted

KEY_OF = {Mark.REVIEWED: REVIEWED, Mark.TRUTH_IS_WRONG: TRUTH_IS_WRONG, Mark.IGNORE: IGNORE}
_HELP = {
    Mark.REVIEWED: "You have looked at the nucleus.",
    Mark.TRUTH_IS_WRONG: "The ground truth is wrong here. The nucleus is still counted.",
    Mark.IGNORE: "Leave the nucleus out of the scores.",
}
_ENDING = ".json"


class MarkControls(QWidget):
    """Marks the nucleus that was chosen last, in the table, the gallery or the canvas.

    Parameters
    ----------
    panel : QWidget
        Panel in which the keys work while it has the focus.
    state : ComparisonState
        The comparison whose nuclei are marked.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    start : callable
        Compares all fields in the background.
    ignore : IgnoreControls
        Draws the regions of a file.
    """

    def __init__(
        self,
        panel: QWidget,
        state: ComparisonState,
        run: Run,
        tell: Callable[[str], None],
        start: Callable[[], None],
        ignore: IgnoreControls,
    ) -> None:
        super().__init__()
        self._state, self._run, self._tell, self._start = state, run, tell, start
        self._ignore = ignore
        self._current: ObjectKey | None = None
        self._taken: dict[ObjectKey, str] = {}  # notes of marks that were taken away
        self.buttons = {mark: self._button(mark) for mark in Mark}
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note")
        self.note.setToolTip("What else there is to say of the nucleus. Kept with its mark.")
        self.note.editingFinished.connect(self._keep_note)
        self.count = QLabel()
        self.files = QPushButton("Marks")
        self.files.setToolTip(
            "Save marks, notes and the regions to ignore to a file, or open one. *: not saved yet."
        )
        self._lay_out()
        self.keys = PanelKeys(panel, {KEY_OF[mark]: partial(self.mark, mark) for mark in Mark})
        state.changed.connect(self._on_changed)
        state.chosen.connect(self.point_at)
        self._show()

    def point_at(self, row: int) -> None:
        """Take an object for the one that is to be marked."""
        self._current = self._state.now.objects.key_of(row)
        self._show()

    def mark(self, mark: Mark) -> None:
        """Mark the nucleus that was chosen last, or take the same mark away from it."""
        now, key = self._state.now, self._current
        row = None if key is None else now.objects.find(**key._asdict())
        if key is None or row is None:
            self._tell("Choose a nucleus first: click its row, its picture, or it in the canvas.")
            self._show()
            return
        key, known = now.objects.key_of(row), now.marked.get(row)
        marks = {one: what for one, what in now.marks.items() if what is not known}
        if known is not None and known.mark == mark:
            self._taken[key] = known.note
        else:
            typed = self.note.text() or self._taken.get(key, "")
            note = typed if known is None else known.note
            top, left, bottom, right = now.objects.box[row].tolist()
            marks[key] = Marked(mark, note, (top, left, bottom, right))
        self._set(marks)
        self._tell(f"{self._state.now.describe(row)}.")

    def save_to(self, path: Path) -> None:
        """Write the marks to a file in the background; its name gets the ending if need be."""
        now = self._state.now
        try:
            path = with_ending(path, _ENDING)
        except OSError as error:
            self._tell(str(error))
            return
        record = marks_record(now.marks, now.regions, lambda plane: now.field_of(plane).stem)

        def told(nothing: None) -> None:
            note_saved(now.layers, now.marks, now.regions)
            self._show()
            what = say_marks(len(now.marks), len(unknown_regions(now.regions, Regions())))
            self._tell(f"{what} written: {path}")

        self._run(lambda progress: write_json(path, record), told)

    def open_from(self, path: Path) -> None:
        """Add marks and regions of a file; nuclei that have a mark keep it."""
        now = self._state.now
        if now.truth is None:
            self._tell(NOTHING_COMPARED)
            return
        planes = {now.field_of(plane).stem: plane for plane in now.pairs}
        height, width = field_shape(now.truth)[-2:]

        def read(progress: Progress) -> MarksFile:
            return read_marks(read_json(Source(path)), planes, (height, width), str(path))

        self._run(read, partial(self._add, path, now))

    def _add(self, path: Path, before: Comparison, found: MarksFile) -> None:
        now, marks, regions = self._state.now, found.marks, found.regions
        known, labels = now.marks, now.truth
        if labels is None or (labels, now.prediction) != (before.truth, before.prediction):
            self._tell(f"{path.name} was not opened: other layers are compared now. Open it again.")
            return
        self._set({**marks, **known})
        name = f"ignored ({path.stem})"
        drawn = draw_regions(regions, now.regions, labels, self._ignore, name)
        note_saved(now.layers, marks, regions)
        self._show()
        told = [f"{counted(len(marks.keys() - known.keys()), 'mark')} added from {path.name}."]
        differing = [key for key in marks.keys() & known.keys() if marks[key] != known[key]]
        if differing:
            told.append(f"{counted(len(differing), 'nucleus')} had another mark and kept it.")
        if found.elsewhere:
            left_out = counted(found.elsewhere, "mark")
            told.append(f"{left_out} or regions of fields that are not here left out.")
        self._tell(" ".join([*told, drawn]).strip())

    def _set(self, marks: Mapping[ObjectKey, Marked]) -> None:
        """Exchange all marks; each is kept with the layer of its nucleus."""
        now = self._state.now
        watch_closing(self, self._state)
        for layer, is_true in ((now.truth, True), (now.prediction, False)):
            if layer is not None:
                layer.metadata = with_marks(layer.metadata, marks, is_true=is_true)
        count_anew(self._state, self._start, marks)

    def _keep_note(self) -> None:
        marked = self._marked()
        if marked is None or marked.note == self.note.text():
            return
        new, now = replace(marked, note=self.note.text()), self._state.now
        self._set({key: new if one is marked else one for key, one in now.marks.items()})

    def _marked(self) -> Marked | None:
        """Return the mark of the nucleus that was chosen last."""
        now, key = self._state.now, self._current
        row = None if key is None else now.objects.find(**key._asdict())
        return None if row is None else now.marked.get(row)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.truth is not old.truth or new.prediction is not old.prediction:
            self._current, self._taken = None, {}
        what = [(one.objects, one.marks, one.regions) for one in (old, new)]
        if any(one is not other for one, other in zip(*what, strict=True)):
            self._show()

    def _show(self) -> None:
        """Let buttons, note and count tell of the marks as they are now."""
        marked, all_marked = self._marked(), self._state.now.marked.values()
        for mark, button in self.buttons.items():
            button.setChecked(marked is not None and marked.mark == mark)
        unsaved = any(count_unsaved(self._state.now.layers.values()))
        self.files.setText("Marks *" if unsaved else "Marks")
        if not self.note.hasFocus() or marked is not None:
            self.note.setText("" if marked is None else marked.note)
        counts = {mark: sum(one.mark == mark for one in all_marked) for mark in Mark}
        self.count.setText(
            ", ".join(f"{SYMBOLS[mark]} {count}" for mark, count in counts.items() if count)
        )

    def _button(self, mark: Mark) -> QPushButton:
        button = QPushButton(f"{SYMBOLS[mark]} {mark.capitalize()}")
        button.setCheckable(True)
        button.setMinimumWidth(0)
        button.setToolTip(f"{_HELP[mark]} Press again to take the mark away ({KEY_OF[mark].qt}).")
        button.clicked.connect(lambda: self.mark(mark))
        return button

    def _lay_out(self) -> None:
        menu = QMenu(self.files)
        for text, act in (("Save marks...", self._ask_save), ("Open marks...", self._ask_open)):
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(act)
        self.files.setMenu(menu)
        grid = tight(QGridLayout(self), 3)
        for column, button in enumerate(self.buttons.values()):
            grid.addWidget(button, 0, column)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        grid.addWidget(self.note, 1, 0)
        grid.addWidget(self.count, 1, 1)
        grid.addWidget(self.files, 1, 2)

    def _ask_save(self) -> None:
        if not self._state.now.marks and not self._state.now.regions.by_plane:
            self._tell(
                "There are no marks and no regions to ignore yet. Choose a nucleus, and press a "
                "button above."
            )
            return
        truth = self._state.now.truth
        path = f"{as_file_name('' if truth is None else truth.name)} marks{_ENDING}"
        name, _ = QFileDialog.getSaveFileName(self, "Save marks", path, f"*{_ENDING}")
        if name:
            self.save_to(Path(name))

    def _ask_open(self) -> None:
        if not self._state.now.is_there:
            self._tell(NOTHING_COMPARED)
            return
        name, _ = QFileDialog.getOpenFileName(self, "Open marks", "", f"*{_ENDING}")
        if name:
            self.open_from(Path(name))

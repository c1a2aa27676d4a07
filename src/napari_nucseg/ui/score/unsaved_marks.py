"""Marks and regions that are in no file yet: asked for when the window is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QEvent, QObject
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.analysis.marks import KEPT_MARKS, Marks, unknown_regions
from napari_nucseg.analysis.marks_file import marks_record
from napari_nucseg.io.sources import as_file_name
from napari_nucseg.io.writers import write_json
from napari_nucseg.metrics.ignoring import Polygon, Regions
from napari_nucseg.ui.jobs import tell_user
from napari_nucseg.ui.layer_fields import itself, kept_regions
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.widgets import ask
from napari_nucseg.wording import counted

_SAVED, _SAVED_REGIONS = "nucseg marks saved", "nucseg ignored regions saved"
"""Where a layer's metadata has the marks and the regions that are in a file."""
SAVE, LEAVE, CANCEL = "Save...", "Close without saving", "Cancel"


def note_saved(layers: Mapping[str, Labels], marks: Marks, regions: Regions) -> None:
    """Note with layers that all these marks and regions are in a file."""
    for layer in layers.values():
        mine = {key: one for key, one in _kept(layer).items() if marks.get(key) == one}
        saved = layer.metadata.get(_SAVED, {}) | mine  # which may be in several files
        layer.metadata = layer.metadata | {_SAVED: saved, _SAVED_REGIONS: regions}


def count_unsaved(layers: Iterable[Labels]) -> tuple[int, int]:
    """Count the marks on nuclei, and the regions, that are not in a file as they are.

    A region that several layers keep counts once: swapped layers have had the same drawn on them.
    """
    marks, regions = 0, set[Polygon]()
    for layer in layers:
        saved: Marks = layer.metadata.get(_SAVED, {})
        marks += sum(saved.get(key) != one for key, one in _kept(layer).items())
        in_files: Regions = layer.metadata.get(_SAVED_REGIONS, Regions())
        regions |= unknown_regions(kept_regions(layer), in_files).keys()
    return marks, len(regions)


def say_marks(marks: int, regions: int) -> str:
    """Count marks and regions in words, and leave out those of which there are none.

    Examples
    --------
    >>> say_marks(1, 2), say_marks(0, 1)
    ('1 mark on nuclei and 2 regions to ignore', '1 region to ignore')
    """
    told = [f"{counted(marks, 'mark')} on nuclei"] if marks or not regions else []
    return " and ".join([*told, *([f"{counted(regions, 'region')} to ignore"] if regions else [])])


def _kept(layer: Labels) -> Marks:
    kept: Marks = layer.metadata.get(KEPT_MARKS, {})
    return kept


class UnsavedMarks(QObject):
    """Asks what becomes of unsaved marks when a window is closed; get it by `watch_closing`.

    It outlives the panel, and keeps neither that nor the viewer alive.

    Parameters
    ----------
    window : QWidget
        The viewer's window, whose child this becomes.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._state: Callable[[], ComparisonState | None] = lambda: None
        self._viewer: Callable[[], ViewerModel | None] = lambda: None
        window.installEventFilter(self)

    def follow(self, state: ComparisonState) -> None:
        """Save together what a comparison marks."""
        self._state, self._viewer = ref(state), ref(itself(state.viewer))

    @property
    def _window(self) -> QWidget:
        window = self.parent()
        assert isinstance(window, QWidget)
        return window

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep the window open where the person says so."""
        assert event is not None
        if event.type() != QEvent.Type.Close or not self._is_in_sight:
            return False
        if not self._layers or self.ask():
            return False
        event.ignore()
        return True

    def ask(self) -> bool:
        """Ask, and save if that is the answer; False if the window is to stay open."""
        question = f"Not saved yet: {say_marks(*count_unsaved(self._layers))}."
        detail, answers = "Closing napari loses them.", (SAVE, LEAVE, CANCEL)
        answer = ask(self._window, "Unsaved marks", question, detail, answers)
        return self._save() if answer == SAVE else answer == LEAVE

    @property
    def _is_in_sight(self) -> bool:
        """Whether the viewer is still there; a script has closed it before its window."""
        canvas = self._window.findChild(QOpenGLWidget)
        return canvas is not None and canvas.isVisible()

    @property
    def _layers(self) -> list[Labels]:
        viewer = self._viewer()
        layers = [] if viewer is None else viewer.layers
        return [one for one in layers if isinstance(one, Labels) and any(count_unsaved([one]))]

    def _save(self) -> bool:
        """Ask for a folder, and write all marks to new files in it; False if none were written."""
        name = QFileDialog.getExistingDirectory(self._window, "Folder for the marks")
        try:
            for stem, record in self._records() if name else ():
                write_json(_free_path(Path(name), f"{as_file_name(stem)} marks"), record)
        except OSError as error:
            tell_user(error)
            return False
        return bool(name)

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what is to be saved and the name of its layer; what is compared in one file."""
        state = self._state()
        now = Comparison() if state is None else state.now
        compared = [layer for layer in self._layers if layer in now.layers.values()]
        if compared:
            record = marks_record(now.marks, now.regions, partial(_stem_of, now))
            yield compared[-1].name, record
        for layer in self._layers:
            if layer not in compared:
                alone = Comparison(truth=layer)
                kept = _kept(layer), kept_regions(layer)
                yield layer.name, marks_record(*kept, partial(_stem_of, alone))


def _stem_of(comparison: Comparison, plane: int) -> str:
    return comparison.field_of(plane).stem


def _free_path(folder: Path, stem: str) -> Path:
    """Return a path in a folder where there is no file yet."""
    path, number = folder / f"{stem}.json", 2
    while path.exists():
        path, number = folder / f"{stem} {number}.json", number + 1
    return path


def watch_closing(panel: QWidget, state: ComparisonState) -> None:
    """Ask for unsaved marks when the window is closed that a panel is docked in."""
    window = panel.window()
    while window is not None and (above := window.parentWidget()) is not None:
        window = above.window()
    if window is not None:
        watch = window.findChild(UnsavedMarks) or UnsavedMarks(window)
        watch.follow(state)

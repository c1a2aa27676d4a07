"""Reading files while the window lives: in a thread, with a dialog, and layers one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QProgressDialog, QWidget

from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.ui.files.field_groups import fetch
from napari_nucseg.ui.jobs import Job, tell_user
from napari_nucseg.ui.layers import prepare_colours

LayerData = tuple[Any, dict[str, Any], str]
Made = TypeVar("Made")
_turns: set[QTimer] = set()
"""What adds layers one after another now, kept until the last of them."""


@dataclass(frozen=True)
class Opened:
    """What files are opened as, and what the user should know of it."""

    layers: list[LayerData]
    notes: tuple[str, ...] = ()

    def told(self) -> list[LayerData]:
        """Tell the user, which is for the main thread to do, and return the layers."""
        for note in self.notes:
            show_warning(note)
        return self.layers


class WorkDialog(QProgressDialog):
    """Says how far work is that a job does; Cancel, or the window's end, stops that.

    Parameters
    ----------
    title : str
        Title of the dialog.
    after : int
        Milliseconds of work before it is seen.
    """

    def __init__(self, title: str, after: int) -> None:
        super().__init__(shown_window())  # which lends it its looks, and takes it along
        self.setWindowTitle(title)
        self.setMinimumDuration(after)
        self.setAutoReset(False)
        self.setAutoClose(False)

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show steps done and in all, and what is at work."""
        raise NotImplementedError

    def follow(self, job: Job) -> None:
        """Show how far a job is that was not started yet, until it is over."""
        # A function of its own keeps the dialog, which has no parent where no window is seen
        job.progressed.connect(lambda *progress: self.show_progress(*progress))
        job.finished.connect(self.deleteLater)
        self.canceled.connect(job.abandon)  # what stalls would keep it from stopping at once
        self.canceled.connect(self.deleteLater)
        self.destroyed.connect(job.abandon)


class OpeningDialog(WorkDialog):
    """Says how many images of a folder were read; it is seen if that takes more than a moment.

    Parameters
    ----------
    name : str
        Name of the folder.
    """

    def __init__(self, name: str) -> None:
        super().__init__("Open folder", after=500)
        self._name = name

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show images done and in all, and which is being read."""
        self.setLabelText(f"Opening {self._name}: {what}")
        self.setMaximum(total)
        self.setValue(done)


def wait_for(job: Job, dialog: WorkDialog) -> Any:
    """Return what a job returns, with the window alive meanwhile.

    Parameters
    ----------
    job : Job
        The job, which was not started yet.
    dialog : WorkDialog
        Says how far it is.

    Raises
    ------
    Stopped
        If it was cancelled, or the window is gone.
    Exception
        What the job raises.
    """
    loop, returned, failures = QEventLoop(), list[Any](), list[Exception]()
    dialog.follow(job)
    job.returned.connect(returned.append)
    job.failed.connect(failures.append)
    for end in (job.finished, dialog.canceled, dialog.destroyed):
        end.connect(loop.quit)
    job.start()
    loop.exec()
    if failures:
        raise failures[0]
    if not returned:
        raise Stopped
    return returned[0]


def read_and_wait(name: str, read: Callable[[Progress], Made]) -> Made:
    """Return what is read, as napari wants a reader's layers at once, with the window alive.

    Without a window, as in a script, the reading is done where it is asked for.

    Parameters
    ----------
    name : str
        Name of what is opened.
    read : callable
        Reads it, in a thread; gets a `Progress`.

    Raises
    ------
    OSError
        If the user cancelled it.
    """
    has_window = isinstance(QApplication.instance(), QApplication)
    if not has_window or threading.current_thread() is not threading.main_thread():
        return read(ignore)
    try:
        made: Made = wait_for(Job(read), OpeningDialog(name))
    except Stopped:
        raise OSError(f"{name} was not opened, because that was cancelled.") from None
    return made


def open_in_window(
    viewer: ViewerModel,
    name: str,
    read: Callable[[Progress], Opened],
    failed: Callable[[Exception], object] = tell_user,
) -> None:
    """Read files in the background, and add them to a viewer, while the window says how far it is.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layers are added to.
    name : str
        Name of what is opened.
    read : callable
        Reads it, in a thread; gets a `Progress`.
    failed : callable, optional
        Called with what it raised; the user is told unless this does something else.
    """
    job = Job(partial(read_ahead, read))
    job.returned.connect(partial(add_in_turns, viewer))
    job.failed.connect(failed)
    OpeningDialog(name).follow(job)
    job.start()


def read_ahead(read: Callable[[Progress], Opened], progress: Progress) -> Opened:
    """Read files, and do in this thread what napari would do first in that of the window.

    The fields of each stack that are seen first are read, and colours are compiled.

    Parameters
    ----------
    read : callable
        Reads the files; gets a `Progress`.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    """
    opened = read(progress)
    for data, keywords, _ in opened.layers:
        if keywords.get("visible", True):
            fetch(data)
    if any(kind == "labels" for _, _, kind in opened.layers):
        prepare_colours()
    return opened


def add_in_turns(
    viewer: ViewerModel, opened: Opened, added: Callable[[Layer], object] = lambda layer: None
) -> None:
    """Make and add layers one after another, so that the window answers in between.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layers are added to.
    opened : Opened
        The layers, and what the user is told of them after the last.
    added : callable, optional
        Called with each layer that was added.
    """
    rest, turn = iter(opened.layers), QTimer(main_window())  # with which it ends
    made = list[Layer]()

    def act() -> None:
        if made:
            added(viewer.add_layer(made.pop()))
            return
        one = next(rest, None)
        if one is not None:
            made.append(Layer.create(*one))
            return
        _turns.discard(turn)
        turn.deleteLater()
        opened.told()

    _turns.add(turn)
    turn.timeout.connect(act)
    turn.start()


def shown_window() -> QWidget | None:
    """Return the window that the user is in, else one that can be seen."""
    return QApplication.activeWindow() or main_window()


def main_window() -> QWidget | None:
    """Return a window of napari that can be seen."""
    windows = QApplication.topLevelWidgets()
    seen = (one for one in windows if isinstance(one, QMainWindow) and one.isVisible())
    return next(seen, None)

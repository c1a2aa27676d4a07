"""One function in a worker thread: progress, stop, errors, and no late results."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from napari.utils.notifications import notification_manager, show_warning
from qtpy.QtCore import QObject, Qt, Signal
from superqt.utils import create_worker

from napari_nucseg.segmenters.api import Stopped

_STOPPED = object()
Tell = Callable[[int, int, str], None]
"""Called with (done, in all, what); raises `Stopped` when the work was asked to stop."""
Task = Callable[[Tell], Any]
"""What a job does; it gets a `Tell`."""


class Job(QObject):
    """A function on its way.

    The function gets plain values and `report` alone: it touches neither layers nor widgets. The
    signals arrive on the main thread, ``finished`` last; after `abandon` none does.
    """

    progressed = Signal(int, int, str)
    returned = Signal(object)
    failed = Signal(object)
    finished = Signal()
    _told = Signal(int, int, str)
    _running: ClassVar[set[Job]] = set()

    def __init__(self, work: Task) -> None:
        super().__init__()
        self._work = work
        self._stop = threading.Event()

    def start(self) -> None:
        """Run the function in a thread of its own."""
        Job._running.add(self)  # until it is finished, whoever else forgets it
        queued = Qt.ConnectionType.QueuedConnection
        # superqt's: what napari connects to it on top fails under PySide6 when the function does
        worker = create_worker(self._run, _start_thread=False, _ignore_errors=True)
        worker.returned.connect(self._on_returned, queued)
        worker.errored.connect(self._on_errored, queued)
        worker.finished.connect(self._on_finished, queued)
        self._told.connect(self._on_told, queued)
        worker.start()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    @property
    def is_over(self) -> bool:
        """Whether its thread has ended."""
        return self not in Job._running

    def stop(self) -> None:
        """Ask the function to stop at its next report; ``finished`` follows."""
        self._stop.set()

    def abandon(self) -> None:
        """Stop, and let nothing of it arrive: its owner is gone or began something newer."""
        self.blockSignals(True)
        self.stop()

    def _run(self) -> Any:
        try:
            return self._work(self._report)
        except Stopped:
            if not self._stop.is_set():
                raise
            return _STOPPED

    def _report(self, done: int, total: int, what: str) -> None:
        if self._stop.is_set():
            raise Stopped
        self._told.emit(done, total, what)

    def _on_told(self, done: int, total: int, what: str) -> None:
        self.progressed.emit(done, total, what)

    def _on_returned(self, value: Any) -> None:
        if value is not _STOPPED and not self._stop.is_set():
            self.returned.emit(value)

    def _on_errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _on_finished(self) -> None:
        Job._running.discard(self)
        self.finished.emit()


Run = Callable[[Task, Callable[[Any], None]], Job]
"""Starts a job: gets the work, and what shows its result."""


def tell_user(error: Exception) -> None:
    """Notify of an error: in its own words if it was foreseen, else with its traceback at hand."""
    if isinstance(error, ValueError | OSError):
        show_warning(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)

"""Work in the background: a worker thread, its errors, and how long the rest takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, ClassVar, TypeVar

from napari.utils.notifications import notification_manager, show_warning
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from superqt.utils import create_worker

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.wording import as_duration

Made = TypeVar("Made")

_STOPPED = object()
Hand = Callable[[Any], None]
"""Called with a part of a result that is done, which is shown at once."""
Work = Callable[[Progress], Any]
"""What a job does; its progress raises `Stopped` when the work was asked to stop."""

_LOOK = 0.1
"""Seconds between two looks whether a long step is to stop."""
WARM_UP = 0.5
"""Seconds of work before the rest is estimated from them."""


class Job(QObject):
    """A function on its way.

    The function gets plain values and a `Progress` alone: it touches neither layers nor widgets.
    The signals arrive on the main thread, ``finished`` last; after `abandon` none does.
    """

    progressed = Signal(int, int, str)
    handed = Signal(object)
    returned = Signal(object)
    failed = Signal(object)
    finished = Signal()
    _told = Signal(int, int, str)
    _given = Signal(object, object)
    _running: ClassVar[set[Job]] = set()

    def __init__(self, work: Work) -> None:
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
        self._given.connect(self._on_given, queued)
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

    def hand(self, part: Any) -> None:
        """Hand a part of the result over from the thread; it arrives though the rest is stopped.

        The thread goes on when it was taken up, or the window would get many parts at once.
        """
        taken = threading.Event()
        self._given.emit(part, taken)
        while not taken.wait(_LOOK) and not self._stop.is_set():
            pass

    def _run(self) -> Any:
        try:
            return self._work(self._report)
        except Stopped:
            if not self._stop.is_set():
                raise
            return _STOPPED

    def _report(self, done: int, total: int, what: str = "", /) -> None:
        if self._stop.is_set():
            raise Stopped
        self._told.emit(done, total, what)

    def _on_told(self, done: int, total: int, what: str) -> None:
        self.progressed.emit(done, total, what)

    def _on_given(self, part: Any, taken: threading.Event) -> None:
        try:
            self.handed.emit(part)
        finally:
            taken.set()

    def _on_returned(self, value: Any) -> None:
        if value is not _STOPPED and not self._stop.is_set():
            self.returned.emit(value)

    def _on_errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _on_finished(self) -> None:
        Job._running.discard(self)
        self.finished.emit()


Run = Callable[[Work, Callable[[Any], None]], Job]
"""Starts a job: gets the work, and what shows its result."""


def tell_user(error: Exception) -> None:
    """Notify of an error: in its own words if it was foreseen, else with its traceback at hand."""
    if isinstance(error, ValueError | OSError):
        show_warning(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def single_shot(parent: QObject, call: Callable[[], object], pause: int = 0) -> QTimer:
    """Return a timer that calls once, so many milliseconds after it was started last."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(pause)
    timer.timeout.connect(call)
    return timer


class LongSteps:
    """A `Progress` whose work has steps that nothing can interrupt, such as a tile of a network.

    Such a step is not waited for when the work is to stop: it is left behind in a thread of its
    own, ends by itself, and nothing is made of its result.

    Parameters
    ----------
    progress : Progress
        Called with what is told, and again with the same during a step; may raise to stop.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told: tuple[int, int, str] = (0, 1, "")

    def __call__(self, done: int, total: int, name: str = "", /) -> None:
        """Tell how far the work is."""
        self._told = done, total, name
        self._progress(done, total, name)

    def again(self, *_: object) -> None:
        """Tell the same as before: a `Progress` of parts that are not told, but may be stopped."""
        self._progress(*self._told)

    def do(self, step: Callable[[], Made]) -> Made:
        """Do a step and return its result; what the progress raises meanwhile leaves it behind."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="step")
        work = pool.submit(step)
        pool.shutdown(wait=False)
        while wait([work], timeout=_LOOK).not_done:
            self.again()
        return work.result()


class TimeLeft:
    """Tells how long the rest of some work takes, if it goes on as it did.

    Parameters
    ----------
    clock : callable, optional
        Returns seconds, from any point in time on.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun: tuple[float, int] | None = None

    def begin_anew(self) -> None:
        """Count from what is done when it is told next."""
        self._begun = None

    def after(self, done: int, total: int) -> list[str]:
        """Say it in words, once so many steps are done; nothing before it can be known."""
        now = self._clock()
        if self._begun is None:
            self._begun = now, done
        elapsed, mine = now - self._begun[0], done - self._begun[1]
        if mine <= 0 or done >= total or elapsed < WARM_UP:
            return []
        return [f"{as_duration(elapsed / mine * (total - done))} left"]


class RemainingTime:
    """Tells how far a run over fields is.

    Parameters
    ----------
    progress : Progress
        Called with (steps done, steps in all, what is done).
    fields : int
        Number of fields to be segmented.
    clock : callable, optional
        Returns seconds, from any point in time on.
    step : str, optional
        Word for the steps that a field's work is counted in.
    """

    def __init__(
        self,
        progress: Progress,
        fields: int,
        clock: Callable[[], float] = time.perf_counter,
        step: str = "tile",
    ) -> None:
        self._progress = progress
        self._fields = fields
        self._step = step
        self._left = TimeLeft(clock)
        self._left.after(0, fields)
        self._field = 0

    def begin(self, field: int) -> None:
        """Go on to a field."""
        self._field = field

    def report(self, done: int, total: int, name: str = "", /) -> None:
        """Tell how many of a field's tiles are done; a `Progress`."""
        words = [f"{self._step} {min(done + 1, total)} of {total}"]
        if self._fields > 1:
            words.append(f"field {self._field + 1} of {self._fields}")
        steps = self._field * total + done
        words += self._left.after(steps, self._fields * total)
        self._progress(steps, self._fields * total, ", ".join(words))

    def follow_download(self, name: str, megabytes: int) -> Progress:
        """Return what tells how much of a download is done.

        Parameters
        ----------
        name : str
            Name of what is downloaded, for the screen.
        megabytes : int
            About its size, until the server tells.
        """
        here: list[int] = []  # bytes of an earlier try, which took no time now

        def follow(done: int, total: int, _: str = "", /) -> None:
            if not here:
                here.append(done)
            whole = total or megabytes * 10**6
            words = [f"Downloading {name}: {done // 10**6:,} of {whole // 10**6:,} MB"]
            words += self._left.after(done - here[0], whole - here[0])
            self._progress(done >> 20, whole >> 20, ", ".join(words))

        return follow


class BatchCountdown:
    """Tells how far a training is, which may begin in the middle and have another end meanwhile.

    Parameters
    ----------
    progress : Progress
        Called with (batches done, batches in all, what is done).
    clock : callable, optional
        Returns seconds, from any point in time on.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.perf_counter) -> None:
        self._progress, self._left = progress, TimeLeft(clock)

    def report(self, done: int, total: int, name: str = "", /) -> None:
        """Tell how many batches are done, and how long the rest takes; a `Progress`."""
        if not done:
            self._left.begin_anew()
        words = [f"Batch {done} of {total}", *filter(None, [name]), *self._left.after(done, total)]
        self._progress(done, total, ", ".join(words))

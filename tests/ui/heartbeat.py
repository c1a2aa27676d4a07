"""How long the window is blocked while something is done, and by which line of code."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from qtpy.QtCore import QTimer

import napari_nucseg

BEAT = 0.005
"""Seconds from one beat to the next while nothing blocks."""
LONG = 0.05
"""Seconds without a beat from which on is noted where the thread is."""
_PACKAGE = str(Path(napari_nucseg.__file__).parent)


@dataclass
class Heartbeat:
    """The longest time that the thread of the window worked without a look at its events.

    It is the thread's own processor time, which is the same however busy the computer is. Waiting,
    for a file or another thread, is not in it.

    Attributes
    ----------
    longest : float
        Seconds of processor time in the longest gap between two beats.
    places : list of str
        Where the thread was in that gap, the most frequent place first: the line of ours, and
        the innermost one.
    """

    longest: float = 0.0
    places: list[str] = field(default_factory=list)
    _last: float = 0.0
    _seen: Counter[str] = field(default_factory=Counter)

    def beat(self) -> None:
        """Note that the thread looks at its events."""
        now = _processor_time()
        gap, seen = now - self._last, self._seen
        self._last, self._seen = now, Counter()
        if gap > self.longest:
            self.longest = gap
            self.places = [f"{count} x {place}" for place, count in seen.most_common(4)]

    def look(self) -> None:
        """Note where the thread is if there was no beat for long; called in another thread."""
        if _processor_time() - self._last > LONG:
            self._seen[_describe(sys._current_frames()[_main()])] += 1


@contextmanager
def heartbeat() -> Iterator[Heartbeat]:
    """Watch how long the window is blocked by what is done meanwhile.

    Garbage is collected first. Otherwise Python would look through all that napari and the packages
    have made, for a fifth of a second, in whichever step comes when enough has been made since.
    """
    gc.collect()
    heart, over = Heartbeat(), threading.Event()

    def watch() -> None:
        while not over.wait(BEAT):
            heart.look()

    timer, watcher = QTimer(), threading.Thread(target=watch, daemon=True)
    timer.setInterval(round(1000 * BEAT))
    timer.timeout.connect(heart.beat)
    heart._last = _processor_time()
    timer.start()
    watcher.start()
    try:
        yield heart
    finally:
        heart.beat()
        timer.stop()
        over.set()
        watcher.join()


def _main() -> int:
    number = threading.main_thread().ident
    assert number is not None
    return number


def _processor_time() -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(_main()))


def _describe(frame: FrameType | None) -> str:
    """Name the innermost line, and those of ours that led there."""
    inner, ours = _name(frame), []
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            ours.append(_name(frame))
        frame = frame.f_back
    return " < ".join([inner, *ours[:3]])


def _name(frame: FrameType | None) -> str:
    if frame is None:
        return "nowhere"
    path = "/".join(Path(frame.f_code.co_filename).parts[-2:])
    return f"{path}:{frame.f_lineno} {frame.f_code.co_name}"

"""How far work is, in words: what is done, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_nucseg.ui.jobs import Tell

WARM_UP = 0.5
"""Seconds of work before the rest is estimated from them."""


class RemainingTime:
    """Tells how far a run over fields is.

    Parameters
    ----------
    tell : callable
        Gets (done, in all, what).
    fields : int
        To be segmented.
    clock : callable, optional
        Seconds of a clock.
    step : str, optional
        What a field's work is counted in.
    """

    def __init__(
        self,
        tell: Tell,
        fields: int,
        clock: Callable[[], float] = time.perf_counter,
        step: str = "tile",
    ) -> None:
        self._tell = tell
        self._fields = fields
        self._step = step
        self._clock = clock
        self._start = clock()
        self._field = 0

    def begin(self, field: int) -> None:
        """Go on to a field."""
        self._field = field

    def report(self, done: int, total: int) -> None:
        """Tell how many of a field's tiles are done; a `napari_nucseg.segmenters.api.Report`."""
        words = [f"{self._step} {min(done + 1, total)} of {total}"]
        if self._fields > 1:
            words.append(f"field {self._field + 1} of {self._fields}")
        steps = self._field * total + done
        words += self._left(steps / (self._fields * total))
        self._tell(steps, self._fields * total, ", ".join(words))

    def follow_download(self, name: str, megabytes: int) -> Callable[[int, int | None], None]:
        """Return what tells how much of a download is done.

        Parameters
        ----------
        name : str
            What is fetched.
        megabytes : int
            About its size, until the server tells.
        """
        here: list[int] = []  # bytes of an earlier try, which took no time now

        def follow(done: int, total: int | None) -> None:
            if not here:
                here.append(done)
            whole = total or megabytes * 10**6
            words = [f"Fetching {name}: {done // 10**6:,} of {whole // 10**6:,} MB"]
            words += self._left((done - here[0]) / max(whole - here[0], 1))
            self._tell(done >> 20, whole >> 20, ", ".join(words))

        return follow

    def _left(self, part: float) -> list[str]:
        """Say how long the rest takes if it goes on as it did; nothing before that is known."""
        elapsed = self._clock() - self._start
        if not 0 < part < 1 or elapsed < WARM_UP:
            return []
        return [f"{in_words(elapsed / part - elapsed)} left"]


def in_words(seconds: float) -> str:
    """Say a time as one does."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

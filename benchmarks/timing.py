"""Taking times that can be compared."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

Clock = Callable[[], float]
"""Does the work once and returns its seconds."""
_Item = TypeVar("_Item")


def interleave(clocks: Sequence[Clock], runs: int) -> list[float]:
    """Run each clock once untimed, then all by turns, so that a busy moment meets all alike.

    Parameters
    ----------
    clocks : sequence of callable
        What is compared.
    runs : int
        How often each is timed, at least 1.

    Returns
    -------
    list of float
        Median seconds of each.
    """
    for clock in clocks:
        clock()
    rounds = [[clock() for clock in clocks] for _ in range(runs)]
    return [median(times) for times in zip(*rounds, strict=True)]


def timed(work: Callable[[_Item], object], items: Sequence[_Item]) -> Clock:
    """Make a clock of what is done with each item; it returns the mean seconds of one."""

    def clock() -> float:
        start = time.perf_counter()
        for item in items:
            work(item)
        return (time.perf_counter() - start) / len(items)

    return clock


def in_fresh_process(code: str, *arguments: str, **environment: str) -> str:
    """Run code in a new interpreter and return what it printed.

    Parameters
    ----------
    code : str
        Python source.
    *arguments : str
        Its ``sys.argv[1:]``.
    **environment : str
        Variables to set besides those of this process.
    """
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout

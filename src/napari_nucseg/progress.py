"""How far work is, told in one way by all that takes long."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then by what takes long; whatever it raises stops the work."""

    def __call__(self, done: int, total: int, name: str = "", /) -> None:
        """Tell how far the work is.

        Parameters
        ----------
        done : int
            Number of steps that are done.
        total : int
            Steps in all; 0 where that is not known.
        name : str, optional
            What is at work, or where the work is, for the screen.
        """
        ...


def ignore(done: int, total: int, name: str = "", /) -> None:
    """Take no notice: the `Progress` of work that nobody watches."""


def at_step(progress: Progress, done: int, total: int, name: str = "") -> Progress:
    """Return the progress of what one step consists of: the count stays, but it can be stopped.

    Examples
    --------
    >>> part = at_step(print, 2, 5, "plane 3")
    >>> part(7, 9)
    2 5 plane 3
    """
    return lambda *_: progress(done, total, name)

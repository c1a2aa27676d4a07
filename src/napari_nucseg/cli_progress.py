"""Progress bars of the command line, on standard error and only where somebody looks."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

errors = Console(stderr=True)


def counting() -> Progress:
    """Return a bar that counts things."""
    return _bar(TextColumn("{task.completed:.0f} of {task.total:.0f}"))


def transferring() -> Progress:
    """Return a bar that counts bytes."""
    return _bar(DownloadColumn(), TransferSpeedColumn())


def follow_with(progress: Progress, what: str) -> Callable[[int, int, str], None]:
    """Add a task to a bar.

    Parameters
    ----------
    progress : Progress
        The bar, already shown.
    what : str
        Title of the task.

    Returns
    -------
    callable
        Called with (done, in all, name of what is worked on).
    """
    task = progress.add_task(what, total=1, name="")

    def follow(done: int, total: int, name: str) -> None:
        progress.update(task, completed=done, total=total, name=name)

    return follow


def _bar(*amounts: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *amounts,
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )

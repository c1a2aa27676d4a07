"""What the commands tell: texts and tables, warnings, progress bars, failures and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from napari_nucseg.io.atomic import describe_error
from napari_nucseg.progress import Progress
from napari_nucseg.wording import counted, escaped

_FAILURES_SHOWN = 5


class _SafeConsole(Console):
    """Shows names as they are, whatever they hold: nothing in a text commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a text into what is printed."""
        return super().render_str(escaped(text), **options)


errors = _SafeConsole(stderr=True)
console = _SafeConsole(markup=False, highlight=False, soft_wrap=True)


@contextmanager
def told_beside(as_json: bool) -> Iterator[None]:
    """Keep standard output for JSON where it is wanted: what else is told goes to the errors."""
    console.stderr = as_json
    try:
        yield
    finally:
        console.stderr = False


def print_json(record: Any) -> None:
    """Print values as one JSON object, without NaN, that every reader understands."""
    typer.echo(json.dumps(record, allow_nan=False))


def counting() -> Bar:
    """Return a bar that counts things, and names the one at work where there is room."""
    name = Column(ratio=2, no_wrap=True, overflow="ellipsis")
    return _bar(
        MofNCompleteColumn(separator=" of "),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False, table_column=name),
    )


def transferring() -> Bar:
    """Return a bar that counts bytes."""
    return _bar(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def follow_with(bar: Bar, what: str) -> Progress:
    """Add a task of a title to a bar that is shown, and return what moves it."""
    task = bar.add_task(what, total=None, name="")

    def follow(done: int, total: int, name: str = "", /) -> None:
        bar.update(task, completed=done, total=total or None, name=escaped(name))

    return follow


def follow_parts_with(bar: Bar, what: str) -> Progress:
    """Do as `follow_with` for the parts of one thing, in a line that is there if it has several."""
    task = bar.add_task(what, total=1, name="", visible=False)

    def follow(done: int, total: int, name: str = "", /) -> None:
        bar.update(task, completed=done, total=total, visible=total > 1)

    return follow


def _bar(*columns: ProgressColumn) -> Bar:
    """Return a bar that takes what its columns leave of the terminal's width, on one line."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
        *columns,
        console=errors,
        expand=True,
        transient=True,
        disable=not errors.is_terminal,
    )


def warn(line: str) -> None:
    """Print a warning on standard error."""
    errors.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def warn_of_reading(components: bool, *notes: str) -> None:
    """Tell how files were read, and by which option labels are read otherwise."""
    from napari_nucseg.io.label_rules import BINARY

    for note in notes:
        is_one = BINARY in note and not components
        warn(f"{note}; --components takes each piece for a nucleus" if is_one else note)


def refuse_failures(
    failed: Sequence[Exception], count: int, what: str, to: Console = console
) -> None:
    """Tell which of several failed, with exit code 1; if all did, raise the first error.

    Parameters
    ----------
    failed : sequence of Exception
        What was wrong with each.
    count : int
        How many there were in all.
    what : str
        What they are, in the plural.
    to : Console
        Where it is told: standard error, where standard output is for a program.
    """
    if failed and len(failed) == count:
        raise failed[0]
    told = [describe_error(error) for error in failed]
    for line in [*told, f"{len(failed)} of {count} {what} failed, the others are done"]:
        if failed:
            to.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def going_on() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("Stopped; the same command goes on from here")
        raise


def tell_failures(failed: Mapping[str, str]) -> None:
    """Name the fields of a run that failed, the first few of them with the reason."""
    if not failed:
        return
    console.print(f"{counted(len(failed), 'field')} failed, see failed.csv:", style="red")
    for stem, error in list(failed.items())[:_FAILURES_SHOWN]:
        console.print(f"  {stem}: {error}", style="red")


def tell_suspects(suspect: Mapping[str, Sequence[str]], components: bool) -> None:
    """Name the fields that a model may not suit, the first few of them with the signs."""
    if not suspect:
        return
    warn(f"{counted(len(suspect), 'field')} to look at, see the column suspect of fields.csv:")
    for stem, signs in list(suspect.items())[:_FAILURES_SHOWN]:
        warn_of_reading(components, f"  {stem}: {'; '.join(signs)}")


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Draw a table of rows, the header first; without rows nothing."""
    if rows:
        table = Table(*rows[0])
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)

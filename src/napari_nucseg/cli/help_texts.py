"""What the commands have in common in what they say: examples, completion, JSON, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from napari_nucseg.io.lists import SPLITS
from napari_nucseg.metrics.presets import PRESETS
from napari_nucseg.segmenters import catalogue

EXIT_CODES = (
    "[b]Exit codes[/b]\n\n"
    "0: all is done.\n\n"
    "1: something failed, as an image or a field, and is named; the rest is done.\n\n"
    "2: the command, or all of its input, cannot be used; one line on standard error says why.\n\n"
    "130: stopped by Ctrl-C; the same command goes on."
)
"""Told at the end of the help of the program."""
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output, and nothing else."),
]


def examples(*pairs: tuple[str, str]) -> str:
    """Return the end of a command's help: what each example does, and its line.

    Examples
    --------
    >>> print(examples(("Score two files", "score a.tif b.tif")))
    [b]Example[/b]
    <BLANKLINE>
    Score two files: [b]napari-nucseg score a.tif b.tif[/b]
    """
    title = "[b]Example[/b]" if len(pairs) == 1 else "[b]Examples[/b]"
    return "\n\n".join([title, *(f"{what}: [b]napari-nucseg {line}[/b]" for what, line in pairs)])


def print_json(record: Any) -> None:
    """Print values as one JSON object, without NaN, that every reader understands."""
    typer.echo(json.dumps(record, allow_nan=False))


def as_bound(value: float) -> str:
    """Write a bound of a parameter as one reads it.

    Examples
    --------
    >>> as_bound(2.0**31 - 1), as_bound(0.4), as_bound(1.0), as_bound(10000)
    ('2,147,483,647', '0.4', '1', '10,000')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def complete_models(incomplete: str) -> Iterable[str]:
    """Offer the names of models that begin so, for completion in a shell."""
    return [one.name for one in catalogue.models() if one.name.startswith(incomplete)]


def complete_splits(incomplete: str) -> Iterable[str]:
    """Offer the usual names of splits that begin so."""
    return [split for split in SPLITS if split.startswith(incomplete)]


def complete_presets(incomplete: str) -> Iterable[str]:
    """Offer the names of rules of comparison that begin so."""
    return [name for name in PRESETS if name.startswith(incomplete)]

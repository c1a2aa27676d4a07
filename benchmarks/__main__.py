"""Command line of the benchmarks."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import describe, pin
from benchmarks.rows import Row, as_json, table
from benchmarks.setting import Setting

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Group(StrEnum):
    """What can be measured; each is a module of this package with a function `measure`."""

    FLOWS = "flows"
    SCORES = "scores"
    FIELDS = "fields"
    TRANSFORMER = "transformer"
    START = "start"
    ERRORS = "errors"
    RUN = "run"
    TRAINING = "training"
    LARGE = "large"
    BLOCKS = "blocks"


ON_REQUEST = {Group.LARGE, Group.BLOCKS}
"""What takes so long that it is measured only where it is named."""


@app.command()
def bench(
    dataset: Annotated[
        Path | None,
        typer.Option(envvar="NUCSEG_BBBC039", help="Folder of BBBC039; drawn fields without."),
    ] = None,
    only: Annotated[
        list[Group] | None,
        typer.Option(help="Group to measure, may be given again; else all but large and blocks."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for the times as JSON.")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 2,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 5,
) -> None:
    """Measure the plugin beside its peers; exit code 1 if a bar is missed."""
    pin(cores)
    rows: list[Row] = []
    for group in only or [one for one in Group if one not in ON_REQUEST]:
        typer.echo(f"Measuring: {group}", err=True)
        rows += import_module(f"benchmarks.{group}").measure(Setting(dataset, runs))
    machine = describe()
    print(f"{machine}\n\n{table(rows)}")
    if json is not None:
        json.write_text(as_json(machine, rows) + "\n", encoding="utf-8")
    if any(row.is_met is False for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    app()

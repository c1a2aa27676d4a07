"""The options for what is told of labels beside their files: measures of nuclei, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucseg.cli.console import console
from napari_nucseg.cli.options import AsJson
from napari_nucseg.wording import counted

if TYPE_CHECKING:
    from napari_nucseg.batch.image_task import Saved


@dataclass(frozen=True)
class OutputOptions:
    """What is told of labels beside their files: measures of nuclei, and JSON."""

    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            help="Write measurements.csv, too, a row a nucleus: size, place, shape, intensity of "
            "every channel and of the background around, doubt; of volumes in 3-D. Not of images "
            "that are segmented in blocks.",
        ),
    ] = False
    cellprofiler: Annotated[
        bool,
        typer.Option(
            "--cellprofiler", help="Name the columns of measurements.csv as CellProfiler does."
        ),
    ] = False

    as_json: AsJson = False

    def check(self, out: Path, overwrite: bool) -> None:
        """Refuse to begin what ends with a table that may not be written."""
        from napari_nucseg.batch.image_measures import TABLE, refuse_foreign

        if self.cellprofiler and not self.measures:
            raise ValueError("--cellprofiler names the columns of --measures; give both")
        if self.measures:
            refuse_foreign(out / TABLE, overwrite)

    def join(self, out: Path, saved: Sequence[Saved]) -> Path | None:
        """Put the tables of all images together, and tell where; None if none are wanted."""
        from napari_nucseg.batch.image_measures import TABLE, join_tables, table_of

        if not self.measures or not saved:
            return None
        tables = [table_of(one.path) for one in saved]
        count = join_tables(out / TABLE, tables, cellprofiler=self.cellprofiler)
        console.print(f"Measures of {counted(count, 'nucleus')} are in {out / TABLE}")
        return out / TABLE

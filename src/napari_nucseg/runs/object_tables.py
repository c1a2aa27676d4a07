"""Tables of objects that grow field by field, so that not all rows are in memory at once."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from napari_nucseg.runs.object_records import Columns, join
from napari_nucseg.runs.saving import as_lists, csv_lines, import_pyarrow
from napari_nucseg.runs.whole_files import whole_file

ROWS_AT_ONCE = 20_000


class ObjectTables:
    """``objects.csv`` and, if wanted, ``objects.parquet``.

    Parameters
    ----------
    folder : Path
        Where they go.
    parquet : bool
        Whether there are both.
    files : ExitStack
        Gives the files their names when it is closed, unless by an error.
    """

    def __init__(self, folder: Path, parquet: bool, files: ExitStack) -> None:
        self._csv = files.enter_context(whole_file(folder / "objects.csv"))
        self._begun = False
        self._parquet: _ParquetRows | None = None
        if parquet:
            file = files.enter_context(whole_file(folder / "objects.parquet"))
            self._parquet = _ParquetRows(file)
            files.callback(self._parquet.close)

    def add(self, columns: Columns) -> None:
        """Write the rows of a field, as columns."""
        if not self._begun:
            self._csv.write(csv_lines([columns]))
            self._begun = True
        self._csv.write(csv_lines(zip(*columns.values(), strict=True)))
        if self._parquet is not None:
            self._parquet.add(columns)


class _ParquetRows:
    """Gathers rows, since many small groups of rows make a large file that is slow to read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[Columns] = []
        self._rows = 0
        self._writer: Any = None

    def add(self, columns: Columns) -> None:
        self._waiting.append(columns)
        self._rows += len(columns["object"])
        if self._rows >= ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        pyarrow, parquet = import_pyarrow()
        columns = join(self._waiting)
        self._waiting, self._rows = [], 0
        if self._writer is None:
            # Named, since fields without nuclei do not tell what their columns hold
            schema = pyarrow.schema([(name, _kind(pyarrow, name)) for name in columns])
            self._writer = parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.table(as_lists(columns), schema=self._writer.schema))


def _kind(pyarrow: Any, column: str) -> Any:
    if column in ("object", "area_px"):
        return pyarrow.int64()
    if column in ("field", "side", "verdict", "preset"):
        return pyarrow.string()
    if column == "partners":
        return pyarrow.list_(pyarrow.int64())
    return pyarrow.bool_() if column == "beside_error" else pyarrow.float64()

"""Tables, records, labels and pictures, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole

UINT16_LABELS, UINT32_LABELS = 2**16, 2**32
Columnlike = NDArray[Any] | list[Any]
_FORMULA = re.compile(r"(^|[,;|\"'])(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What stands before a formula: a cell's start or a separator; signs in full width, too."""
_BREAKS = {ord(sign): " " for sign in "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"}


def with_ending(path: Path, *endings: str) -> Path:
    """Give a name the first ending unless it has one of them.

    Raises
    ------
    FileExistsError
        If the name that this makes is taken: nobody was asked whether to replace that file.
    """
    if path.suffix.lower() in endings:
        return path
    named = path.with_name(path.name + endings[0])
    if named.exists():
        raise FileExistsError(f"{named} is there already; choose another name")
    return named


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; NaN is refused, so that every reader understands the file."""
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV; None is an empty cell."""
    _write_csv(path, list(rows[0]), [row.values() for row in rows])


def write_columns(path: Path, columns: Mapping[str, Columnlike]) -> None:
    """Write columns of equal length as CSV; without rows their names alone."""
    cells = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()]
    _write_csv(path, list(columns), zip(*cells, strict=True))


def write_parquet(path: Path, columns: Mapping[str, Columnlike]) -> None:
    """Write columns of equal length as Parquet, which keeps types and lists of numbers.

    Raises
    ------
    ValueError
        If pyarrow is not installed.
    """
    pyarrow, parquet = import_pyarrow()
    table = pyarrow.table(as_lists(columns))
    write_whole(path, lambda file: parquet.write_table(table, file))


def as_lists(columns: Mapping[str, Columnlike]) -> dict[str, Columnlike]:
    """Return columns whose tuples are lists, as pyarrow wants them."""
    return {
        name: [list(cell) if isinstance(cell, tuple) else cell for cell in column]
        if isinstance(column, list)
        else column
        for name, column in columns.items()
    }


def has_parquet() -> bool:
    """Whether Parquet files can be written."""
    return find_spec("pyarrow") is not None


def check_parquet() -> None:
    """Refuse to begin what ends with a Parquet file that cannot be written.

    Raises
    ------
    ValueError
        If pyarrow is not installed.
    """
    import_pyarrow()


def write_labels(path: Path, labels: Labels, provenance: Mapping[str, Any]) -> None:
    """Write a label image as TIFF: zlib, 16 bits where the labels fit, else 32.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (..., height, width)
        0 is background; the fields of a stack become pages.
    provenance : mapping
        How the labels were made; kept as JSON in the image description.

    Raises
    ------
    ValueError
        If a label does not fit.
    """
    least, largest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if least < 0 or largest >= UINT32_LABELS:
        raise ValueError(
            f"{path}: label {least if least < 0 else largest} does not fit into 32 bits from 0; "
            "relabel the objects from 1 first"
        )
    data = labels.astype(np.uint16 if largest < UINT16_LABELS else np.uint32)
    description = json.dumps({"nucseg": provenance})
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    write_whole(
        path,
        lambda file: tifffile.imwrite(
            file, data, description=description, metadata=None, **options
        ),
    )


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write an RGB picture of shape (height, width, 3) as PNG."""
    write_whole(path, lambda file: Image.fromarray(rgb).save(file, format="PNG"))


def read_provenance(path: Path) -> dict[str, Any]:
    """Read how the labels of a file were made, as `write_labels` wrote it.

    Raises
    ------
    ValueError
        If the file does not say.
    """
    try:
        with tifffile.TiffFile(path) as file:
            return dict(json.loads(file.pages.first.description)["nucseg"])
    except (tifffile.TiffFileError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: it does not say how it was made; choose labels that napari-nucseg has written"
        ) from error


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows as lines of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return text.getvalue().encode()


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    write_whole(path, lambda file: file.write(csv_lines([header, *rows])))


def _cell(value: Any) -> Any:
    """Return what a spreadsheet shows and does not run; several numbers stand side by side.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, also behind
    a sign that some spreadsheets split cells at. Line breaks become spaces.
    """
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return _FORMULA.sub(r"\1\2'", value.translate(_BREAKS))
    return value


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises
    ------
    ValueError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            "Parquet files need pyarrow, which is not installed; "
            "pip install 'napari-nucseg[parquet]', or leave them out"
        ) from error
    return pyarrow, parquet

"""Tables, records, labels and pictures, written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
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
from napari_nucseg.io.calibration import UNKNOWN, Calibration, elements, parse_ome
from napari_nucseg.io.labelled import NOTE, UINT16_LABELS, UINT32_LABELS, check_made, refuse_beyond
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import open_tiff
from napari_nucseg.wording import escaped

OME_SUFFIXES = (".ome.tif", ".ome.tiff")
_AXES = "TZCYX"
_LARGE = 2**31
"""Bytes from which on a file of ImageJ's form could be too large for it."""
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
    if path.name.lower().endswith(endings):
        return path
    named = path.with_name(path.name + endings[0])
    if named.exists():
        raise FileExistsError(f"{named} already exists; choose another name")
    return named


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; NaN is refused, so that every reader understands the file."""
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8."""
    write_whole(path, lambda file: file.write(_encode(text)))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV; None is an empty cell."""
    lines = csv_lines([rows[0], *(row.values() for row in rows)])
    write_whole(path, lambda file: file.write(lines))


def write_columns(path: Path, columns: Mapping[str, Columnlike]) -> None:
    """Write columns of equal length as CSV; without rows their names alone."""
    cells = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()]
    write_whole(path, lambda file: file.write(csv_lines([columns, *zip(*cells, strict=True)])))


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
    """Return columns as pyarrow wants them: tuples are lists, and all texts can be shown."""
    return {
        name: list(map(_parquet_cell, column)) if isinstance(column, list) else column
        for name, column in columns.items()
    }


def _parquet_cell(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    return list(value) if isinstance(value, tuple) else value


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


def write_labels(
    path: Path,
    labels: Labels,
    provenance: Mapping[str, Any],
    calibration: Calibration = UNKNOWN,
    stack: str = "",
) -> None:
    """Write a label image as TIFF: zlib, 16 bits in ImageJ's form where they fit, else 32 in OME's.

    A file whose name ends in ``.ome.tif`` has OME's form in any case.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (..., height, width)
        0 is background; the fields of a stack become pages.
    provenance : mapping
        How the labels were made; kept as JSON in the image description.
    calibration : Calibration
        Sizes of pixels and distance of planes, where they are known; other programs show them.
    stack : str
        Axes before height and width, as in `Image`. Planes are moments if it is T.

    Raises
    ------
    ValueError
        If a label does not fit.
    """
    refuse_beyond(path, labels, UINT32_LABELS)
    data = labels.astype(np.uint16 if labels.max(initial=0) < UINT16_LABELS else np.uint32)
    if data.ndim > len(_AXES):
        data = data.reshape(-1, *data.shape[-2:])
    is_ome = path.name.lower().endswith(OME_SUFFIXES)
    is_for_imagej = data.dtype == np.uint16 and data.nbytes < _LARGE and not is_ome
    form = _imagej_form if is_for_imagej else ome_form
    options = form(label_axes(data.ndim, stack), json.dumps({NOTE: provenance}), calibration)
    options |= {"compression": "zlib", "photometric": "minisblack"}
    write_whole(path, lambda file: tifffile.imwrite(file, data, **options))


def checksum(labels: Labels) -> str:
    """Return what tells whether labels in a file were edited: a hash of their numbers and shape.

    Examples
    --------
    >>> labels = np.array([[0, 1, 1]])
    >>> checksum(labels) == checksum(labels.astype(np.uint16))
    True
    """
    planes = math.prod(labels.shape[:-2])  # files are read as planes, and lose axes of length 1
    shape = [length for length in (planes, *labels.shape[-2:]) if length > 1]
    numbers = np.ascontiguousarray(labels, dtype="<u4")
    return hashlib.sha256(np.array(shape, "<u8").tobytes() + numbers.tobytes()).hexdigest()


def _imagej_form(axes: str, note: str, calibration: Calibration) -> dict[str, Any]:
    """Say in ImageJ's way what axes, sizes and the note are."""
    metadata: dict[str, Any] = {"axes": axes, NOTE: note}
    options: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if calibration.pixel_size is not None:
        metadata["unit"] = "um"
        options["resolution"] = (1 / calibration.pixel_size,) * 2
        if calibration.z_spacing is not None and "Z" in axes:
            metadata["spacing"] = calibration.z_spacing
    return options


def ome_form(axes: str, note: str, calibration: Calibration) -> dict[str, Any]:
    """Say the same in OME's way; ImageJ's own has no 32-bit integers and no files over 4 GB."""
    metadata: dict[str, Any] = {"axes": axes, "Description": note}
    edge, depth = calibration.pixel_size, calibration.z_spacing if "Z" in axes else None
    sizes = {"X": edge, "Y": edge, "Z": depth}
    for axis, size in sizes.items():
        if size is not None:
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}
    return {"ome": True, "metadata": metadata}


def label_axes(ndim: int, stack: str = "") -> str:
    """Name the axes of labels with so many dimensions, which may be a `stack` of moments."""
    if stack == "T" and ndim == 3:
        return "TYX"
    return _AXES.replace("C", "" if ndim < len(_AXES) else "C")[-ndim:]


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write an RGB picture of shape (height, width, 3) as PNG."""
    write_whole(path, lambda file: Image.fromarray(rgb).save(file, format="PNG"))


def read_provenance(path: Path) -> dict[str, Any]:
    """Read how the labels of a file were made, as `write_labels` wrote it.

    Raises
    ------
    ValueError
        If the file does not say, or what it says is of other kinds than is written here.
    """
    try:
        with open_tiff(Source(path)) as file:
            made = dict(json.loads(_read_note(file))[NOTE])
        check_made(made)
    except (
        ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path}: it does not say how it was made; choose labels that napari-nucseg has written"
        ) from error
    return made


def known_provenance(path: Path) -> dict[str, Any]:
    """Read how the labels of a file were made; empty if it does not say, or cannot be read."""
    try:
        return read_provenance(path)
    except (ValueError, OSError):
        return {}


def _read_note(file: tifffile.TiffFile) -> str:
    """Find the note of a file: in ImageJ's description or OME's, or by itself as once was done."""
    description = file.pages.first.description
    if file.is_imagej:
        start = f"{NOTE}="
        lines = description.splitlines()
        return next(line[len(start) :] for line in lines if line.startswith(start))
    root = parse_ome(description) if file.is_ome else None
    if root is None:
        return description
    return next(elements(root, "Description")).text or ""


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows as lines of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return _encode(text.getvalue())


def _encode(text: str) -> bytes:
    """Return UTF-8; bytes of a file's name that are no text are spelt out."""
    return text.encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    """Return what a spreadsheet shows and does not run; several numbers stand side by side.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, also behind
    a sign that some spreadsheets split cells at. Line breaks become spaces.
    """
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return _FORMULA.sub(r"\1\2'", escaped(value.translate(_BREAKS)))
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

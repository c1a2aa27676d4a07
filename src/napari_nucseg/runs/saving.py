"""Files written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.core.images import Labels

UINT16_LABELS = 2**16


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Give a file its name only once its content is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; NaN is refused, so that every reader understands the file."""
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns of equal length as CSV; without rows their names alone."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


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
    """
    small = int(labels.max(initial=0)) < UINT16_LABELS
    data = labels.astype(np.uint16 if small else np.uint32)
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

"""Which image belongs to which ground truth, as a user says it: by two folders, or by a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from napari_nucseg.io.fields import Field
from napari_nucseg.io.layouts import (
    ALL_SUFFIXES,
    PICTURE_SUFFIXES,
    TRUTH_SUFFIXES,
    Files,
    describe_folder,
    find_files_of_one,
    is_truth_kind,
    pair_up,
)
from napari_nucseg.io.sources import Source, list_folder

_IMAGE = ("image", "images", "img", "raw")
_TRUTH = ("mask", "masks", "label", "labels", "truth", "ground_truth", "target")
_SPLIT = ("split", "set", "subset")


def find_files_in_two(images: Path, truths: Path) -> Files:
    """Find images in one folder and their ground truth in another, without opening any.

    Raises
    ------
    ValueError
        If a folder holds none, or a field has two images or two ground truths.
    """
    found = list_folder(images, PICTURE_SUFFIXES)
    labels = [source for source in list_folder(truths, TRUTH_SUFFIXES) if is_truth_kind(source)]
    for folder, sources in ((images, found), (truths, labels)):
        if not sources:
            raise ValueError(f"{folder}: {describe_folder(folder)}")
    return pair_up(found, labels)


def are_images_and_truths(images: Path, truths: Path) -> bool:
    """Whether a folder holds images alone, and another one ground truth of some of them."""
    if (
        not (images.is_dir() and truths.is_dir())
        or find_files_of_one(list_folder(images, ALL_SUFFIXES)).truths
    ):
        return False
    try:
        files = find_files_in_two(images, truths)
    except ValueError:
        return False
    return not files.images.keys().isdisjoint(files.truths)


def is_table(path: Path) -> bool:
    """Whether a path is of a table of pairs, by its ending."""
    return path.suffix.lower() == ".csv"


def read_pairs(path: Path) -> tuple[Field, ...]:
    """Read the fields of a table, a line each, sorted by stem.

    Parameters
    ----------
    path : Path
        A CSV file with the columns image and mask (or label, labels, truth), and perhaps split;
        without their names the first two columns are image and mask. Paths are from its folder.

    Raises
    ------
    ValueError
        If it is no such table, a file is not there, or two images have one stem.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text; save the table as CSV in UTF-8") from error
    rows = [row for row in csv.reader(text.splitlines(), _dialect(text)) if any(row)]
    columns, has_names = _columns(rows[0] if rows else [])
    lines = rows[1:] if has_names else rows
    if not lines or any(len(row) <= max(columns[:2]) for row in lines):
        raise ValueError(
            f"{path}: not a table of pairs; give it the columns image and mask, a field a line"
        )
    found: dict[str, Field] = {}
    for row in lines:
        field = _field(path, row, columns)
        other = found.setdefault(field.stem, field)
        if other is not field:
            raise ValueError(
                f"{path}: {other.image} and {field.image} have one stem, {field.stem}; rename one "
                "of them"
            )
    return tuple(found[stem] for stem in sorted(found))


def _dialect(text: str) -> type[csv.Dialect]:
    """Tell commas from semicolons and tabulators, which some spreadsheets write."""
    first = text.partition("\n")[0]

    class Found(csv.excel):
        delimiter = max(",;\t", key=first.count)

    return Found


def _columns(header: Sequence[str]) -> tuple[tuple[int, int, int | None], bool]:
    """Find the columns of image, ground truth and split, and whether the first line names them."""
    names = [name.strip().lower() for name in header]

    def find(known: Sequence[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    image, truth = find(_IMAGE), find(_TRUTH)
    if image is None or truth is None:
        return (0, 1, None), False
    return (image, truth, find(_SPLIT)), True


def _field(path: Path, row: Sequence[str], columns: tuple[int, int, int | None]) -> Field:
    files = [path.parent / row[column].strip().replace("\\", "/") for column in columns[:2]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: there is no such file, which {path} names")
    split = None if columns[2] is None or columns[2] >= len(row) else row[columns[2]].strip()
    return Field(files[0].stem, Source(files[0]), Source(files[1]), split or None)

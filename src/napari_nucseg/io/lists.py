"""Texts that name fields: lists of those of a dataset, and tables of images and ground truth."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from unicodedata import normalize

from napari_nucseg.io.fields import Field
from napari_nucseg.io.layouts import PICTURE_SUFFIXES, stem_of_truth
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.sources import LISTS, Source, list_folder, list_part, part_folder

SPLITS = ("training", "validation", "test")
LIST_SUFFIXES = (".txt",)
TABLE_SUFFIXES = (".csv", ".tsv")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""What texts in UTF-16 begin with."""
_IMAGE = ("image", "images", "img", "raw")
_TRUTH = ("mask", "masks", "label", "labels", "truth", "ground_truth", "target")
_SPLIT = ("split", "set", "subset")
"""Names of the columns of a table."""
_OF_FILES = re.compile("_(path|file|filename|name)$")
"""What may stand behind them."""
_NO_LISTS = ("readme", "license", "licence", "changelog", "notes")
"""Names of texts that tell of a dataset, in small letters, whatever their lines name."""
_MAX_BYTES = 2**24
"""The largest list that is looked into; 200,000 long names."""

_REMEDY = (
    "put a list of names, one a line, into metadata/ or beside images/; of BBBC039, metadata.zip"
)


def is_list(path: Path) -> bool:
    """Whether a path is of a list of fields, by its ending."""
    return path.suffix.lower() in LIST_SUFFIXES


def find_lists(root: Path, stems: Set[str]) -> dict[str, Source]:
    """Find the lists of a dataset by their names: in ``metadata/`` or its archive, or beside it.

    A text file is a list if at least half of its lines name fields of the dataset. Of one that
    is called training, validation or test the lines need only end like images, since a dataset
    may be here in part.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    stems : set of str
        Stems of the fields that it has.

    Raises
    ------
    ValueError
        If two lists of one name differ.
    """
    found: dict[str, Source] = {}
    for source in _texts(root):
        if not _names_fields(source, stems):
            continue
        other = found.setdefault(source.stem, source)
        if other != source and read_names(other, stems) != read_names(source, stems):
            raise ValueError(
                f"{other} and {source}: two lists of one name, and they differ; remove one of them"
            )
    first = [split for split in SPLITS if split in found]
    return {name: found[name] for name in dict.fromkeys([*first, *found])}


def find_list(root: Path, split: str, stems: Set[str]) -> Source:
    """Find the list of a split by its name in a dataset, or by its path anywhere.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    split : str
        Name of the split, or path of a list, which ends in ``.txt``.
    stems : set of str
        Stems of the fields that the dataset has.

    Raises
    ------
    ValueError
        If there is none; the message names those that there are.
    """
    path = Path(split)
    if is_list(path) and path.is_file():
        return Source(path)
    lists = find_lists(root, stems)
    name = path.stem if is_list(path) and path.name == split else split
    if name in lists:
        return lists[name]
    known = f"there are {', '.join(lists)}" if lists else _REMEDY
    for source in _texts(root):
        if source.stem == name:
            raise ValueError(
                f"{source}: most of its lines name no field of {root.name}, so it is not a list of "
                f"fields; {known}"
            )
    folder = part_folder(root, LISTS)
    sought = path if is_list(path) else (folder if folder.is_dir() else root) / f"{split}.txt"
    raise ValueError(f"{sought}: there is no such split; {known}")


def splits_of(lists: Mapping[str, Source], stems: Set[str]) -> dict[str, str]:
    """Tell which of training, validation and test lists a field, by the field's stem.

    Parameters
    ----------
    lists : mapping of str to Source
        Lists by their names; others are passed over.
    stems : set of str
        Stems of the fields that the dataset has.
    """
    known = {split: lists[split] for split in SPLITS if split in lists}
    return {stem: split for split, one in known.items() for stem in read_names(one, stems)}


def split_of(root: Path, stem: str) -> str | None:
    """Tell which of training, validation and test lists a field, of which alone the stem is known.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    stem : str
        Stem of the field.
    """
    lists = {source.stem: source for source in _texts(root)[::-1] if _lines(source)}
    return splits_of(lists, {stem}).get(stem)


def read_names(source: Source, stems: Set[str]) -> list[str]:
    """Read the stems of the fields that a list names, by their images or their ground truth.

    Parameters
    ----------
    source : Source
        The list: a name a line, with or without folders and a known ending.
    stems : set of str
        Stems of the fields that the dataset has; names of others are read, too.

    Raises
    ------
    ValueError
        If it is no text, or one that is too long for a list.
    """
    lines = _lines(source)
    if lines is None:
        raise ValueError(f"{source}: not a text file of names, one a line")
    return list(dict.fromkeys(_stem_of(line, stems) for line in lines))


def is_table(path: Path) -> bool:
    """Whether a path is of a table of pairs, by its ending."""
    return path.suffix.lower() in TABLE_SUFFIXES


def read_pairs(path: Path) -> tuple[Field, ...]:
    """Read the fields of a table, a line each, sorted by stem.

    Parameters
    ----------
    path : Path
        A CSV file with the columns image and mask (or label, labels, truth), and perhaps split;
        without their names the first two columns are image and mask. Paths are from its folder.
        A mask may be empty.

    Raises
    ------
    ValueError
        If it is no such table, a file does not exist, or two images have one stem.
    """
    rows = _rows(path)
    columns, has_names = _columns(rows[0] if rows else [])
    lines = rows[1:] if has_names else rows
    if not lines or any(len(row) <= max(columns[:2]) for row in lines):
        raise ValueError(
            f"{path}: not a table of pairs; give it the columns image and mask, a field a line"
        )
    if not has_names and not (path.parent / _plain(lines[0][0])).is_file():
        raise ValueError(
            f"{path}: its first line, {', '.join(lines[0])}, names neither its columns nor a file; "
            "call the columns image and mask, and give paths from its own folder"
        )
    found: dict[str, Field] = {}
    for row in lines:
        field = _field(path, row, columns)
        other = found.setdefault(field.stem, field)
        if other is not field:
            both = (
                f"{other.image} and {field.image} have one stem, {field.stem}; rename one of them"
            )
            twice = f"{field.image} is named twice; remove one of the lines"
            raise ValueError(f"{path}: {twice if other.image == field.image else both}")
    return tuple(found[stem] for stem in sorted(found))


def _texts(root: Path) -> list[Source]:
    return [*list_part(root, LISTS, LIST_SUFFIXES), *list_folder(root, LIST_SUFFIXES)]


def _names_fields(source: Source, stems: Set[str]) -> bool:
    """Whether at least half of the lines of a text name fields."""
    lines, may_be_absent = _lines(source), source.stem in SPLITS
    if not lines or source.stem.lower() in _NO_LISTS:
        return False
    known = [_stem_of(s, stems) in stems or (may_be_absent and _has_ending(s)) for s in lines]
    return 2 * sum(known) >= len(lines)


def _lines(source: Source) -> list[str] | None:
    """Read the lines of a text that are not empty; None of what is no text, or too long a one."""
    content = source.read(_MAX_BYTES + 1)
    text = _decode(content)
    if text is None or len(content) > _MAX_BYTES:
        return None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _decode(content: bytes) -> str | None:
    """Return a text in UTF-8, or in UTF-16 if it says so, as Windows saves it; None if neither."""
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        return None


def _plain(name: str) -> str:
    """Return a path with slashes, which Windows has the other way."""
    return name.replace("\\", "/")


def _stem_of(name: str, stems: Set[str]) -> str:
    """Cut folders and the ending of an image or its ground truth off a name with other dots."""
    path = Path(name if Path(name).stem in stems else _plain(name))
    stem = Source(path).stem if _has_ending(name) else normalize("NFC", path.name)
    image = stem_of_truth(stem)
    return image if stem not in stems and image in stems else stem


def _has_ending(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES


def _rows(path: Path) -> list[list[str]]:
    """Read the rows of a table that are not empty."""
    text = _decode(Source(path).read())
    if text is None:
        raise ValueError(f"{path}: not a text; save the table as CSV in UTF-8")
    if text.startswith("sep="):  # what spreadsheets are told
        text = text.partition("\n")[2]
    table = csv.reader(text.splitlines(), _dialect(text))
    try:
        rows = [[cell.strip() for cell in row] for row in table]
    except csv.Error as error:
        raise ValueError(f"{path}: not a table of pairs ({error}); save it as CSV again") from error
    return [row for row in rows if any(row)]


def _dialect(text: str) -> type[csv.Dialect]:
    """Tell commas from semicolons and tabulators, which some spreadsheets write."""
    first = text.lstrip().partition("\n")[0]

    class Found(csv.excel):
        delimiter = max(",;\t", key=first.count)
        skipinitialspace = True

    return Found


def _columns(header: Sequence[str]) -> tuple[tuple[int, int, int | None], bool]:
    """Find the columns of image, ground truth and split, and whether the first line names them."""
    names = [_OF_FILES.sub("", re.sub(r"[\s-]+", "_", name.lower())) for name in header]

    def find(known: Sequence[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    image, truth = find(_IMAGE), find(_TRUTH)
    if image is None or truth is None:
        return (0, 1, None), False
    return (image, truth, find(_SPLIT)), True


def _field(path: Path, row: Sequence[str], columns: tuple[int, int, int | None]) -> Field:
    image, truth = (Source(path.parent / _plain(row[n])) if row[n] else None for n in columns[:2])
    if image is None:
        raise ValueError(f"{path}: a line names no image: {', '.join(row)}; remove it")
    for one in (image, truth):
        if one is not None and not (one.path.is_file() or is_zarr(one.path)):
            raise FileNotFoundError(f"{one}: there is no such file, which {path} names")
    split = None if columns[2] is None or columns[2] >= len(row) else row[columns[2]]
    return Field(image.stem, image, truth, split or None)

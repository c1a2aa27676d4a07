"""Lists of the fields of a dataset: which texts are one, and which fields they name."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

from napari_nucseg.io.layouts import LISTS, PICTURE_SUFFIXES, list_part, part_folder, stem_of_truth
from napari_nucseg.io.sources import Source, list_folder

SPLITS = ("training", "validation", "test")
LIST_SUFFIXES = (".txt",)
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
        Of the fields that it has.

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
        Of the fields that the dataset has.

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
                f"{source}: most of its lines name no field of {root.name}, so that it is no list "
                f"of its fields; {known}"
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
        Of the fields that the dataset has.
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
        Of the field.
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
        Of the fields that the dataset has; names of others are read, too.

    Raises
    ------
    ValueError
        If it is no text, or one that is too long for a list.
    """
    lines = _lines(source)
    if lines is None:
        raise ValueError(f"{source}: not a text file of names, one a line")
    return list(dict.fromkeys(_stem_of(line, stems) for line in lines))


def _texts(root: Path) -> list[Source]:
    return [*list_part(root, LISTS, LIST_SUFFIXES), *list_folder(root, LIST_SUFFIXES)]


def _names_fields(source: Source, stems: Set[str]) -> bool:
    """Whether at least half of the lines of a text name fields."""
    lines, may_be_absent = _lines(source), source.stem in SPLITS
    if not lines:
        return False
    known = [_stem_of(s, stems) in stems or (may_be_absent and _has_ending(s)) for s in lines]
    return 2 * sum(known) >= len(lines)


def _lines(source: Source) -> list[str] | None:
    """Read the lines of a text that are not empty; None of what is no text, or too long a one."""
    content = source.read(_MAX_BYTES + 1)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return None
    return None if len(content) > _MAX_BYTES else [line.strip() for line in lines if line.strip()]


def _stem_of(name: str, stems: Set[str]) -> str:
    """Cut folders and the ending of an image or its ground truth off a name with other dots."""
    path = Path(name)
    stem = path.stem if _has_ending(name) else path.name
    image = stem_of_truth(stem)
    return image if stem not in stems and image in stems else stem


def _has_ending(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES

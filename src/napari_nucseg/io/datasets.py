"""Datasets: folders or archives with images, their ground truth, and lists of their fields.

`layouts` says which layouts are known, `splits` what a list is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.layouts import (
    LISTS,
    PICTURE_SUFFIXES,
    Files,
    are_images_and_truths,
    explain_no_images,
    explain_no_truth,
    find_files,
    find_files_in_two,
    find_truth,
    list_part,
    part_folder,
    root_of,
    stem_of_truth,
)
from napari_nucseg.io.pairs import is_table, read_pairs
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


def find_field(path: Path) -> Field:
    """Look up the field of an image file: its ground truth and split, where they lie beside it.

    Parameters
    ----------
    path : Path
        A TIFF or PNG, for example ``BBBC039/images/IXMtest_A02_s1_w1....tif``.
    """
    split = split_of(root_of(path.parent), path.stem)
    return Field(path.stem, Source(path), find_truth(path), split)


def open_dataset(
    path: Path,
    split: str | None = None,
    *,
    truths: Path | None = None,
    allow_missing: bool = False,
) -> Dataset:
    """Find the fields of a dataset without reading any pixel.

    Parameters
    ----------
    path : Path
        The dataset's folder in any layout, one of its subfolders, one of its lists of fields, a
        folder of images, ``images.zip``, ``masks.zip`` or ``labels.zip``, or a table of pairs,
        which ends in ``.csv``.
    split : str, optional
        Keep the fields of a list alone: ``<split>.txt`` in ``metadata/``, in ``metadata.zip`` or
        in the dataset's folder, or any file of names, one a line. Of a table of pairs those of
        its column split.
    truths : Path, optional
        Folder of the ground truth, where the first one holds the images alone.
    allow_missing : bool
        Go on without the fields that the split names and the dataset lacks.

    Raises
    ------
    ValueError
        If there is no field, a field has two images or two ground truths, the split names fields
        that are absent, or there is a list already.
    OSError
        If the folder or archive cannot be read.
    """
    for one in (path, truths):
        if one is not None and not one.exists():
            raise FileNotFoundError(f"{one}: there is no such file or folder")
    if truths is not None:
        return _open_two(path, truths, split, allow_missing)
    if is_table(path):
        return _open_table(path, split, allow_missing)
    root = root_of(path.parent if path.is_file() else path)
    listing = Source(path) if path.is_file() and is_list(path) else None
    if listing is not None and split is not None:
        raise ValueError(f"{path}: this is a list of fields already; leave out the split {split}")
    files = find_files(root)
    dataset = _open_whole(root, files)
    if not dataset.fields and listing is not None:
        raise ValueError(
            f"{path}: no images beside this list; open the dataset's folder, and on the command "
            "line name the list by --split"
        )
    if not dataset.fields:
        raise ValueError(f"{root}: {explain_no_images(root)}")
    if split is not None:
        listing = find_list(root, split, files.stems)
    return dataset if listing is None else _keep_listed(dataset, listing, allow_missing)


def open_datasets(paths: Sequence[Path], split: str | None = None) -> list[Dataset]:
    """Open several datasets; a folder of images with one of their ground truth after it is one.

    Raises
    ------
    ValueError, OSError
        As `open_dataset`.
    """
    found, left = [], list(paths)
    while left:
        path = left.pop(0)
        truths = left.pop(0) if left and are_images_and_truths(path, left[0]) else None
        found.append(open_dataset(path, split, truths=truths))
    return found


def require_images_and_truth(dataset: Dataset) -> None:
    """Refuse a dataset of which nothing can be scored, or learned.

    Raises
    ------
    ValueError
        If an image is missing, or all ground truth; the message says what there is instead.
    """
    first = dataset.fields[0]
    source = first.image or first.mask
    root = Path(dataset.name) if source is None else root_of(source.path.parent)
    if not dataset.has_images:
        raise ValueError(f"{root}: there is ground truth but no image; {explain_no_images(root)}")
    if len(dataset.without_mask) == len(dataset.fields):
        raise ValueError(
            f"{root}: none of the {len(dataset.fields)} fields of {dataset.name} has ground truth; "
            f"{explain_no_truth(root)}"
        )


def _open_two(images: Path, truths: Path, split: str | None, allow_missing: bool) -> Dataset:
    """Open images of one folder with the ground truth of another."""
    for folder in (images, truths):
        if not folder.is_dir():
            raise ValueError(
                f"{folder}: not a folder; give a folder of images and one of their ground truth"
            )
    root = root_of(images)
    files = find_files_in_two(images, truths)
    dataset = _open_whole(root, files)
    if len(dataset.without_mask) == len(dataset.fields):
        raise ValueError(
            f"{truths}: its files are named as no image of {images} is; name each as its image, or "
            "as it with _masks behind"
        )
    if split is None:
        return dataset
    return _keep_listed(dataset, find_list(root, split, files.stems), allow_missing)


def _open_table(path: Path, split: str | None, allow_missing: bool) -> Dataset:
    """Open the pairs of a table."""
    fields = read_pairs(path)
    dataset = Dataset(path.stem, fields)
    if split is None:
        return dataset
    kept = tuple(field for field in fields if field.split == split)
    if kept:
        return Dataset(f"{dataset.name} {split}", kept)
    listing = find_list(path.parent, split, {field.stem for field in fields})
    return _keep_listed(dataset, listing, allow_missing)


def list_splits(path: Path) -> tuple[str, ...]:
    """Name the lists of fields that a dataset has.

    Parameters
    ----------
    path : Path
        The dataset's folder, one of its subfolders or files, or anything else, which has none.

    Raises
    ------
    ValueError, OSError
        As `open_dataset`.
    """
    if is_table(path) and path.is_file():
        return tuple(dict.fromkeys(field.split for field in read_pairs(path) if field.split))
    root = root_of(path.parent if path.is_file() else path)
    return tuple(find_lists(root, find_files(root).stems))


def _open_whole(root: Path, files: Files) -> Dataset:
    """Find all fields; absent are those that truth or a list tells of, and that have no image."""
    splits = splits_of(find_lists(root, files.stems), files.stems)
    fields = tuple(
        Field(stem, files.images.get(stem), files.truths.get(stem), splits.get(stem))
        for stem in sorted(files.images or files.truths)
    )
    absent = {*splits, *files.truths} - {field.stem for field in fields}
    return Dataset(root.name or str(root), fields, tuple(sorted(absent)))


def _keep_listed(dataset: Dataset, listing: Source, allow_missing: bool) -> Dataset:
    fields = {field.stem: field for field in dataset.fields}
    stems = read_names(listing, fields.keys())
    if not stems:
        raise ValueError(f"{listing}: the split file names no field")
    absent = tuple(stem for stem in stems if stem not in fields)
    kept = tuple(fields[stem] for stem in stems if stem in fields)
    if absent and not (allow_missing and kept):
        raise ValueError(
            f"{listing}: {len(absent)} of its {len(stems)} fields are not in the dataset, the "
            f"first is {absent[0]}; add their images or choose another split"
        )
    return Dataset(f"{dataset.name} {listing.stem}", kept, absent)

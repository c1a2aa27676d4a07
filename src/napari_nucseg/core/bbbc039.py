"""The dataset BBBC039: names, splits, and which files make a field.

A dataset is a folder or a pair of archives with images and masks of equal stem. Anything laid
out like it opens too: ``images/`` beside ``masks/``, with or without ``metadata/``.

References
----------
.. [1] Caicedo et al., Cytometry Part A 95, 952-965 (2019).
.. [2] Ljosa et al., Nature Methods 9, 637 (2012), https://bbbc.broadinstitute.org/BBBC039.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.images import PNG_SUFFIXES, TIFF_SUFFIXES
from napari_nucseg.core.sources import Source, list_archive, list_folder

SPLITS = ("training", "validation", "test")
PARTS = ("images", "masks", "metadata")
SPLIT_SUFFIXES = (".txt",)


def find_field(path: Path) -> Field:
    """Look up the field of an image file: its mask and split, where they lie beside it.

    Parameters
    ----------
    path : Path
        A TIFF, for example ``BBBC039/images/IXMtest_A02_s1_w1....tif``.
    """
    root = root_of(path.parent)
    masks = _by_stem(_list_part(root, "masks", PNG_SUFFIXES))
    beside = path.with_suffix(".png")
    mask = masks.get(path.stem)
    if mask is None and Field(path.stem).well is not None and beside.is_file():
        mask = Source(beside)
    return Field(path.stem, Source(path), mask, _read_splits(root).get(path.stem))


def open_dataset(path: Path, split: str | None = None, *, allow_missing: bool = False) -> Dataset:
    """Find the fields of a dataset without reading any pixel.

    Parameters
    ----------
    path : Path
        The dataset's folder in either unpacked layout, one of its subfolders, one of its split
        files, a folder of images, or ``images.zip`` or ``masks.zip``.
    split : str, optional
        Keep the fields of a list alone: ``metadata/<split>.txt``, which may be in
        ``metadata.zip``, or any file of names, one a line.
    allow_missing : bool
        Go on without the fields that the split names and the dataset lacks.

    Raises
    ------
    ValueError
        If there is no field, the split names fields that are absent, or there is a list already.
    OSError
        If the folder or archive cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    root = root_of(path.parent if path.is_file() else path)
    listing = Source(path) if path.is_file() and _is_list(path) else None
    if listing is not None and split is not None:
        raise ValueError(f"{path}: this is a list of fields already; leave out the split {split}")
    dataset = _open_whole(root)
    if not dataset.fields and listing is not None:
        raise ValueError(
            f"{path}: no images beside this list; open the dataset's folder, and on the command "
            "line name the list by --split"
        )
    if not dataset.fields:
        raise ValueError(
            f"{root}: no images here; open the folder that holds images/ and masks/, or images.zip"
        )
    if split is not None:
        listing = split_file(root, split)
    return dataset if listing is None else _keep_listed(dataset, listing, allow_missing)


def list_splits(path: Path) -> tuple[str, ...]:
    """Name the lists of fields that a dataset has in ``metadata/`` or ``metadata.zip``.

    Parameters
    ----------
    path : Path
        The dataset's folder, one of its subfolders or files, or anything else, which has none.
    """
    listings = _listings(root_of(path.parent if path.is_file() else path))
    first = [split for split in SPLITS if split in listings]
    return tuple(dict.fromkeys([*first, *listings]))


def split_file(root: Path, split: str) -> Source:
    """Return the list of names of a split, unpacked or in ``metadata.zip``, or a list anywhere.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    split : str
        Name of the split, or path of a list, which ends in ``.txt``.

    Raises
    ------
    ValueError
        If there is none; the message names those that there are.
    """
    path = Path(split)
    if _is_list(path) and path.is_file():
        return Source(path)
    listings = _listings(root)
    name = path.stem if _is_list(path) and path.name == split else split
    if name not in listings:
        known = list_splits(root)
        sought = path if _is_list(path) else _part_folder(root, "metadata") / f"{split}.txt"
        raise ValueError(
            f"{sought}: there is no such split; "
            + (f"there are {', '.join(known)}" if known else "put metadata.zip beside images/")
        )
    return listings[name]


def _open_whole(root: Path) -> Dataset:
    """Find all fields; absent are those that a mask or a list tells of, and that have no image."""
    images = _list_part(root, "images", TIFF_SUFFIXES)
    masks = _list_part(root, "masks", PNG_SUFFIXES)
    if not images and not masks:
        images, masks = list_folder(root, TIFF_SUFFIXES), list_folder(root, PNG_SUFFIXES)
    splits = _read_splits(root)
    fields = _join(images, masks, splits)
    there = {field.stem for field in fields}
    absent = {*splits, *_by_stem(masks)} - there
    return Dataset(root.name or str(root), fields, tuple(sorted(absent)))


def _keep_listed(dataset: Dataset, listing: Source, allow_missing: bool) -> Dataset:
    fields = {field.stem: field for field in dataset.fields}
    stems = _read_names(listing)
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


def root_of(folder: Path) -> Path:
    """Return the dataset's folder, given it or one of its subfolders."""
    folder = Path(os.path.abspath(folder))  # a link's own neighbours count, not its target's
    while folder.name in PARTS:
        folder = folder.parent
    return folder


def _part_folder(root: Path, part: str) -> Path:
    nested = root / part / part
    return nested if nested.is_dir() else root / part


def _list_part(root: Path, part: str, suffixes: tuple[str, ...]) -> list[Source]:
    folder, archive = _part_folder(root, part), root / f"{part}.zip"
    unpacked = list_folder(folder, suffixes) if folder.is_dir() else []
    if not unpacked and archive.is_file():
        return list_archive(archive, suffixes)
    return unpacked


def _join(
    images: Iterable[Source], masks: Iterable[Source], splits: Mapping[str, str]
) -> tuple[Field, ...]:
    image_of, mask_of = _by_stem(images), _by_stem(masks)
    stems = image_of or mask_of
    return tuple(
        Field(stem, image_of.get(stem), mask_of.get(stem), splits.get(stem))
        for stem in sorted(stems)
    )


def _by_stem(sources: Iterable[Source]) -> dict[str, Source]:
    return {source.stem: source for source in sources}


def _listings(root: Path) -> dict[str, Source]:
    return _by_stem(_list_part(root, "metadata", SPLIT_SUFFIXES))


def _read_splits(root: Path) -> dict[str, str]:
    listings = _listings(root)
    known = [listings[name] for name in SPLITS if name in listings]
    return {stem: listing.stem for listing in known for stem in _read_names(listing)}


def _read_names(listing: Source) -> list[str]:
    try:
        lines = listing.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{listing}: not a text file of names, one a line") from error
    return list(dict.fromkeys(_stem_of(line.strip()) for line in lines if line.strip()))


def _stem_of(name: str) -> str:
    """Cut folders and the ending of an image or mask off a name, which may hold other dots."""
    path = Path(name)
    known = (*TIFF_SUFFIXES, *PNG_SUFFIXES)
    return path.stem if path.suffix.lower() in known else path.name


def _is_list(path: Path) -> bool:
    return path.suffix.lower() in SPLIT_SUFFIXES

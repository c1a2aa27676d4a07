"""Datasets: folders or archives with images, their ground truth, and lists of their fields.

`layouts` says which layouts are known, `splits` what a list is.
"""

from __future__ import annotations

from pathlib import Path

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.layouts import Files, find_files, find_truth, root_of
from napari_nucseg.core.sources import Source
from napari_nucseg.core.splits import (
    find_list,
    find_lists,
    is_list,
    read_names,
    split_of,
    splits_of,
)


def find_field(path: Path) -> Field:
    """Look up the field of an image file: its ground truth and split, where they lie beside it.

    Parameters
    ----------
    path : Path
        A TIFF or PNG, for example ``BBBC039/images/IXMtest_A02_s1_w1....tif``.
    """
    split = split_of(root_of(path.parent), path.stem)
    return Field(path.stem, Source(path), find_truth(path), split)


def open_dataset(path: Path, split: str | None = None, *, allow_missing: bool = False) -> Dataset:
    """Find the fields of a dataset without reading any pixel.

    Parameters
    ----------
    path : Path
        The dataset's folder in any layout, one of its subfolders, one of its lists of fields, a
        folder of images, or ``images.zip``, ``masks.zip`` or ``labels.zip``.
    split : str, optional
        Keep the fields of a list alone: ``<split>.txt`` in ``metadata/``, in ``metadata.zip`` or
        in the dataset's folder, or any file of names, one a line.
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
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
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
        raise ValueError(
            f"{root}: no images here; open the folder that holds images/ and masks/ or labels/, "
            "images.zip, or a.tif with a_masks.tif"
        )
    if split is not None:
        listing = find_list(root, split, files.stems)
    return dataset if listing is None else _keep_listed(dataset, listing, allow_missing)


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

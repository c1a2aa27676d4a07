"""Datasets: folders, archives or tables of images, their ground truth, and lists of their fields.

`layouts` says which layouts are known, `lists` what a list is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_nucseg.array_types import StrPath
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.layouts import (
    ALL_SUFFIXES,
    PICTURE_SUFFIXES,
    TRUTH_SUFFIXES,
    Files,
    explain_no_images,
    find_files,
    find_files_of_one,
    find_truth,
    is_truth_kind,
    pair_up,
)
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.lists import (
    find_list,
    find_lists,
    is_list,
    is_table,
    read_names,
    read_pairs,
    split_of,
    splits_of,
)
from napari_nucseg.io.plate_metadata import is_plate
from napari_nucseg.io.plates import (
    NO_PLATE,
    PlateOptions,
    explain_unscored,
    holder_of,
    open_plate,
)
from napari_nucseg.io.sources import ARCHIVES, Source, describe_folder, list_folder, root_of
from napari_nucseg.io.well_names import keep_matching
from napari_nucseg.io.zarr_labels import truth_within


def find_field(path: Path) -> Field:
    """Look up the field of an image file: its ground truth and split, where they lie beside it.

    Parameters
    ----------
    path : Path
        A TIFF or PNG, for example ``BBBC039/images/IXMtest_A02_s1_w1....tif``.
    """
    source = Source(path)
    split = split_of(root_of(path.parent), source.stem)
    return Field(source.stem, source, find_truth(path) or truth_within(source), split)


def open_dataset(
    path: StrPath,
    split: str | None = None,
    *,
    truths: StrPath | None = None,
    allow_missing: bool = False,
    plate: PlateOptions = NO_PLATE,
) -> Dataset:
    """Find the fields of a dataset without reading any pixel.

    Parameters
    ----------
    path : str or path-like
        The dataset's folder in any layout, one of its subfolders, one of its lists of fields, a
        folder of images, ``images.zip``, ``masks.zip`` or ``labels.zip``, a table of pairs,
        which ends in ``.csv`` or ``.tsv``, or a plate of OME-Zarr.
    split : str, optional
        Keep the fields of a list alone: ``<split>.txt`` in ``metadata/``, in ``metadata.zip`` or
        in the dataset's folder, or any file of names, one a line. Of a table of pairs those of
        its column split.
    truths : str or path-like, optional
        Folder of the ground truth, where the first one holds the images alone.
    allow_missing : bool
        Go on without the fields that the split names and the dataset lacks.
    plate : PlateOptions
        What is taken of a plate, or how files name their wells.

    Raises
    ------
    ValueError, OSError
        If there is no field, a field has two images or two ground truths, the split names fields
        that are absent, there is a list already, or a folder or archive cannot be read.
    """
    path, truths = Path(path), None if truths is None else Path(truths)
    for one in (path, truths):
        if one is not None and not one.exists():
            raise FileNotFoundError(f"{one}: there is no such file or folder")
    if is_zarr(path) and is_plate(path):
        if truths is not None or plate.pattern:
            raise ValueError(f"{path}: a plate of OME-Zarr names its wells and has its own labels")
        return _keep_split(open_plate(path, plate), path, split, allow_missing)
    dataset = _open_files(path, split, truths, allow_missing)
    if plate.pattern and not (plate.truth_labels or plate.acquisition):
        return keep_matching(dataset, plate.pattern, plate.channel)
    if plate != NO_PLATE:
        raise ValueError(
            f"{path}: no plate of OME-Zarr, of which alone labels and an acquisition are chosen; "
            "of other files a channel is chosen by a group of --pattern"
        )
    return dataset


def _open_files(path: Path, split: str | None, truths: Path | None, allow_missing: bool) -> Dataset:
    """Open a dataset of any layout but plates of OME-Zarr; see `open_dataset`."""
    if truths is not None:
        return _open_two(path, truths, split, allow_missing)
    if is_table(path):
        return _open_table(path, split, allow_missing)
    _refuse_other_file(path)
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


def open_datasets(
    paths: Sequence[Path], split: str | None = None, plate: PlateOptions = NO_PLATE
) -> list[Dataset]:
    """Open several datasets; a folder of images with one of their ground truth after it is one.

    Raises
    ------
    ValueError, OSError
        What `open_dataset` raises.
    """
    found, left = [], list(paths)
    while left:
        path = left.pop(0)
        truths = left.pop(0) if left and _are_images_and_truths(path, left[0]) else None
        found.append(open_dataset(path, split, truths=truths, plate=plate))
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
    root = Path(dataset.name) if source is None else holder_of(source)
    if not dataset.has_images:
        raise ValueError(f"{root}: there is ground truth but {explain_no_images(root)}")
    if len(dataset.without_mask) == len(dataset.fields):
        raise ValueError(
            f"{root}: none of the {len(dataset.fields)} fields of {dataset.name} has ground truth; "
            f"{explain_unscored(root)}"
        )


def _refuse_other_file(path: Path) -> None:
    """Refuse a file that says nothing of the fields beside it."""
    if path.is_file() and not is_list(path) and path.name.lower() not in ARCHIVES:
        ways = f"open its folder, {', '.join(ARCHIVES)}, a list of names (.txt) or a table (.csv)"
        raise ValueError(f"{path}: not a dataset; {ways}; unpack other archives")


def _are_images_and_truths(images: Path, truths: Path) -> bool:
    """Whether a folder holds images alone, and another one ground truth of some of them."""
    if (
        not (images.is_dir() and truths.is_dir())
        or find_files_of_one(list_folder(images, ALL_SUFFIXES)).truths
    ):
        return False
    try:
        files = _find_files_in_two(images, truths)
    except ValueError:
        return False
    return not files.images.keys().isdisjoint(files.truths)


def _find_files_in_two(images: Path, truths: Path) -> Files:
    """Find images in one folder and their ground truth in another, without opening any."""
    found = list_folder(images, PICTURE_SUFFIXES)
    labels = [source for source in list_folder(truths, TRUTH_SUFFIXES) if is_truth_kind(source)]
    for folder, sources in ((images, found), (truths, labels)):
        if not sources:
            raise ValueError(f"{folder}: {describe_folder(folder)}")
    return pair_up(found, labels)


def _open_two(images: Path, truths: Path, split: str | None, allow_missing: bool) -> Dataset:
    """Open images of one folder with the ground truth of another."""
    for folder in (images, truths):
        if not folder.is_dir():
            raise ValueError(
                f"{folder}: not a folder; give a folder of images and one of their ground truth"
            )
    root = root_of(images)
    files = _find_files_in_two(images, truths)
    dataset = _open_whole(root, files)
    if len(dataset.without_mask) == len(dataset.fields):
        raise ValueError(
            f"{truths}: no file is named like an image of {images}; name each like its image, with "
            "or without _masks at the end"
        )
    return _keep_split(dataset, root, split, allow_missing)


def _keep_split(dataset: Dataset, root: Path, split: str | None, allow_missing: bool) -> Dataset:
    """Keep the fields of a list, if one is named."""
    if split is None:
        return dataset
    stems = frozenset(field.stem for field in dataset.fields)
    return _keep_listed(dataset, find_list(root, split, stems), allow_missing)


def _open_table(path: Path, split: str | None, allow_missing: bool) -> Dataset:
    """Open the pairs of a table."""
    dataset = Dataset(path.stem, fields := read_pairs(path))
    if split is None:
        return dataset
    kept = tuple(field for field in fields if field.split == split)
    if kept:
        return Dataset(_with_list(dataset.name, split), kept)
    there = sorted({field.split for field in fields if field.split})
    if there and not is_list(Path(split)):
        raise ValueError(f"{path}: it has no split {split}; there are {', '.join(there)}")
    return _keep_split(dataset, path.parent, split, allow_missing)


def list_splits(path: Path) -> tuple[str, ...]:
    """Name the lists of fields that a dataset has.

    Parameters
    ----------
    path : Path
        The dataset's folder, one of its subfolders or files, or anything else, which has none.

    Raises
    ------
    ValueError, OSError
        What `open_dataset` raises.
    """
    if is_table(path) and path.is_file():
        return tuple(dict.fromkeys(field.split for field in read_pairs(path) if field.split))
    root = root_of(path.parent if path.is_file() else path)
    return tuple(find_lists(root, find_files(root).stems))


def _open_whole(root: Path, files: Files) -> Dataset:
    """Find all fields; absent are those that truth or a list tells of, and that have no image."""
    splits = splits_of(find_lists(root, files.stems), files.stems)
    stems = sorted(files.images or files.truths)
    found = ((stem, files.images.get(stem), files.truths.get(stem)) for stem in stems)
    fields = tuple(
        Field(stem, image, truth or truth_within(image), splits.get(stem))
        for stem, image, truth in found
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
    return Dataset(_with_list(dataset.name, listing.stem), kept, absent)


def _with_list(name: str, listing: str) -> str:
    """Name a dataset and one of its lists; a folder called like the list is not named twice."""
    return name if name.endswith(listing) else f"{name} {listing}"

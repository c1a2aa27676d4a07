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
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_nucseg.core.images import (
    PNG_SUFFIXES,
    TIFF_SUFFIXES,
    Header,
    Image,
    Labels,
    read_image,
    read_image_header,
    read_mask,
    read_mask_shape,
)
from napari_nucseg.core.sources import Source, list_archive, list_folder

SPLITS = ("training", "validation", "test")
PARTS = ("images", "masks", "metadata")

_NAME = re.compile(r"IXMtest_(?P<well>[A-P]\d{2})_s(?P<site>\d)_w1[0-9A-Fa-f-]{36}")


@dataclass(frozen=True)
class Field:
    """One field of view and where its image and ground truth are.

    Attributes
    ----------
    stem : str
        File name without ending: the only key that is unique in BBBC039.
    image, mask : Source or None
        The files, where there are any.
    split : str or None
        Name of the split that lists the field.
    """

    stem: str
    image: Source | None = None
    mask: Source | None = None
    split: str | None = None

    @property
    def well(self) -> str | None:
        """Well of the plate, A01 to P24, if the name tells."""
        return self._part("well")

    @property
    def site(self) -> int | None:
        """Site within the well, 1 to 9, if the name tells."""
        site = self._part("site")
        return None if site is None else int(site)

    @property
    def name(self) -> str:
        """Short name for the screen: ``A02_s1``, or the stem of other files."""
        return self.stem if self.well is None else f"{self.well}_s{self.site}"

    def read_image(self) -> Image:
        """Read the image."""
        if self.image is None:
            raise ValueError(f"{self.stem}: the dataset has no image of this field")
        return read_image(self.image)

    def read_truth(self) -> Labels:
        """Read the ground truth.

        Returns
        -------
        ndarray of int32, shape (height, width)

        Raises
        ------
        ValueError
            If there is none, or its shape is not the image's.
        """
        if self.mask is None:
            raise ValueError(f"{self.stem}: the dataset has no mask of this field")
        if self.image is not None:
            self.check_shape(read_image_header(self.image))
        return read_mask(self.mask)

    def check_shape(self, header: Header) -> None:
        """Refuse a mask whose shape is not the image's."""
        if self.mask is None:
            return
        shape = read_mask_shape(self.mask)
        if shape != header.shape:
            raise ValueError(
                f"{self.mask}: the mask is {_size(shape)} px but its image {self.image} is "
                f"{_size(header.shape)} px; they are not of the same field, replace one of them"
            )

    def _part(self, part: str) -> str | None:
        match = _NAME.fullmatch(self.stem)
        return None if match is None else match[part]


@dataclass(frozen=True)
class Dataset:
    """Fields that belong together.

    Attributes
    ----------
    name : str
        Name for the screen.
    fields : tuple of Field
        Sorted by stem, or in the order of the split file.
    absent : tuple of str
        Stems that the split file names and the dataset lacks.
    """

    name: str
    fields: tuple[Field, ...]
    absent: tuple[str, ...] = ()

    @property
    def has_images(self) -> bool:
        """Whether every field has an image."""
        return all(field.image is not None for field in self.fields)

    @property
    def without_mask(self) -> tuple[Field, ...]:
        """Fields whose ground truth is missing."""
        return tuple(field for field in self.fields if field.mask is None)


def find_field(path: Path) -> Field:
    """Look up the field of an image file: its mask and split, where they lie beside it.

    Parameters
    ----------
    path : Path
        A TIFF, for example ``BBBC039/images/IXMtest_A02_s1_w1....tif``.
    """
    root = _root_of(path.parent)
    masks = _by_stem(_list_part(root, "masks", PNG_SUFFIXES))
    beside = path.with_suffix(".png")
    mask = masks.get(path.stem) or (
        Source(beside) if _NAME.match(path.stem) and beside.is_file() else None
    )
    return Field(path.stem, Source(path), mask, _read_splits(root).get(path.stem))


def open_dataset(path: Path, split: str | None = None, *, allow_missing: bool = False) -> Dataset:
    """Find the fields of a dataset without reading any pixel.

    Parameters
    ----------
    path : Path
        The dataset's folder in either unpacked layout, one of its subfolders, one of its split
        files, a folder of images, or ``images.zip`` or ``masks.zip``.
    split : str, optional
        Keep the fields of ``metadata/<split>.txt`` alone.
    allow_missing : bool
        Go on without the fields that the split names and the dataset lacks.

    Raises
    ------
    ValueError
        If there is no field, or the split names fields that are absent.
    OSError
        If the folder or archive cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.is_file() and path.suffix.lower() == ".txt":
        return _keep_listed(open_dataset(path.parent), path, allow_missing)
    root = _root_of(path.parent if path.is_file() else path)
    if split is not None:
        return _keep_listed(open_dataset(path), split_file(root, split), allow_missing)
    images = _list_part(root, "images", TIFF_SUFFIXES)
    masks = _list_part(root, "masks", PNG_SUFFIXES)
    if not images and not masks:
        images, masks = list_folder(root, TIFF_SUFFIXES), list_folder(root, PNG_SUFFIXES)
    fields = _join(images, masks, _read_splits(root))
    if not fields:
        raise ValueError(
            f"{root}: no images here; open the folder that holds images/ and masks/, or images.zip"
        )
    return Dataset(root.name or str(root), fields)


def split_file(root: Path, split: str) -> Path:
    """Path of a split's list of names.

    Raises
    ------
    ValueError
        If there is none; the message names those that there are.
    """
    folder = _part_folder(root, "metadata")
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = [name for name in SPLITS if (folder / f"{name}.txt").is_file()]
        raise ValueError(
            f"{path}: there is no such split; "
            + (f"there are {', '.join(known)}" if known else "unpack metadata.zip beside images/")
        )
    return path


def _keep_listed(dataset: Dataset, listing: Path, allow_missing: bool) -> Dataset:
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


def _root_of(folder: Path) -> Path:
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


def _read_splits(root: Path) -> dict[str, str]:
    folder = _part_folder(root, "metadata")
    listings = ((name, folder / f"{name}.txt") for name in SPLITS)
    return {stem: name for name, path in listings if path.is_file() for stem in _read_names(path)}


def _read_names(listing: Path) -> list[str]:
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{listing}: not a text file of names, one a line") from error
    return list(dict.fromkeys(Path(line.strip()).stem for line in lines if line.strip()))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(edge) for edge in shape)

"""Fields of view and datasets of them: which files they are, read when asked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nucseg.array_types import Labels
from napari_nucseg.io.channels import Channel, ChannelNeededError
from napari_nucseg.io.images import (
    NAME_IN_BBBC039,
    Image,
    read_image,
    read_image_header,
    read_label_image,
    read_labels_shape,
)
from napari_nucseg.io.label_rules import LabelImage
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import Header
from napari_nucseg.wording import as_size

_LARGEST_LABEL = np.iinfo(np.int32).max
_WELL = re.compile(r"(?P<row>[A-Z]{1,2})(?P<column>0?[1-9]|[1-9]\d)")
_NAME_IN_PLATE = re.compile(r"(?P<well>[A-Z]{1,2}\d+)_s(?P<site>\d+)")
"""Names of images in a plate of OME-Zarr, as `Source.title` has them."""


def place_of(well: str) -> tuple[int, int] | None:
    """Return the numbers of a well's row and column, from 1; None if it is not named by them.

    Examples
    --------
    >>> place_of("B03"), place_of("AF48"), place_of("left")
    ((2, 3), (32, 48), None)
    """
    match = _WELL.fullmatch(well)
    if match is None:
        return None
    row = sum((ord(one) - 64) * 26**power for power, one in enumerate(reversed(match["row"])))
    return row, int(match["column"])


def row_name(number: int) -> str:
    """Name a row of a plate by its number, from 1: A to Z, then AA."""
    before, letter = divmod(number - 1, 26)
    return (chr(64 + before) if before else "") + chr(65 + letter)


@dataclass(frozen=True)
class Position:
    """Where in a plate a field is.

    Attributes
    ----------
    well : str
        Row and column, such as B03.
    site : int or None
        Number of the field within the well, if there are several.
    """

    well: str
    site: int | None = None


@dataclass(frozen=True)
class Field:
    """One field of view and where its image and ground truth are.

    Attributes
    ----------
    stem : str
        File name without ending: the only key that is unique in a dataset.
    image, mask : Source or None
        The files, where there are any; the mask is the ground truth in any form.
    split : str or None
        Name of the split that lists the field.
    components : bool
        Whether the pieces of a ground truth that is a binary mask are nuclei of their own.
    channel : Channel or None
        Channel of the image that shows the nuclei, where the image has several.
    position : Position or None
        Where in a plate it is, if something else than the name of BBBC039's files tells.
    """

    stem: str
    image: Source | None = None
    mask: Source | None = None
    split: str | None = None
    components: bool = False
    channel: Channel | None = None
    position: Position | None = None

    @property
    def well(self) -> str | None:
        """Well of the plate, such as A01, if it is known."""
        return self._part("well") if self.position is None else self.position.well

    @property
    def row(self) -> str | None:
        """Row of the well, such as A, if it is known."""
        place = place_of(self.well or "")
        return None if place is None else row_name(place[0])

    @property
    def column(self) -> int | None:
        """Column of the well, from 1, if it is known."""
        place = place_of(self.well or "")
        return None if place is None else place[1]

    @property
    def site(self) -> int | None:
        """Site within the well, from 1, if it is known."""
        if self.position is not None:
            return self.position.site
        site = self._part("site")
        return None if site is None else int(site)

    @property
    def name(self) -> str:
        """Short name for the screen: ``A02_s1``, or the stem of other files."""
        if self.well is None:
            return self.stem
        return self.well if self.site is None else f"{self.well}_s{self.site}"

    @property
    def place(self) -> dict[str, str | int | None]:
        """Columns that say which field a row of a table is of; None where something is unknown."""
        return {"stem": self.stem, **self.in_plate, "split": self.split}

    @property
    def in_plate(self) -> dict[str, str | int | None]:
        """Columns that say where in a plate the field is; None where something is unknown."""
        return {"well": self.well, "row": self.row, "column": self.column, "site": self.site}

    def placed(self, table: Mapping[str, Any], after: int = 1) -> dict[str, Any]:
        """Say in a table of the field's objects where in a plate it is, after its first columns.

        Parameters
        ----------
        table : mapping
            Columns by name, a row an object.
        after : int
            Number of columns that stay before.
        """
        names = list(table)
        count = len(table[names[0]])
        place = {name: [value] * count for name, value in self.in_plate.items()}
        return {**{name: table[name] for name in names[:after]}, **place, **table}

    def read_image(self, channel: str | None = None) -> Image:
        """Read the image, and where it has several channels the one that shows the nuclei.

        Parameters
        ----------
        channel : str, optional
            Its number from 1, or red, green, blue, mean, or haematoxylin.
        """
        if self.image is None:
            raise ValueError(f"{self.stem}: the dataset has no image of this field")
        chosen = self.channel if channel is None else Channel.named(channel)
        try:
            image = read_image(self.image, chosen)
            if len(image.stack) > 1 and "C" in image.stack:
                raise ChannelNeededError(
                    f"{self.image}: it holds channels and other axes, {image.stack} before height "
                    "and width; choose the channel of the nuclei",
                    "another number",
                )
        except ChannelNeededError as error:
            first = error.proposal or "1"
            error.add_note(f"In Python: read_image(channel={first!r}), or {error.choices}.")
            raise
        return image

    def read_plane(self) -> Image:
        """Read the image as `read_image` does, and refuse a stack, of which no dataset is scored.

        Raises
        ------
        ValueError
            If it is a stack; the message says what can be done.
        """
        image = self.read_image()
        if image.data.ndim > 2:
            raise ValueError(
                f"{self.image}: a stack of {math.prod(image.data.shape[:-2])} planes, and fields "
                "here are planes; save one of each stack, or a projection, and its ground truth. "
                "The panel Segment nuclei and napari-nucseg segment --volume segment stacks"
            )
        return image

    def read_image_header(self) -> Header:
        """Read what is known of the image without its pixels."""
        if self.image is None:
            raise ValueError(f"{self.stem}: the dataset has no image of this field")
        return read_image_header(self.image)

    def read_truth(self) -> Labels:
        """Read the ground truth without doubts about it; see `read_truth_image`."""
        return self.read_truth_image().data

    def read_truth_image(self, header: Header | None = None) -> LabelImage:
        """Read the ground truth.

        Parameters
        ----------
        header : Header, optional
            Header of the image, if it was read.

        Returns
        -------
        LabelImage
            Of int32, shape (height, width).

        Raises
        ------
        ValueError
            If there is none, it is no label image, or its shape is not the image's.
        """
        if self.mask is None:
            raise ValueError(
                f"{self.stem}: the dataset has no mask of this field; add it to masks/ or labels/"
            )
        if self.image is not None:
            self.check_shape(header or self.read_image_header())
        found = read_label_image(self.mask, components=self.components)
        labels = found.data
        if labels.max(initial=0) > _LARGEST_LABEL:
            raise ValueError(
                f"{self.mask}: label {labels.max()} does not fit into 32 bits; number the nuclei "
                "from 1"
            )
        return replace(found, data=labels.astype(np.int32, copy=False))

    def check_shape(self, header: Header) -> None:
        """Refuse a mask whose shape is not the image's."""
        if self.mask is None:
            return
        shape = read_labels_shape(self.mask)
        if shape != header.shape:
            raise ValueError(
                f"{self.mask}: the mask is {as_size(shape)} px but its image {self.image} is "
                f"{as_size(header.shape)} px; they are not of the same field, replace one of them"
            )

    def _part(self, part: str) -> str | None:
        in_plate = self.image is not None and self.image.title
        match = (_NAME_IN_PLATE if in_plate else NAME_IN_BBBC039).fullmatch(self.stem)
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
        Stems that the split file names and the dataset lacks; without one, those that the splits
        name or that have a mask, and no image.
    """

    name: str
    fields: tuple[Field, ...]
    absent: tuple[str, ...] = ()

    @property
    def has_images(self) -> bool:
        """Whether every field has an image."""
        return all(field.image is not None for field in self.fields)

    @property
    def has_wells(self) -> bool:
        """Whether it is known of any field which well it is of."""
        return any(field.well is not None for field in self.fields)

    def with_components(self) -> Dataset:
        """Take each piece of ground truth that is a binary mask for a nucleus of its own."""
        fields = tuple(replace(field, components=True) for field in self.fields)
        return replace(self, fields=fields)

    @property
    def has_no_truth(self) -> bool:
        """Whether every field has an image, and none has ground truth."""
        return self.has_images and len(self.without_mask) == len(self.fields)

    @property
    def without_mask(self) -> tuple[Field, ...]:
        """Fields whose ground truth is missing."""
        return tuple(field for field in self.fields if field.mask is None)

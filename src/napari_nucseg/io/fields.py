"""Fields of view and datasets of them: which files they are, read when asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_nucseg.array_types import Labels
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
    """

    stem: str
    image: Source | None = None
    mask: Source | None = None
    split: str | None = None
    components: bool = False

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
        return read_image(self.image, lossy=True)

    def read_image_header(self) -> Header:
        """Read what is known of the image without its pixels."""
        if self.image is None:
            raise ValueError(f"{self.stem}: the dataset has no image of this field")
        return read_image_header(self.image, lossy=True)

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
        match = NAME_IN_BBBC039.fullmatch(self.stem)
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

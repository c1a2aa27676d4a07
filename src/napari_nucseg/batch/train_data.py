"""What a network learns from, and what is held out to score it: fields of one or more datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.datasets import list_splits, open_dataset, require_images_and_truth
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.label_formats import find_areas, read_areas
from napari_nucseg.io.sources import Source
from napari_nucseg.segmenters.api import check_image
from napari_nucseg.wording import as_size, counted

_Areas = Mapping[str, Source] | None
_LEARNED, _HELD_OUT = "training", "validation"
"""Lists of a dataset that are learned from and held out, where it has both."""
_DIGITS = 16
"""Hexadecimal digits of a fingerprint that are kept: enough to tell images apart."""


@dataclass(frozen=True)
class TrainField:
    """A field in memory.

    Attributes
    ----------
    stem : str
        Name of the field, as its files have it.
    image : ndarray, shape (height, width)
        Intensities of the field, as stored in the image.
    labels : ndarray of integers, shape (height, width)
        True nuclei of the field; 0 is background.
    notes : tuple of str
        What the user should know of how both files were read.
    complete : ndarray of bool, shape (height, width), or None
        Where every nucleus is labelled; None if that is so everywhere. Nothing is learned of the
        rest, and nothing there is scored.

    Raises
    ------
    ValueError
        If image, labels and the part that is complete do not fit together; the field is named.
    """

    stem: str
    image: NDArray[Any]
    labels: Labels
    notes: tuple[str, ...] = ()
    complete: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be learned from."""
        check_image(self.image, self.stem)
        if self.labels.shape != self.image.shape:
            raise ValueError(
                f"{self.stem}: the labels are {as_size(self.labels.shape)} px but the image is "
                f"{as_size(self.image.shape)} px; choose the labels that belong to this image"
            )
        if self.labels.dtype.kind not in "ui" or self.labels.min(initial=0) < 0:
            raise ValueError(
                f"{self.stem}: the labels are not whole numbers from 0 on; choose a label image"
            )
        if self.complete is None:
            return
        if self.complete.shape != self.image.shape:
            raise ValueError(
                f"{self.stem}: the part that is complete is given on "
                f"{as_size(self.complete.shape)} px but the image is "
                f"{as_size(self.image.shape)} px; draw it on this image"
            )
        if not self.complete.any():
            raise ValueError(
                f"{self.stem}: no part of it is complete, so there is nothing to learn from; draw "
                "a larger area around nuclei that are all labelled, or leave the field out"
            )

    @property
    def has_nuclei(self) -> bool:
        """Whether a nucleus is labelled where the labels are complete."""
        inside = self.labels if self.complete is None else self.labels[self.complete]
        return bool(inside.any())

    @property
    def image_fingerprint(self) -> str:
        """Tells images apart, whatever they are called."""
        return _fingerprint(self.image)

    def __str__(self) -> str:
        """Name and fingerprints: another image or other labels give another text."""
        prints = [self.image_fingerprint, _fingerprint(self.labels)]
        if self.complete is not None:
            prints.append(_fingerprint(self.complete))
        return " ".join([self.stem, *prints])


@dataclass(frozen=True)
class TrainData:
    """Fields to learn from, and fields that are held out.

    Attributes
    ----------
    learn : sequence of TrainField
        Fields that the network learns from.
    held_out : sequence of TrainField
        Fields whose scores decide which weights are the best; the network never learns from them.
        None: then nothing tells whether the network got better, and the last weights are kept.
    learned_from, held_out_from : mapping of str to int
        Names of the datasets or layers that the fields are of, with the number of fields of each.
    """

    learn: Sequence[TrainField]
    held_out: Sequence[TrainField]
    learned_from: Mapping[str, int]
    held_out_from: Mapping[str, int]

    def check(self) -> None:
        """Refuse what a network could not learn from, or be scored on.

        Raises
        ------
        ValueError
            If an image is in both, or there are no nuclei to learn from or to be scored on.
        """
        learned_name, held_name = ", ".join(self.learned_from), ", ".join(self.held_out_from)
        known = {field.image_fingerprint for field in self.learn}
        shared = [field.stem for field in self.held_out if field.image_fingerprint in known]
        if shared:
            verb = "is" if len(shared) == 1 else "are"
            raise ValueError(
                f"{counted(len(shared), 'field')} {verb} in both {learned_name} and {held_name}, "
                f"the first is {min(shared)}; hold out fields that the network does not learn from"
            )
        if not any(field.has_nuclei for field in self.learn):
            raise ValueError(
                f"{learned_name}: no field has nuclei, so there is nothing to learn; label some"
            )
        if self.held_out and not any(field.has_nuclei for field in self.held_out):
            raise ValueError(
                f"{held_name}: no field has nuclei, so the best weights cannot be chosen; hold out "
                "fields with nuclei"
            )


def hold_out(
    fields: Sequence[TrainField], name: str, count: int | None = None, seed: int = 0
) -> TrainData:
    """Choose which fields are held out, never to be learned from.

    Parameters
    ----------
    fields : sequence of TrainField
        All fields there are.
    name : str
        Name of the dataset or layers that they are of.
    count : int, optional
        How many are held out, 0 for none; if not given, a quarter of them, and at least one.
    seed : int
        Decides which; those with nuclei come first.

    Raises
    ------
    ValueError
        If nothing would be left to learn from; the message says what to do.

    Examples
    --------
    >>> fields = [
    ...     TrainField(f"f{i}", np.full((9, 9), i), np.ones((9, 9), int)) for i in range(5)
    ... ]
    >>> data = hold_out(fields, "mine")
    >>> len(data.learn), len(data.held_out)
    (4, 1)
    """
    if count is None:
        if len(fields) == 1:
            raise ValueError(
                f"{name}: there is one field only, so none can be held out, and nothing would tell "
                "whether the network gets better; label a second one, or hold out 0 fields to go "
                "on without"
            )
        count = max(1, len(fields) // 4)
    if count >= len(fields):
        raise ValueError(
            f"{name}: {count} of {counted(len(fields), 'field')} cannot be held out, as one at "
            "least is to be learned from; hold out fewer"
        )
    order = np.random.default_rng(seed).permutation(len(fields))
    chosen = set(sorted(order, key=lambda number: not fields[number].has_nuclei)[:count])
    learn = [one for number, one in enumerate(fields) if number not in chosen]
    held_out = [one for number, one in enumerate(fields) if number in chosen]
    held_out_from = {name: len(held_out)} if held_out else {}
    return TrainData(learn, held_out, {name: len(learn)}, held_out_from)


@dataclass(frozen=True)
class TrainSets:
    """Datasets to train with.

    Attributes
    ----------
    learn : sequence of Dataset
        Datasets that the network learns from.
    held_out : sequence of Dataset or int or None
        Datasets whose scores decide which weights are the best; or how many fields of the others
        are held out for that, None for a quarter of them and 0 for none.
    complete_in : Path or None
        Folder with a file of areas for each field, named as it is: all nuclei inside are labelled,
        and fields without one are left out. None where all fields are complete.
    """

    learn: Sequence[Dataset]
    held_out: Sequence[Dataset] | int | None
    complete_in: Path | None = None

    @classmethod
    def of_folder(cls, folder: Path, count: int | None) -> TrainSets:
        """Open one dataset; its lists tell what is held out, unless a number of fields is given."""
        if count is not None or not {_LEARNED, _HELD_OUT} <= set(list_splits(folder)):
            return cls([open_dataset(folder)], count)
        return cls([open_dataset(folder, _LEARNED)], [open_dataset(folder, _HELD_OUT)])

    def read(self, seed: int) -> TrainData:
        """Read all fields; the seed decides which are held out where no dataset is for that."""
        stems = [[field.stem for field in one.fields] for one in self._datasets]
        areas = None if self.complete_in is None else find_areas(self.complete_in, stems)
        fields, learned_from = read_fields(self.learn, areas), _counts(self.learn, areas)
        if not isinstance(self.held_out, Sequence):
            return hold_out(fields, ", ".join(learned_from), self.held_out, seed)
        held_out = read_fields(self.held_out, areas)
        return TrainData(fields, held_out, learned_from, _counts(self.held_out, areas))

    def notes_of(self, data: TrainData) -> Iterator[str]:
        """Yield what the user should know of how the fields were read, and what was left out."""
        for one in (*data.learn, *data.held_out):
            yield from one.notes
        count = sum(len(one.fields) for one in self._datasets)
        if left := count - len(data.learn) - len(data.held_out):
            yield f"{self.complete_in}: no areas for {counted(left, 'field')}, left out"

    @property
    def _datasets(self) -> Sequence[Dataset]:
        """All datasets, those that are held out last."""
        held_out = self.held_out if isinstance(self.held_out, Sequence) else ()
        return (*self.learn, *held_out)


def read_fields(datasets: Sequence[Dataset], areas: _Areas = None) -> list[TrainField]:
    """Read all fields of some datasets, or those alone of which areas are complete.

    Parameters
    ----------
    datasets : sequence of Dataset
        Datasets with ground truth.
    areas : mapping of str to Source, optional
        Files of the areas by the names of their fields; none if all fields are complete.

    Raises
    ------
    ValueError
        If a field has no mask, or cannot be learned from; the message names it.
    """
    return [field for one in datasets for field in _read(one, areas)]


def _read(dataset: Dataset, areas: _Areas) -> Iterator[TrainField]:
    require_images_and_truth(dataset)
    chosen = [one for one in dataset.fields if areas is None or one.stem in areas]
    for field in chosen:
        image, truth = field.read_plane(), field.read_truth_image()
        notes, complete = [f"{field.image}: {note}" for note in image.notes], None
        if areas is not None:
            drawn = read_areas(areas[field.stem], image.data.shape)
            notes += [f"{areas[field.stem]}: {note}" for note in drawn.notes]
            complete = drawn.labels > 0
        yield TrainField(field.stem, image.data, truth.data, (*notes, *truth.notes), complete)


def _counts(datasets: Sequence[Dataset], areas: _Areas) -> dict[str, int]:
    """Count the fields of each dataset that are read; datasets of one name are numbered."""
    found: dict[str, int] = {}
    for one in datasets:
        name, number = one.name, 1
        while name in found:
            number += 1
            name = f"{one.name} ({number})"
        found[name] = sum(areas is None or field.stem in areas for field in one.fields)
    return found


def _fingerprint(array: NDArray[Any]) -> str:
    head = f"{array.dtype.str} {array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:_DIGITS]

"""What a network learns from, and what is held out to score it: fields of one or more datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.datasets import require_images_and_truth
from napari_nucseg.io.fields import Dataset
from napari_nucseg.segmenters.api import check_image
from napari_nucseg.wording import counted

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
    labels : ndarray of int32, shape (height, width)
        True nuclei of the field; 0 is background.
    notes : tuple of str
        What the user should know of how both files were read.
    """

    stem: str
    image: NDArray[Any]
    labels: Labels
    notes: tuple[str, ...] = ()

    @property
    def image_fingerprint(self) -> str:
        """Tells images apart, whatever they are called."""
        return _fingerprint(self.image)

    def __str__(self) -> str:
        """Name and fingerprints: another image or other labels give another text."""
        return f"{self.stem} {self.image_fingerprint} {_fingerprint(self.labels)}"


def read_fields(datasets: Sequence[Dataset]) -> list[TrainField]:
    """Read all fields of some datasets.

    Raises
    ------
    ValueError
        If a field has no mask, or cannot be learned from; the message names it.
    """
    return list(_read(datasets))


def check_held_out(
    learn: Sequence[TrainField], held_out: Sequence[TrainField], learned_name: str, held_name: str
) -> None:
    """Refuse what a network could not be scored on.

    Parameters
    ----------
    learn, held_out : sequence of TrainField
        Fields to learn from, and fields that are held out.
    learned_name, held_name : str
        Names of both kinds of datasets, for the message.

    Raises
    ------
    ValueError
        If an image is in both, or no held-out image has nuclei.
    """
    known = {field.image_fingerprint for field in learn}
    shared = [field.stem for field in held_out if field.image_fingerprint in known]
    if shared:
        verb = "is" if len(shared) == 1 else "are"
        raise ValueError(
            f"{counted(len(shared), 'field')} {verb} in both {learned_name} and {held_name}, the "
            f"first is {min(shared)}; hold out fields that the network does not learn from"
        )
    if not any(field.labels.any() for field in held_out):
        raise ValueError(
            f"{held_name}: no field has nuclei, so the best weights cannot be chosen; hold out "
            "fields with nuclei"
        )


def _read(datasets: Sequence[Dataset]) -> Iterator[TrainField]:
    for dataset in datasets:
        require_images_and_truth(dataset)
        for field in dataset.fields:
            image, truth = field.read_image(), field.read_truth_image()
            check_image(image.data, field.stem)
            notes = (*(f"{field.image}: {note}" for note in image.notes), *truth.notes)
            yield TrainField(field.stem, image.data, truth.data, notes)


def _fingerprint(array: NDArray[Any]) -> str:
    head = f"{array.dtype.str} {array.shape}".encode()
    digest = hashlib.sha256(head + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_DIGITS]

"""Labels together with what a file says of them, and of how they were made, in any format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from napari_nucseg.array_types import Labels
from napari_nucseg.io.calibration import UNKNOWN, Calibration
from napari_nucseg.io.limits import BadFileError, refuse_large
from napari_nucseg.io.sources import Source
from napari_nucseg.wording import as_size

NOTE = "nucseg"
"""Key that our own files of other programs' formats have beside what these programs read."""
UINT16_LABELS, UINT32_LABELS = 2**16, 2**32
"""Numbers of labels that fit into 16 and 32 bits lie below."""
Shape = tuple[int, ...]
Text = InstanceOf[str]
"""A text, which may hold bytes of a file's name that are no text."""
_LARGEST = 2**53
"""Up to it all whole numbers are told apart by every program that reads our tables."""
Count = Annotated[int, Field(strict=True, ge=0, le=_LARGEST)]
Label = Annotated[int, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Number = Annotated[float, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Sum = Annotated[float, Field(strict=True, ge=0, le=_LARGEST)]
Flag = Annotated[bool, Field(strict=True)]
Plain = Flag | Number | Text | None
"""A single value, no list or mapping of others."""


@dataclass(frozen=True)
class Labelled:
    """Labels of a field or volume, and what a file says of them.

    Attributes
    ----------
    labels : ndarray of integers, shape (height, width) or (planes, height, width)
        0 is background.
    image : str
        Name of the file of the image, which other programs look for; empty if not known.
    made : mapping
        How the labels were made; empty if not known.
    sizes : Calibration
        Sizes of pixels and distance of planes, where they are known.
    notes : tuple of str
        What the user should know of how they were read.
    stack : str
        Axes before height and width, as in `Image`: T where planes are moments.
    """

    labels: Labels
    image: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)
    sizes: Calibration = UNKNOWN
    notes: tuple[str, ...] = ()
    stack: str = ""


class ShapeNeededError(BadFileError):
    """Outlines of which nothing says how large their image is."""


@dataclass(frozen=True)
class Note:
    """What our own files say beside the outlines, so that the same labels come back."""

    shape: Shape
    image: str
    made: Mapping[str, Any]
    sizes: Calibration


def note_of(labelled: Labelled) -> dict[str, Any]:
    """Return what is noted in a file beside the labels, as plain values."""
    sizes = labelled.sizes
    return {
        "shape": list(labelled.labels.shape),
        "image": labelled.image,
        "pixel_size": sizes.pixel_size,
        "z_spacing": sizes.z_spacing,
        "made": dict(labelled.made),
    }


def read_note(source: Source, found: Any) -> Note | None:
    """Read what `note_of` returned; None if a file of another program holds nothing of the kind.

    Raises
    ------
    ValueError
        If it was changed to what makes no sense.
    """
    if found is None:
        return None
    try:
        shape = tuple(found["shape"])
        if not 2 <= len(shape) <= 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"a shape of {shape}")
        image, made = str(found.get("image", "")), dict(found.get("made") or {})
        check_made(made)
        lengths = [_length(found.get(key)) for key in ("pixel_size", "z_spacing")]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFileError(
            f"{source}: its note {NOTE!r} was changed and makes no sense ({error}); remove the "
            "note, or write the file again"
        ) from error
    refuse_large(source, shape)
    return Note(shape, image, made, Calibration(*lengths))


def with_note(
    labels: Labels, note: Note | None, image: str = "", notes: tuple[str, ...] = ()
) -> Labelled:
    """Put labels together with what was noted beside them, if anything was."""
    if note is None:
        return Labelled(labels, image, notes=notes)
    return Labelled(labels, image or note.image, note.made, note.sizes, notes)


def shape_for(source: Source, note: Note | None, wanted: Shape | None) -> Shape:
    """Return the shape of the image that outlines lie on: as noted, or as the user knows it.

    Raises
    ------
    ValueError
        If neither says it (`ShapeNeededError`), or they differ.
    """
    noted = None if note is None else note.shape
    if noted is not None and wanted is not None and noted != wanted:
        raise BadFileError(
            f"{source}: its outlines were made on an image of {as_size(noted)} pixels, and the "
            f"image given has {as_size(wanted)}; give the image that they belong to"
        )
    shape = noted or wanted
    if shape is None:
        raise ShapeNeededError(
            f"{source}: it holds outlines, and does not say how large their image is; make labels "
            f"of it first: napari-nucseg convert '{source.name}' --image IMAGE --to tiff --out "
            "FOLDER"
        )
    refuse_large(source, shape)
    return shape


def refuse_beyond(path: Path, labels: Labels, most: int) -> None:
    """Refuse labels below 0, or too large for a file.

    Raises
    ------
    ValueError
        Naming the file, the label and what to do.
    """
    least, largest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if least < 0 or largest >= most:
        bits = (most - 1).bit_length()
        raise ValueError(
            f"{path}: label {least if least < 0 else largest} does not fit into {bits} bits from "
            "0; relabel the objects from 1 first"
        )


def refuse_shape(source: Source, labelled: Labelled, shape: Shape | None) -> Labelled:
    """Return labels that have the shape of their image, if that is known.

    Raises
    ------
    ValueError
        If they have another one.
    """
    if shape is not None and labelled.labels.shape != shape:
        raise BadFileError(
            f"{source}: its shape is {labelled.labels.shape}, and that of the image {shape}; give "
            "the image that it belongs to"
        )
    return labelled


def _length(value: Any) -> float | None:
    if value is None:
        return None
    length = float(value)
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"a length of {value}")
    return length


class _Changes(BaseModel):
    """How labels differ from what they were."""

    model_config = ConfigDict(extra="forbid")
    pixels: Count
    added: list[Label]
    removed: list[Label]
    changed: list[Label]


class _Blocks(BaseModel):
    """How an image was cut into blocks; lengths in pixels."""

    count: Count
    size: list[Count]
    overlap: Count


class Made(BaseModel):
    """Provenance of labels. Earlier versions did not write all of it, and others may add to it."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    model: Text | None = None
    weights: Text = ""
    weights_sha256: Text = ""
    labels_sha256: Text | None = None
    image: Text | None = None
    image_sha256: Text | None = None
    channel: Text | None = None
    parameters: dict[Text, Plain] = Field(default_factory=dict)
    depth: dict[Text, Plain] = Field(default_factory=dict)
    versions: dict[Text, Text] = Field(default_factory=dict)
    device: Text = ""
    precision: Text = ""
    licence: Text = ""
    trained_on: Text = ""
    seconds: Number = 0.0
    diameter: Number | None = None
    is_estimated: Flag = False
    nuclei: Count | None = None
    blocks: _Blocks | None = None
    notes: list[Text] = Field(default_factory=list)
    suspect: list[Text] = Field(default_factory=list)
    read_as: list[Text] = Field(default_factory=list)
    corrected_by_hand: Count = 0
    corrections: _Changes | None = None


def check_made(made: Mapping[str, Any]) -> None:
    """Refuse a provenance that holds something else than what it is read for.

    Raises
    ------
    ValueError
        Naming the first value that is wrong.
    """
    try:
        Made.model_validate(dict(made))
    except ValidationError as error:
        raise ValueError(first_of(error)) from error


def first_of(error: ValidationError) -> str:
    """Say in a line which value is wrong, and what it should be."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"

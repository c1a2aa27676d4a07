"""What a file of labels may say of how they were made, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

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

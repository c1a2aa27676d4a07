"""Opening a folder of any images that can be read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_nucseg.io.channels import ChannelNeededError, find_samples
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import Image, read_image
from napari_nucseg.io.layouts import PICTURE_SUFFIXES
from napari_nucseg.io.pictures import READ_ELSEWHERE, look_into, not_read, read_picture
from napari_nucseg.io.sources import Source, describe_folder, list_folder
from napari_nucseg.io.tiff import Header
from napari_nucseg.progress import Progress
from napari_nucseg.ui.files.field_groups import (
    FieldGroup,
    describe_groups,
    group_by_header,
    stack_lazily,
)
from napari_nucseg.ui.files.opening import LayerData, Opened
from napari_nucseg.ui.files.reader import image_layer
from napari_nucseg.wording import counted

_COLOURS = (3, 4)
"""Samples of a pixel that napari shows as a colour."""


def read_image_folder(folder: Path, progress: Progress) -> Opened:
    """Open the images directly in a folder as stacks, of which each image is read when shown.

    All of them are read once before, so that those that cannot be are left out. The stack of most
    images is last, and alone visible.

    Parameters
    ----------
    folder : Path
        Folder with TIFF, PNG or JPEG files, grey or in colour.
    progress : Progress
        Called with (images looked at, images in all, name of one); may raise to stop.

    Raises
    ------
    ValueError
        If no image can be read, or they are of too many sizes and pixel types.
    OSError
        If the folder cannot be read.
    """
    sources = list_folder(folder, PICTURE_SUFFIXES)
    failed = {
        source: not_read(source.suffix)
        for source in list_folder(folder, READ_ELSEWHERE)
        if source.suffix not in PICTURE_SUFFIXES
    }
    if not sources:
        raise ValueError(f"{folder}: no images here; {describe_folder(folder)}")
    headers: dict[Source, Header] = {}
    read_as: dict[str, list[str]] = {}
    for number, source in enumerate(sources):
        progress(number, len(sources), source.name)
        try:
            image = _read(source)
        except (ValueError, OSError) as error:
            failed[source] = str(error)
            continue
        headers[source] = image.header
        for note in image.notes:
            read_as.setdefault(note, []).append(source.name)
    if not headers:
        raise ValueError(f"{folder}: no image could be read. The first: {failed[sources[0]]}")
    fields = tuple(Field(stem, source) for source, stem in _stems(list(headers)).items())
    groups = group_by_header(Dataset(folder.name, fields), dict(enumerate(headers.values())))
    notes = [f"{', '.join(names)}: {note}" for note, names in read_as.items()]
    if failed:
        notes.append(_tell_failed(folder, failed))
    notes += describe_groups(folder.name, groups)
    return Opened([_stack(group, group is groups[-1]) for group in groups], tuple(notes))


def _stems(sources: list[Source]) -> dict[Source, str]:
    """Name images by their stems, and two of one stem by their whole names."""
    stems = [source.stem for source in sources]
    return {s: s.stem if stems.count(s.stem) == 1 else s.name for s in sources}


def _read(source: Source) -> Image:
    """Read an image whatever its pixels have: grey, a colour, transparency, or more channels."""
    try:
        return read_image(source)
    except ChannelNeededError:
        picture = read_picture(source, look_into(source))
    samples = find_samples(picture.data.shape, picture.axes)
    assert samples is not None  # else no channel would have to be chosen
    data = np.moveaxis(picture.data, samples, -1)
    if data.shape[-1] == 2:
        data = data[..., 0]  # of grey and transparency
    elif data.shape[-1] not in _COLOURS:
        data = np.moveaxis(data, -1, 0)
    return Image(data, picture.pixel_size, z_spacing=picture.z_spacing, notes=picture.notes)


def _read_again(source: Source, group: FieldGroup) -> np.ndarray:
    """Read an image when it is shown; its file may have changed since it was opened."""
    data = _read(source).data
    group.require_same(source, data.shape, data.dtype)
    return data


def _stack(group: FieldGroup, is_shown: bool) -> LayerData:
    header, in_colour = group.header, group.header.shape[-1] in _COLOURS
    readers = [partial(_read_again, field.image, group) for field in group.fields if field.image]
    data = stack_lazily(readers, header.shape, header.dtype)
    layer = image_layer(data, group.name, header, group.fields, data[0], in_colour=in_colour)
    layer[1]["visible"] = is_shown
    return layer


def _tell_failed(folder: Path, failed: dict[Source, str]) -> str:
    """Name the files that are left out, and say why."""
    names = ", ".join(sorted(source.name for source in failed))
    first = next(iter(failed.values()))
    count = counted(len(failed), "file")
    return f"{folder.name}: {count} could not be opened: {names}. The first: {first}"

"""Images and labels of fields, read from files: grey images, a channel of colours, label images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.channels import Channel, ChannelNeededError, count_colours, find_axis
from napari_nucseg.io.label_formats import FOREIGN_SUFFIXES, read_foreign
from napari_nucseg.io.label_rules import (
    LabelImage,
    decode_colouring,
    number_colours,
    put_together,
    take_labels,
)
from napari_nucseg.io.limits import BadFileError
from napari_nucseg.io.pictures import (
    PNG_SUFFIXES,
    TIFF_SUFFIXES,
    Kind,
    Picture,
    look_into,
    png_shape,
    read_picture,
    zarr_header,
)
from napari_nucseg.io.sources import Source, list_folder
from napari_nucseg.io.tiff import (
    Header,
    find_planes,
    has_palette,
    labels_shape,
    open_tiff,
    tiff_header,
)

NAME_IN_BBBC039 = re.compile(r"IXMtest_(?P<well>[A-P]\d{2})_s(?P<site>\d)_w1[0-9A-Fa-f-]{36}")
_MASK_WANTED = "choose the file of the folder masks/ or labels/ that has the image's name"


@dataclass(frozen=True)
class Image:
    """A grey image.

    Attributes
    ----------
    data : ndarray, shape (height, width) or (planes, height, width)
        Intensities as stored; inverted where the file says that white is 0.
    pixel_size : float or None
        Edge of a pixel in micrometres, where the file states it.
    channel : str
        Channel of the file that it is; empty for a grey file.
    stack : str
        A letter for each axis before height and width, as the file says: Z for depth, T for time.
    z_spacing : float or None
        Distance of planes in micrometres, where the file states it.
    notes : tuple of str
        What the user should know of how the file was read.
    """

    data: NDArray[Any]
    pixel_size: float | None = None
    channel: str = ""
    stack: str = ""
    z_spacing: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> Header:
        """What is known of it without its pixels."""
        return Header(self.data.shape, self.data.dtype, self.pixel_size, self.z_spacing)


def read_image(source: Source, channel: Channel | None = None, *, as_stack: bool = False) -> Image:
    """Read a grey TIFF (one page, or several as a stack), PNG or JPEG, or a channel of colours.

    Parameters
    ----------
    source : Source
        The file; what it is is told by its content.
    channel : Channel, optional
        Channel of a colour image to take, from the first axis or the last.
    as_stack : bool
        Whether planes that a TIFF calls colours, and has one after another, are a stack: so
        tifffile writes stacks of 3 and 4 planes if it is told nothing.

    Raises
    ------
    ValueError
        If the file is damaged or of another kind, or has colour and no channel was chosen; the
        message names it and the remedy.
    OSError
        If it cannot be opened.
    """
    picture = read_picture(source, look_into(source))
    return _take(source, picture.as_stack() if as_stack else picture, channel)


def read_image_header(source: Source) -> Header:
    """Read what is needed to plan a stack, and refuse a file that is cut off.

    Raises
    ------
    ValueError
        What `read_image` raises.
    """
    opened = look_into(source)
    if opened.kind is Kind.ZARR:
        return zarr_header(source)
    if opened.kind is Kind.TIFF:
        with open_tiff(source, opened.content) as tiff:
            planes = find_planes(source, tiff)
            header = tiff_header(source, tiff, planes)
            is_colour = "S" in planes.axes or has_palette(planes)
        if not is_colour:
            with _naming(source):
                find_axis(planes.shape, planes.axes, None)
            return header
    return read_image(source).header


def read_labels(source: Source, *, components: bool = False) -> Labels:
    """Read a label image without what is to be known of it; see `read_label_image`."""
    return read_label_image(source, components=components).data


def read_label_image(source: Source, *, components: bool = False) -> LabelImage:
    """Read labels from a TIFF or PNG, or from a file of another program.

    In grey and in the numbers of a palette each value is a nucleus, in one piece or several. In
    colour, and in BBBC039's own masks, the 8-connected pieces of equal colour are nuclei. Planes
    that a TIFF calls colours, and has one after another, are a stack. In a folder each picture is
    the mask of a nucleus.

    Parameters
    ----------
    source : Source
        The file; what it is is told by its content.
    components : bool
        Whether the pieces of a binary mask are nuclei of their own.

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything but labels.
    OSError
        If it cannot be opened.
    """
    may_be_foreign = source.suffix in FOREIGN_SUFFIXES or source.path.is_dir()
    foreign = read_foreign(source) if may_be_foreign else None
    if foreign is not None:
        return _take_labels(source, foreign.labels, components, foreign.notes)
    if source.path.is_dir():
        masks = ((str(mask), _read_mask(mask)) for mask in _list_masks(source))
        return _with_notes(source, put_together(masks))
    picture = read_picture(source, look_into(source), as_numbers=True).as_stack()
    data, axes, colours = picture.data, picture.axes, picture.colours
    if colours is not None:
        if colours.shape[-1] != 2:
            return _decode(source, picture, colours)
        data, axes = colours[..., 0], "YX"  # of grey and transparency
    if picture.is_png and data.dtype.itemsize == 1 and _is_published_mask(source):
        return _decode(source, picture, data)
    if picture.is_png and data.dtype != bool:
        data = data.astype(np.int32)
    return _take_labels(source, _as_planes(data, axes), components, picture.notes)


def read_labels_shape(source: Source) -> tuple[int, ...]:
    """Read the shape of a label image without its pixels, and refuse a file that is cut off."""
    return read_labels_header(source).shape


def read_labels_header(source: Source) -> Header:
    """Read what is known of a label image without its pixels, as int32; see `read_labels_shape`."""
    dtype = np.dtype(np.int32)
    may_be_foreign = source.suffix in FOREIGN_SUFFIXES or source.path.is_dir()
    foreign = read_foreign(source) if may_be_foreign else None
    if foreign is not None:
        return Header(foreign.labels.shape, dtype)
    if source.path.is_dir():
        return read_labels_header(_list_masks(source)[0])
    opened = look_into(source)
    if opened.kind is Kind.PNG:
        return Header(png_shape(source, opened), dtype)
    if opened.kind is not Kind.TIFF:
        return Header(read_labels(source).shape, dtype)
    with open_tiff(source, opened.content) as tiff:
        planes = find_planes(source, tiff)
        header = tiff_header(source, tiff, planes)
        return replace(header, shape=labels_shape(planes, header), dtype=dtype)


def _list_masks(folder: Source) -> list[Source]:
    masks = list_folder(folder.path, (*TIFF_SUFFIXES, *PNG_SUFFIXES))
    if not masks:
        raise BadFileError(f"{folder}: no masks here; put a TIFF or PNG a nucleus into the folder")
    return masks


def _read_mask(source: Source) -> NDArray[np.bool_]:
    """Read the mask of one nucleus."""
    picture = read_picture(source, look_into(source), as_numbers=True)
    numbers = picture.data if picture.colours is None else number_colours(picture.colours)
    inside: NDArray[np.bool_] = numbers != 0
    if (inside & (numbers != numbers.max(initial=0))).any():
        raise BadFileError(
            f"{source}: it holds several numbers or colours, and in a folder of masks each file is "
            "one nucleus; give labels of all nuclei the name of their image"
        )
    return inside


def _take_labels(
    source: Source, data: NDArray[Any], components: bool, notes: tuple[str, ...] = ()
) -> LabelImage:
    with _naming(source):
        found = take_labels(data, components=components)
    return _with_notes(source, found, notes)


def _decode(source: Source, picture: Picture, data: NDArray[Any]) -> LabelImage:
    """Read labels from a colouring of shape (height, width) or (height, width, samples)."""
    if data.ndim > 3 or data.dtype.itemsize > 2:
        raise BadFileError(
            f"{source}: not a label image: a colour image of shape {data.shape}; {_MASK_WANTED}"
        )
    try:
        found = decode_colouring(data)
    except ValueError as error:
        raise BadFileError(f"{source}: {error}; {_MASK_WANTED}") from error
    return _with_notes(source, found, picture.notes)


def _with_notes(source: Source, found: LabelImage, notes: tuple[str, ...] = ()) -> LabelImage:
    """Say which file notes are on, and add those on how its pixels were read."""
    return replace(found, notes=tuple(f"{source}: {note}" for note in (*notes, *found.notes)))


def _is_published_mask(source: Source) -> bool:
    """Whether a grey PNG is named and lies as BBBC039's masks do, which are colourings."""
    if NAME_IN_BBBC039.fullmatch(source.stem) is None:
        return False
    folder = source.path.stem if source.member is not None else source.path.parent.name
    return folder.lower() == "masks" or any(
        source.path.with_suffix(suffix).is_file() for suffix in TIFF_SUFFIXES
    )


def _as_planes(data: NDArray[Any], axes: str) -> NDArray[Any]:
    """Put all axes but height and width into one before them, which a single plane has not."""
    if not axes.endswith("YX"):
        data = np.moveaxis(data, [axes.index(axis) for axis in "YX"], [-2, -1])
    planes = data.reshape(-1, *data.shape[-2:])
    return planes[0] if len(planes) == 1 else planes


def _take(source: Source, picture: Picture, channel: Channel | None) -> Image:
    """Take a channel where there are several, and put what remains into planes."""
    data, axes, name = picture.data, picture.axes, ""
    if channel is None and picture.is_grey:
        data, axes = data[..., 0], "YX"
    with _naming(source):
        axis = find_axis(data.shape, axes, channel, data)
        if channel is not None and axis is not None:
            colours = count_colours(data.shape[axis], axes[axis])
            data, name = channel.take(data, axis, colours), channel.describe(colours)
            axes = axes[:axis] + axes[axis + 1 :]
    if not {"Y", "X"} <= set(axes):  # what the file took for height or width were channels
        axes = axes[:-2] + "YX"
    size, spacing = picture.pixel_size, picture.z_spacing
    stack = axes.replace("Y", "").replace("X", "")
    return Image(_as_planes(data, axes), size, name, stack, spacing, picture.notes)


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Put the name of a file before what is wrong with its pixels."""
    try:
        yield
    except ChannelNeededError as why:
        raise ChannelNeededError(f"{source}: {why.reason}", why.choices, why.proposal) from why
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error

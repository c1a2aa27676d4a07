"""Pixels in and out of files: microscope images, mask colourings, label images."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from napari_nucseg.array_types import Labels
from napari_nucseg.io.channels import Channel, count_colours, find_axis
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import BadFileError, Header, open_tiff, tiff_header, truncated_message

TIFF_SUFFIXES = (".tif", ".tiff", ".stk")
PNG_SUFFIXES = (".png",)
MAX_MASK_VALUES = 32
"""Distinct values above which a grey picture is no colouring of a mask, whose values are few."""
MAX_PIECES = 8
"""Pieces a value on average above which a grey picture is a photograph and no label image."""

MAX_PNG_PIXELS = 2**26
"""Pixels above which a PNG is taken for a decompression bomb."""

_MASK_WANTED = "choose the PNG of the folder masks/ or labels/ that has the image's name"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Image:
    """A grey image.

    Attributes
    ----------
    data : ndarray, shape (height, width) or (planes, height, width)
        Intensities as stored.
    pixel_size : float or None
        Edge of a pixel in micrometres, where the file states it.
    channel : str
        Which channel of the file it is; empty for a grey file.
    stack : str
        A letter for each axis before height and width, as the file says: Z for depth, T for time.
    """

    data: NDArray[Any]
    pixel_size: float | None = None
    channel: str = ""
    stack: str = ""


def read_image(source: Source, channel: Channel | None = None) -> Image:
    """Read a grey TIFF (one page, or several as a stack) or PNG, or a channel of a colour one.

    Parameters
    ----------
    source : Source
        The file.
    channel : Channel, optional
        Which channel of a colour image to take, from the first axis or the last.

    Raises
    ------
    ValueError
        If the file is damaged, or has colour and no channel was chosen; the message names it and
        the remedy.
    OSError
        If it cannot be opened.
    """
    if source.suffix in PNG_SUFFIXES:
        data = _read_png(source)
        return _take(source, Image(data), "YXS"[: data.ndim], channel)
    with open_tiff(source) as tiff:
        header = tiff_header(source, tiff)
        planes = np.stack([series.asarray() for series in tiff.series])
        axes = "Q" + tiff.series[0].axes
        if len(planes) == 1:
            planes, axes = planes[0], axes[1:]
        return _take(source, Image(planes, header.pixel_size), axes, channel)


def read_image_header(source: Source) -> Header:
    """Read what is needed to plan a stack, and refuse a file that is cut off.

    Raises
    ------
    ValueError
        As `read_image`.
    """
    if source.suffix in PNG_SUFFIXES:
        image = read_image(source)
        return Header(image.data.shape, image.data.dtype)
    with open_tiff(source) as tiff:
        header = tiff_header(source, tiff)
        _find_axis(source, tiff.series[0].shape, tiff.series[0].axes, None)
        return header


def read_mask(source: Source) -> Labels:
    """Read labels from a PNG: a mask's colouring, or a label image.

    Labels are the values of a grey PNG of 16 bits, or of one with more than `MAX_MASK_VALUES`
    values. Of any other PNG, which may have colour, they are 8-connected components of equal red
    value, as the masks of BBBC039 are decoded.

    Returns
    -------
    ndarray of int32, shape (height, width)
        0 is background; the labels of a colouring are 1 to n.

    Raises
    ------
    ValueError
        If the file is damaged, or neither a colouring of objects nor a label image.

    References
    ----------
    .. [1] Caicedo et al., Cytometry Part A 95, 952-965 (2019), and the notes of BBBC039.
    """
    data = _read_png(source)
    if data.ndim == 3:
        return _read_colouring(source, data)
    from skimage.measure import label  # a panel that opens would wait for it

    pieces = np.asarray(label(data, connectivity=2), dtype=np.int32)
    values = len(np.unique(data))
    if data.dtype.itemsize == 1 and values <= MAX_MASK_VALUES:
        return pieces
    if pieces.max(initial=0) > MAX_PIECES * values:
        raise BadFileError(
            f"{source}: not a mask: its {values} grey values lie in {pieces.max()} pieces, as in a "
            f"photograph; {_MASK_WANTED}"
        )
    return data.astype(np.int32)


def read_mask_shape(source: Source) -> tuple[int, int]:
    """Read height and width from a PNG's header; refuse a file that is cut off or monstrous."""
    head = source.read(24)
    if head[:8] != _PNG_HEAD or len(head) < 24:
        raise BadFileError(f"{source}: not a PNG file; replace it by the published mask")
    if source.member is None and not source.tail(16).endswith(_PNG_END):
        raise BadFileError(truncated_message(source))
    width, height = struct.unpack(">II", head[16:24])
    if width * height > MAX_PNG_PIXELS:
        raise BadFileError(
            f"{source}: {height} x {width} px, more than a PNG is read with; save it as TIFF"
        )
    return height, width


def read_labels(source: Source) -> Labels:
    """Read a label image: an integer TIFF, or a PNG by `read_mask`'s rule.

    Raises
    ------
    ValueError
        If the file is damaged, has colour, or holds anything but whole numbers from 0.
    """
    if source.suffix in PNG_SUFFIXES:
        return read_mask(source)
    data = read_image(source).data
    if not np.issubdtype(data.dtype, np.integer) or (data.size and data.min() < 0):
        raise BadFileError(
            f"{source}: not a label image: it holds {data.dtype} values, labels are whole numbers "
            "from 0; save it as a 16 or 32-bit integer TIFF"
        )
    return data


def read_labels_shape(source: Source) -> tuple[int, ...]:
    """Read the shape of a label image without its pixels, and refuse a file that is cut off."""
    if source.suffix in PNG_SUFFIXES:
        return read_mask_shape(source)
    return read_image_header(source).shape


def _read_colouring(source: Source, data: NDArray[Any]) -> Labels:
    """Read labels from the red of a picture of shape (height, width, samples)."""
    red, others = data[..., 0], data[..., 1:3]
    if others.any() and (others != red[..., None]).any():
        raise BadFileError(
            f"{source}: not a mask: its green and blue are neither empty nor equal to its red; "
            f"{_MASK_WANTED}"
        )
    values = len(np.unique(red))
    if values > MAX_MASK_VALUES:
        raise BadFileError(
            f"{source}: not a mask: it has {values} values of red, the colouring of a mask has "
            f"few; {_MASK_WANTED}"
        )
    from skimage.measure import label  # as in `read_mask`

    return np.asarray(label(red, connectivity=2), dtype=np.int32)


def _take(source: Source, image: Image, axes: str, channel: Channel | None) -> Image:
    """Take a channel where there are several, and put what remains into planes."""
    data = image.data
    axis = _find_axis(source, data.shape, axes, channel, data)
    name = ""
    if channel is not None and axis is not None:
        colours = count_colours(data.shape[axis], axes[axis])
        try:
            data = channel.take(data, axis, colours)
        except ValueError as error:
            raise BadFileError(f"{source}: {error}") from error
        axes, name = axes[:axis] + axes[axis + 1 :], channel.describe(colours)
    planes = data.reshape(-1, *data.shape[-2:])
    data = planes[0] if len(planes) == 1 else planes
    return Image(data, image.pixel_size, name, axes[:-2])


def _find_axis(
    source: Source,
    shape: tuple[int, ...],
    axes: str,
    channel: Channel | None,
    data: NDArray[Any] | None = None,
) -> int | None:
    try:
        return find_axis(shape, axes, channel, data)
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error


def _read_png(source: Source) -> NDArray[Any]:
    read_mask_shape(source)
    try:
        with PillowImage.open(io.BytesIO(source.read()), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except UnidentifiedImageError as error:
        raise BadFileError(f"{source}: not a PNG file; copy it again") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise BadFileError(truncated_message(source)) from error

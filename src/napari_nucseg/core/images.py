"""Pixels in and out of files: microscope images, mask colourings, label images."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from skimage.measure import label

from napari_nucseg.core.sources import Source

Labels = NDArray[np.integer[Any]]
"""Label image: 0 is background, every other value one object."""

TIFF_SUFFIXES = (".tif", ".tiff", ".stk")
PNG_SUFFIXES = (".png",)
MAX_MASK_VALUES = 32
"""Distinct values above which a grey picture is a photograph, not the colouring of a mask."""

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
    """

    data: NDArray[Any]
    pixel_size: float | None = None


@dataclass(frozen=True)
class Header:
    """Shape, type and pixel size of an image, known without reading its pixels."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: float | None = None


def read_image(source: Source) -> Image:
    """Read a grey TIFF (one page, or several as a stack) or a grey PNG.

    Raises
    ------
    ValueError
        If the file is damaged or has colour; the message names it and the remedy.
    OSError
        If it cannot be opened.
    """
    if source.suffix in PNG_SUFFIXES:
        data = _read_png(source)
        if data.ndim != 2:
            raise ValueError(_colour_message(source, data.shape))
        return Image(data)
    with _open_tiff(source) as tiff:
        header = _tiff_header(source, tiff)
        return Image(tiff.asarray().reshape(header.shape), header.pixel_size)


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
    with _open_tiff(source) as tiff:
        return _tiff_header(source, tiff)


def read_mask(source: Source) -> Labels:
    """Read labels from a mask PNG: 8-connected components of equal red value.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n.

    Raises
    ------
    ValueError
        If the file is damaged or no colouring of objects.

    References
    ----------
    .. [1] Caicedo et al., Cytometry Part A 95, 952-965 (2019), and the notes of BBBC039.
    """
    data = _read_png(source)
    if data.ndim == 3:
        red, others = data[..., 0], data[..., 1:3]
        if others.any() and (others != red[..., None]).any():
            raise ValueError(
                f"{source}: not a mask: its green and blue are neither empty nor equal to its red; "
                "choose the PNG of the folder masks/ that has the image's name"
            )
        data = red
    values = len(np.unique(data))
    if values > MAX_MASK_VALUES:
        raise ValueError(
            f"{source}: not a mask: it has {values} grey values, the colouring of a mask has few; "
            "choose the PNG of the folder masks/ that has the image's name"
        )
    return np.asarray(label(data, connectivity=2), dtype=np.int32)


def read_mask_shape(source: Source) -> tuple[int, int]:
    """Height and width of a PNG from its header; a file that is cut off is refused."""
    head = source.read(24)
    if head[:8] != _PNG_HEAD or len(head) < 24:
        raise ValueError(f"{source}: not a PNG file; replace it by the published mask")
    if source.member is None and not source.tail(16).endswith(_PNG_END):
        raise ValueError(_truncated_message(source))
    width, height = struct.unpack(">II", head[16:24])
    return height, width


def read_labels(source: Source) -> Labels:
    """Read a label image: an integer TIFF, or a mask PNG by `read_mask`'s rule.

    Raises
    ------
    ValueError
        If the file is damaged, has colour, or holds anything but whole numbers from 0.
    """
    if source.suffix in PNG_SUFFIXES:
        return read_mask(source)
    data = read_image(source).data
    if not np.issubdtype(data.dtype, np.integer) or (data.size and data.min() < 0):
        raise ValueError(
            f"{source}: not a label image: it holds {data.dtype} values, labels are whole numbers "
            "from 0; save it as a 16 or 32-bit integer TIFF"
        )
    return data


@contextmanager
def _open_tiff(source: Source) -> Iterator[tifffile.TiffFile]:
    stream = source.path if source.member is None else io.BytesIO(source.read())
    try:
        with tifffile.TiffFile(stream, name=source.name) as tiff:
            yield tiff
    except (tifffile.TiffFileError, struct.error, IndexError, EOFError) as error:
        raise ValueError(f"{source}: not a readable TIFF ({error}); copy it again") from error


def _tiff_header(source: Source, tiff: tifffile.TiffFile) -> Header:
    series = tiff.series[0]
    page = series.keyframe
    if page.samplesperpixel != 1 or page.photometric in (tifffile.PHOTOMETRIC.RGB,):
        raise ValueError(_colour_message(source, series.shape))
    ends = (
        offset + count
        for page in series.pages
        if page is not None
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    )
    if max(ends, default=0) > tiff.filehandle.size:
        raise ValueError(_truncated_message(source))
    height, width = series.shape[-2:]
    planes = int(np.prod(series.shape[:-2]))
    shape = (height, width) if planes == 1 else (planes, height, width)
    if series.dtype is None:
        raise ValueError(f"{source}: its pixel type is unknown; save it as 8 or 16-bit grey")
    return Header(shape, series.dtype, _metamorph_pixel_size(tiff))


def _metamorph_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    if not tiff.is_stk:
        return None
    metadata = tiff.stk_metadata or {}
    size = metadata.get("XCalibration")
    known = metadata.get("SpatialCalibration") and metadata.get("CalibrationUnits") == "um"
    return float(size) if known and size else None


def _read_png(source: Source) -> NDArray[Any]:
    content = io.BytesIO(source.read())
    try:
        with PillowImage.open(content, formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except UnidentifiedImageError as error:
        raise ValueError(f"{source}: not a PNG file; copy it again") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(_truncated_message(source)) from error


def _colour_message(source: Source, shape: tuple[int, ...]) -> str:
    return (
        f"{source}: a colour image of shape {shape}; nuclei are segmented in one grey channel, "
        "save the channel of the nuclear stain as a grey TIFF"
    )


def _truncated_message(source: Source) -> str:
    return f"{source}: the file is cut off or damaged; copy or download it again"

"""Pixels in and out of files: microscope images, mask colourings, label images."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from napari_nucseg.core.sources import Source

Labels = NDArray[np.integer[Any]]
"""Label image: 0 is background, every other value one object."""

TIFF_SUFFIXES = (".tif", ".tiff", ".stk")
PNG_SUFFIXES = (".png",)
MAX_MASK_VALUES = 32
"""Distinct values above which a grey picture is a photograph, not the colouring of a mask."""

MAX_PNG_PIXELS = 2**26
"""Pixels above which a PNG is taken for a decompression bomb."""

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"

# All that tifffile and its codecs have been seen to raise on damaged files
_TIFF_FAILURES = (
    tifffile.TiffFileError, struct.error, ValueError, LookupError, TypeError, RuntimeError,
    ArithmeticError, AssertionError, EOFError, MemoryError,
)  # fmt: skip


class BadFileError(ValueError):
    """A file that cannot be used; the message names it and the remedy."""


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
            raise BadFileError(_colour_message(source, data.shape))
        return Image(data)
    with _open_tiff(source) as tiff:
        header = _tiff_header(source, tiff)
        data = np.stack([series.asarray() for series in tiff.series])
        return Image(data.reshape(header.shape), header.pixel_size)


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
            raise BadFileError(
                f"{source}: not a mask: its green and blue are neither empty nor equal to its red; "
                "choose the PNG of the folder masks/ that has the image's name"
            )
        data = red
    values = len(np.unique(data))
    if values > MAX_MASK_VALUES:
        raise BadFileError(
            f"{source}: not a mask: it has {values} grey values, the colouring of a mask has few; "
            "choose the PNG of the folder masks/ that has the image's name"
        )
    from skimage.measure import label  # a panel that opens would wait for it

    return np.asarray(label(data, connectivity=2), dtype=np.int32)


def read_mask_shape(source: Source) -> tuple[int, int]:
    """Read height and width from a PNG's header; refuse a file that is cut off or monstrous."""
    head = source.read(24)
    if head[:8] != _PNG_HEAD or len(head) < 24:
        raise BadFileError(f"{source}: not a PNG file; replace it by the published mask")
    if source.member is None and not source.tail(16).endswith(_PNG_END):
        raise BadFileError(_truncated_message(source))
    width, height = struct.unpack(">II", head[16:24])
    if width * height > MAX_PNG_PIXELS:
        raise BadFileError(
            f"{source}: {height} x {width} px, more than a PNG is read with; save it as TIFF"
        )
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
        raise BadFileError(
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
    except BadFileError:
        raise
    except _TIFF_FAILURES as error:
        raise BadFileError(f"{source}: not a readable TIFF ({error}); copy it again") from error


def _tiff_header(source: Source, tiff: tifffile.TiffFile) -> Header:
    series = tiff.series[0]
    page = series.keyframe
    if page.samplesperpixel != 1 or page.photometric == tifffile.PHOTOMETRIC.RGB:
        raise BadFileError(_colour_message(source, series.shape))
    if any((s.shape, s.dtype) != (series.shape, series.dtype) for s in tiff.series):
        raise BadFileError(
            f"{source}: it holds images of several sizes or types; save the one you need by itself"
        )
    if series.dtype is None:
        raise BadFileError(f"{source}: its pixel type is unknown; save it as 8 or 16-bit grey")
    height, width = series.shape[-2:]
    planes = len(tiff.series) * int(np.prod(series.shape[:-2]))
    announced = (tiff.imagej_metadata or {}).get("images", planes)
    if planes < announced or _data_end(tiff) > tiff.filehandle.size:
        raise BadFileError(_truncated_message(source))
    shape = (height, width) if planes == 1 else (planes, height, width)
    return Header(shape, series.dtype, _metamorph_pixel_size(tiff))


def _data_end(tiff: tifffile.TiffFile) -> int:
    """Position behind the last byte of pixels."""
    ends = [0]
    for series in tiff.series:
        if series.dataoffset is not None:
            ends.append(series.dataoffset + series.nbytes)
        for page in series.pages:
            if page is not None:
                ends += map(add, page.dataoffsets, page.databytecounts)
    return max(ends)


def _metamorph_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    if not tiff.is_stk:
        return None
    metadata = tiff.stk_metadata or {}
    size = metadata.get("XCalibration")
    known = metadata.get("SpatialCalibration") and metadata.get("CalibrationUnits") == "um"
    return float(size) if known and size else None


def _read_png(source: Source) -> NDArray[Any]:
    read_mask_shape(source)
    try:
        with PillowImage.open(io.BytesIO(source.read()), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except UnidentifiedImageError as error:
        raise BadFileError(f"{source}: not a PNG file; copy it again") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise BadFileError(_truncated_message(source)) from error


def _colour_message(source: Source, shape: tuple[int, ...]) -> str:
    return (
        f"{source}: a colour image of shape {shape}; nuclei are segmented in one grey channel, "
        "save the channel of the nuclear stain as a grey TIFF"
    )


def _truncated_message(source: Source) -> str:
    return f"{source}: the file is cut off or damaged; copy or download it again"

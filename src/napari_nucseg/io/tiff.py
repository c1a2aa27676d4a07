"""TIFF files: opening them, what they hold, and what their tags say that their pixels mean."""

from __future__ import annotations

import io
import logging
import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import add
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_nucseg.io.calibration import elements, parse_ome, read_calibration
from napari_nucseg.io.channels import find_samples
from napari_nucseg.io.limits import DEFLATED, BadFileError, refuse_large
from napari_nucseg.io.sources import Source, readable

# All that tifffile and its codecs have been seen to raise on damaged files
_CUT_OFF = (struct.error, LookupError, TypeError, ArithmeticError, AssertionError, EOFError)
_UNREADABLE = (tifffile.TiffFileError, ValueError, RuntimeError, MemoryError)
COLOUR_PLANES = "SYX"
"""Axes of colours that lie one after another, as tifffile writes stacks of 3 and 4 planes."""
_MINISWHITE, _PALETTE = 0, 3
_MOST_COMPRESSED = {5: 2560, 8: DEFLATED, 32946: DEFLATED, 32773: 64}
"""Times that LZW, deflate (by either number) and PackBits can make data smaller, at most."""


@dataclass(frozen=True)
class Header:
    """What is known of an image without reading its pixels.

    Attributes
    ----------
    shape : tuple of int
        (height, width) or (planes, height, width).
    dtype : dtype
        Type of the pixels.
    pixel_size, z_spacing : float or None
        Edge of a pixel and distance of planes in micrometres, where the file states them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: float | None = None
    z_spacing: float | None = None


@dataclass(frozen=True)
class Planes:
    """Which pages of a file make its image.

    Attributes
    ----------
    series : list of TiffPageSeries
        Without thumbnails; all of one shape and type.
    shape : tuple of int
        Shape of all series together; axes of length 1 are left out.
    axes : str
        A letter an axis, as tifffile has them; Q for several series, and where nothing is known.
    notes : tuple of str
        What the user should know of how the file was taken.
    """

    series: list[tifffile.TiffPageSeries]
    shape: tuple[int, ...]
    axes: str
    notes: tuple[str, ...] = ()


@contextmanager
def open_tiff(source: Source, content: bytes | None = None) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; what fails in reading it becomes a `BadFileError` that names it.

    Of a set of OME files only this one is read; tifffile would fill absent ones up with zeros.

    Parameters
    ----------
    source : Source
        The file.
    content : bytes, optional
        Bytes of the whole file, if it was read.
    """
    if content is None and source.member is not None:
        content = source.read()
    stream = source.path if content is None else io.BytesIO(content)
    try:
        with (
            readable(source),
            _quiet(),
            tifffile.TiffFile(stream, name=source.name, _multifile=False) as tiff,
        ):
            yield tiff
    except BadFileError:
        raise
    except _CUT_OFF as error:
        raise BadFileError(truncated_message(source)) from error
    except _UNREADABLE as error:
        raise BadFileError(f"{source}: not a readable TIFF ({error}); copy it again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what tifffile stumbles over in this thread off standard error: the error tells it."""
    logger, thread = logging.getLogger("tifffile"), threading.get_ident()

    def is_anothers(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(is_anothers)
    try:
        yield
    finally:
        logger.removeFilter(is_anothers)


def find_planes(source: Source, tiff: tifffile.TiffFile, *, in_parts: bool = False) -> Planes:
    """Find the pages of a file's image, and refuse a file of several images.

    Parameters
    ----------
    source : Source
        The file.
    tiff : TiffFile
        The file, open.
    in_parts : bool
        Whether it is read part by part, so that it may be of any size.

    Raises
    ------
    ValueError
        If images differ in size or type, or have more pixels than are read.
    """
    series = [one for one in tiff.series if not _is_aside(one)] or list(tiff.series)
    first = series[0]
    if any((one.shape, one.dtype) != (first.shape, first.dtype) for one in series):
        raise BadFileError(
            f"{source}: it holds images of several sizes or types; save the one you need by itself"
        )
    shape, axes, notes = first.shape, first.axes, tuple[str, ...]()
    if tiff.is_ome and first.kind != "ome" and tiff.ome_metadata:
        axes, notes = _within_set(source, tiff.ome_metadata, shape, axes)
    if len(series) > 1:
        shape, axes = (len(series), *shape), "Q" + axes
    if not in_parts:
        refuse_large(source, shape)
    kept = [index for index, letter in enumerate(axes) if shape[index] > 1 or letter in "YX"]
    return Planes(series, tuple(shape[i] for i in kept), "".join(axes[i] for i in kept), notes)


def stack_axes(source: Source) -> str:
    """Read the axes of a TIFF before height and width; none of a plane, or of another kind."""
    try:
        with open_tiff(source) as tiff:
            axes = find_planes(source, tiff).axes
    except BadFileError:  # a picture of another kind, which is no stack
        return ""
    return axes[:-2] if axes.endswith("YX") else ""


def tiff_header(source: Source, tiff: tifffile.TiffFile, planes: Planes) -> Header:
    """Read shape, type and pixel size, and refuse a file that is cut off."""
    series = planes.series[0]
    if series.dtype is None:
        raise BadFileError(f"{source}: its pixel type is unknown; save it as 8 or 16-bit grey")
    lengths = dict(zip(planes.axes, planes.shape, strict=True))
    height, width, samples = lengths["Y"], lengths["X"], lengths.get("S", 1)
    count = int(np.prod(planes.shape)) // (height * width * samples)
    announced = (tiff.imagej_metadata or {}).get("images", count)
    is_whole = _data_end(planes.series) <= tiff.filehandle.size
    if count < announced or not is_whole or not all(map(_can_hold_pixels, planes.series)):
        raise BadFileError(truncated_message(source))
    shape = (height, width) if count == 1 else (count, height, width)
    told = read_calibration(tiff)
    return Header(shape, series.dtype, told.pixel_size, told.z_spacing)


def labels_shape(planes: Planes, header: Header) -> tuple[int, ...]:
    """Return the shape of the labels that pages hold: of a colouring without its samples."""
    if planes.axes == COLOUR_PLANES:
        return planes.shape
    samples = find_samples(planes.shape, planes.axes)
    if samples is None:
        return header.shape
    return (*planes.shape[:samples], *planes.shape[samples + 1 :])


def has_palette(planes: Planes) -> bool:
    """Whether the pixels of a TIFF are numbers of colours."""
    return int(planes.series[0].keyframe.photometric) == _PALETTE


def has_white_for_zero(planes: Planes) -> bool:
    """Whether 0 is white in a TIFF, and larger numbers are darker."""
    return int(planes.series[0].keyframe.photometric) == _MINISWHITE


def invert(data: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """Turn dark into bright, of the type's own range where it has one."""
    if data.dtype == bool:
        return ~data
    if data.dtype.kind == "u":
        return np.asarray(data.dtype.type(2**page.bitspersample - 1) - data)
    return np.asarray(data.max() - (data - data.min()), data.dtype)


def resolve_palette(
    data: NDArray[Any], axes: str, colours: NDArray[np.uint16]
) -> tuple[NDArray[Any], str]:
    """Turn numbers of a palette into its colours, or into grey where it is a ramp of one colour."""
    palette = (colours >> 8 if data.dtype.itemsize == 1 else colours).astype(data.dtype)
    ramps = [ramp for ramp in palette if ramp.min() != ramp.max()]
    if not ramps or all((ramp == ramps[0]).all() for ramp in ramps):
        return np.asarray((ramps or [palette[0]])[0][data]), axes
    return np.moveaxis(palette[:, data], 0, -1), axes + "S"


def _is_aside(series: tifffile.TiffPageSeries) -> bool:
    """Whether pages are a thumbnail of others, or say where they are transparent."""
    return bool(series.keyframe.subfiletype & 0b101)


def _within_set(
    source: Source, ome: str, shape: tuple[int, ...], axes: str
) -> tuple[str, tuple[str, ...]]:
    """Tell what the pages of one file of a set of OME files are, and which others are absent."""
    root = parse_ome(ome)
    own, others = (None, {}) if root is None else _files_of_set(root, source.name)
    if own is not None and len(shape) == 3 and axes[0] in "QI":
        axes = _own_axis(own, shape[0]) + axes[1:]
    absent = [name for name in others if not (source.path.parent / name).is_file()]
    note = f"one of a set of {len(others) + 1} files, of which only its own planes are read"
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        note += f"; {len(absent)} of the others {verb} not here, the first is {absent[0]}"
    return axes, (note,) if others else ()


def _files_of_set(root: Element, name: str) -> tuple[Element | None, dict[str, None]]:
    """Find the pixels that a file of a set holds, and the names of the other files."""
    own, others = None, dict[str, None]()
    for pixels in elements(root, "Pixels"):
        for uuid in elements(pixels, "UUID"):
            file = uuid.get("FileName", "")
            if uuid.text == root.get("UUID") or file.lower() == name.lower():
                own = pixels if own is None else own
            elif file:
                others[file] = None
    return own, others


def _own_axis(pixels: Element, pages: int) -> str:
    """Name the axis along which the pages of a file of a set differ, if only one can be meant."""
    sizes = {letter: int(pixels.get(f"Size{letter}", 1)) for letter in "ZCT"}
    likely = [letter for letter, size in sizes.items() if size == pages]
    likely = likely or [letter for letter, size in sizes.items() if size > pages]
    return likely[0] if len(likely) == 1 else "Q"


def _data_end(of: list[tifffile.TiffPageSeries]) -> int:
    """Position behind the last byte of pixels."""
    ends = [0]
    for series in of:
        if series.dataoffset is not None:
            ends.append(series.dataoffset + series.nbytes)
        for page in series.pages:
            if page is not None:
                ends += map(add, page.dataoffsets, page.databytecounts)
    return max(ends)


def _can_hold_pixels(series: tifffile.TiffPageSeries) -> bool:
    """Whether the strips or tiles of each page are as many, and as large, as its pixels need."""
    page = series.keyframe
    pieces, bits = math.prod(page.chunked), page.size * page.bitspersample
    most = _MOST_COMPRESSED.get(int(page.compression))
    for one in series.pages:
        if one is None or series.dataoffset is not None:  # one piece, whose end was looked at
            continue
        counts = one.databytecounts
        if min(len(one.dataoffsets), len(counts)) < pieces:
            return False
        is_sparse = 0 in counts  # pieces that were left out are all 0
        if most is not None and not is_sparse and bits > 8 * most * sum(counts):
            return False
    return True


def truncated_message(source: Source) -> str:
    """Say that a file is not whole."""
    return f"{source}: the file is cut off or damaged; copy or download it again"

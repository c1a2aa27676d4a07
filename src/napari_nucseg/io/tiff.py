"""TIFF files: opening them, and what they hold, known without reading their pixels."""

from __future__ import annotations

import io
import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np
import tifffile

from napari_nucseg.io.sources import Source

# All that tifffile and its codecs have been seen to raise on damaged files
_CUT_OFF = (struct.error, LookupError, TypeError, ArithmeticError, AssertionError, EOFError)
_UNREADABLE = (tifffile.TiffFileError, ValueError, RuntimeError, MemoryError)


class BadFileError(ValueError):
    """A file that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Header:
    """Shape, type and pixel size of an image, known without reading its pixels."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: float | None = None


@contextmanager
def open_tiff(source: Source) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; what fails in reading it becomes a `BadFileError` that names it."""
    stream = source.path if source.member is None else io.BytesIO(source.read())
    try:
        with _quiet(), tifffile.TiffFile(stream, name=source.name) as tiff:
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


def tiff_header(source: Source, tiff: tifffile.TiffFile) -> Header:
    """Read shape, type and pixel size, and refuse a file that is cut off or of several images."""
    series = tiff.series[0]
    if any((s.shape, s.dtype) != (series.shape, series.dtype) for s in tiff.series):
        raise BadFileError(
            f"{source}: it holds images of several sizes or types; save the one you need by itself"
        )
    if series.dtype is None:
        raise BadFileError(f"{source}: its pixel type is unknown; save it as 8 or 16-bit grey")
    height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
    samples = series.shape[series.axes.index("S")] if "S" in series.axes else 1
    planes = len(tiff.series) * int(np.prod(series.shape)) // (height * width * samples)
    announced = (tiff.imagej_metadata or {}).get("images", planes)
    if planes < announced or _data_end(tiff) > tiff.filehandle.size:
        raise BadFileError(truncated_message(source))
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


def truncated_message(source: Source) -> str:
    """Say that a file is not whole."""
    return f"{source}: the file is cut off or damaged; copy or download it again"

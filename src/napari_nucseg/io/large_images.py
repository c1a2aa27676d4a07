"""Images that are read part by part, because they are larger than memory: TIFF and OME-Zarr.

Of a TIFF the tiles or strips are decoded that a part needs, and of Zarr the chunks.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Windowed, parts_of, whole_box
from napari_nucseg.io.calibration import UNKNOWN, Calibration
from napari_nucseg.io.channels import HAEMATOXYLIN, Channel, count_colours, find_axis
from napari_nucseg.io.labelled import NOTE, check_made
from napari_nucseg.io.limits import BadFileError, is_zarr
from napari_nucseg.io.ome_zarr import open_zarr
from napari_nucseg.io.sources import Source, sha256
from napari_nucseg.io.tiff import (
    Planes,
    find_planes,
    has_palette,
    has_white_for_zero,
    invert,
    open_tiff,
    tiff_header,
)
from napari_nucseg.io.tiff_parts import part_reader
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.io.zarr_labels import labels_within

BAND = 512
"""Rows that are read at once where all are read in their order."""
Read = Callable[[Box], NDArray[Any]]
"""A box of an array, an interval for each axis, to its pixels."""
_WHITES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types of pixels of which it is known what is white."""


@dataclass(frozen=True)
class LargeImage:
    """An image in a file that is open, and of which any part can be read.

    Attributes
    ----------
    shape : tuple of int
        (height, width) or (planes, height, width).
    dtype : dtype
        Type of the pixels as they are stored.
    read : callable
        Returns the pixels of a box, of one channel.
    channel : str
        Channel of the file that it is; empty for a grey file.
    stack : str
        A letter for the axis before height and width, as the file says; empty without one.
    calibration : Calibration
        Sizes of pixels and distance of planes, where the file states them.
    notes : tuple of str
        What the user should know of how the file is read.
    ngff : str
        Version of OME-Zarr's metadata that the file has; empty for another kind of file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Read
    channel: str = ""
    stack: str = ""
    calibration: Calibration = UNKNOWN
    notes: tuple[str, ...] = ()
    ngff: str = ""


@dataclass(frozen=True)
class OpenImage(Source):
    """An image that need not be in a file, such as a layer: what reads its parts is open already.

    Attributes
    ----------
    image : LargeImage
        Its pixels.
    fingerprint : str
        What tells whether it has changed.
    labels : str
        Name of the folder of OME-Zarr that its labels are written into.
    """

    image: LargeImage = field(kw_only=True, compare=False, repr=False)
    fingerprint: str = field(kw_only=True)
    labels: str = field(kw_only=True)

    def __str__(self) -> str:
        return self.name


@contextmanager
def open_large(
    source: Source, channel: Channel | None = None, *, as_numbers: bool = False
) -> Iterator[LargeImage]:
    """Open an image of which parts are read: a TIFF, or a folder of OME-Zarr or Zarr.

    Parameters
    ----------
    source : Source
        The file or folder; a pyramid's full resolution is read.
    channel : Channel, optional
        Channel that is read where there are several.
    as_numbers : bool
        Whether pixels are labels, which are not inverted where a TIFF says that white is 0, and
        are looked for in an image of OME-Zarr.

    Raises
    ------
    ValueError
        If it is damaged or of another kind, or it cannot be told what to read of it.
    OSError
        If it cannot be opened.
    """
    if isinstance(source, OpenImage):
        yield source.image
        return
    if is_zarr(source.path):
        image = open_zarr(labels_within(source.path) if as_numbers else source.path)
        whole = _Whole(image.shape, image.axes, image.dtype, image.read)
        found = _take(source, whole, channel)
        yield replace(found, calibration=image.calibration, ngff=image.version or "0.5")
        return
    with open_tiff(source) as tiff:
        yield _open_tiff(source, tiff, channel, as_numbers)


def declared_planes(source: Source) -> Planes:
    """Return the axes of a TIFF and their lengths, as its parts are read; no pixel is read.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with open_tiff(source) as tiff:
        return find_planes(source, tiff, in_parts=True)


def fingerprint_of(source: Source) -> str:
    """Return what tells whether an image has changed, which is open or in a file or folder."""
    return source.fingerprint if isinstance(source, OpenImage) else fingerprint(source.path)


def fingerprint(path: Path) -> str:
    """Return what tells whether an image has changed: a file's sha256, as `Source.sha256`.

    Of a folder it is made of the names, sizes and times of its files, which may be millions.
    """
    if not path.is_dir():
        return sha256(path)
    found = hashlib.sha256()
    for folder, inner, names in os.walk(path):
        inner.sort()
        for name in sorted(names):
            told = os.stat(os.path.join(folder, name))
            where = os.path.relpath(os.path.join(folder, name), path)
            found.update(os.fsencode(f"{where}\0{told.st_size}\0{told.st_mtime_ns}\n"))
    return found.hexdigest()


def checksum_in_parts(labels: Windowed) -> str:
    """Return the `checksum` of labels that are read part by part."""
    planes = math.prod(labels.shape[:-2])
    shape = [length for length in (planes, *labels.shape[-2:]) if length > 1]
    found = hashlib.sha256(np.array(shape, "<u8").tobytes())
    for part in _bands(labels):
        found.update(np.ascontiguousarray(part, dtype="<u4").data)
    return found.hexdigest()


def count_in_parts(labels: Windowed) -> int:
    """Count the nuclei of labels that are read part by part."""
    numbers = np.zeros(1, dtype=np.int64)  # the background
    for part in _bands(labels):
        numbers = np.union1d(numbers, part)
    return len(numbers) - 1


def _bands(labels: Windowed) -> Iterator[NDArray[Any]]:
    """Yield rows of all planes in their order."""
    for box in parts_of(labels.shape, (1, BAND, labels.shape[-1])[-len(labels.shape) :]):
        yield labels.read(box)


def read_made(path: Path) -> Mapping[str, Any]:
    """Read how labels of a file or folder were made.

    Raises
    ------
    ValueError
        If it does not say.
    """
    if not is_zarr(path):
        return read_provenance(path)
    made = open_zarr(path).attributes.get(NOTE)
    if not isinstance(made, dict):
        raise BadFileError(f"{path}: it does not say how it was made")
    check_made(made)
    return made


def count_corrected(path: Path) -> int:
    """Count the nuclei of saved labels that were corrected by hand; 0 if they do not say."""
    try:
        return int(read_made(path).get("corrected_by_hand", 0))
    except (ValueError, OSError, TypeError):
        return 0


@dataclass(frozen=True)
class _Whole:
    """An array with all its axes, and a letter for each."""

    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    read: Read


def _take(source: Source, whole: _Whole, channel: Channel | None) -> LargeImage:
    """Take a channel where there are several, and one axis at most before height and width."""
    try:
        axis = find_axis(whole.shape, whole.axes, channel)
        axis = None if channel is None else axis
        name, colours = "", 0
        if axis is not None and channel is not None:
            colours = count_colours(whole.shape[axis], whole.axes[axis])
            name = channel.describe(colours)
            if channel.name == HAEMATOXYLIN and whole.dtype not in _WHITES:
                raise ValueError(f"{whole.dtype} colours: it is not known what is white in a part")
            # what is wrong with the choice is told now
            channel.take(np.zeros([min(n, colours) or 1 for n in whole.shape]), axis, colours)
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error
    rest = [i for i, letter in enumerate(whole.axes) if letter not in "YX" and i != axis]
    if len(rest) > 1:
        axes = ", ".join(f"{whole.axes[i]} ({whole.shape[i]})" for i in rest)
        raise BadFileError(
            f"{source}: it has several axes beside height and width: {axes}; choose a channel, or "
            "save each volume by itself"
        )
    order = [*rest, whole.axes.index("Y"), whole.axes.index("X")]

    def read(box: Box) -> NDArray[Any]:
        full = list(whole_box(whole.shape))
        for i, one in zip(order, box, strict=True):
            full[i] = one
        data, letters = whole.read(tuple(full)), whole.axes
        if axis is not None and channel is not None:
            data = channel.take(data, axis, colours)
            letters = letters[:axis] + letters[axis + 1 :]
        kept = "".join(whole.axes[i] for i in order)
        return np.ascontiguousarray(data.transpose([letters.index(one) for one in kept]))

    shape = tuple(whole.shape[i] for i in order)
    stack = "".join(whole.axes[i] for i in rest)
    return LargeImage(shape, whole.dtype, read, name, stack)


def _open_tiff(
    source: Source, tiff: tifffile.TiffFile, channel: Channel | None, as_numbers: bool
) -> LargeImage:
    planes = find_planes(source, tiff, in_parts=True)
    header = tiff_header(source, tiff, planes)
    if len(planes.series) > 1:
        raise BadFileError(f"{source}: it holds several images; save the one you need by itself")
    if has_palette(planes) and not as_numbers:
        raise BadFileError(f"{source}: its pixels are numbers of colours; save it as RGB or grey")
    whole = _Whole(planes.shape, planes.axes, header.dtype, part_reader(planes, tiff))
    notes = planes.notes
    if has_white_for_zero(planes) and not as_numbers:
        if header.dtype.kind not in "ub":
            raise BadFileError(f"{source}: white is 0 in {header.dtype} pixels; save it inverted")
        page, stored = planes.series[0].keyframe, whole.read
        whole = replace(whole, read=lambda box: invert(stored(box), page))
        notes += ("its tag PhotometricInterpretation is WhiteIsZero: it was inverted",)
    calibration = Calibration(header.pixel_size, header.z_spacing)
    return replace(_take(source, whole, channel), calibration=calibration, notes=notes)

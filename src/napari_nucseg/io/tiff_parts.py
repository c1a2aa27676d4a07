"""Tiles and strips of TIFF files, read and written without the rest of the file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Windowed, parts_of
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.calibration import UNKNOWN, Calibration
from napari_nucseg.io.labelled import NOTE, UINT16_LABELS
from napari_nucseg.io.tiff import Planes
from napari_nucseg.io.writers import label_axes, ome_form

TILE = 512
"""Edge of a tile that is written, px."""


def part_reader(planes: Planes, tiff: tifffile.TiffFile) -> Callable[[Box], NDArray[Any]]:
    """Return what reads a box of the pages of an open file, with all axes of `Planes`.

    Parameters
    ----------
    planes : Planes
        Pages of one series.
    tiff : TiffFile
        The file that they are of.

    Raises
    ------
    ValueError
        If its pages are volumes of their own.
    """
    series = planes.series[0]
    if series.dataoffset is not None:  # all pixels in one piece, not compressed
        assert series.dtype is not None
        stored = np.memmap(
            tiff.filehandle.path, series.dtype.newbyteorder(tiff.byteorder), "r",
            series.dataoffset, planes.shape,
        )  # fmt: skip
        return lambda box: np.array(stored[box], dtype=series.dtype)
    if not set(series.keyframe.axes) <= set("YXS"):
        raise ValueError(f"pages with the axes {series.keyframe.axes} are not read in parts")
    inner = len([letter for letter in planes.axes if letter in series.keyframe.axes])
    outer = planes.shape[: len(planes.shape) - inner]

    def read(box: Box) -> NDArray[Any]:
        leading = [range(one.start, one.stop) for one in box[: len(outer)]]
        pages = [
            _read_page(series.pages[int(np.ravel_multi_index(at, outer)) if at else 0], box)
            for at in product(*leading)
        ]
        shape = [len(one) for one in leading]
        return np.stack(pages).reshape(*shape, *pages[0].shape)

    return read


def _read_page(page: Any, box: Box) -> NDArray[Any]:
    """Decode the tiles or strips of a page that a box needs; its axes are YX, YXS or SYX."""
    if page is None:
        raise ValueError("a page is missing")
    key = page.keyframe
    samples_first = "S" in key.axes and key.axes.index("S") < key.axes.index("Y")
    split = samples_first and int(key.planarconfig) == 2
    rows, columns = box[-2:] if samples_first or "S" not in key.axes else box[-3:-1]
    height, width = key.imagelength, key.imagewidth
    edge = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, width)
    edge = min(edge[0], height) if not key.is_tiled else edge[0], edge[1]
    down, across = math.ceil(height / edge[0]), math.ceil(width / edge[1])
    depth = key.samplesperpixel if split else 1
    contig = 1 if split else key.samplesperpixel
    found = np.zeros(
        (depth, rows.stop - rows.start, columns.stop - columns.start, contig), key.dtype
    )
    wanted = product(range(depth), _pieces(rows, edge[0]), _pieces(columns, edge[1]))
    for sample, row, column in wanted:
        piece = _decode(page, (sample * down + row) * across + column)
        if piece is None:  # left out, as all of it is 0
            continue
        top, left = row * edge[0], column * edge[1]
        ys = slice(max(rows.start, top), min(rows.stop, top + piece.shape[0]))
        xs = slice(max(columns.start, left), min(columns.stop, left + piece.shape[1]))
        found[
            sample, ys.start - rows.start : ys.stop - rows.start,
            xs.start - columns.start : xs.stop - columns.start,
        ] = piece[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]  # fmt: skip
    if "S" not in key.axes:
        return found[0, ..., 0]
    return found[..., 0] if split else found[0]


def _pieces(part: slice, edge: int) -> range:
    return range(part.start // edge, math.ceil(part.stop / edge))


def _decode(page: Any, index: int) -> NDArray[Any] | None:
    """Read a tile or strip, shape (height, width, samples); None if it holds nothing."""
    count = page.databytecounts[index]
    if count == 0:
        return None
    file = page.keyframe.parent.filehandle
    file.seek(page.dataoffsets[index])
    key = page.keyframe
    piece, _, shape = key.decode(
        file.read(count), index, jpegtables=key.jpegtables, jpegheader=key.jpegheader
    )
    return None if piece is None else np.asarray(piece[0, : shape[1], : shape[2]])


def write_tiff_labels(
    path: Path,
    labels: Windowed,
    made: Mapping[str, Any],
    calibration: Calibration = UNKNOWN,
    largest: int = UINT16_LABELS,
    stack: str = "",
) -> None:
    """Write labels of any size as a tiled OME-TIFF, which may exceed 4 GB.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : Windowed
        Labels of shape (height, width) or (planes, height, width); 0 is background.
    made : mapping
        How the labels were made; kept as JSON in the image description.
    calibration : Calibration
        Sizes of pixels and distance of planes, where they are known.
    largest : int
        Largest label; 16 bits are enough for less than 65,536.
    stack : str
        Axes before height and width, as in `Image`. Planes are moments if it is T.
    """
    dtype = np.uint16 if largest < UINT16_LABELS else np.uint32
    options = ome_form(label_axes(len(labels.shape), stack), json.dumps({NOTE: made}), calibration)

    def write(file: Any) -> None:
        with tifffile.TiffWriter(file, bigtiff=True, ome=options.pop("ome")) as tiff:
            tiff.write(
                _tiles(labels, np.dtype(dtype)),
                shape=labels.shape,
                dtype=dtype,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                **options,
            )

    write_whole(path, write)


def _tiles(labels: Windowed, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes, filled up with 0 at the end of rows and columns."""
    for box in parts_of(labels.shape, (1, TILE, TILE)[-len(labels.shape) :]):
        part, tile = labels.read(box), np.zeros((TILE, TILE), dtype)
        height, width = part.shape[-2:]
        tile[:height, :width] = part.reshape(height, width)
        yield tile

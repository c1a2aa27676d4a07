"""Outlines of ImageJ's ROI manager: a zip archive with a ``.roi`` file for each nucleus."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Ring
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.labelled import (
    NOTE,
    UINT32_LABELS,
    Labelled,
    Note,
    Shape,
    note_of,
    read_note,
    shape_for,
    with_note,
)
from napari_nucseg.io.limits import BadFileError, refuse_unpacking
from napari_nucseg.io.outlines import Outline, Piece, fill, trace
from napari_nucseg.io.sources import DAMAGED, Source, readable
from napari_nucseg.wording import counted

ROI_SUFFIXES = (".zip", ".roi")
_MOST_NOTE = 2**16 - 1
"""Bytes that the comment of an archive may have."""
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Numbers of the steps of a path, as Java's ``PathIterator`` has them."""
_DIGITS = 10
"""Most digits of a label."""
_ROUND = 360
"""Corners that an oval is drawn with."""


def write_rois(path: Path, labelled: Labelled) -> None:
    """Write a zip archive of outlines for ImageJ's ROI manager.

    The pixels of a nucleus are those whose centre is within its outline. A piece with holes is a
    composite. The name of an outline is its label, with the number of the piece where there are
    several. What has a negative label is no nucleus and has none.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labelled : Labelled
        Labels of a field or a stack. Outlines in a stack know their plane.
    """
    labels = labelled.labels
    planes = labels.reshape(-1, *labels.shape[-2:])

    def write(file: Any) -> None:
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            archive.comment = _comment(labelled)
            for number, plane in enumerate(planes):
                position = number if labels.ndim > 2 else None
                before = "" if position is None else f"{number + 1:04d}-"
                for label, pieces in trace(np.asarray(plane)):
                    for name, piece in _named(label, pieces):
                        roi = _roi(piece, before + name, position)
                        archive.writestr(ZipInfo(f"{before}{name}.roi"), roi)

    write_whole(path, write)


def _comment(labelled: Labelled) -> bytes:
    """Note in the archive's comment what outlines do not say; ImageJ passes over it."""
    note = note_of(labelled)
    text = json.dumps({NOTE: note}).encode()
    return text if len(text) <= _MOST_NOTE else json.dumps({NOTE: note | {"made": {}}}).encode()


def _named(label: int, pieces: Sequence[Piece]) -> Iterator[tuple[str, Piece]]:
    for number, piece in enumerate(pieces, start=1):
        yield str(label) if len(pieces) == 1 else f"{label}-{number}", piece


def _roi(piece: Piece, name: str, position: int | None) -> bytes:
    from roifile import ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frompoints(piece.outer.astype(np.float32), name=name, position=position)
    if piece.holes:
        steps = np.concatenate([_path(ring) for ring in piece.rings]).astype(np.float32)
        roi.roitype, roi.n_coordinates = ROI_TYPE.RECT, 0
        roi.options = type(roi.options)(0)
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.multi_coordinates, roi.shape_roi_size = steps, len(steps)
    return bytes(roi.tobytes())


def _path(ring: Ring) -> NDArray[np.float64]:
    """Return a closed line as steps of a path: a number for the kind of each, then its x and y."""
    kinds = np.full(len(ring), _LINE)
    kinds[0] = _MOVE
    return np.append(np.column_stack([kinds, ring]).ravel(), _CLOSE)


def read_rois(source: Source, shape: Shape | None = None) -> Labelled:
    """Read outlines of ImageJ's ROI manager as labels.

    Our own have their labels, others are numbered in order; pixels within several outlines belong
    to the first. What has no area, as lines and points, is left out and told.

    Parameters
    ----------
    source : Source
        A zip archive of ``.roi`` files, or one such file.
    shape : tuple of int, optional
        Height and width of the image, after the number of planes if it has several; only our own
        files say it themselves.

    Raises
    ------
    ValueError
        If it is damaged, holds no outlines, or does not say how large the image is.
    """
    from roifile import ImagejRoi

    files, note = _files_of(source)
    if not files and note is None:
        raise BadFileError(
            f"{source}: an archive without outlines of ImageJ (.roi); unpack it, and give the "
            "folder"
        )
    shape = shape_for(source, note, shape)
    outlines: list[Outline] = []
    flat = 0
    for number, (name, content) in enumerate(files, start=1):
        try:
            roi = ImagejRoi.frombytes(content)
            rings = _rings(roi)
        except (ValueError, TypeError, LookupError, struct.error, RuntimeError) as error:
            raise BadFileError(
                f"{source}: {name} is no outline of ImageJ ({error}); save the outlines there again"
            ) from error
        flat += not rings
        if rings:
            label = number if note is None else _label_of(source, name, len(shape) > 2)
            outlines.append(Outline(label, rings, _plane_of(source, name, roi, shape)))
    return _filled(source, outlines, flat, note, shape)


def _filled(
    source: Source, outlines: Sequence[Outline], flat: int, note: Note | None, shape: Shape
) -> Labelled:
    try:
        labels, notes = fill(outlines, shape)
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error
    if flat:
        notes = (*notes, f"{counted(flat, 'line or point')} without an area, and left out")
    return with_note(labels, note, notes=notes)


def _files_of(source: Source) -> tuple[list[tuple[str, bytes]], Note | None]:
    """Read all outlines of an archive, by their names, and what is noted in its comment."""
    if source.suffix != ".zip":
        return [(source.name, source.read())], None
    try:
        with readable(source), ZipFile(source.path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".roi")]
            refuse_unpacking(source.path, *members)
            files = [(one.filename, archive.read(one)) for one in members]
            return files, read_note(source, _noted(archive.comment))
    except (FileNotFoundError, PermissionError, BadFileError):
        raise
    except DAMAGED as error:
        raise BadFileError(
            f"{source}: not a whole zip archive ({error}); save the outlines in ImageJ again"
        ) from error


def _noted(comment: bytes) -> Any:
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        return None  # whatever others write there
    return found.get(NOTE) if isinstance(found, dict) else None


def _label_of(source: Source, name: str, in_stack: bool) -> int:
    """Return the label that one of our own outlines is named by, behind its plane in a stack."""
    parts = Path(name).stem.split("-")
    text = parts[in_stack] if len(parts) > in_stack else ""
    label = int(text) if text.isdecimal() and len(text) <= _DIGITS else 0
    if not 0 < label < UINT32_LABELS:
        raise BadFileError(f"{source}: {name} is named by no label; save the labels as ROIs again")
    return label


def _plane_of(source: Source, name: str, roi: Any, shape: Shape) -> int:
    """Return the number of the plane that an outline lies on."""
    position = roi.position or roi.z_position or roi.t_position
    if len(shape) > 2 and not position:
        raise BadFileError(
            f"{source}: {name} does not say on which of {shape[0]} planes it lies; give an image "
            "of one plane"
        )
    return int(position) - 1 if position else 0


def _rings(roi: Any) -> list[Ring]:
    """Return the lines around what is within; none for lines, points and texts."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE):
        return []
    if roi.roitype == ROI_TYPE.OVAL or (roi.roitype == ROI_TYPE.RECT and not roi.composite):
        left, top, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
        if roi.subpixelrect:
            left, top, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
        corners = _OVAL if roi.roitype == ROI_TYPE.OVAL else _SQUARE
        return [corners * (width, height) + (left, top)]
    if roi.composite or roi.roitype in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
        return [ring for ring in rings if len(ring) > 2]
    return []


_ANGLES = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)
_OVAL = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)]) / 2 + 0.5
_SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])

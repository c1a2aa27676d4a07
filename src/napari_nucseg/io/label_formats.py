"""Labels in formats of other programs: masks as BBBC039 has them, and ROIs of ImageJ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.layouts import PARTS

WANTED_COLOURS = 3
"""Colours besides the background in the published masks."""
_STRATEGIES = (("DSATUR", False), ("smallest_last", True), ("largest_first", True))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

_ARCHIVES = tuple(f"{part}.zip" for part in PARTS)
_SIGNS = ("images", "images.zip", "metadata", "metadata.zip")
"""What lies beside masks that belong to a dataset."""


def colour(labels: Labels) -> NDArray[np.uint8]:
    """Give objects that touch, corners included, different small values.

    Three values are enough for most fields and four for nearly all; where objects surround one
    another more are used, and the mask can be decoded all the same.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        0 is background; the 8-connected regions of equal value are the objects.

    Raises
    ------
    ValueError
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
    """
    from networkx import Graph, greedy_color

    ids, indices = np.unique(labels, return_inverse=True)
    require_whole(labels)
    graph = Graph()
    graph.add_nodes_from(ids[ids != 0].tolist())
    graph.add_edges_from(touching(labels).tolist())
    colours: dict[int, int] = {}
    for strategy, interchange in _STRATEGIES:
        found = greedy_color(graph, strategy, interchange=interchange)
        if not colours or max(found.values()) < max(colours.values()):
            colours = found
        if max(colours.values(), default=0) < WANTED_COLOURS:
            break
    values = [0 if label == 0 else colours[label] + 1 for label in ids.tolist()]
    return np.asarray(values, dtype=np.uint8)[indices].reshape(labels.shape)


def touching(labels: Labels) -> NDArray[np.integer]:
    """Find the pairs of objects that are neighbours, corners included.

    Returns
    -------
    ndarray, shape (pairs, 2)
        Labels, the smaller first.
    """
    height, width = labels.shape
    found = []
    for down, right in _NEIGHBOURS:
        one = labels[: height - down, max(0, -right) : width - max(0, right)]
        other = labels[down:, max(0, right) : width - max(0, -right)]
        differ = (one != other) & (one != 0) & (other != 0)
        found.append(np.stack([one[differ], other[differ]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def require_whole(labels: Labels) -> None:
    """Refuse labels that no colouring keeps apart.

    Raises
    ------
    ValueError
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
    """
    from skimage.measure import label

    if labels.min(initial=0) < 0:
        raise ValueError(
            f"label {labels.min()} is negative; give these pixels 0 if they are background, or a "
            "number of their own"
        )
    pieces = label(labels, connectivity=2)
    first = np.unique(pieces, return_index=True)[1]
    owners, counts = np.unique(labels.ravel()[first], return_counts=True)
    torn = owners[(counts > 1) & (owners != 0)]
    if torn.size:
        raise ValueError(
            f"{torn.size} objects are in several pieces, the first is {torn[0]}; a mask would "
            "make each piece an object: erase or relabel the pieces, or save a TIFF"
        )


def write_mask(path: Path, labels: Labels) -> None:
    """Write labels as the masks of BBBC039 are: a colouring in the red of an RGBA PNG.

    `napari_nucseg.io.images.read_mask` gives back the same objects, numbered by place.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (height, width)
        0 is background; every object in one piece.

    Raises
    ------
    ValueError
        If an object is in several pieces.
    """
    rgba = np.zeros((*labels.shape, 4), dtype=np.uint8)
    rgba[..., 0] = colour(labels)
    rgba[..., 3] = 255
    write_whole(path, lambda file: Image.fromarray(rgba).save(file, format="PNG"))


def write_rois(path: Path, labels: NDArray[Any]) -> None:
    """Write objects as a zip archive of outlines for ImageJ's ROI manager.

    The pixels of an object are those whose centre is within its outline; holes are filled. The
    name of an outline is its label, with the number of the piece where there are several. What
    has a negative label is no object and has none.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (height, width) or (planes, height, width)
        0 is background. Outlines in a stack know their plane.
    """
    planes = labels if labels.ndim > 2 else labels[None]

    def write(file: Any) -> None:
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for number, plane in enumerate(planes):
                position = number if labels.ndim > 2 else None
                for name, outline in _outlines(np.asarray(plane)):
                    member = name if position is None else f"{number + 1:04d}-{name}"
                    archive.writestr(ZipInfo(f"{member}.roi"), _roi(outline, member, position))

    write_whole(path, write)


def refuse_truth(path: Path) -> None:
    """Refuse to replace a file of a dataset.

    Raises
    ------
    FileExistsError
        If the file is there, in one of the folders that datasets have or as one of their archives.
    """
    where = path.resolve()
    folders = [part.parent for part in where.parents if part.name in PARTS]
    folders += [where.parent] if where.name in _ARCHIVES else []
    if path.exists() and any((one / sign).exists() for one in folders for sign in _SIGNS):
        raise FileExistsError(
            f"{path}: it belongs to a dataset and is not replaced; choose another name or folder"
        )


def _outlines(labels: Labels) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and the outline of every piece, as x and y of corners."""
    from scipy.ndimage import find_objects
    from skimage.measure import label

    ids, indices = np.unique(labels, return_inverse=True)
    first = int(np.searchsorted(ids, 1))
    numbers = np.maximum(indices.reshape(labels.shape) + 1 - first, 0)  # small, 0 for background
    for number, box in enumerate(find_objects(numbers), start=1):
        value = ids[number - 1 + first]
        pieces = label(np.pad(numbers[box] == number, 1), connectivity=2)
        origin = np.array([part.start for part in box]) - 1
        count = int(pieces.max())
        for piece in range(1, count + 1):
            name = str(value) if count == 1 else f"{value}-{piece}"
            yield name, _outline(pieces == piece, origin)


def _outline(mask: NDArray[np.bool_], origin: NDArray[np.integer]) -> NDArray[np.float32]:
    from scipy.ndimage import binary_fill_holes
    from skimage.measure import find_contours

    contours = find_contours(binary_fill_holes(mask).astype(float), 0.5, fully_connected="high")
    outer = max(contours, key=len)[:-1] + origin
    return np.asarray(outer[:, ::-1] + 0.5, dtype=np.float32)  # to ImageJ, centres are at halves


def _roi(outline: NDArray[np.float32], name: str, position: int | None) -> bytes:
    from roifile import ImagejRoi

    return bytes(ImagejRoi.frompoints(outline, name=name, position=position).tobytes())

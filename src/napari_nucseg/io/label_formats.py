"""Labels in formats of other programs: masks of BBBC039, ROIs of ImageJ, and Cellpose's files.

The file ``a_seg.npy`` of Cellpose's window is read as data, never as a program.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from tokenize import TokenError
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.limits import BadFileError, refuse_large
from napari_nucseg.io.sources import Source

WANTED_COLOURS = 3
"""Colours besides the background in the published masks."""
_STRATEGIES = (("DSATUR", False), ("smallest_last", True), ("largest_first", True))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

_MASKS = "masks"
_PLAIN = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in (
        "_reconstruct", "scalar",
    )),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
}  # fmt: skip
"""All that arrays, numbers, texts, lists and dicts are made by; nothing of it runs a program."""
_PATHS: dict[str, type[PurePath]] = {
    **dict.fromkeys(("PosixPath", "PurePosixPath", "PurePath"), PurePosixPath),
    **dict.fromkeys(("WindowsPath", "PureWindowsPath"), PureWindowsPath),
}
"""Names of files, and what is made of them: names alone, of any system on any other."""
_PATH_MODULES = ("pathlib", "pathlib._local")  # the second in files of Python 3.13


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

    `napari_nucseg.io.images.read_labels` gives back the same objects, numbered by place.

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


def read_seg(source: Source) -> NDArray[Any]:
    """Read the labels of a file of Cellpose's window, or of a plain array of numbers.

    Raises
    ------
    ValueError
        If it is damaged, holds anything but arrays, numbers and texts, or no labels.
    """
    stream = io.BytesIO(source.read())
    try:
        found = _load(stream)
    except _RefusedError as error:
        raise BadFileError(f"{source}: {error}") from error
    except (
        pickle.UnpicklingError, ValueError, LookupError, TypeError, EOFError, AttributeError,
        MemoryError, AssertionError, ArithmeticError, SyntaxError, TokenError, struct.error,
        SystemError,  # of numpy, where the state of a dtype makes no sense
    ) as error:  # fmt: skip
        raise BadFileError(
            f"{source}: not a file that Cellpose's window has saved ({error}); save it there again"
        ) from error
    masks = found.get(_MASKS) if isinstance(found, dict) else found
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "buif" or masks.ndim < 2:
        raise BadFileError(
            f"{source}: it holds no labels; segment the image in Cellpose, and save it there again"
        )
    refuse_large(source, masks.shape)
    return np.squeeze(masks) if masks.ndim > 2 else masks


def _load(stream: io.BytesIO) -> Any:
    """Return the array of a file, or the object that it holds."""
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        if math.prod(shape) * dtype.itemsize > len(stream.getbuffer()):
            raise ValueError("it is cut off")
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)
    found = _Unpickler(stream).load()
    return found.item() if isinstance(found, np.ndarray) and found.shape == () == shape else None


class _RefusedError(pickle.UnpicklingError):
    """What is in a file may be a program."""


def _encode(text: str, codec: str = "latin1") -> bytes:
    """Do what old pickles spell bytes by; other codecs could make a little text very long."""
    if codec.replace("-", "").lower() not in ("latin1", "utf8", "ascii"):
        raise _RefusedError(f"it is encoded by {codec!r}; save its labels as TIFF or PNG")
    return text.encode(codec)


# That in C fills memory up to any place that a file names for what it keeps for later
class _Unpickler(pickle._Unpickler):
    """Makes arrays, plain values and names of files, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up what a value is made by."""
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if module in _PATH_MODULES and name in _PATHS:
            return _PATHS[name]
        if (module, name) not in _PLAIN:
            raise _RefusedError(
                f"it holds {module}.{name}, which may be a program and is not run; save its "
                "labels as TIFF or PNG"
            )
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)

"""Labels as Cellpose's window saves and opens them: the file ``a_seg.npy`` beside ``a.tif``.

The file is read as data, never as a program.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.labelled import (
    NOTE,
    UINT32_LABELS,
    Labelled,
    Note,
    note_of,
    read_note,
    refuse_beyond,
    with_note,
)
from napari_nucseg.io.limits import BadFileError, refuse_large
from napari_nucseg.io.sources import Source

_MASKS = "masks"
_UINT16 = 2**16 - 1
"""Labels from which on Cellpose writes 32 bits."""
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


def write_seg(path: Path, labelled: Labelled) -> None:
    """Write the file that Cellpose's window opens; it looks for the image by its name beside it.

    Numbers stay as they are; the window numbers nuclei anew where there are gaps.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists; Cellpose calls it by the image's stem and ``_seg.npy``.
    labelled : Labelled
        Labels of a field, or of a volume.

    Raises
    ------
    ValueError
        If a label is negative or needs more than 32 bits.
    """
    from skimage.segmentation import find_boundaries

    labels = labelled.labels
    refuse_beyond(path, labels, UINT32_LABELS)
    masks = labels.astype(np.uint16 if labels.max(initial=0) < _UINT16 else np.uint32)
    planes = masks.reshape(-1, *masks.shape[-2:])
    borders = np.stack([find_boundaries(plane, mode="inner") for plane in planes])
    content = {
        _MASKS: masks,
        "outlines": masks * borders.reshape(masks.shape),
        "chan_choose": [0, 0],
        "ismanual": np.zeros(int(masks.max(initial=0)), bool),
        "filename": labelled.image,
        "flows": [[], [], [], [], [[]]],
        "diameter": math.nan,
        NOTE: json.dumps(note_of(labelled)),
    }
    boxed = np.array(content, dtype=object)
    write_whole(path, lambda file: np.save(file, boxed, allow_pickle=True))


def read_seg(source: Source) -> Labelled:
    """Read a file of Cellpose's window, or a plain array of numbers.

    Raises
    ------
    ValueError
        If it is damaged, holds anything but arrays, numbers and texts, or no labels.
    """
    found = _read(source)
    masks = found.get(_MASKS) if isinstance(found, dict) else found
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "buif" or masks.ndim < 2:
        raise BadFileError(
            f"{source}: it holds no labels; segment the image in Cellpose, and save it there again"
        )
    refuse_large(source, masks.shape)
    labels = np.squeeze(masks) if masks.ndim > 2 else masks
    return with_note(labels, _note_in(source, found), _image_of(found))


def _image_of(found: Any) -> str:
    """Return the name of the image's file, of whatever system the path is."""
    name = found.get("filename") if isinstance(found, dict) else None
    return PureWindowsPath(str(name)).name if isinstance(name, str | PurePath) else ""


def _note_in(source: Source, found: Any) -> Note | None:
    text = found.get(NOTE) if isinstance(found, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return read_note(source, json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadFileError(f"{source}: its note is damaged ({error}); write it again") from error


def _read(source: Source) -> Any:
    """Return what a file holds."""
    stream = io.BytesIO(source.read())
    try:
        return _load(stream)
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

"""Labels out of ``a_seg.npy``, which Cellpose's window saves: read as data, never as a program."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import BadFileError

SEG = "_seg"
"""What Cellpose puts behind an image's stem."""
NPY_SUFFIXES = (".npy",)
_MASKS = "masks"
_PLAIN = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in (
        "_reconstruct", "scalar",
    )),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how old pickles spell bytes
    ("collections", "OrderedDict"),
}  # fmt: skip
"""All that arrays, numbers, texts, lists and dicts are made by; nothing of it runs a program."""


def is_seg(source: Source) -> bool:
    """Whether a file is Cellpose's by its name."""
    return source.suffix in NPY_SUFFIXES and source.stem.endswith(SEG)


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
    except pickle.UnpicklingError as error:
        raise BadFileError(f"{source}: {error}") from error
    except (ValueError, LookupError, TypeError, EOFError, AttributeError, MemoryError) as error:
        raise BadFileError(
            f"{source}: not a file that Cellpose's window has saved ({error}); save it there again"
        ) from error
    masks = found.get(_MASKS) if isinstance(found, dict) else found
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "buif" or masks.ndim < 2:
        raise BadFileError(
            f"{source}: it holds no labels; segment the image in Cellpose, and save it there again"
        )
    return np.squeeze(masks) if masks.ndim > 2 else masks


def _load(stream: io.BytesIO) -> Any:
    """Return the array of a file, or the object that it holds."""
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)
    found = _Unpickler(stream).load()
    return found.item() if isinstance(found, np.ndarray) and found.shape == () == shape else None


class _Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up what a value is made by."""
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, which may be a program and is not run; save its "
                "labels as TIFF or PNG"
            )
        return super().find_class(module, name)

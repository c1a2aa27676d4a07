"""OME-Zarr and Zarr: folders of arrays in chunks, of which any part can be read or written.

The package zarr is an extra, and is imported when such a folder is opened.

References
----------
.. [1] OME-NGFF 0.4 and 0.5, https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Windowed, parts_of
from napari_nucseg.io.calibration import UNKNOWN, Calibration, to_um
from napari_nucseg.io.labelled import NOTE
from napari_nucseg.io.limits import BadFileError, is_zarr

_CHUNK, _THICK = {2: 1024, 3: 256}, 32  # edge of a chunk in pixels, by the axes; and its planes
_OLD_AXES = "TCZYX"
"""Axes of an OME-Zarr image that does not name them."""


@dataclass(frozen=True)
class ZarrImage:
    """The full resolution of an image.

    Attributes
    ----------
    shape : tuple of int
        Length of each axis; those of length 1 are left out, but for height and width.
    axes : str
        A letter an axis: TCZYX, or some of them.
    dtype : dtype
        Type of the pixels.
    read : callable
        Returns the pixels of a box.
    calibration : Calibration
        Sizes of pixels and distance of planes, where they are told.
    version : str
        Version of OME's metadata; empty for an array that has none.
    attributes : mapping
        All metadata of the image.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    read: Callable[[Box], NDArray[Any]]
    calibration: Calibration = UNKNOWN
    version: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def list_zarrs(folder: Path) -> list[Path]:
    """List the folders of Zarr directly in a folder, sorted by name; hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if path.name[0] != "." and is_zarr(path)]


def import_zarr() -> Any:
    """Return the module zarr.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise ValueError(
            "OME-Zarr needs the package zarr, which is not installed; "
            "pip install 'napari-nucseg[zarr]'"
        ) from error
    return zarr


def open_zarr(path: Path) -> ZarrImage:
    """Open an image of OME-Zarr, or an array of Zarr with two axes or three.

    Raises
    ------
    ValueError
        If it is none, or holds several images; the message names it.
    """
    zarr = import_zarr()
    try:
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Group) and "bioformats2raw.layout" in _ome(node):
            if "1" in node:
                raise ValueError("it holds several images; give the folder of one, such as 0")
            node = node["0"]
        if isinstance(node, zarr.Group):
            return _full_resolution(node, _ome(node))
        return _without_single(node, "ZYX"[-node.ndim :])
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise BadFileError(f"{path}: not an image of OME-Zarr or Zarr ({error})") from error


def read_ome(folder: Path) -> Mapping[str, Any]:
    """Read OME's metadata of a group."""
    return _ome(import_zarr().open_group(str(folder), mode="r"))


def _ome(node: Any) -> Mapping[str, Any]:
    """Return OME's metadata of a group: by themselves since 0.5, among others before."""
    attributes = dict(node.attrs)
    return {**attributes, **attributes.get("ome", {})}


def _full_resolution(group: Any, told: Mapping[str, Any]) -> ZarrImage:
    """Open the largest array of a pyramid."""
    if "plate" in told or "well" in told:
        raise ValueError("it is a plate or a well; give the folder of one of its images")
    if "multiscales" not in told:
        raise ValueError("a group without multiscales; give the folder of the array")
    scales = told["multiscales"][0]
    first = scales["datasets"][0]
    named = scales.get("axes") or list(_OLD_AXES.lower())
    axes = [one if isinstance(one, dict) else {"name": one} for one in named]
    letters = "".join(str(one["name"]).upper()[:1] for one in axes)
    sizes: dict[str, float | None] = {}
    for step in first.get("coordinateTransformations", ()):
        if step.get("type") == "scale":
            pairs = zip(letters, axes, step["scale"], strict=True)
            sizes = {one: to_um(size, axis.get("unit", "")) for one, axis, size in pairs}
    y, x = sizes.get("Y"), sizes.get("X")
    pixel = None if y is None or x is None else math.sqrt(y * x)
    spacing = sizes.get("Z") if pixel is not None else None
    version = str(told.get("version") or scales.get("version") or "0.4")
    return replace(
        _without_single(group[first["path"]], letters),
        calibration=Calibration(pixel, spacing),
        version=version,
        attributes=told,
    )


def _without_single(array: Any, axes: str) -> ZarrImage:
    """Leave out axes of length 1 but height and width."""
    if len(axes) != array.ndim or not {"Y", "X"} <= set(axes) or len(set(axes)) < len(axes):
        raise ValueError(f"an array of shape {array.shape} with axes {axes or 'unknown'}")
    kept = [i for i, letter in enumerate(axes) if array.shape[i] > 1 or letter in "YX"]

    def read(box: Box) -> NDArray[Any]:
        full: list[Any] = [0] * array.ndim
        for i, one in zip(kept, box, strict=True):
            full[i] = one
        return np.asarray(array[tuple(full)])

    shape = tuple(int(array.shape[i]) for i in kept)
    return ZarrImage(shape, "".join(axes[i] for i in kept), np.dtype(array.dtype), read)


def write_zarr_labels(
    folder: Path,
    labels: Windowed,
    made: Mapping[str, Any],
    calibration: Calibration = UNKNOWN,
    version: str = "0.5",
    stack: str = "",
) -> None:
    """Write labels of any size as OME-Zarr, with a pyramid, into a folder that is not there yet.

    Parameters
    ----------
    folder : Path
        The folder.
    labels : Windowed
        Labels of shape (height, width) or (planes, height, width); 0 is background.
    made : mapping
        How the labels were made; kept among the attributes of the group.
    calibration : Calibration
        Sizes of pixels and distance of planes, where they are known.
    version : str
        Version of OME's metadata: 0.4, which is in Zarr 2, or 0.5, in Zarr 3.
    stack : str
        Axes before height and width, as in `Image`. Planes are moments if it is T.
    """
    levels = create_labels(folder, labels.shape, made, calibration, version, stack)
    edge = 2 * _CHUNK[len(labels.shape)]
    for box in parts_of(labels.shape, (_THICK, edge, edge)[-len(labels.shape) :]):
        write_part(levels, box, labels.read(box))


def create_labels(
    folder: Path,
    shape: tuple[int, ...],
    made: Mapping[str, Any],
    calibration: Calibration = UNKNOWN,
    version: str = "0.5",
    stack: str = "",
) -> list[Any]:
    """Create labels of OME-Zarr that hold background alone yet; see `write_zarr_labels`.

    Returns
    -------
    list of zarr.Array
        The levels of the pyramid, the full resolution first.
    """
    axes = ("tyx" if stack == "T" else "zyx")[-len(shape) :]
    count = 1 + max(0, math.ceil(math.log2(max(shape[-2:]) / _CHUNK[len(shape)])))
    scales = _multiscales(axes, count, _name_of(made), calibration)
    told = _with_version(scales, version)
    group = import_zarr().create_group(
        str(folder),
        zarr_format=2 if version == "0.4" else 3,
        attributes={**told, NOTE: dict(made)},
    )
    return [_create_level(group, shape, level, version, axes) for level in range(count)]


def write_part(levels: Sequence[Any], box: Box, data: NDArray[Any]) -> None:
    """Write the labels of a box into all levels of a pyramid."""
    for level, array in enumerate(levels):
        firsts = [-(-one.start >> level) for one in box[-2:]]
        y, x = ((n << level) - one.start for n, one in zip(firsts, box[-2:], strict=True))
        thin = data[..., y :: 2**level, x :: 2**level]
        starts = [*(one.start for one in box[:-2]), *firsts]
        if thin.size:
            ends = zip(starts, thin.shape, strict=True)
            array[tuple(slice(start, start + length) for start, length in ends)] = thin


def open_levels(folder: Path) -> list[Any]:
    """Open the levels of a pyramid, the full resolution first; no pixel is read."""
    group = import_zarr().open_group(str(folder), mode="r")
    return [group[one["path"]] for one in _ome(group)["multiscales"][0]["datasets"]]


def _create_level(group: Any, shape: tuple[int, ...], level: int, version: str, axes: str) -> Any:
    """Create the array of a level of a pyramid; each edge is half as long as before."""
    smaller = (*shape[:-2], *(-(-length // 2**level) for length in shape[-2:]))
    edge = _CHUNK[len(shape)]
    is_old = version == "0.4"
    return group.create_array(
        str(level),
        shape=smaller,
        chunks=tuple(map(min, smaller, (_THICK, edge, edge)[-len(shape) :])),
        dtype="uint32",
        chunk_key_encoding={"name": "v2", "separator": "/"} if is_old else None,
        dimension_names=None if is_old else list(axes),
    )


def _name_of(made: Mapping[str, Any]) -> str:
    """Name labels for other programs; the folder's own name may be that of a stage."""
    stem = Path(str(made.get("image") or "")).stem
    return f"{stem} {made.get('model') or 'labels'}".lstrip()


def _multiscales(axes: str, levels: int, name: str, calibration: Calibration) -> dict[str, Any]:
    """Describe a pyramid whose levels hold every second pixel of the one before."""
    size = calibration.pixel_size
    spacing = None if axes[0] == "t" else calibration.z_spacing
    unit, ndim = {"unit": "micrometer"}, len(axes)
    told = [
        {"name": axis, "type": "time" if axis == "t" else "space", **(unit if known else {})}
        for axis, known in zip(axes, (spacing, size, size)[-ndim:], strict=True)
    ]
    scales = [[spacing or 1.0, *[(size or 1.0) * 2**level] * 2][-ndim:] for level in range(levels)]
    return {
        "name": name,
        "axes": told,
        "type": "nearest",
        "datasets": [
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for level, scale in enumerate(scales)
        ],
    }


def _with_version(scales: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Put the version where it belongs: into each part in 0.4, beside them since."""
    of = {"version": version}
    if version == "0.4":
        return {"multiscales": [{**of, **scales}], "image-label": of}
    return {"ome": {**of, "multiscales": [scales], "image-label": {}}}

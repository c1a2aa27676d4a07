"""Labels as OME-Zarr: a folder that holds a label image, or an image with labels in it.

The package zarr is an extra, and is imported when such a folder is read or written.

References
----------
.. [1] OME-NGFF 0.5, https://ngff.openmicroscopy.org; 0.4 is read, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.io.atomic import explained
from napari_nucseg.io.calibration import Calibration, to_um
from napari_nucseg.io.labelled import (
    NOTE,
    UINT32_LABELS,
    Labelled,
    note_of,
    read_note,
    refuse_beyond,
)
from napari_nucseg.io.limits import BadFileError, refuse_large
from napari_nucseg.io.sources import Source

ZARR_SUFFIXES = (".ome.zarr", ".zarr")
_AXES = "zyx"
_CHUNK = 1024
"""Edge of a chunk in pixels."""
_LEVEL = "0"


def write_zarr(path: Path, labelled: Labelled) -> None:
    """Write labels as an OME-Zarr label image of one resolution, of OME-NGFF 0.5.

    Parameters
    ----------
    path : Path
        Folder; one of Zarr that exists is replaced.
    labelled : Labelled
        Labels of a field or a volume.

    Raises
    ------
    ValueError
        If a label does not fit, or zarr is not installed.
    FileExistsError
        If something else has this name.
    """
    zarr, labels = _import_zarr(), labelled.labels
    refuse_beyond(path, labels, UINT32_LABELS)
    if path.exists() and not _is_zarr(path):
        raise FileExistsError(f"{path}: it is no folder of Zarr; choose another name")
    partial = path.with_name(f".{path.name}.partial")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            chunks = (*(1,) * (labels.ndim - 2), *(min(_CHUNK, n) for n in labels.shape[-2:]))
            array = group.create_array(
                _LEVEL, shape=labels.shape, chunks=chunks, dtype=np.uint32, fill_value=0,
                dimension_names=list(_AXES[-labels.ndim :]),
            )  # fmt: skip
            array[...] = labels
            group.attrs.update({"ome": _ome(labelled), NOTE: note_of(labelled)})
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _ome(labelled: Labelled) -> dict[str, Any]:
    """Say in OME's way what axes and sizes are."""
    ndim, sizes = labelled.labels.ndim, labelled.sizes
    lengths = [sizes.z_spacing, sizes.pixel_size, sizes.pixel_size][-ndim:]
    unit = {"unit": "micrometer"}
    axes = [
        {"name": name, "type": "space", **(unit if length else {})}
        for name, length in zip(_AXES[-ndim:], lengths, strict=True)
    ]
    scale = {"type": "scale", "scale": [length or 1.0 for length in lengths]}
    levels = [{"path": _LEVEL, "coordinateTransformations": [scale]}]
    scales = {"name": "nuclei", "axes": axes, "datasets": levels}
    return {"version": "0.5", "multiscales": [scales], "image-label": {}}


def read_zarr(source: Source) -> Labelled:
    """Read a label image at full resolution, or the first one in an image.

    Raises
    ------
    ValueError
        If the folder is damaged, holds no labels of a field or a volume, or zarr is not installed.
    """
    zarr = _import_zarr()
    if not _is_zarr(source.path):
        raise BadFileError(f"{source}: no folder of Zarr; export the labels as OME-Zarr again")
    try:
        group = zarr.open_group(source.path, mode="r")
        if "labels" in group:
            group = group[f"labels/{_told(group['labels'])['labels'][0]}"]
        scales = _told(group)["multiscales"][0]
        level = scales["datasets"][0]
        array = group[level["path"]]
        refuse_large(source, array.shape)
        axes = [axis["name"] for axis in scales["axes"]]
        if array.dtype.kind not in "biu":
            raise ValueError(f"{array.dtype} values, which are no labels")
        single = tuple(n for n, name in enumerate(axes) if name not in _AXES)
        labels = np.squeeze(np.asarray(array[...]), axis=single)
        sizes = _sizes(scales, level)
        note = read_note(source, group.attrs.get(NOTE))
    except BadFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
        raise BadFileError(
            f"{source}: it holds no label image of OME-Zarr ({error}); export the labels again"
        ) from error
    if labels.ndim == 3 and len(labels) == 1 and (note is None or len(note.shape) == 2):
        labels = labels[0]
    if note is None:
        return Labelled(labels, sizes=sizes)
    return Labelled(labels, note.image, note.made, sizes)


def _told(group: Any) -> Mapping[str, Any]:
    """Return what a group says in OME's way, of version 0.5 or before."""
    attributes = dict(group.attrs)
    told: Mapping[str, Any] = attributes.get("ome", attributes)
    return told


def _sizes(scales: Mapping[str, Any], level: Mapping[str, Any]) -> Calibration:
    """Return the sizes in micrometres, of the axes that have a unit."""
    scale = next(one["scale"] for one in level["coordinateTransformations"] if "scale" in one)
    found = {
        axis["name"]: to_um(float(length), axis["unit"])
        for axis, length in zip(scales["axes"], scale, strict=True)
        if axis.get("unit")
    }
    return Calibration(found.get("x"), found.get("z"))


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def _import_zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ValueError(
            "OME-Zarr needs the package zarr, which is not installed; "
            "pip install 'napari-nucseg[zarr]', or choose another format"
        ) from error
    return zarr

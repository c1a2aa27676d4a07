"""Saving a Labels layer from napari: as a mask, a label image, or outlines for ImageJ."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_nucseg.io.calibration import UNKNOWN, Calibration, to_um
from napari_nucseg.io.channels import CHANNEL, TIME, said_by
from napari_nucseg.io.datasets import refuse_truth
from napari_nucseg.io.label_formats import require_whole, write_mask, write_rois
from napari_nucseg.io.writers import write_labels
from napari_nucseg.ui.edits import count_corrected_in
from napari_nucseg.ui.layer_fields import plane_of


def save_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a mask PNG as in BBBC039; of a stack a folder of them, named as the fields.

    Parameters
    ----------
    path : str
        File; for a stack its name without ending is the folder.
    data : array of integers, shape (..., height, width)
        Labels, in memory or lazy; a list of them if multiscale.
    attributes : dict
        Attributes of the layer, as napari gives them to writers.

    Returns
    -------
    list of str
        Paths of the files that were written.

    Raises
    ------
    OSError
        If a file belongs to a dataset, one of a stack already exists, or an object is in
        several pieces.
    """
    labels = _full(data, attributes)
    if labels.ndim == 2:
        refuse_truth(Path(path))
        _told(path, partial(write_mask, Path(path), np.asarray(labels)))
        return [path]
    targets = [Path(path).with_suffix("") / f"{name}.png" for name in _names(labels, attributes)]
    for number, target in enumerate(targets):  # all of them before the first is written
        refuse_truth(target)
        if target in targets[:number]:
            raise FileExistsError(f"{target}: two fields have this name; save them one by one")
        if target.exists():
            raise FileExistsError(f"{target} already exists; choose another folder")
        _told(str(target), partial(require_whole, np.asarray(plane_of(labels, number))))
    for number, target in enumerate(targets):
        write_mask(target, np.asarray(plane_of(labels, number)))
    return [str(target) for target in targets]


def save_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a TIFF of 16 or 32 bits that says how the labels were made.

    Parameters are those of `save_mask`; a stack becomes pages of one file.

    Raises
    ------
    OSError
        If the file belongs to a dataset, or a label does not fit.
    """
    refuse_truth(Path(path))
    labels = np.asarray(_full(data, attributes))
    made, sizes = _provenance(attributes, labels), _calibration(attributes)
    stack = "T" if _is_in_time(attributes, made) else ""
    _told(path, partial(write_labels, Path(path), labels, made, sizes, stack))
    return [path]


def save_rois(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a zip archive of outlines for ImageJ's ROI manager; parameters as in `save_mask`."""
    refuse_truth(Path(path))
    labels = np.asarray(_full(data, attributes))
    if labels.min(initial=0) < 0:
        show_warning(f"{path}: negative labels, such as {labels.min()}, have no outlines.")
    write_rois(Path(path), labels.reshape(-1, *labels.shape[-2:]) if labels.ndim > 3 else labels)
    return [path]


def _told(path: str, write: Callable[[], None]) -> None:
    """Write; a ValueError napari would take for a writer that is not for this layer."""
    try:
        write()
    except ValueError as error:
        raise OSError(f"{path} was not written: {error}") from error


def _full(data: Any, attributes: dict[str, Any]) -> Any:
    return data[0] if attributes.get("multiscale") else data


def _provenance(attributes: dict[str, Any], labels: Any) -> dict[str, Any]:
    """Return how labels were made, and what was edited; of those not made here, the name."""
    metadata = attributes.get("metadata", {})
    record = metadata.get("nucseg") or {}
    made = dict(record.get("provenance") or {"image": attributes.get("name", "")})
    corrected = count_corrected_in(metadata, labels)
    if corrected:
        made["corrected_by_hand"] = corrected
    by_field = record.get("by_field")
    return made | {"by_field": by_field} if by_field else made


def _is_in_time(attributes: dict[str, Any], made: dict[str, Any]) -> bool:
    """Whether the planes are moments: as the first axis is called, else as was chosen for it."""
    names = attributes.get("axis_labels")
    said = said_by(names[0]) if names else None
    chosen = [axis for axis in made.get("axes", ()) if axis != CHANNEL]
    return (said or next(iter(chosen), None)) == TIME


def _calibration(attributes: dict[str, Any]) -> Calibration:
    """Return the sizes of pixels and the distance of planes of a layer in lengths."""
    scale, units = attributes.get("scale"), attributes.get("units")
    if scale is None or units is None:
        return UNKNOWN
    pairs = zip(scale, (units,) * len(scale) if isinstance(units, str) else units, strict=True)
    *planes, height, width = (to_um(length, unit) for length, unit in pairs)
    if height is None or width is None:
        return UNKNOWN
    return Calibration(float(np.sqrt(height * width)), planes[-1] if planes else None)


def _names(labels: Any, attributes: dict[str, Any]) -> list[str]:
    """Name the fields of a stack: by their stems, else by their numbers."""
    count = int(np.prod(labels.shape[:-2]))
    stems = (attributes.get("metadata", {}).get("nucseg") or {}).get("stems") or ()
    return list(stems) if len(stems) == count else [f"{number:04d}" for number in range(count)]

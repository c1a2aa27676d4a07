"""Saving a Labels layer from napari, in any of the formats of `io.label_formats`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_nucseg.io.bbbc039 import require_whole, write_mask
from napari_nucseg.io.calibration import UNKNOWN, Calibration, to_um
from napari_nucseg.io.channels import CHANNEL, TIME, said_by
from napari_nucseg.io.label_formats import CELLPOSE, FORMATS, MASK, TIFF, LabelFormat, format_of
from napari_nucseg.io.label_rules import NPY_SUFFIXES
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.limits import max_pixels
from napari_nucseg.io.sources import refuse_truth
from napari_nucseg.io.writers import with_ending
from napari_nucseg.ui.edits import count_corrected_in
from napari_nucseg.ui.layer_fields import plane_of
from napari_nucseg.ui.layers import FILE
from napari_nucseg.wording import as_size

FILTERS = {f"{one.title} ({' '.join(f'*{end}' for end in one.endings)})": one for one in FORMATS}
"""Filters of a file dialog, and the format that each stands for."""
_ANY_AXES = ("tiff", "ome-tiff")
"""Formats that hold more axes than planes, height and width."""
_OUTLINES = ("imagej", "qupath")
"""Formats of outlines, which negative labels have not."""


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
    """Write labels in the format that the file's name tells: TIFF, ROIs, GeoJSON and the like.

    Parameters are those of `save_mask`; a stack becomes one file.

    Raises
    ------
    OSError
        If the file belongs to a dataset, or the format cannot hold the labels.
    """
    others = [one for one in FORMATS if one is not MASK]
    by_default = CELLPOSE if Path(path).suffix.lower() in NPY_SUFFIXES else TIFF
    return save_in(format_of(Path(path), others) or by_default, Path(path), data, attributes)


def save_in(form: LabelFormat, path: Path, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels in a format; see `save_labels`.

    A file of Cellpose gets the ending that Cellpose looks for.
    """
    if form is MASK:
        return save_mask(str(path), data, attributes)
    if form is CELLPOSE:
        path = file_in(form, path)
    refuse_truth(path)
    labels: NDArray[Any] = np.asarray(_full(data, attributes))
    stacked = labels.shape[:-2]
    if form.name in _OUTLINES and labels.min(initial=0) < 0:
        show_warning(f"{path}: negative labels, such as {labels.min()}, have no outlines.")
    if form.name not in _ANY_AXES and labels.ndim > 3:
        labels = labels.reshape(-1, *labels.shape[-2:])
    made = _provenance(attributes, labels)
    stack = "T" if _is_in_time(attributes, made) else ""
    name, sizes = _image_name(attributes, made), _calibration(attributes)
    labelled = Labelled(labels, name, made, sizes, stack=stack)
    _told(str(path), partial(form.save, path, labelled))
    if labelled.labels.ndim == 3 and len(labelled.labels) > max(stacked):
        show_warning(
            f"{path}: the {as_size(stacked)} planes are written in a row, as if they were one "
            "volume. Label images (TIFF) keep them apart."
        )
    return [str(path)]


def chosen_format(name: str, pattern: str) -> LabelFormat:
    """Return the format that a dialog was left with: by the file's ending, else by its filter.

    Parameters
    ----------
    name : str
        The file.
    pattern : str
        The filter that was chosen, one of `FILTERS`; empty if that is not known.
    """
    path, chosen = Path(name), FILTERS.get(pattern)
    told = format_of(path)
    if chosen is not None and (told is None or _has_last_ending(chosen, path)):
        return chosen
    return told or TIFF


def file_in(form: LabelFormat, path: Path) -> Path:
    """Give a file the ending of a format; of ``_seg.npy`` dialogs know the end alone.

    Raises
    ------
    FileExistsError
        If the name that this makes is taken.
    """
    is_cut = _has_last_ending(form, path) and not form.has_ending(path)
    return with_ending(path.with_suffix("") if is_cut else path, *form.endings)


def _has_last_ending(form: LabelFormat, path: Path) -> bool:
    """Whether a name ends in what stands behind the last dot of a format's endings."""
    return path.suffix.lower() in [Path(f"a{ending}").suffix for ending in form.endings]


def _image_name(attributes: dict[str, Any], made: dict[str, Any]) -> str:
    """Name the image's file, as far as it is known: of a field by its stem."""
    record = attributes.get("metadata", {}).get("nucseg") or {}
    stems: Sequence[str] = record.get("stems") or ()
    name = stems[0] if len(stems) == 1 else str(made.get("image", ""))
    return name if Path(name).suffix or not name else f"{name}.tif"


def _told(path: str, write: Callable[[], None]) -> None:
    """Write; a ValueError napari would take for a writer that is not for this layer."""
    try:
        write()
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise OSError(f"{path} was not written: {reason}") from error


def _full(data: Any, attributes: dict[str, Any]) -> Any:
    full = data[0] if attributes.get("multiscale") else data
    if not isinstance(full, np.ndarray) and math.prod(full.shape[-2:]) > max_pixels():
        file = attributes.get("metadata", {}).get(FILE, "the folder they were read from")
        raise OSError(
            f"{attributes.get('name', 'labels')}: too large to be saved anew; copy {file}"
        )
    return full


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

"""Corrected labels as files: what they are called, what they say, and a save that can go on.

A file has the name of its image, so that the command ``score`` pairs the two sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.progress import Progress
from napari_nucseg.ui.edits import changes_of, corrected_planes, is_tracked
from napari_nucseg.ui.layer_fields import count_planes, full_data, pixel_size, read_plane
from napari_nucseg.ui.layers import find_source, record_of
from napari_nucseg.ui.score.model import Comparison

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
"""What no file may be called on one of the usual systems."""


@dataclass(frozen=True)
class CorrectedField:
    """A field that was edited by hand, as it is to be saved.

    Attributes
    ----------
    path : Path
        File that it is written to.
    labels : ndarray of integers, shape (height, width)
        Its labels, in an array of their own.
    note : mapping
        How they were made, as far as that is known, and what was changed by hand.
    calibration : Calibration
        How large its pixels are.
    """

    path: Path
    labels: LabelImage
    note: Mapping[str, Any]
    calibration: Calibration


def collect_corrected(
    comparison: Comparison, layers: Iterable[Layer], folder: Path
) -> list[CorrectedField]:
    """Copy the fields that were edited by hand, for a worker.

    Parameters
    ----------
    comparison : Comparison
        Prediction and ground truth; a folder of its own is made for either.
    layers : iterable of Layer
        All layers of the viewer, among which their images are.
    folder : Path
        Folder that the two folders are made in.

    Raises
    ------
    ValueError
        If labels were edited through several fields at once, or two fields have one name.
    """
    layers, found = list(layers), dict[Path, CorrectedField]()
    for kind, layer in comparison.layers.items():
        if not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited in several fields at once, and no note of such edits is "
                "kept; save the whole layer instead (File > Save Selected Layers)"
            )
        calibration = Calibration(pixel_size(layer))
        for plane in corrected_planes(layer):
            path = folder / kind / f"{_name(comparison, layers, layer, plane)}.tif"
            if path in found:
                raise ValueError(
                    f"{layer.name}: two of its fields are called {path.stem}; save the whole layer "
                    "instead (File > Save Selected Layers)"
                )
            labels = read_plane(full_data(layer), plane).copy()
            found[path] = CorrectedField(path, labels, _note(layer, plane, path.stem), calibration)
    return list(found.values())


def as_file_name(name: str) -> str:
    """Make a name one of a file, which leads into no other folder.

    Examples
    --------
    >>> as_file_name("plate1/A01"), as_file_name("../x"), as_file_name("..")
    ('plate1_A01', '_x', 'labels')
    """
    return _NOT_IN_NAMES.sub("_", name).strip(". ") or "labels"


def write_corrected(fields: Sequence[CorrectedField], progress: Progress) -> list[Path]:
    """Write fields as label TIFFs; those of an earlier save that was broken off are left as is.

    Parameters
    ----------
    fields : sequence of CorrectedField
        What is written.
    progress : Progress
        Called before each field; may raise to stop.

    Returns
    -------
    list of Path
        The files in which the fields are now.

    Raises
    ------
    FileExistsError
        If another file has one of the names; none is written then.
    OSError
        If a file cannot be written; those before it stay.
    """
    there = [one for one in fields if one.path.exists()]
    other = next((one.path for one in there if not _holds(one)), None)
    if other is not None:
        raise FileExistsError(f"{other} already exists; choose another folder, or move that file")
    for number, one in enumerate(fields):
        progress(number, len(fields), "Saving")
        if one not in there:
            one.path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(one.path, one.labels, one.note, one.calibration)
    return [one.path for one in fields]


def _name(comparison: Comparison, layers: Iterable[Layer], labels: Labels, plane: int) -> str:
    """Name a field: by its stem, in a stack as the comparison does, else by image or own layer."""
    record = record_of(labels)
    if record is not None and plane < len(record.stems):
        return as_file_name(record.stems[plane])
    if count_planes(labels) > 1:
        return as_file_name(comparison.name_of(plane))
    return as_file_name((find_source(layers, labels) or labels).name)


def _holds(one: CorrectedField) -> bool:
    """Whether a field's file is what would be written."""
    try:
        is_ours = read_provenance(one.path) == json.loads(json.dumps(one.note))
        return is_ours and np.array_equal(read_labels(Source(one.path)), one.labels)
    except (ValueError, OSError):
        return False  # of somebody else, or damaged


def _note(layer: Labels, plane: int, stem: str) -> dict[str, Any]:
    """Say how a field was made, as far as that is known of this field, and what was changed."""
    record = record_of(layer)
    made: Mapping[str, Any] = {}
    if record is not None:
        made = (record.by_field or {}).get(plane) or record.provenance or {}
    changes = changes_of(layer, plane)
    return {
        **made,
        "image": stem,
        "layer": layer.name,
        "pixel_size_um": pixel_size(layer),
        "corrected_by_hand": changes.nuclei,
        "corrections": asdict(changes),
    }

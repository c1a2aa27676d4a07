"""Labels that a run has saved, as a layer beside their ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.images import read_labels
from napari_nucseg.core.sources import Source
from napari_nucseg.runs.saving import read_provenance
from napari_nucseg.ui.jobs import Tell, Work
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, full_data, record_of, tag


def reader_of_run(folder: Path, truth: Labels) -> Work:
    """Return work that reads the labels of a run for the fields of a ground truth.

    Parameters
    ----------
    folder : Path
        With a file ``<stem>.tif`` for each field.
    truth : Labels
        Whose record names the fields.

    Raises
    ------
    ValueError
        If the layer does not name its fields.
    """
    record = record_of(truth)
    if record is None or not record.stems:
        raise ValueError(
            f"{truth.name} does not tell the names of its fields; open it with napari-nucseg, or "
            "add the saved labels as a Labels layer"
        )
    return partial(_read_run, folder, record.stems, full_data(truth).shape)


def add_run(
    viewer: ViewerModel, folder: Path, truth: Labels, run: tuple[LabelImage, Mapping[str, Any]]
) -> Labels:
    """Add labels that were read to the viewer, where their ground truth is."""
    labels, made = run
    record = record_of(truth)
    assert record is not None
    named = LayerRecord(PREDICTION, stems=record.stems, provenance=dict(made))
    placed = {key: getattr(truth, key) for key in ("scale", "translate", "units", "axis_labels")}
    return viewer.add_labels(labels, name=folder.name, metadata=tag(named), **placed)


def _read_run(
    folder: Path, stems: tuple[str, ...], shape: tuple[int, ...], tell: Tell
) -> tuple[LabelImage, Mapping[str, Any]]:
    labels = np.zeros((len(stems), *shape[-2:]), dtype=np.int32)
    paths = [folder / f"{stem}.tif" for stem in stems]
    absent = [path for path in paths if not path.exists()]
    if absent:
        raise ValueError(
            f"{folder}: {len(absent)} of {len(paths)} fields are not in it, the first is "
            f"{absent[0].name}; choose the folder of a run on the same fields"
        )
    for done, path in enumerate(paths):
        tell(done, len(paths), "Reading")
        labels[done] = _of_shape(read_labels(Source(path)), shape[-2:], path)
    return labels.reshape(shape), read_provenance(paths[0])


def _of_shape(labels: NDArray[Any], shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    if labels.shape != shape:
        raise ValueError(
            f"{path}: its labels are {labels.shape} px and the ground truth {shape} px; choose the "
            "folder of a run on the same fields"
        )
    return labels

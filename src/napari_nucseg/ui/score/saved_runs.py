"""Labels that a run has saved, as a layer beside their ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.images import read_labels
from napari_nucseg.core.sources import Source
from napari_nucseg.runs.finished import holds_results, open_results
from napari_nucseg.runs.saving import read_provenance
from napari_nucseg.ui.jobs import Tell
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, placement, record_of, tag


@dataclass(frozen=True)
class SavedRun:
    """Labels on disk.

    Attributes
    ----------
    name : str
        For people.
    files : mapping
        Number of a field to the file of its labels; fields that are not done are left out.
    """

    name: str
    files: Mapping[int, Path]


def find_runs(folder: Path, truth: Labels) -> list[SavedRun]:
    """Find the labels of a run, or of each of several models, for the fields of a ground truth.

    Parameters
    ----------
    folder : Path
        Of results, or with a file ``<stem>.tif`` for each field.
    truth : Labels
        Whose record names the fields.

    Raises
    ------
    ValueError
        If the layer does not name its fields, or a run has none of them.
    """
    record = record_of(truth)
    if record is None or not record.stems:
        raise ValueError(
            f"{truth.name} does not tell the names of its fields; open it with napari-nucseg, or "
            "add the saved labels as a Labels layer"
        )
    return [_find(name, labels, record.stems) for name, labels in _folders_of_labels(folder)]


def read_run(run: SavedRun, shape: tuple[int, ...], tell: Tell) -> LabelImage:
    """Read all labels of a run; fields that are not done are empty.

    Parameters
    ----------
    run : SavedRun
        What to read.
    shape : tuple of int
        Of the ground truth, (..., height, width).
    tell : callable
        Gets (done, in all, what); raises to stop.

    Raises
    ------
    ValueError
        If labels have another size.
    """
    stack = np.zeros((int(np.prod(shape[:-2])), *shape[-2:]), dtype=np.int32)
    for done, (plane, path) in enumerate(run.files.items()):
        tell(done, len(run.files), "Reading")
        labels = read_labels(Source(path))
        if labels.shape != shape[-2:]:
            raise ValueError(
                f"{path}: its labels are {labels.shape} px and the ground truth {shape[-2:]} px; "
                "choose the folder of a run on the same fields"
            )
        stack[plane] = labels
    return stack.reshape(shape)


def as_layer(run: SavedRun, truth: Labels, labels: LabelImage) -> Labels:
    """Return labels that were read as a layer that lies where their ground truth does."""
    record = record_of(truth)
    assert record is not None
    done = tuple(run.files)
    named = LayerRecord(
        PREDICTION,
        stems=record.stems,
        fields=None if len(done) == len(record.stems) else done,
        provenance=_made(run.files[done[0]]),
    )
    return Labels(labels, name=run.name, metadata=tag(named), **placement(truth))


def _folders_of_labels(folder: Path) -> Iterator[tuple[str, Path]]:
    if not holds_results(folder):
        yield folder.name, folder
        return
    for results in open_results(folder):
        yield f"{folder.name} {results.model}", results.folder.labels


def _find(name: str, folder: Path, stems: tuple[str, ...]) -> SavedRun:
    paths = {plane: folder / f"{stem}.tif" for plane, stem in enumerate(stems)}
    files = {plane: path for plane, path in paths.items() if path.is_file()}
    if not files:
        raise ValueError(
            f"{folder}: none of the {len(stems)} fields is in it, {paths[0].name} for one; choose "
            "the folder of a run on the same fields"
        )
    return SavedRun(name, files)


def _made(path: Path) -> dict[str, Any] | None:
    """Tell how labels were made; None for those of other programs, which do not say."""
    try:
        return read_provenance(path)
    except ValueError:
        return None

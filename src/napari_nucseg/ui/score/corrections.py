"""Correcting labels: one side's object taken over into the other, kept track of, and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.runs.correcting import erase, find_changes, swapped, take_over
from napari_nucseg.runs.saving import write_labels
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, full_data, record_of
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.originals import is_tracked, originals_of
from napari_nucseg.ui.score.scoring import read_plane


def corrected_planes(layer: Labels) -> tuple[int, ...]:
    """Return the fields of a layer whose labels differ from what they were."""
    data = full_data(layer)
    return tuple(
        plane
        for plane, before in sorted(originals_of(layer).items())
        if not np.array_equal(before, read_plane(data, plane))
    )


def accept(state: ComparisonState, row: int, *, truth: bool) -> str:
    """Make one side of an object like the other; napari's undo takes it back.

    Parameters
    ----------
    state : ComparisonState
        With the object's field shown.
    row : int
        Of the objects.
    truth : bool
        Whether the truth is right; the prediction is changed then, else the truth is.

    Returns
    -------
    str
        What was done, in words.
    """
    assert state.truth is not None
    assert state.prediction is not None
    objects = state.objects
    plane, label, is_true = objects.key_of(row)
    both = state.labels_now(plane)
    overlap = state.pairs[plane].overlap
    source, target = both if truth else both[::-1]
    overlap = overlap if truth else swapped(overlap)
    if is_true == truth:
        new = take_over(source, target, label, overlap)
    else:
        new = erase(target, label)  # with what its partners leave of it
        for partner in objects.partners_of(row):
            new = take_over(source, new, partner, overlap)
    layer = state.prediction if truth else state.truth
    told = _in_words(layer, target, new)
    _write(layer, plane, target, new)
    return told


def save_corrected(state: ComparisonState, folder: Path) -> list[Path]:
    """Write the corrected fields of both layers as label TIFFs that say what was changed.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    FileExistsError
        If one of the files is there; none is written then.
    ValueError
        If labels were edited through several fields at once.
    """
    for layer in (state.truth, state.prediction):
        if layer is not None and not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited through several fields at once, of which no note is "
                "kept; save the whole layer (File > Save Selected Layers)"
            )
    writes = {}
    for kind, layer in ((GROUND_TRUTH, state.truth), (PREDICTION, state.prediction)):
        for plane in () if layer is None else corrected_planes(layer):
            assert layer is not None
            path = folder / f"{state.name_of(plane)} {kind} corrected.tif"
            now = read_plane(full_data(layer), plane)
            writes[path] = partial(write_labels, path, now, _note(layer, plane, now))
    there = [path for path in writes if path.exists()]
    if there:
        raise FileExistsError(f"{there[0]} is there already; choose another folder, or move it")
    for write in writes.values():
        write()
    return list(writes)


def _in_words(layer: Labels, before: LabelImage, after: LabelImage) -> str:
    changes = find_changes(before, after)
    done = [
        f"{word} {', '.join(map(str, labels))}"
        for word, labels in (
            ("added", changes.added),
            ("removed", changes.removed),
            ("changed", changes.changed),
        )
        if labels
    ]
    if not done:
        return "Both sides are the same here already."
    return f"{layer.name}: {'; '.join(done)}. Ctrl+Z on that layer takes it back."


def _note(layer: Labels, plane: int, now: LabelImage) -> dict[str, Any]:
    record = record_of(layer)
    made: Mapping[str, Any] = {}
    if record is not None:
        made = (record.by_field or {}).get(plane) or record.provenance or {}
    changes = find_changes(originals_of(layer)[plane], now)
    return {**made, "layer": layer.name, "corrections": asdict(changes)}


def _write(layer: Labels, plane: int, before: LabelImage, after: LabelImage) -> None:
    """Change labels as a stroke does, so that it can be undone."""
    inside = np.nonzero(before != after)
    if not len(inside[0]):
        return
    stack = np.unravel_index(plane, full_data(layer).shape[:-2]) if layer.ndim > 2 else ()
    at = tuple(np.full(len(inside[0]), index) for index in stack) + inside
    visible = layer.visible
    layer.visible = True  # napari writes to what it shows, too, which may be another field else
    try:
        layer.data_setitem(at, after[inside])
    finally:
        layer.visible = visible

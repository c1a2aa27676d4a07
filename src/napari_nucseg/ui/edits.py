"""Edits by hand: labels as they were before, what differs now, undoable writing, and saving.

Labels that a model made here are kept as they were made, with their layer. Of other labels a field
is kept when it is edited first, by whoever notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_nucseg.analysis.corrections import Changes, PackedLabels, find_changes, fingerprint
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.writers import write_labels
from napari_nucseg.ui.layers import (
    count_planes,
    full_data,
    pixel_size,
    placement,
    plane_of,
    read_plane,
    record_of,
    tag,
)
from napari_nucseg.wording import counted

_MADE, _ORIGINALS, _LOST = "nucseg made", "nucseg originals", "nucseg originals lost"
UNCHANGED = Changes(0, (), (), ())


def keep_made(layer: Labels, made: Mapping[int, PackedLabels]) -> None:
    """Keep the fields of a prediction as a model made them; a field without any was empty."""
    layer.metadata = layer.metadata | {_MADE: dict(made)}


def made_of(layer: Labels) -> Mapping[int, PackedLabels]:
    """Return the fields of a prediction as a model made them, by their number."""
    made: Mapping[int, PackedLabels] = layer.metadata.get(_MADE, {})
    return made


def remember(layer: Labels, plane: int, before: LabelImage) -> None:
    """Keep a field's labels as they were before the first edit."""
    known = layer.metadata.get(_ORIGINALS, {})
    if _MADE not in layer.metadata and plane not in known:
        packed = PackedLabels.of(before)
        layer.metadata = layer.metadata | {_ORIGINALS: {**known, plane: packed}}


def remember_all(layer: Labels) -> None:
    """Keep all fields that are not known as they were, before several are edited at once."""
    data = full_data(layer)
    for plane in range(count_planes(layer)):
        remember(layer, plane, read_plane(data, plane))


def lose_track(layer: Labels) -> None:
    """Note that fields were edited, unless it is known of all how they were before."""
    known = layer.metadata.get(_ORIGINALS, {})
    if _MADE not in layer.metadata and len(known) < count_planes(layer):
        layer.metadata = layer.metadata | {_LOST: True}


def is_tracked(layer: Labels) -> bool:
    """Whether all fields that were edited are known as they were before."""
    return _LOST not in layer.metadata


def forget(layer: Labels) -> None:
    """Take a layer's labels, which were replaced, for the original."""
    layer.metadata = {
        key: value for key, value in layer.metadata.items() if key not in (_ORIGINALS, _LOST)
    }


def corrected_planes(layer: Labels) -> tuple[int, ...]:
    """Return the fields of a layer whose labels differ from what they were."""
    return _corrected(layer.metadata, full_data(layer))


def changes_of(layer: Labels, plane: int) -> Changes:
    """Tell how a field's labels differ from what they were before they were edited by hand."""
    return _changes(layer.metadata, full_data(layer), plane)


def count_edited_within(layer: Labels, plane: int, part: tuple[slice, slice]) -> int:
    """Count a field's nuclei that were edited by hand and lie, or lay, in a part of it."""
    changes = changes_of(layer, plane)
    if not changes.nuclei:
        return 0
    now, original = plane_of(full_data(layer), plane), _original(layer.metadata, plane)
    there = np.unique(now[part])
    was_there = np.unique(original.unpacked()[part]) if original is not None else there[:0]
    edited = set(np.intersect1d(there, [*changes.added, *changes.changed]).tolist())
    return len(
        edited | set(np.intersect1d(was_there, [*changes.removed, *changes.changed]).tolist())
    )


def count_corrected(layer: Labels) -> int:
    """Count the nuclei of all fields that were edited by hand."""
    return count_corrected_in(layer.metadata, full_data(layer))


def count_corrected_in(metadata: Mapping[str, Any], data: Any) -> int:
    """Count the nuclei that were edited by hand, given a layer's metadata and data."""
    return sum(_changes(metadata, data, plane).nuclei for plane in _corrected(metadata, data))


def say_corrected(count: int) -> str:
    """Say how many nuclei were edited by hand; nothing of none.

    Examples
    --------
    >>> say_corrected(1), say_corrected(0)
    ('corrected by hand: 1 nucleus', '')
    """
    return f"corrected by hand: {counted(count, 'nucleus')}" if count else ""


def write_field(layer: Labels, plane: int, after: LabelImage, *, refresh: bool = True) -> bool:
    """Change a field's labels as a stroke does, so that Ctrl+Z takes it back.

    Parameters
    ----------
    layer : Labels
        Labels layer whose data are in memory.
    plane : int
        Number of the field in the stack.
    after : ndarray of integers, shape (height, width)
        New labels of the field.
    refresh : bool, optional
        Whether napari shows them at once.

    Returns
    -------
    bool
        Whether any label of the field was changed.
    """
    inside = np.nonzero(plane_of(layer.data, plane) != after)
    if not len(inside[0]):
        return False
    stack = np.unravel_index(plane, layer.data.shape[:-2]) if layer.ndim > 2 else ()
    at = tuple(np.full(len(inside[0]), index) for index in stack) + inside
    is_hidden = not layer.visible
    if is_hidden:  # napari writes to what it shows, too, which may be another field else
        layer.visible = True
    try:
        layer.data_setitem(at, after[inside], refresh=refresh)
    finally:
        if is_hidden:
            layer.visible = False
    return True


def has_history(layer: Labels) -> bool:
    """Whether there is a change of labels that can be undone."""
    return bool(itself(layer)._undo_history)


def itself(layer: Labels) -> Any:
    """Return a layer of which panels may have napari's proxy, which is short-lived."""
    return getattr(layer, "__wrapped__", layer)


def add_copy(viewer: ViewerModel, layer: Labels) -> Labels:
    """Add a hidden copy of labels that were edited by hand; what is selected stays selected."""
    record = record_of(layer)
    metadata = dict(layer.metadata)
    if record is not None:
        metadata |= tag(replace(record, is_copy=True))
    selected = set(viewer.layers.selection)
    copy = viewer.add_labels(
        np.array(layer.data),
        name=f"{layer.name} edited",
        metadata=metadata,
        visible=False,
        **placement(layer),
    )
    viewer.layers.selection = selected
    return copy


def save_corrected(
    layers: Mapping[str, Labels], name_of: Callable[[Labels, int], str], folder: Path
) -> list[Path]:
    """Write the fields that were edited by hand as label TIFFs that say what was changed.

    Parameters
    ----------
    layers : mapping
        Layers by the name of the folder that their fields go to.
    name_of : callable
        Names a field of a layer; the file is called so.
    folder : Path
        Folder that those folders are made in.

    Returns
    -------
    list of Path
        Paths of the files that were written.

    Raises
    ------
    FileExistsError
        If one of the files is there; none is written then.
    ValueError
        If labels were edited through several fields at once.
    """
    for layer in layers.values():
        if not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited in several fields at once, and no note of such edits is "
                "kept; save the whole layer instead (File > Save Selected Layers)"
            )
    writes = {}
    for kind, layer in layers.items():
        for plane in corrected_planes(layer):
            path = folder / kind / f"{name_of(layer, plane)}.tif"
            labels, size = read_plane(full_data(layer), plane), Calibration(pixel_size(layer))
            note = _note(layer, plane, path.stem)
            writes[path] = partial(write_labels, path, labels, note, size)
    there = [path for path in writes if path.exists()]
    if there:
        raise FileExistsError(
            f"{there[0]} already exists; choose another folder, or move that file"
        )
    for path, write in writes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    return list(writes)


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


def _corrected(metadata: Mapping[str, Any], data: Any) -> tuple[int, ...]:
    known = metadata.get(_ORIGINALS, {})
    planes = range(int(np.prod(data.shape[:-2]))) if _MADE in metadata else sorted(known)
    return tuple(plane for plane in planes if _differs(metadata, data, plane))


def _changes(metadata: Mapping[str, Any], data: Any, plane: int) -> Changes:
    if not _differs(metadata, data, plane):
        return UNCHANGED
    now, original = np.asarray(plane_of(data, plane)), _original(metadata, plane)
    return find_changes(np.zeros_like(now) if original is None else original.unpacked(), now)


def _original(metadata: Mapping[str, Any], plane: int) -> PackedLabels | None:
    made: Mapping[int, PackedLabels] = metadata.get(_MADE, {})
    return made.get(plane, metadata.get(_ORIGINALS, {}).get(plane))


def _differs(metadata: Mapping[str, Any], data: Any, plane: int) -> bool:
    original, now = _original(metadata, plane), np.asarray(plane_of(data, plane))
    if original is None:
        return _MADE in metadata and bool(now.any())
    return original.fingerprint != fingerprint(now)

"""Edits by hand: labels as they were before, what differs now, undoable writing, and its history.

Labels that a model made here are kept as they were made, with their layer. Of other labels a field
is kept when it is edited first, by whoever notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.analysis.corrections import Changes, PackedLabels, find_changes, fingerprint
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.layer_fields import count_planes, full_data, itself, plane_of, read_plane
from napari_nucseg.ui.layers import placement, record_of, tag
from napari_nucseg.wording import counted, plane_name

_MADE, _ORIGINALS, _LOST = "nucseg made", "nucseg originals", "nucseg originals lost"
UNCHANGED = Changes(0, (), (), ())
Step = Sequence[Any]
"""A step of napari's history of labels; its parts are changes that are undone together."""


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
    if layer.multiscale:  # which napari lets nobody paint in; on disk, they may exceed memory
        return UNCHANGED
    return _changes(layer.metadata, full_data(layer), plane)


def find_corrected(layers: Mapping[str, Labels]) -> dict[int, dict[str, Changes]]:
    """Tell of each field that was edited by hand how, by the names of the layers."""
    planes = {plane for layer in layers.values() for plane in corrected_planes(layer)}
    return {p: {name: changes_of(layer, p) for name, layer in layers.items()} for p in planes}


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
    make_room(layer, int(after.max(initial=0)))
    stack = np.unravel_index(plane, layer.data.shape[:-2]) if layer.ndim > 2 else ()
    places = *(np.full(len(inside[0]), index) for index in stack), *inside
    small = [np.min_scalar_type(length) for length in layer.data.shape]
    at = tuple(p.astype(kind) for p, kind in zip(places, small, strict=True))  # the history grows
    with _shown(layer):
        layer.data_setitem(at, after[inside], refresh=False)
    if refresh:
        layer.refresh(extent=False)
    return True


@contextmanager
def _shown(layer: Labels) -> Iterator[None]:
    """Show a layer for a while; of a hidden one napari holds another field, or the wrong type."""
    is_hidden = not layer.visible  # to set what is set would draw it again
    if is_hidden:
        layer.visible = True
    try:
        yield
    finally:
        if is_hidden:
            layer.visible = False


def has_history(layer: Labels) -> bool:
    """Whether there is a change of labels that can be undone."""
    return bool(steps_of(layer))


def undo(layer: Labels) -> str:
    """Take back the last change of labels; say which fields' it was."""
    planes = sorted(planes_of(layer, steps_of(layer)[-1]))
    layer.undo()
    record = record_of(layer)
    stems = () if record is None else record.stems
    count = count_planes(layer)
    names = [plane_name(stems, one, count) or f"field {one + 1}" for one in planes]
    where = f" in {', '.join(names) if len(names) < 4 else counted(len(names), 'field')}"
    return f"The last change of {layer.name}{where if layer.ndim > 2 else ''} is undone."


def steps_of(layer: Labels) -> list[Step]:
    """List the changes of labels that can be undone, the newest last.

    napari has no public view of its history. Each part of a step is the index of pixels and the
    labels that these had; or a box, what of it changed, and the labels that this had.
    """
    return list(itself(layer)._undo_history)


def planes_of(layer: Labels, step: Step) -> set[int]:
    """Return the numbers of the fields that a step of the history changed."""
    return {plane for part in step for plane in np.unique(_pixels(layer, part)[0]).tolist()}


def labels_before(layer: Labels, plane: int, steps: Sequence[Step]) -> LabelImage:
    """Return a field's labels as they were before the newest steps of the history."""
    labels = read_plane(full_data(layer), plane).copy()
    for part in (part for step in reversed(steps) for part in reversed(step)):
        planes, places, was = _pixels(layer, part)
        here = planes == plane
        labels[tuple(place[here] for place in places)] = was[here]
    return labels


def _pixels(
    layer: Labels, part: Any
) -> tuple[NDArray[Any], tuple[NDArray[Any], ...], NDArray[Any]]:
    """Return of each pixel that a part of a step changed its field, its place and its label."""
    where, second, *rest = part
    if len(rest) == 1:  # indices, the labels there, and the new ones
        index, was = tuple(map(np.asarray, where)), np.asarray(second)
    else:
        box, was = np.asarray(rest[0]), rest[0]
        inside = np.ones(box.shape, bool) if second is None else second
        index = tuple(
            place + begin.start for place, begin in zip(np.nonzero(inside), where, strict=True)
        )
    stack = full_data(layer).shape[:-2]
    flat = np.ravel_multi_index(index[:-2], stack) if stack else np.zeros(len(index[-1]), int)
    return flat, index[-2:], np.broadcast_to(np.ravel(was), len(flat))


def exchange_data(layer: Labels, data: Any) -> None:
    """Give a layer another array of the same labels; what can be undone, and a lock, stay."""
    layer = itself(layer)
    history, is_editable = (layer._undo_history, layer._redo_history), layer.editable
    with _shown(layer):
        layer.data = data
    layer.editable = is_editable
    layer._undo_history, layer._redo_history = history


def can_take(data: NDArray[Any], highest: int) -> bool:
    """Whether labels up to a number can be written into an array."""
    return bool(data.flags.writeable) and highest <= np.iinfo(data.dtype).max


def with_room(data: NDArray[Any], highest: int) -> NDArray[Any]:
    """Copy labels into an array that labels up to a number can be written into."""
    is_wide = highest <= np.iinfo(data.dtype).max
    return data.astype(data.dtype if is_wide else np.promote_types(data.dtype, np.int32))


def make_room(layer: Labels, highest: int) -> None:
    """See to it that labels up to a number can be written into a layer's array."""
    if not can_take(layer.data, highest):
        exchange_data(layer, with_room(layer.data, highest))


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

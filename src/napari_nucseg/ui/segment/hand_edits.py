"""What a person painted is asked for before it is replaced, and whatever is replaced can be undone.

When labels are replaced, how they were made, their measures and what counts as edited by hand are
replaced, too. Ctrl+Z brings the labels back, and `notice_undo` all else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtWidgets import QWidget

from napari_nucseg.analysis.corrections import PackedLabels, fingerprint
from napari_nucseg.analysis.field_parts import ProvenanceRecord, Rectangle
from napari_nucseg.ui.edits import (
    Step,
    add_copy,
    changes_of,
    count_edited_within,
    keep_made,
    made_of,
)
from napari_nucseg.ui.layer_fields import count_planes, field_shape, itself, plane_of
from napari_nucseg.ui.layers import find_prediction, record_of, tag
from napari_nucseg.ui.segment.measurement_tables import FieldTable, keep_tables, tables_of
from napari_nucseg.ui.segment.result_cache import ResultKey
from napari_nucseg.ui.widgets import ask
from napari_nucseg.wording import counted

Targets = Mapping[int, Rectangle | None]
"""What of each field is replaced, by the field's number; None for all of it."""


class Answer(StrEnum):
    """What is to become of edits, as the buttons say it."""

    KEEP = "Keep the edits in a copy"
    DISCARD = "Discard the edits"
    CANCEL = "Cancel"


class HandEdits:
    """Guards what a person painted into predictions.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that copies are added to.
    parent : QWidget
        Window in front of which it asks.
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        self._viewer = viewer
        self._parent = parent
        self._agreed: dict[tuple[str, int], int] = {}

    def may_replace(self, image: Image, keys: Sequence[ResultKey], *, asking: bool = True) -> bool:
        """Ask what becomes of edits, if there are any; False if nothing may be replaced.

        Where nothing is to be asked, edits may not be replaced.
        """
        layer = self._layer(keys)
        if layer is None:
            return True
        edited = _count_edited(layer, _targets(layer, image, keys))
        count = sum(edited.values())
        if count and not asking:
            return False
        answer = _ask(self._parent, count) if count else Answer.DISCARD
        if answer == Answer.CANCEL:
            return False
        if answer == Answer.KEEP:
            add_copy(self._viewer, layer)
        self._agree(layer, edited)
        return True

    def keep_late(self, image: Image, keys: Sequence[ResultKey]) -> str:
        """Keep a copy of what was painted since it was asked; say so, or nothing.

        A result may arrive long after it was asked for.
        """
        layer = self._layer(keys)
        if layer is None:
            return ""
        targets = _targets(layer, image, keys)
        late = {
            plane: box
            for plane, box in targets.items()
            if self._agreed.get(_place(layer, plane)) != _fingerprint(layer, plane)
        }
        if not any(_count_edited(layer, late).values()):
            return ""
        copy = add_copy(self._viewer, layer)
        self._agree(layer, _count_edited(layer, dict.fromkeys(range(count_planes(layer)))))
        return f"What you painted meanwhile is in {copy.name}."

    def _layer(self, keys: Sequence[ResultKey]) -> Labels | None:
        return find_prediction(self._viewer.layers, keys[0].source, keys[0].model)

    def _agree(self, layer: Labels, edited: Mapping[int, int]) -> None:
        """Note what was agreed upon: the labels of fields as they are now."""
        made = made_of(layer)
        for plane, count in edited.items():
            known = None if count else made.get(plane)  # whose labels are those that are there
            mark = _fingerprint(layer, plane) if known is None else known.fingerprint
            self._agreed[_place(layer, plane)] = mark


def _ask(parent: QWidget, count: int) -> Answer:
    """Ask what is to become of nuclei that were edited by hand and would be replaced."""
    were = "was" if count == 1 else "were"
    question = f"{counted(count, 'nucleus')} {were} edited by hand."
    detail = "The new labels will replace these, without the edits."
    return Answer(ask(parent, "Edited by hand", question, detail, tuple(Answer)))


def can_hold(layer: Labels, image: Image) -> bool:
    """Whether results of an image may be written into labels: as large, in memory, not locked."""
    is_array = isinstance(layer.data, np.ndarray)
    return layer.data.shape == field_shape(image) and is_array and layer.editable


def _targets(layer: Labels, image: Image, keys: Iterable[ResultKey]) -> Targets:
    """List what results replace of labels: nothing if they cannot hold them."""
    if not can_hold(layer, image):
        return {}
    targets: dict[int, Rectangle | None] = {}
    for key in keys:  # of several parts of a field all of it counts
        targets[key.plane] = None if key.plane in targets else key.segmented
    return targets


def _count_edited(layer: Labels, targets: Targets) -> dict[int, int]:
    """Count the nuclei that were edited by hand in each field, or in a box of it."""
    notice_undo(layer)
    return {
        plane: changes_of(layer, plane).nuclei
        if box is None
        else count_edited_within(layer, plane, box.slices)
        for plane, box in targets.items()
    }


def _place(layer: Labels, plane: int) -> tuple[str, int]:
    return str(layer.unique_id), plane


def _fingerprint(layer: Labels, plane: int) -> int:
    return fingerprint(plane_of(layer.data, plane))


Known = TypeVar("Known")


@dataclass(frozen=True)
class FieldState:
    """What is known of a field's labels.

    Attributes
    ----------
    provenance : mapping or None
        How the labels were made; None if that is not known.
    table : FieldTable or None
        Measurements of the nuclei; None if there are none.
    made : PackedLabels or None
        The labels as a model made them.
    """

    provenance: ProvenanceRecord | None
    table: FieldTable | None
    made: PackedLabels | None


States = Mapping[int, FieldState]
"""State of each field, by the field's number."""


@dataclass
class _Replacement:
    """A step of napari's history that replaced labels."""

    step: object
    before: States
    after: States
    is_undone: bool = False


_known: WeakKeyDictionary[Labels, list[_Replacement]] = WeakKeyDictionary()


def provenance_by_field(layer: Labels) -> Mapping[int, ProvenanceRecord]:
    """Return how the labels of each field were made, by its number."""
    record = record_of(layer)
    if record is None or record.provenance is None:
        return {}
    return {0: record.provenance} if record.by_field is None else record.by_field


def state_of(layer: Labels, plane: int) -> FieldState:
    """Return what is known of a field's labels."""
    return FieldState(
        provenance_by_field(layer).get(plane),
        tables_of(layer).get(plane),
        made_of(layer).get(plane),
    )


def set_states(layer: Labels, states: States) -> None:
    """Exchange what is known of fields."""
    told = _exchanged(
        provenance_by_field(layer), {plane: one.provenance for plane, one in states.items()}
    )
    tables = _exchanged(tables_of(layer), {plane: one.table for plane, one in states.items()})
    made = _exchanged(made_of(layer), {plane: one.made for plane, one in states.items()})
    record = record_of(layer)
    if record is not None and told:
        last = next((plane for plane in states if plane in told), next(iter(told)))
        record = replace(record, provenance=told[last])
        if len(field_shape(layer)) > 2:
            record = replace(record, fields=tuple(sorted(told)), by_field=told)
        layer.metadata = layer.metadata | tag(record)
    keep_tables(layer, tables)
    keep_made(layer, made)


def _exchanged(known: Mapping[int, Known], new: Mapping[int, Known | None]) -> dict[int, Known]:
    """Return what is known with other values, without those that are None now."""
    values = {**known, **new}
    return {plane: value for plane, value in values.items() if value is not None}


def note_replacement(layer: Labels, before: States, after: States) -> None:
    """Note that the newest step of napari's history replaced labels.

    napari has no event for undo, and no public view of its history.
    """
    layer = itself(layer)
    _known.setdefault(layer, []).append(_Replacement(layer._undo_history[-1][0], before, after))


def join_replacements(layer: Labels, earlier: Step | None) -> Step | None:
    """Let one undo take back what was replaced now and, just before, in an earlier step.

    Returns the step that holds what was replaced last; the earlier one if nothing was now.
    """
    layer = itself(layer)
    history, known = layer._undo_history, _known.get(layer)
    if not history or not known or history[-1][0] is not known[-1].step:
        return earlier
    is_next = len(history) > 1 and history[-2] is earlier
    if is_next:
        history[-2].extend(history.pop())
    step: Step = history[-1]
    return step


def notice_undo(layer: Labels) -> bool:
    """Bring back what was known of labels that were undone or redone; tell whether any were."""
    layer = itself(layer)
    known = _known.get(layer, [])
    if not known:
        return False
    done, undone = (
        {id(part) for step in history for part in step}
        for history in (layer._undo_history, layer._redo_history)
    )
    back = [one for one in reversed(known) if not one.is_undone and id(one.step) in undone]
    forth = [one for one in known if one.is_undone and id(one.step) in done]
    for one in (*back, *forth):
        one.is_undone = not one.is_undone
        set_states(layer, one.before if one.is_undone else one.after)
    _known[layer] = [one for one in known if id(one.step) in done | undone]
    return bool(back or forth)

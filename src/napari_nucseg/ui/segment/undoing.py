"""Letting what is known of labels follow napari's undo and redo.

When labels are replaced, how they were made, their measures and what counts as edited by hand are
replaced, too. Ctrl+Z brings the labels back, and this module all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from napari.layers import Labels

from napari_nucseg.analysis.corrections import PackedLabels
from napari_nucseg.ui.edits import itself, keep_made, made_of
from napari_nucseg.ui.layers import field_shape, record_of, tag
from napari_nucseg.ui.segment.measurement_tables import Table, keep_tables, tables_of

Known = TypeVar("Known")
Provenance = Mapping[str, Any]


@dataclass(frozen=True)
class FieldState:
    """What is known of a field's labels.

    Attributes
    ----------
    provenance : mapping or None
        How the labels were made; None if that is not known.
    table : Table or None
        Measurements of the nuclei; None if there are none.
    made : PackedLabels or None
        The labels as a model made them.
    """

    provenance: Provenance | None
    table: Table | None
    made: PackedLabels | None


States = Mapping[int, FieldState]
"""By the number of the field."""


@dataclass
class _Replacement:
    """A step of napari's history that replaced labels."""

    step: object
    before: States
    after: States
    is_undone: bool = False


_known: WeakKeyDictionary[Labels, list[_Replacement]] = WeakKeyDictionary()


def provenance_by_field(layer: Labels) -> Mapping[int, Provenance]:
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

"""What a person thinks of single nuclei: marks with a note, in force while the nucleus is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, final

import numpy as np

from napari_nucseg.analysis.comparison import LocatedPair
from napari_nucseg.analysis.objects import ObjectKey, Objects
from napari_nucseg.metrics.ignoring import Ignored, Polygon, Regions

KEPT_MARKS = "nucseg marks"
"""Where a layer's metadata has the marks on its nuclei."""
SIDES = {True: "truth", False: "predicted"}


class Mark(StrEnum):
    """What is thought of a nucleus; the values are those of files and of the screen."""

    REVIEWED = "reviewed"
    TRUTH_IS_WRONG = "truth is wrong"
    IGNORE = "ignore"


@dataclass(frozen=True)
class Marked:
    """A mark on a nucleus.

    Attributes
    ----------
    mark : Mark
        What is thought of it.
    note : str
        What else was written of it.
    box : tuple of int
        First row, first column, and row and column after the last of the nucleus when it was
        marked. Another one of the same label that lies elsewhere is not meant.
    """

    mark: Mark
    note: str
    box: tuple[int, int, int, int]


Marks = Mapping[ObjectKey, Marked]


def with_marks(metadata: Mapping[str, Any], marks: Marks, *, is_true: bool) -> dict[str, Any]:
    """Return a layer's metadata with the marks on the nuclei of its side, and no others."""
    mine = {key: marked for key, marked in marks.items() if key.is_true == is_true}
    return {**metadata, KEPT_MARKS: mine}


def marks_in(metadata: Mapping[str, Any], *, is_true: bool) -> dict[ObjectKey, Marked]:
    """Return the marks of a layer's metadata, whichever side it was on when they were made."""
    kept: Marks = metadata.get(KEPT_MARKS, {})
    return {key._replace(is_true=is_true): marked for key, marked in kept.items()}


def unknown_regions(regions: Regions, known: Regions) -> dict[Polygon, list[int]]:
    """Return the polygons that are not known in each of their fields, and the fields of each."""
    found: dict[Polygon, list[int]] = {}
    for plane, polygons in regions.by_plane.items():
        for polygon in dict.fromkeys(polygons):
            if polygon not in known.by_plane.get(plane, ()):
                found.setdefault(polygon, []).append(plane)
    return found


def marks_in_force(marks: Marks, pairs: Mapping[int, LocatedPair]) -> dict[ObjectKey, Marked]:
    """Return the marks on nuclei that are there now; undo brings back the others with theirs.

    Parameters
    ----------
    marks : mapping
        All marks by what a nucleus is known by.
    pairs : mapping
        Number of a field to its objects.
    """
    return {
        key: marked
        for key, marked in marks.items()
        if key.plane in pairs and _is_there(pairs[key.plane], key, marked)
    }


def rows_of(marks: Marks, pairs: Mapping[int, LocatedPair], objects: Objects) -> dict[int, Marked]:
    """Return the marks on nuclei that are there by the rows of these nuclei.

    A predicted nucleus with a match stands in the row of its partner, whose own mark comes first.

    Parameters
    ----------
    marks, pairs
        All marks, and the objects of each field, as `marks_in_force` takes them.
    objects : Objects
        The same objects as rows.
    """
    found, there = {}, marks_in_force(marks, pairs)
    for key in sorted(there, key=lambda key: key.is_true):
        row = objects.find(**key._asdict())
        if row is not None:
            found[row] = there[key]
    return found


@final
@dataclass(frozen=True, eq=False)
class Ignoring:
    """Tells what is not counted in each field; a `WhatToIgnore`.

    Attributes
    ----------
    marks : mapping
        All marks; nuclei that are there and marked *ignore* are not counted.
    border : bool
        Whether nuclei that touch the border are not counted.
    regions : Regions
        Polygons inside which nothing is counted.
    """

    marks: Marks
    border: bool
    regions: Regions

    def __call__(self, plane: int, pair: LocatedPair) -> Ignored | None:
        """Tell what is not counted in a field; None where nothing is ignored in any field."""
        if not self._is_asked:
            return None
        true, found = self._labels(plane, pair)
        return Ignored(self.border, self.regions.mask_of(plane), true, found)

    def of_any_prediction(
        self, pairs: Mapping[int, LocatedPair]
    ) -> Callable[[int], Ignored | None]:
        """Return what tells by the number of a field what is not counted, whatever was predicted.

        Marks on predicted nuclei are left aside: they belong to one prediction.
        """

        def tell(plane: int) -> Ignored | None:
            ignore = self(plane, pairs[plane])
            return ignore and replace(ignore, predicted=frozenset())

        return tell

    def differing(self, other: Ignoring, pairs: Mapping[int, LocatedPair]) -> list[int]:
        """Return the numbers of the fields in which another one ignores something else."""
        return [p for p, pair in pairs.items() if self._key(p, pair) != other._key(p, pair)]

    @cached_property
    def _ignored(self) -> dict[ObjectKey, Marked]:
        return {key: one for key, one in self.marks.items() if one.mark == Mark.IGNORE}

    @property
    def _is_asked(self) -> bool:
        return bool(self.border or self.regions.by_plane or self._ignored)

    def _labels(self, plane: int, pair: LocatedPair) -> tuple[frozenset[int], frozenset[int]]:
        here = marks_in_force(self._ignored, {plane: pair})
        true = frozenset(key.label for key in here if key.is_true)
        return true, frozenset(key.label for key in here if not key.is_true)

    def _key(self, plane: int, pair: LocatedPair) -> tuple[object, ...]:
        polygons = self.regions.by_plane.get(plane)
        return self._is_asked, self.border, polygons, self._labels(plane, pair)


def mark_columns(
    marks: Marks, plane: int, columns: Mapping[str, Sequence[Any]], pair: LocatedPair
) -> dict[str, list[Any]]:
    """Return what a table of a field's objects tells of marks: mark, note, whether it is counted.

    Parameters
    ----------
    marks : mapping
        Marks that are in force.
    plane : int
        Number of the field.
    columns : mapping
        The table, with the columns ``side`` and ``object``.
    pair : LocatedPair
        The field's objects.
    """
    rows = list(zip(columns["side"], columns["object"], strict=True))
    found = [marks.get(ObjectKey(plane, label, side == SIDES[True])) for side, label in rows]
    kept = pair.counted_overlap
    sides = {True: kept.truth_ids, False: kept.predicted_ids}
    ids = {SIDES[side]: set(labels.tolist()) for side, labels in sides.items()}
    return {
        "mark": ["" if one is None else one.mark.value for one in found],
        "note": ["" if one is None else one.note for one in found],
        "counted": [label in ids[side] for side, label in rows],
    }


def _is_there(pair: LocatedPair, key: ObjectKey, marked: Marked) -> bool:
    """Tell whether a nucleus of that label touches the place of the one that was marked."""
    overlap = pair.overlap
    ids = overlap.truth_ids if key.is_true else overlap.predicted_ids
    at = int(np.searchsorted(ids, key.label))
    if at == len(ids) or ids[at] != key.label:
        return False
    boxes = pair.truth.boxes if key.is_true else pair.predicted.boxes
    (top, left, bottom, right), (y, x, y_end, x_end) = marked.box, boxes[at].tolist()
    return bool(top < y_end and y < bottom and left < x_end and x < right)

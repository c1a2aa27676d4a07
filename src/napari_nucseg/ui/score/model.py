"""What the parts of the score panel share: what is compared, by which rule, and what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_nucseg.analysis.comparison import FieldPair
from napari_nucseg.analysis.object_rows import Box, move_geometry
from napari_nucseg.analysis.objects import Objects, Placed, list_objects, no_objects
from napari_nucseg.io.fields import Field
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.presets import DEFAULT_RULE, ScoreRule
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.edits import remember
from napari_nucseg.ui.layers import full_data, record_of, shown_plane
from napari_nucseg.ui.score.worker import Both, Compared, place, read_plane

NOTHING = Compared({}, {})
NOTHING_COMPARED = "Choose a prediction and its ground truth above first."


def recounted(placed: Placed, box: Box, before: Both, labels: Both) -> Placed:
    """Count and find the objects of a field again after an edit.

    Parameters
    ----------
    placed : Placed
        Before the edit.
    box : tuple of slice
        Around all that changed.
    before : tuple of two ndarrays
        True and predicted labels in the box as they were.
    labels : tuple of two ndarrays
        All of the field's true and predicted labels as they are now.
    """
    try:
        return _in_box(placed, box, before, labels)
    except ValueError:  # labels were changed by a program, too, which told nobody
        return place(find_overlap(*labels), *labels)


def _in_box(placed: Placed, box: Box, before: Both, labels: Both) -> Placed:
    old = placed.overlap
    new = old.updated(before, (labels[0][box], labels[1][box]))
    ids = ((old.truth_ids, new.truth_ids), (old.predicted_ids, new.predicted_ids))
    truth, predicted = (
        move_geometry(places, *known, box, was, now)
        for places, known, was, now in zip(
            (placed.truth, placed.predicted), ids, before, labels, strict=True
        )
    )
    return Placed(new, truth, predicted)


class ComparisonState:
    """The comparison of two Labels layers, and signals that tell what of it changed.

    Parameters
    ----------
    viewer : ViewerModel
        Whose field slider says which field is shown.

    Attributes
    ----------
    prediction, truth : Labels or None
        What is compared.
    rule : ScoreRule
        IoU threshold and preset.
    pairs, placed : mapping
        Number of a field to its comparison, and to the places of its objects; empty until the
        layers have been compared.
    objects : Objects
        All objects by the rule.
    hidden : frozenset of Verdict
        What overlay and table leave out.
    plane : int
        Number of the field shown.
    """

    compared = Signal()
    """There is a comparison of the layers, or none any more."""
    ruled = Signal()
    """The rule changed, and with it the verdicts."""
    edited = Signal(int, tuple)
    """Labels in a box of a field were changed and counted again."""
    moved = Signal()
    """Another field is shown."""
    hid = Signal()
    """Other verdicts are hidden."""
    chosen = Signal(int)
    """A row of the objects was chosen, and is to be gone to."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.prediction: Labels | None = None
        self.truth: Labels | None = None
        self.rule: ScoreRule = DEFAULT_RULE
        self.pairs: Mapping[int, FieldPair] = {}
        self.placed: Mapping[int, Placed] = {}
        self.objects: Objects = no_objects()
        self.hidden: frozenset[Verdict] = frozenset()
        self.plane = 0
        self.copies: dict[int, Both] = {}
        self._scores: dict[int, Score] = {}
        self._edited: set[int] = set()
        self._uncounted: set[int] = set()

    @property
    def is_there(self) -> bool:
        """Whether the layers have been compared."""
        return bool(self.pairs)

    @property
    def score(self) -> Score | None:
        """Score of the field shown; None without one."""
        return self.score_of(self.plane)

    @property
    def is_stack(self) -> bool:
        """Whether more than one field was compared."""
        return len(self.pairs) > 1

    def score_of(self, plane: int) -> Score | None:
        """Score a field by the rule; None if it was not compared."""
        if plane in self.pairs and plane not in self._scores:
            self._scores[plane] = self.pairs[plane].score(self.rule.threshold, self.rule.preset)
        return self._scores.get(plane)

    def field_of(self, plane: int) -> Field:
        """Tell what a field is called in its dataset if it is of one; else its number is its name.

        The files are left out.
        """
        for layer in (self.truth, self.prediction):
            record = None if layer is None else record_of(layer)
            if layer is not None and record is not None and plane < len(record.stems):
                splits = layer.metadata.get("splits") or (None,) * len(record.stems)
                return Field(record.stems[plane], split=splits[plane])
        return Field(str(plane))

    def name_of(self, plane: int) -> str:
        """Name a field for people."""
        return self.field_of(plane).name

    def choose_layers(self, prediction: Labels | None, truth: Labels | None) -> None:
        """Take other layers; nothing is compared until `show` is called."""
        self.prediction, self.truth = prediction, truth
        self.plane = self._find_plane()
        self.copies, self._edited, self._uncounted = {}, set(), set()
        self._copy_shown()
        self._set(NOTHING)

    def show(self, compared: Compared) -> None:
        """Take the comparison of the layers; fields that were edited meanwhile are counted anew."""
        pairs, placed = dict(compared.pairs), dict(compared.placed)
        for plane in self._uncounted & pairs.keys():
            placed[plane] = place(find_overlap(*self.copies[plane]), *self.copies[plane])
            pairs[plane] = FieldPair(placed[plane].overlap, None)
        self._uncounted = set()
        self._set(Compared(pairs, placed))

    def use_rule(self, rule: ScoreRule) -> None:
        """Judge all objects by another rule."""
        if rule == self.rule:
            return
        self.rule = rule
        self._scores = {}
        self._list()
        self.ruled.emit()

    def hide(self, verdicts: frozenset[Verdict]) -> None:
        """Leave verdicts out of overlay and table."""
        if verdicts != self.hidden:
            self.hidden = verdicts
            self.hid.emit()

    def follow_viewer(self) -> None:
        """Notice that the field slider was moved."""
        plane = self._find_plane()
        if plane == self.plane:
            return
        self.plane = plane
        self._copy_shown()
        self.moved.emit()

    def set_pairs(self, pairs: Mapping[int, FieldPair]) -> None:
        """Exchange what is known of some fields, whose labels are the same."""
        self.pairs = {**self.pairs, **pairs}
        for plane in pairs:
            self._scores.pop(plane, None)

    def copy_unmeasured(self) -> dict[int, Both]:
        """Copy the labels of fields whose outlines were not compared since they were edited."""
        return self.copy_labels(p for p, pair in self.pairs.items() if pair.boundaries is None)

    def copy_labels(self, planes: Iterable[int]) -> dict[int, Both]:
        """Copy the labels of fields, as they were counted last, for a worker."""
        return {p: (self.copies[p][0].copy(), self.copies[p][1].copy()) for p in planes}

    def recount(self, plane: int, box: Box, after: Both) -> None:
        """Count the changed part of a field again; one that is not compared yet is marked.

        Parameters
        ----------
        plane : int
            Number of the field.
        box : tuple of slice
            Around all that changed.
        after : tuple of two ndarrays
            All of the field's true and predicted labels as they are now.
        """
        copies = self.copies[plane]
        before = copies[0][box].copy(), copies[1][box].copy()
        changed = [not np.array_equal(b, a[box]) for b, a in zip(before, after, strict=True)]
        for layer, copy, now, is_changed in zip(
            (self.truth, self.prediction), copies, after, changed, strict=True
        ):
            if layer is not None and is_changed:
                remember(layer, plane, copy)
                copy[box] = now[box]
        self._edited.add(plane)
        if plane not in self.pairs:
            self._uncounted.add(plane)
            return
        placed = recounted(self.placed[plane], box, before, copies)
        self.set_pairs({plane: FieldPair(placed.overlap, None)})
        self.placed = {**self.placed, plane: placed}
        strict = self.rule.preset.strict
        new = list_objects({plane: placed}, self.rule.threshold, strict=strict)
        self.objects = self.objects.replaced(plane, new)
        self.edited.emit(plane, box)

    def labels_now(self, plane: int) -> Both:
        """Read a field's true and predicted labels as they are in the layers."""
        assert self.truth is not None
        assert self.prediction is not None
        return (
            read_plane(full_data(self.truth), plane),
            read_plane(full_data(self.prediction), plane),
        )

    def _set(self, compared: Compared) -> None:
        self.pairs, self.placed = compared.pairs, compared.placed
        self._scores = {}
        self._list()
        self.compared.emit()

    def _list(self) -> None:
        rule = self.rule
        self.objects = list_objects(self.placed, rule.threshold, strict=rule.preset.strict)

    def _find_plane(self) -> int:
        if self.prediction is None:
            return 0
        return shown_plane(self.viewer.dims.point, self.prediction)

    def _copy_shown(self) -> None:
        """Keep the labels of the field shown, so that edits are noticed whoever makes them.

        Those of edited fields are kept, too: undo may act on a field that is not shown.
        """
        self.copies = {p: both for p, both in self.copies.items() if p in self._edited}
        if self.prediction is None or self.truth is None or self.plane in self.copies:
            return
        if full_data(self.prediction).shape != full_data(self.truth).shape:
            return
        truth, predicted = self.labels_now(self.plane)
        self.copies[self.plane] = (truth.copy(), predicted.copy())

"""What the parts of the score panel share: what is compared, by which rule, and what is shown."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_nucseg.analysis.comparison import FieldPair, LabelPair, LocatedPair, count_objects
from napari_nucseg.analysis.marks import KEPT_MARKS, Ignoring, Marked, Marks, marks_in, rows_of
from napari_nucseg.analysis.objects import Objects, list_objects, no_objects
from napari_nucseg.array_types import Window
from napari_nucseg.io.fields import Field
from napari_nucseg.metrics.ignoring import Regions
from napari_nucseg.metrics.score import DEFAULT_RULE, Score, ScoreRule
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.edits import remember
from napari_nucseg.ui.layer_fields import (
    count_planes,
    full_data,
    keep_regions,
    read_plane,
    shown_plane,
)
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, record_of
from napari_nucseg.wording import plane_name

NOTHING_COMPARED = "Choose a prediction and its ground truth above first."


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two Labels layers, compared, and what of that is shown; a change makes another of it.

    What did not change is the same object in both, so that ``is not`` tells what to draw anew.

    Attributes
    ----------
    prediction, truth : Labels or None
        What is compared.
    plane : int
        Number of the field shown.
    rule : ScoreRule
        IoU threshold and preset.
    hidden : frozenset of Verdict
        What overlay and table leave out.
    pairs : mapping
        Number of a field to what is known of it; empty until the layers have been compared.
    objects : Objects
        All objects by the rule; another whenever layers, labels or rule are.
    marks : mapping
        What a person thinks of nuclei, those included that are not there now.
    regions : Regions
        Polygons inside which nothing is counted.
    in_parts : FieldPair or None
        What labels larger than memory share, of which there are scores alone.
    """

    prediction: Labels | None = None
    truth: Labels | None = None
    plane: int = 0
    rule: ScoreRule = DEFAULT_RULE
    hidden: frozenset[Verdict] = frozenset()
    pairs: Mapping[int, LocatedPair] = field(default_factory=dict)
    objects: Objects = field(default_factory=no_objects)
    marks: Marks = field(default_factory=dict)
    regions: Regions = field(default_factory=Regions)
    in_parts: FieldPair | None = None
    _scores: dict[int, Score] = field(default_factory=dict)  # as far as they were asked for

    @property
    def layers(self) -> dict[str, Labels]:
        """What is compared, by what it is."""
        layers = {PREDICTION: self.prediction, GROUND_TRUTH: self.truth}
        return {kind: layer for kind, layer in layers.items() if layer is not None}

    @property
    def is_there(self) -> bool:
        """Whether the layers have been compared."""
        return bool(self.pairs)

    @property
    def is_stack(self) -> bool:
        """Whether more than one field was compared."""
        return len(self.pairs) > 1

    @cached_property
    def marked(self) -> dict[int, Marked]:
        """Marks by the row of their nucleus, as far as it is there."""
        return rows_of(self.marks, self.pairs, self.objects) if self.marks else {}

    @cached_property
    def ignoring(self) -> Ignoring:
        """What is not counted, in all fields."""
        return Ignoring(self.marks, self.rule.ignore_border, self.regions)

    @property
    def ignored(self) -> Ignoring | None:
        """What tells which nuclei of a field are not counted; None where all are."""
        is_any = self.marks or self.rule.ignore_border or self.regions.by_plane
        return self.ignoring if is_any else None

    @property
    def score(self) -> Score | None:
        """Score of the field shown; None without one."""
        return self.score_of(self.plane)

    def score_of(self, plane: int) -> Score | None:
        """Score a field by the rule; None if it was not compared."""
        pair = self.in_parts or self.pairs.get(plane)
        if pair is not None and plane not in self._scores:
            self._scores[plane] = pair.score(self.rule.threshold, self.rule.preset)
        return self._scores.get(plane)

    def field_of(self, plane: int) -> Field:
        """Tell what a field is called in its dataset, else its number from 1; without files."""
        for layer in [one for one in (self.truth, self.prediction) if one is not None]:
            record, planes = record_of(layer), count_planes(layer)
            if record is not None and (name := plane_name(record.stems, plane, planes)):
                splits = layer.metadata.get("splits") or (None,)
                return Field(name, split=splits[plane * len(splits) // planes])
        return Field(str(plane + 1))

    def name_of(self, plane: int) -> str:
        """Name a field for people."""
        return self.field_of(plane).name

    def label_reader(self) -> Callable[[int], LabelPair]:
        """Return what copies a field's labels as they are then, for a worker."""
        predicted, truth = map(full_data, self.layers.values())
        return lambda plane: (read_plane(truth, plane).copy(), read_plane(predicted, plane).copy())

    def describe(self, row: int) -> str:
        """Say in few words what became of an object, and what was noted of it."""
        marked = self.marked.get(row)
        told = f" - {marked.mark}{': ' * bool(marked.note)}{marked.note}" if marked else ""
        return self.objects.describe(row) + told

    def describe_field(self) -> str:
        """Say in few words what was found in the field shown."""
        told = self.score and self.score.counts_in_words
        count = 0 if self.truth is None else count_planes(self.truth)
        name, place = self.name_of(self.plane), f"{self.plane + 1} of {count}"
        where = f"Field {place}: " if name == str(self.plane + 1) else f"{name} ({place}): "
        return where * self.is_stack + (told or "this field is not in the prediction yet.")

    def edited_since(self, old: Comparison) -> set[int]:
        """Return the fields whose labels were edited in between, and counted again."""
        if not old.is_there or self.pairs is old.pairs:
            return set()
        return {p for p, pair in self.pairs.items() if pair.overlap is not old.pairs[p].overlap}

    def classified(self, rule: ScoreRule) -> Comparison:
        """Classify all objects by a rule."""
        objects = list_objects(self.pairs, rule.threshold, strict=rule.preset.strict)
        return replace(self, rule=rule, objects=objects, _scores={})

    def measured(self, pairs: Mapping[int, LocatedPair]) -> Comparison:
        """Exchange what is known of some fields, whose labels are the same."""
        scores = {plane: score for plane, score in self._scores.items() if plane not in pairs}
        return replace(self, pairs={**self.pairs, **pairs}, _scores=scores)

    def edited(self, plane: int, pair: LocatedPair) -> Comparison:
        """Exchange what is known of a field whose labels were edited."""
        new = list_objects({plane: pair}, self.rule.threshold, strict=self.rule.preset.strict)
        objects = self.objects.replaced(plane, new)
        return replace(self.measured({plane: pair}), objects=objects)


class ComparisonState:
    """The comparison as it is now, and the labels that it counted.

    Parameters
    ----------
    viewer : ViewerModel
        Whose field slider says which field is shown.

    Attributes
    ----------
    now : Comparison
        What all parts of the panel show.
    copies : dict
        Number of a field to its labels as they were counted last: of the field shown, so that
        edits are noticed whoever makes them, and of edited ones, which undo may act on unseen.
    """

    changed = Signal(Comparison, Comparison, reemission="queued")
    """There is another comparison; tells that before, and the one now."""
    chosen = Signal(int)
    """A row of the objects was chosen, and is to be gone to."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer, self.now = viewer, Comparison()
        self.copies: dict[int, LabelPair] = {}
        self._edited, self._uncounted = set[int](), set[int]()

    def choose_layers(
        self, prediction: Labels | None, truth: Labels | None, regions: Regions | None = None
    ) -> None:
        """Take other layers and regions; nothing is compared until `show` is called."""
        plane = self._find_plane(prediction)
        self.copies, self._edited, self._uncounted = {}, set(), set()
        new = Comparison(prediction, truth, plane, self.now.rule, self.now.hidden)
        sides = [(one.metadata, one is truth) for one in (truth, prediction) if one is not None]
        marks = [marks_in(one, is_true=true) for one, true in sides if KEPT_MARKS in one]
        self.take(replace(new, marks=dict(ChainMap(*marks)), regions=regions or Regions()))

    def show(self, pairs: Mapping[int, LocatedPair]) -> None:
        """Take the comparison of the layers; fields that were edited meanwhile are counted anew."""
        what, anew = self.now.ignored, dict[int, LocatedPair]()
        for plane in self._uncounted & pairs.keys():
            pair = count_objects(*self.copies[plane])
            anew[plane] = pair.ignoring(what and what(plane, pair), self.copies[plane])
        self._uncounted = set()
        self.take(replace(self.now, pairs={**pairs, **anew}).classified(self.now.rule))

    def use_rule(self, rule: ScoreRule) -> None:
        """Classify all objects by another rule."""
        if rule != self.now.rule:
            self.take(self.now.classified(rule))

    def hide(self, verdicts: frozenset[Verdict]) -> None:
        """Leave verdicts out of overlay and table."""
        if verdicts != self.now.hidden:
            self.take(replace(self.now, hidden=verdicts))

    def follow_viewer(self) -> None:
        """Notice that the field slider was moved."""
        plane = self._find_plane(self.now.prediction)
        if plane != self.now.plane:
            self.take(replace(self.now, plane=plane))

    def object_at(self, position: tuple[float, ...]) -> int | None:
        """Return the row of the object at a place of the world in the field shown."""
        prediction, plane = self.now.prediction, self.now.plane
        if prediction is None or plane not in self.copies or plane not in self.now.pairs:
            return None
        place = prediction.world_to_data(np.asarray(position)[-prediction.ndim :])
        y, x = np.rint(place[-2:]).astype(int).tolist()
        return self.now.objects.at(plane, self.copies[plane], y, x)

    def copy_unmeasured(self) -> dict[int, LabelPair]:
        """Copy the labels of fields whose outlines were not compared since they were edited."""
        return self.copy_labels(p for p, pair in self.now.pairs.items() if pair.boundaries is None)

    def copy_labels(self, planes: Iterable[int]) -> dict[int, LabelPair]:
        """Copy the labels of fields, as they were counted last, for a worker."""
        return {p: (self.copies[p][0].copy(), self.copies[p][1].copy()) for p in planes}

    def recount(self, plane: int, box: Window, after: LabelPair) -> None:
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
        copies, layers = self.copies[plane], (self.now.truth, self.now.prediction)
        before = copies[0][box].copy(), copies[1][box].copy()
        for layer, copy, was, labels in zip(layers, copies, before, after, strict=True):
            if layer is not None and not np.array_equal(was, labels[box]):
                remember(layer, plane, copy)
                copy[box] = labels[box]
        self._edited.add(plane)
        if plane in self.now.pairs:
            pair, what = self.now.pairs[plane].recounted(box, before, copies), self.now.ignored
            pair = pair.ignoring(what and what(plane, pair), copies)
            self.take(self.now.edited(plane, pair))
        else:
            self._uncounted.add(plane)

    def take(self, new: Comparison) -> None:
        """Take another comparison of the same layers."""
        old, self.now = self.now, new
        if new.truth is not None and new.regions is not old.regions:
            keep_regions(new.truth, new.regions)
        self._copy_shown()
        self.changed.emit(old, new)

    def _find_plane(self, prediction: Labels | None) -> int:
        return 0 if prediction is None else shown_plane(self.viewer.dims.point, prediction)

    def _copy_shown(self) -> None:
        """Keep the labels of the field shown, beside those of edited ones."""
        prediction, truth, plane = self.now.prediction, self.now.truth, self.now.plane
        self.copies = {p: b for p, b in self.copies.items() if p in self._edited | {plane}}
        if prediction is None or truth is None or plane in self.copies:
            return
        if full_data(prediction).shape == full_data(truth).shape:
            self.copies[plane] = self.now.label_reader()(plane)

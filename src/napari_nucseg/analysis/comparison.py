"""Truth and prediction compared once, field by field.

Scores at any threshold follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from napari_nucseg.analysis.object_pixels import (
    ObjectGeometry,
    find_geometry,
    move_geometry,
    refuse_many,
)
from napari_nucseg.array_types import Labels, Window
from napari_nucseg.metrics.boundaries import Boundaries, Spacing, measure_boundaries
from napari_nucseg.metrics.counts import PixelCounts
from napari_nucseg.metrics.ignoring import Ignored, IgnoredCounts, leave_out
from napari_nucseg.metrics.matching import STARDIST, Preset, match
from napari_nucseg.metrics.overlap import Overlap, find_overlap
from napari_nucseg.metrics.score import Score, ScoreRule, score_matching
from napari_nucseg.metrics.summary import Summary, summarise
from napari_nucseg.progress import Progress

LabelPair = tuple[Labels, Labels]
"""True and predicted labels of a field."""


@dataclass(frozen=True)
class FieldPair:
    """What truth and prediction of one field share.

    Attributes
    ----------
    overlap : Overlap
        The pixels that the true and the predicted objects share.
    boundaries : Boundaries or None
        Their outlines, compared; None if that is not done yet.
    """

    overlap: Overlap = field(repr=False)
    boundaries: Boundaries | None = field(repr=False)

    def score(self, threshold: float, preset: Preset = STARDIST) -> Score:
        """Score at an IoU threshold of 0.05 or more, without reading labels again."""
        matching = match(self.overlap, threshold, preset.strict)
        return score_matching(matching, preset, self.boundaries)


def compare(truth: Labels, predicted: Labels, spacing: Spacing | None = None) -> FieldPair:
    """Compare the labels of one field.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        Labels of one field; 0 is background.
    spacing : Spacing, optional
        Edges of a pixel, for distances of outlines in real units.

    Raises
    ------
    ValueError
        If their shapes differ or they are no labels.
    """
    overlap = find_overlap(truth, predicted)
    return FieldPair(overlap, measure_boundaries(truth, predicted, overlap, spacing=spacing))


@dataclass(frozen=True)
class CountedPair(FieldPair):
    """What is left of a field's objects after some were left out.

    Attributes
    ----------
    pixels : PixelCounts
        Counts of the pixels that are counted.
    ignored : IgnoredCounts
        How many objects are left out.
    """

    pixels: PixelCounts
    ignored: IgnoredCounts

    def score(self, threshold: float, preset: Preset = STARDIST) -> Score:
        """Score what is counted at an IoU threshold of 0.05 or more."""
        scored = super().score(threshold, preset)
        return replace(scored, pixels=self.pixels, ignored=self.ignored)


def count_kept(
    truth: Labels, predicted: Labels, ignore: Ignored, *, outlines: bool = True
) -> CountedPair:
    """Compare the labels of one field without what is not counted.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        Labels of one field; 0 is background.
    ignore : Ignored
        What is not counted.
    outlines : bool
        Whether outlines are compared, too, which takes longest.
    """
    kept = leave_out(truth, predicted, ignore)
    labels = kept.truth, kept.predicted
    pair = compare(*labels) if outlines else FieldPair(find_overlap(*labels), None)
    return CountedPair(pair.overlap, pair.boundaries, kept.pixels, kept.ignored)


@dataclass(frozen=True)
class LocatedPair(FieldPair):
    """What truth and prediction of one field share, and where the objects of both sides are.

    Attributes
    ----------
    counted : CountedPair or None
        What is counted, where objects are left out of the scores; None where all are counted.
    """

    truth: ObjectGeometry
    predicted: ObjectGeometry
    counted: CountedPair | None = None

    def score(self, threshold: float, preset: Preset = STARDIST) -> Score:
        """Score what is counted at an IoU threshold of 0.05 or more."""
        if self.counted is not None:
            return self.counted.score(threshold, preset)
        return super().score(threshold, preset)

    @property
    def counted_overlap(self) -> Overlap:
        """The pixels that the objects share that are counted."""
        return self.overlap if self.counted is None else self.counted.overlap

    def ignoring(
        self, ignore: Ignored | None, labels: LabelPair | None, *, outlines: bool = False
    ) -> LocatedPair:
        """Leave objects out of the scores.

        Parameters
        ----------
        ignore : Ignored or None
            What is not counted; None to count everything.
        labels : tuple of two ndarrays or None
            True and predicted labels of the field. None is enough where nothing is left out.
        outlines : bool
            Whether the outlines of what is counted are compared, too.
        """
        if ignore is None:
            kept = None
        elif labels is None:
            pixels, none = PixelCounts.of(self.overlap), IgnoredCounts(0, 0)
            kept = CountedPair(self.overlap, self.boundaries, pixels, none)
        else:
            kept = count_kept(*labels, ignore, outlines=outlines)
        return replace(self, counted=kept)

    def recounted(self, box: Window, before: LabelPair, labels: LabelPair) -> LocatedPair:
        """Count and find the objects again after an edit; outlines are not compared.

        Parameters
        ----------
        box : tuple of slice
            Around all that changed.
        before : tuple of two ndarrays
            True and predicted labels in the box as they were.
        labels : tuple of two ndarrays
            All of the field's true and predicted labels as they are now.
        """
        try:
            new = self.overlap.updated(before, (labels[0][box], labels[1][box]))
        except ValueError:  # labels were changed by a program, too, which told nobody
            return count_objects(*labels)
        truth, predicted = (
            move_geometry(places, *ids, box, was, now)
            for places, ids, was, now in zip(
                (self.truth, self.predicted),
                ((self.overlap.truth_ids, new.truth_ids),
                 (self.overlap.predicted_ids, new.predicted_ids)),
                before, labels, strict=True,
            )
        )  # fmt: skip
        return LocatedPair(new, None, truth, predicted)


def locate_objects(pair: FieldPair, truth: Labels, predicted: Labels) -> LocatedPair:
    """Find the objects of a field that was compared; a ValueError if they are too many to list."""
    refuse_many(pair.overlap)
    return LocatedPair(
        pair.overlap,
        pair.boundaries,
        find_geometry(truth, pair.overlap.truth_ids),
        find_geometry(predicted, pair.overlap.predicted_ids),
    )


def count_objects(truth: Labels, predicted: Labels) -> LocatedPair:
    """Count and find the objects of a field, without comparing their outlines."""
    return locate_objects(FieldPair(find_overlap(truth, predicted), None), truth, predicted)


WhatToIgnore = Callable[[int, LocatedPair], Ignored | None]
"""Tells of a field, by its number and objects, what is not counted; None to count everything."""


def compare_planes(
    read: Callable[[int], LabelPair],
    planes: tuple[int, ...],
    copies: Mapping[int, LabelPair],
    progress: Progress,
    what: WhatToIgnore | None = None,
) -> dict[int, LocatedPair]:
    """Compare the labels of many fields; return the fields by their number.

    Parameters
    ----------
    read : callable
        Reads a field's true and predicted labels, in arrays that nobody else changes.
    planes : tuple of int
        Numbers of the fields to compare.
    copies : mapping
        Labels of fields as they were when this was asked for, which are compared in their place.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    what : callable, optional
        Tells what is not counted in a field.
    """
    pairs = {}
    for done, plane in enumerate(planes):
        progress(done, len(planes), "Comparing")
        labels = copies.get(plane) or read(plane)
        pair = locate_objects(compare(*labels), *labels)
        pairs[plane] = pair.ignoring(what and what(plane, pair), labels, outlines=True)
    return pairs


@dataclass(frozen=True)
class DatasetScore:
    """Scores of all fields, which are computed in the background.

    Attributes
    ----------
    measured : mapping
        Number of a field to what is known of it, with its outlines.
    scores : mapping
        Number of a field to its score.
    summary : Summary
        Pooled scores and spread over all fields.
    """

    measured: Mapping[int, LocatedPair]
    scores: Mapping[int, Score]
    summary: Summary


def score_dataset(
    pairs: Mapping[int, LocatedPair],
    copies: Mapping[int, LabelPair],
    rule: ScoreRule,
    progress: Progress,
    pixel_size: float | None = None,
    what: WhatToIgnore | None = None,
) -> DatasetScore:
    """Compare the outlines of edited fields, then pool and average the scores of all.

    Parameters
    ----------
    pairs : mapping
        Number of a field to what is known of it.
    copies : mapping
        Labels of the fields whose outlines were not compared yet.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    pixel_size : float, optional
        Edge of a pixel in micrometres, in which distances are given then, too.
    what : callable, optional
        Tells what is not counted in a field.
    """
    measured, scores = {}, {}
    for done, (plane, known) in enumerate(pairs.items()):
        progress(done, len(pairs), "Scoring")
        pair = known
        if plane in copies:
            boundaries = measure_boundaries(*copies[plane], pair.overlap)
            pair = replace(pair, boundaries=boundaries)
            ignore = what and what(plane, pair)
            pair = pair.ignoring(ignore, copies[plane], outlines=True)
            measured[plane] = pair
        scored = pair if pair.counted is None else pair.counted
        if pixel_size is not None and scored.boundaries is not None:
            scored = replace(scored, boundaries=scored.boundaries.in_micrometres(pixel_size))
        scores[plane] = scored.score(rule.threshold, rule.preset)
    return DatasetScore(measured, scores, summarise(list(scores.values()), rule.empty_as_one))

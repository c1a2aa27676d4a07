"""Truth and prediction compared once, field by field.

Scores and curves at any threshold follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.object_geometry import Box, ObjectGeometry, find_geometry, move_geometry
from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import Boundaries, Spacing, measure_boundaries
from napari_nucseg.metrics.counts import ObjectCounts, PixelCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Overlap, find_overlap
from napari_nucseg.metrics.presets import STARDIST, Preset, ScoreRule
from napari_nucseg.metrics.score import Score, score_matching
from napari_nucseg.metrics.summary import Summary, summarise
from napari_nucseg.progress import Progress

CURVE_THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
"""IoU thresholds of the curves: 0.05, 0.10 ... 0.95."""

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
class LocatedPair(FieldPair):
    """What truth and prediction of one field share, and where the objects of both sides are."""

    truth: ObjectGeometry
    predicted: ObjectGeometry

    def recounted(self, box: Box, before: LabelPair, labels: LabelPair) -> LocatedPair:
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
    """Find the objects of a field that was compared."""
    return LocatedPair(
        pair.overlap,
        pair.boundaries,
        find_geometry(truth, pair.overlap.truth_ids),
        find_geometry(predicted, pair.overlap.predicted_ids),
    )


def count_objects(truth: Labels, predicted: Labels) -> LocatedPair:
    """Count and find the objects of a field, without comparing their outlines."""
    return locate_objects(FieldPair(find_overlap(truth, predicted), None), truth, predicted)


def compare_planes(
    read: Callable[[int], LabelPair],
    planes: tuple[int, ...],
    copies: Mapping[int, LabelPair],
    progress: Progress,
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
    """
    pairs = {}
    for done, plane in enumerate(planes):
        progress(done, len(planes), "Comparing")
        labels = copies.get(plane) or read(plane)
        pairs[plane] = locate_objects(compare(*labels), *labels)
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
    """
    measured, scores = {}, {}
    for done, (plane, known) in enumerate(pairs.items()):
        progress(done, len(pairs), "Scoring")
        pair = known
        if plane in copies:
            boundaries = measure_boundaries(*copies[plane], pair.overlap)
            pair = measured[plane] = replace(pair, boundaries=boundaries)
        if pixel_size is not None and pair.boundaries is not None:
            pair = replace(pair, boundaries=pair.boundaries.in_unit(pixel_size))
        scores[plane] = pair.score(rule.threshold, rule.preset)
    return DatasetScore(measured, scores, summarise(list(scores.values()), rule.empty_as_one))


@dataclass(frozen=True)
class Curve:
    """Scores by IoU threshold.

    Attributes
    ----------
    thresholds, ap, f1 : ndarray of float64, shape (k,)
        IoU thresholds, and AP and F1 of the objects at each; NaN where there is no object.
    """

    thresholds: NDArray[np.float64]
    ap: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True)
class FieldStrip:
    """Scores field by field.

    Attributes
    ----------
    planes : ndarray of intp, shape (k,)
        Number of each field in the stack.
    dice, ap : ndarray of float64, shape (k,)
        Dice of the pixels and AP of the objects at the threshold, for each field; NaN where there
        is no object.
    """

    planes: NDArray[np.intp]
    dice: NDArray[np.float64]
    ap: NDArray[np.float64]


def score_curve(overlap: Overlap, *, strict: bool) -> Curve:
    """Score at every threshold; many fields are pooled by joining their overlaps first."""
    counts = [ObjectCounts.of(match(overlap, t, strict)) for t in CURVE_THRESHOLDS]
    return Curve(
        np.array(CURVE_THRESHOLDS),
        np.array([count.ap for count in counts]),
        np.array([count.f1 for count in counts]),
    )


def score_fields(overlaps: Mapping[int, Overlap], rule: ScoreRule) -> FieldStrip:
    """Score every field by itself."""
    matches = [match(o, rule.threshold, rule.preset.strict) for o in overlaps.values()]
    return FieldStrip(
        np.array(list(overlaps), dtype=np.intp),
        np.array([PixelCounts.of(overlap).dice for overlap in overlaps.values()]),
        np.array([ObjectCounts.of(matching).ap for matching in matches]),
    )

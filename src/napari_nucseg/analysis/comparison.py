"""Truth and prediction compared once, and where the objects of both are.

Scores and curves at any threshold follow from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import Boundaries, Spacing, measure_boundaries
from napari_nucseg.metrics.counts import ObjectCounts, PixelCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Index, Overlap, find_overlap
from napari_nucseg.metrics.presets import STARDIST, Preset, ScoreRule
from napari_nucseg.metrics.score import Score, score_matching

CURVE_THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
"""IoU thresholds of the curves: 0.05, 0.10 ... 0.95."""

Box = tuple[slice, slice]
"""Rows and columns of a field."""
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
class ObjectGeometry:
    """Where the objects of a label image are, in the order of their numbers.

    Attributes
    ----------
    y, x : ndarray of float64, shape (n,)
        Centroids in pixels, from the middle of the first pixel.
    boxes : ndarray of intp, shape (n, 4)
        First row, first column, and row and column after the last.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    boxes: Index


def find_geometry(
    labels: Labels, ids: NDArray[np.int64], origin: tuple[int, int] = (0, 0)
) -> ObjectGeometry:
    """Find all objects in one pass.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        Labels of one field; 0 is background.
    ids : ndarray of int64, shape (n,)
        All labels there are, ascending.
    origin : tuple of int
        Row and column of the first pixel.
    """
    flat = np.flatnonzero(labels)
    owner: Index = np.searchsorted(ids, labels.reshape(-1)[flat].astype(np.int64))
    y, x = np.divmod(flat, labels.shape[-1])
    y, x = y + origin[0], x + origin[1]
    areas = np.bincount(owner, minlength=len(ids))
    boxes = np.zeros((len(ids), 4), dtype=np.intp)
    boxes[:, :2] = np.iinfo(np.intp).max
    for column, place in enumerate((y, x)):
        np.minimum.at(boxes[:, column], owner, place)
        np.maximum.at(boxes[:, column + 2], owner, place + 1)
    return ObjectGeometry(
        np.bincount(owner, weights=y, minlength=len(ids)) / areas,
        np.bincount(owner, weights=x, minlength=len(ids)) / areas,
        boxes,
    )


def move_geometry(
    places: ObjectGeometry,
    old_ids: NDArray[np.int64],
    ids: NDArray[np.int64],
    box: Box,
    before: Labels,
    labels: Labels,
) -> ObjectGeometry:
    """Find the objects after an edit, looking at those alone that it touched.

    Parameters
    ----------
    places : ObjectGeometry
        Before the edit, in the order of ``old_ids``.
    old_ids, ids : ndarray of int64, shape (n,) and (m,)
        All labels before and after it, ascending.
    box : tuple of slice
        Rows and columns that hold all pixels that changed.
    before : ndarray of integers
        Labels in the box as they were.
    labels : ndarray of integers, shape (height, width)
        All labels as they are.
    """
    touched = np.union1d(before, labels[box]).astype(np.int64)
    old = np.isin(old_ids, touched)
    edges = np.array([[part.start for part in box], [part.stop for part in box]]).reshape(1, 4)
    reach = np.concatenate([places.boxes[old], edges])
    top, left = reach[:, :2].min(axis=0).tolist()
    bottom, right = reach[:, 2:].max(axis=0).tolist()
    part = labels[top:bottom, left:right]
    new = np.isin(ids, touched)
    inside = np.where(np.isin(part, ids[new]), part, 0)
    found = find_geometry(inside, ids[new], (top, left))
    kept = [(a[~old], b) for a, b in zip(_columns(places), _columns(found), strict=True)]
    y, x, boxes = (_merge(new, stay, come) for stay, come in kept)
    return ObjectGeometry(y, x, boxes)


def _columns(places: ObjectGeometry) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return places.y, places.x, places.boxes


def _merge(new: NDArray[np.bool_], stay: NDArray[Any], come: NDArray[Any]) -> NDArray[Any]:
    """Put rows where they belong; both parts are in ascending order of their labels."""
    merged = np.empty((len(new), *stay.shape[1:]), dtype=stay.dtype)
    merged[~new], merged[new] = stay, come
    return merged


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

"""How far the outlines of matched objects lie apart, in pixels and in real units.

An object's outline are its pixels with a face on another label, on background, or on the edge of
the field. Distances are between pixel centres, and Euclidean. All pairs that could match are
measured once; scores at any IoU threshold are then a choice among them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.counts import ratio
from napari_nucseg.metrics.matching import Matching
from napari_nucseg.metrics.overlap import Index, Overlap
from napari_nucseg.wording import spelt

TOLERANCE = 2.0
"""Pixels within which an outline counts as found."""
LEAST_IOU = 0.05
"""IoU below which a pair is not measured, unless that is asked for."""
_PERCENTILE = 95

Distances = NDArray[np.float64]
"""Shape (3, k): Hausdorff distance, HD95 and mean distance of k pairs."""


@dataclass(frozen=True)
class Spacing:
    """How large a pixel is.

    Attributes
    ----------
    edges : tuple of float
        Length along each axis, in the unit.
    unit : str
        Name of the unit, such as "um".
    """

    edges: tuple[float, ...]
    unit: str = "um"


@dataclass(frozen=True)
class BoundaryCounts:
    """Sums over the matched pairs of a field, or of several, and over all outlines.

    Attributes
    ----------
    unit : str or None
        Unit of the sums that are not in pixels; those are 0 without it.
    pairs : int
        Number of matched pairs whose outlines were measured.
    hausdorff_px_sum, hd95_px_sum, distance_px_sum : float
        Sums over the pairs, in pixels.
    hausdorff_sum, hd95_sum, distance_sum : float
        The same sums in the unit of the pixel size.
    near_true, true, near_predicted, predicted : int
        Outline pixels within 2 px of any outline of the other side, and all outline pixels.
    """

    unit: str | None
    pairs: int
    hausdorff_px_sum: float
    hd95_px_sum: float
    distance_px_sum: float
    hausdorff_sum: float
    hd95_sum: float
    distance_sum: float
    near_true: int
    true: int
    near_predicted: int
    predicted: int

    @property
    def boundary_f(self) -> float:
        """2 PR / (P + R): precision and recall of outline pixels within 2 px."""
        precision = ratio(self.near_predicted, self.predicted, self._seen)
        recall = ratio(self.near_true, self.true, self._seen)
        return ratio(2 * precision * recall, precision + recall, self._seen)

    def mean(self, distance: str) -> float:
        """Return the mean over the matched pairs of a distance, named as its sum without "_sum".

        Those in pixels end in "_px"; undefined without a pair.
        """
        return ratio(getattr(self, f"{distance}_sum"), self.pairs, self.pairs)

    def __add__(self, other: Self) -> Self:
        """Pool with another field."""
        if self.unit != other.unit:
            units = " and in ".join(spelt(one.unit or "pixels") for one in (self, other))
            raise ValueError(f"distances in {units} cannot be pooled; give all fields one unit")
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[1:]}
        return replace(self, **sums)

    @property
    def _seen(self) -> int:
        return self.true + self.predicted


@dataclass(frozen=True)
class Boundaries:
    """The outlines of a field, compared.

    Attributes
    ----------
    pairs : ndarray of int, shape (k,)
        Pairs that were measured, as ascending positions in the overlap's list of pairs.
    pixels : ndarray of float64, shape (3, k)
        Hausdorff distance, HD95 and mean distance of each pair in pixels.
    physical : ndarray of float64, shape (3, k), or None
        The same distances in the unit of the pixel size; None if that is not known.
    unit : str or None
        Name of the unit, such as "um"; None without a pixel size.
    near_true, true, near_predicted, predicted : int
        Outline pixels within 2 px of any outline of the other side, and all, matched or not.
    """

    pairs: Index
    pixels: Distances
    physical: Distances | None
    unit: str | None
    near_true: int
    true: int
    near_predicted: int
    predicted: int

    def of(self, matching: Matching) -> BoundaryCounts:
        """Sum up the matched pairs.

        Raises
        ------
        ValueError
            If a pair was not measured, because its IoU was too low.
        """
        at = np.searchsorted(self.pairs, matching.pairs)
        if not np.isin(matching.pairs, self.pairs).all():
            raise ValueError(
                f"outlines were not measured for pairs down to IoU {matching.threshold}; measure "
                "them with a lower least IoU"
            )
        physical = np.zeros((3, len(self.pairs))) if self.physical is None else self.physical
        sums = np.concatenate([self.pixels, physical])[:, at].sum(axis=1).tolist()
        outlines = [self.near_true, self.true, self.near_predicted, self.predicted]
        return BoundaryCounts(self.unit, matching.tp, *(sums + outlines))

    def in_micrometres(self, edge: float) -> Self:
        """Give the distances in micrometres, too, where pixels are squares of that edge."""
        return replace(self, physical=self.pixels * edge, unit="um")


@dataclass(frozen=True)
class _Outlines:
    """Outline pixels of one side, object by object: where, and where each object begins."""

    points: NDArray[np.float64]
    starts: Index

    def scaled(self, edges: NDArray[np.float64]) -> _Outlines:
        return _Outlines(self.points * edges, self.starts)


def measure_boundaries(
    truth: Labels,
    predicted: Labels,
    overlap: Overlap,
    *,
    spacing: Spacing | None = None,
    least: float = LEAST_IOU,
) -> Boundaries:
    """Compare the outlines of every pair of objects that could match.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes; 0 is background.
    overlap : Overlap
        The pixels that true and predicted objects share.
    spacing : Spacing, optional
        Edges of a pixel; without it distances are in pixels alone.
    least : float
        IoU below which a pair is not measured.

    Notes
    -----
    Of each pair, with outlines A and B and d(a, B) the distance of a pixel from the nearest of B:
    Hausdorff distance, the largest of all d(a, B) and d(b, A); HD95, the larger of the two sides'
    95th percentiles; mean distance, the mean of all d(a, B) and d(b, A) (also called average
    symmetric surface distance). Outlines and formulas are those of MetricsReloaded (Maier-Hein
    et al., Nature Methods 21, 2024).
    """
    true, found = _outline(truth, overlap.truth_ids), _outline(predicted, overlap.predicted_ids)
    pairs = np.flatnonzero(overlap.reaches(least))
    measured = _measure(true, found, overlap, pairs)
    physical = None
    if spacing is not None:
        edges = _edges(spacing, truth.ndim)
        is_square = bool((edges == edges[0]).all())
        one, other = true.scaled(edges), found.scaled(edges)
        physical = measured * edges[0] if is_square else _measure(one, other, overlap, pairs)
    return Boundaries(
        pairs,
        measured,
        physical,
        None if spacing is None else spacing.unit,
        _count_near(true, found, truth.shape),
        len(true.points),
        _count_near(found, true, truth.shape),
        len(found.points),
    )


def find_outlines(labels: Labels, *, at_border: bool = True) -> NDArray[np.bool_]:
    """Mark the pixels of objects that have a face on something else, or on the field's edge."""
    edge = np.zeros(labels.shape, dtype=np.bool_)
    for axis in range(labels.ndim):
        along, marked = np.moveaxis(labels, axis, 0), np.moveaxis(edge, axis, 0)
        differs = along[1:] != along[:-1]
        marked[1:] |= differs
        marked[:-1] |= differs
        if at_border:
            marked[:1] = marked[-1:] = True
    return edge & (labels > 0)


def _outline(labels: Labels, ids: NDArray[np.int64]) -> _Outlines:
    flat = np.flatnonzero(find_outlines(labels))
    owner = np.searchsorted(ids, labels.reshape(-1)[flat].astype(np.int64))
    order = np.argsort(owner, kind="stable")
    points = np.stack(np.unravel_index(flat[order], labels.shape), axis=1).astype(np.float64)
    return _Outlines(points, np.searchsorted(owner[order], np.arange(len(ids) + 1)))


def _measure(true: _Outlines, found: _Outlines, overlap: Overlap, pairs: Index) -> Distances:
    from scipy.spatial import KDTree  # not above, because opening a panel would wait for it

    distances = np.zeros((3, len(pairs)))
    # Objects of the same pixels have the same outline
    apart = np.flatnonzero(overlap.shared[pairs] < overlap.unions[pairs])
    if not len(apart):
        return distances
    one, a = _gather(true, overlap.truth_index[pairs[apart]])
    other, b = _gather(found, overlap.predicted_index[pairs[apart]])
    # As a further coordinate the number of the pair keeps all pairs apart in one search
    step = 2 * float(max(one.max(initial=1), other.max(initial=1))) * one.shape[1]
    one, other = np.column_stack([step * a, one]), np.column_stack([step * b, other])
    there, back = KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    (far, high, total, n), (far_b, high_b, total_b, n_b) = _by_pair(there, a), _by_pair(back, b)
    means = (total + total_b) / (n + n_b)
    distances[:, apart] = np.maximum(far, far_b), np.maximum(high, high_b), means
    return distances


def _gather(outlines: _Outlines, objects: Index) -> tuple[NDArray[np.float64], Index]:
    """Put the outlines of objects one after another, with the position of each one's object."""
    starts = outlines.starts[objects]
    sizes = outlines.starts[objects + 1] - starts
    owner = np.repeat(np.arange(len(objects)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return outlines.points[starts[owner] + within], owner


def _by_pair(distances: NDArray[np.float64], pair: Index) -> tuple[NDArray[Any], ...]:
    """Return largest, 95th percentile, sum and number of the distances of each pair."""
    ordered = distances[np.lexsort((distances, pair))]
    number = np.bincount(pair)
    first = np.cumsum(number) - number
    at = (number - 1) * _PERCENTILE / 100
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, number - 1)
    below, above = ordered[first + low], ordered[first + high]
    percentile = below + (at - low) * (above - below)
    return ordered[first + number - 1], percentile, np.add.reduceat(ordered, first), number


def _edges(spacing: Spacing, axes: int) -> NDArray[np.float64]:
    edges = np.asarray(spacing.edges, dtype=np.float64)
    if edges.shape != (axes,) or not (edges > 0).all():
        raise ValueError(
            f"pixel edges are {spacing.edges}; labels of {axes} axes need {axes} lengths above 0"
        )
    return edges


def _count_near(these: _Outlines, those: _Outlines, shape: tuple[int, ...]) -> int:
    """Count the pixels of some outlines that are within the tolerance of any of the others."""
    reach = int(TOLERANCE)
    square = np.indices((2 * reach + 1,) * len(shape)) - reach
    ball = np.argwhere((square**2).sum(axis=0) <= TOLERANCE**2)
    near = np.zeros([length + 2 * reach for length in shape], dtype=np.bool_)
    there = np.ravel_multi_index(tuple(those.points.T.astype(np.intp)), near.shape)
    for step in ball:  # outlines are few pixels, so a dilation of the whole field takes longer
        near.reshape(-1)[there + np.ravel_multi_index(tuple(step), near.shape)] = True
    here = tuple(these.points.T.astype(np.intp) + reach)
    return int(np.count_nonzero(near[here]))

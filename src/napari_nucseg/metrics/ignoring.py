"""Objects and regions that are left out of the counts: at the border, in a mask, or one by one.

Unlabelled ground and objects that nobody counts are treated as in the panoptic quality of
Kirillov et al. [1]_: an object that is left out is no error of either side, and so is a predicted
one that lies on it. Which objects these are does not depend on the threshold of a score.

References
----------
.. [1] Kirillov et al., Panoptic Segmentation, CVPR 2019, section 4 (void and group labels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels, pixels_within
from napari_nucseg.metrics.counts import AddableCounts, PixelCounts
from napari_nucseg.metrics.overlap import Overlap, find_overlap

SAME_OBJECT = 0.5
"""IoU from which on a predicted object is left out or kept with the true one, at any threshold."""
_CORNERS = 64
"""Corners of the polygon that an ellipse is taken for."""
Ids = NDArray[np.int64]
Polygon = tuple[tuple[float, float], ...]
"""Row and column of each corner in pixels; whole numbers are the centres of pixels."""


@dataclass(frozen=True)
class Regions:
    """Polygons inside which nothing is counted, in many fields of one size.

    Attributes
    ----------
    shape : tuple of int
        Height and width of a field in pixels.
    by_plane : mapping
        Number of a field to the polygons that lie in it.
    """

    shape: tuple[int, int] = (0, 0)
    by_plane: Mapping[int, tuple[Polygon, ...]] = field(default_factory=dict)

    def mask_of(self, plane: int) -> NDArray[np.bool_] | None:
        """Return the pixels that lie in any polygon of a field; None without any."""
        polygons = self.by_plane.get(plane, ())
        if not polygons:
            return None
        masks = [fill_polygon(one, self.shape) for one in polygons]
        return np.asarray(np.any(masks, axis=0))


def ellipse_in(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the ellipse that touches the sides of a rectangle.

    Parameters
    ----------
    corners : ndarray of float64, shape (4, axes)
        Corners of the rectangle, one beside the other.
    """
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    return np.asarray(corners.mean(axis=0) + along * np.cos(turn) + across * np.sin(turn))


def fill_polygon(polygon: Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which pixels have their centre inside a polygon.

    Parameters
    ----------
    polygon : sequence of (row, column)
        Its corners, also outside the field. Where it crosses itself, what is inside an even
        number of times is outside.
    shape : tuple of int
        Height and width of the field.

    Examples
    --------
    >>> fill_polygon(((-0.5, 0.5), (-0.5, 2.5), (1.5, 2.5), (1.5, 0.5)), (3, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    inside = np.zeros(shape, dtype=np.bool_)
    inside[pixels_within([np.array(polygon)[:, ::-1] + 0.5], shape)] = True
    return inside


@dataclass(frozen=True)
class Ignored:
    """What is not counted in a field.

    Attributes
    ----------
    border : bool
        Whether objects that touch the border are left out; see `touching_border`.
    region : ndarray of bool, of the labels' shape, or None
        Pixels where nothing is counted.
    truth, predicted : frozenset of int
        Labels of single true and predicted objects that are left out.
    """

    border: bool = False
    region: NDArray[np.bool_] | None = None
    truth: frozenset[int] = frozenset()
    predicted: frozenset[int] = frozenset()

    @property
    def is_nothing(self) -> bool:
        """Whether everything is counted."""
        return self.region is None and not (self.border or self.truth or self.predicted)


@dataclass(frozen=True)
class IgnoredCounts(AddableCounts):
    """Number of true and of predicted objects that were left out, and by the region alone."""

    true: int
    predicted: int
    true_in_region: int = 0
    predicted_in_region: int = 0


@dataclass(frozen=True)
class Counted:
    """What is counted in a field.

    Attributes
    ----------
    truth, predicted : ndarray of integers, of one shape
        The labels without the objects that are left out.
    pixels : PixelCounts
        Counts of the pixels that belong neither to the region nor to an object that is left out.
    ignored : IgnoredCounts
        How many objects are left out.
    """

    truth: Labels
    predicted: Labels
    pixels: PixelCounts
    ignored: IgnoredCounts


def leave_out(truth: Labels, predicted: Labels, ignore: Ignored) -> Counted:
    """Take what is not counted out of both sides.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes; 0 is background.
    ignore : Ignored
        What is not counted.

    Returns
    -------
    Counted
        True objects are left out that are named, touch the border, or lie in the region by more
        than half. Predicted objects are left out that are named, touch the border, lie by more
        than half in the region and on true objects that are left out, or have an IoU of at least
        1/2 with one of these; but, unless it is named, not one that has it with a true object
        that is counted.

    Raises
    ------
    ValueError
        If the labels or the region are not of one field, or there is no object of a label.

    Examples
    --------
    >>> truth, predicted = np.array([[1, 1, 0, 2, 0]]), np.array([[3, 3, 0, 4, 0]])
    >>> leave_out(truth, predicted, Ignored(border=True)).truth
    array([[0, 0, 0, 0, 0]])
    >>> kept = leave_out(truth, predicted, Ignored(truth=frozenset({1})))
    >>> kept.predicted, kept.ignored.true, kept.ignored.predicted
    (array([[0, 0, 0, 4, 0]]), 1, 1)
    """
    overlap = find_overlap(truth, predicted)
    region = _checked_region(ignore, truth)
    gone, lost = _left_out(truth, predicted, overlap, region, ignore)
    inside = _left_out(truth, predicted, overlap, region, Ignored()) if region.any() else ((), ())
    off_true, off = np.isin(truth, gone), np.isin(predicted, lost)
    counts = _count_pixels(truth > 0, predicted > 0, ~(region | off_true | off))
    return Counted(
        np.where(off_true, 0, truth).astype(truth.dtype),
        np.where(off, 0, predicted).astype(predicted.dtype),
        counts,
        IgnoredCounts(len(gone), len(lost), *map(len, inside)),
    )


def touching_border(labels: Labels) -> NDArray[np.int64]:
    """Return the labels of the objects that touch the border of the field, ascending.

    Parameters
    ----------
    labels : ndarray of integers, of two axes or more
        0 is background. Of a stack the border is that of its planes: an object in the first or
        the last plane alone does not touch it.

    Examples
    --------
    >>> touching_border(np.pad([[7, 7], [0, 9]], ((0, 1), (1, 1))))
    array([7])
    """
    sides = (labels[..., :1, :], labels[..., -1:, :], labels[..., :1], labels[..., -1:])
    found = np.unique(np.concatenate([side.reshape(-1) for side in sides])).astype(np.int64)
    return found[found > 0]


def without_border(labels: Labels) -> Labels:
    """Return the labels without the objects that touch the border; the others keep their numbers.

    Examples
    --------
    >>> without_border(np.array([[1, 0, 0], [0, 2, 0], [0, 0, 0]])).tolist()
    [[0, 0, 0], [0, 2, 0], [0, 0, 0]]
    """
    touching = touching_border(labels)
    return np.where(np.isin(labels, touching), 0, labels).astype(labels.dtype)


def _checked_region(ignore: Ignored, labels: Labels) -> NDArray[np.bool_]:
    region = ignore.region
    if region is None:
        return np.zeros(labels.shape, dtype=np.bool_)
    if region.shape != labels.shape or region.dtype != np.bool_:
        raise ValueError(
            f"the region to ignore holds {region.dtype} values of shape {region.shape}; give a "
            f"mask of true and false of the labels' shape, {labels.shape}"
        )
    return region


def _left_out(
    truth: Labels, predicted: Labels, overlap: Overlap, region: NDArray[np.bool_], ignore: Ignored
) -> tuple[Ids, Ids]:
    """Return the labels of the true and of the predicted objects that leave."""
    named = _named(ignore.truth, overlap.truth_ids, "true")
    parts = [named, _mostly_on(truth, overlap.truth_ids, overlap.truth_areas, region)]
    if ignore.border:
        parts.append(touching_border(truth))
    gone = np.unique(np.concatenate(parts))
    ground = region | np.isin(truth, gone)
    lost = _predicted_objects(predicted, overlap, ground, gone, border=ignore.border)
    named = _named(ignore.predicted, overlap.predicted_ids, "predicted")
    return gone, np.union1d(lost, named)


def _named(labels: frozenset[int], there: Ids, side: str) -> Ids:
    named = np.array(sorted(labels), dtype=np.int64)
    missing = named[~np.isin(named, there)]
    if len(missing):
        raise ValueError(
            f"there is no {side} nucleus {', '.join(map(str, missing.tolist()))} to ignore; give "
            f"labels of the {'ground truth' if side == 'true' else 'prediction'}"
        )
    return named


def _predicted_objects(
    predicted: Labels, overlap: Overlap, ground: NDArray[np.bool_], gone: Ids, *, border: bool
) -> Ids:
    same = overlap.reaches(SAME_OBJECT)
    left_out = np.isin(overlap.truth_ids[overlap.truth_index], gone)
    partners = overlap.predicted_ids[overlap.predicted_index]
    parts = [
        partners[same & left_out],
        _mostly_on(predicted, overlap.predicted_ids, overlap.predicted_areas, ground),
    ]
    if border:
        parts.append(touching_border(predicted))
    return np.setdiff1d(np.concatenate(parts), partners[same & ~left_out])


def _mostly_on(labels: Labels, ids: Ids, areas: Ids, ground: NDArray[np.bool_]) -> Ids:
    """Return the labels of the objects that have more than half of their pixels on some ground."""
    there, shared = np.unique(labels[ground & (labels > 0)], return_counts=True)
    whole = areas[np.searchsorted(ids, there.astype(np.int64))]
    return there[2 * shared > whole].astype(np.int64)


def _count_pixels(
    true: NDArray[np.bool_], found: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> PixelCounts:
    tp = int(np.count_nonzero(true & found & counted))
    fp = int(np.count_nonzero(~true & found & counted))
    fn = int(np.count_nonzero(true & ~found & counted))
    return PixelCounts(tp, fp, fn, int(np.count_nonzero(counted)) - tp - fp - fn)

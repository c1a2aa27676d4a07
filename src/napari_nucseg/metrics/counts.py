"""What is counted in a field: pixels, matched objects, areas, and the errors of BBBC039's paper.

A ratio of nothing is undefined: NaN here, null in files, "empty" on the screen. With objects on
one side alone it is 0.

Counts of fields are added to pool them; a ratio always follows from counts. AJI, AJI+ and SEG,
which need no IoU threshold, are kept as the sums that they are ratios of.

The errors are those of Caicedo et al., *Cytometry Part A* 95, 952-965, 2019. They differ from the
verdicts, which stand beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.matching import Matching, assign
from napari_nucseg.metrics.overlap import Index, Overlap

SIZE_CLASSES = {"tiny": 250, "small": 625, "normal": 900, "large": 10_000}
"""Name of a class and its largest area in pixels; larger nuclei are in none."""
TOUCHES, FOUND = 0.1, 0.7
"""IoU above which an object counts as a part, and above which a nucleus counts as found."""


class AddableCounts:
    """Base of dataclasses of counts that are added to pool fields."""

    def __add__(self, other: Self) -> Self:
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)  # type: ignore[arg-type]
        }
        return type(self)(**sums)


def ratio(part: float, whole: float, seen: float) -> float:
    """Divide part by whole: NaN if nothing was seen at all, 0 if only the whole is 0.

    Parameters
    ----------
    part, whole, seen : float
        Or arrays of one shape, where many draws of fields are pooled at once.
    """
    if isinstance(whole, np.ndarray):
        return _ratios(np.asarray(part, dtype=np.float64), whole, np.asarray(seen))
    if seen == 0:
        return math.nan
    return part / whole if whole else 0.0


def _ratios(part: NDArray[np.float64], whole: NDArray[Any], seen: NDArray[Any]) -> Any:
    result = np.where(seen == 0, math.nan, 0.0)
    return np.divide(part, whole, out=result, where=(whole != 0) & (seen != 0))


@dataclass(frozen=True)
class _Detections(AddableCounts):
    """What was found, too many and missed, be it pixels or objects."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return ratio(self.tp, self.tp + self.fp, self._seen)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return ratio(self.tp, self.tp + self.fn, self._seen)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, self._seen)

    @property
    def _seen(self) -> int:
        return self.tp + self.fp + self.fn


@dataclass(frozen=True)
class PixelCounts(_Detections):
    """Foreground pixels found, too many and missed, and background pixels left alone."""

    tn: int

    @property
    def dice(self) -> float:
        """The Dice coefficient, which is the F1 of the pixels."""
        return self.f1

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return ratio(self.tp, self._seen, self._seen)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / pixels: defined for a field without nuclei, too."""
        pixels = self._seen + self.tn
        return ratio(self.tp + self.tn, pixels, pixels)

    @classmethod
    def of(cls, overlap: Overlap) -> Self:
        """Count foreground against background."""
        tp = int(overlap.shared.sum())
        fp = int(overlap.predicted_areas.sum()) - tp
        fn = int(overlap.truth_areas.sum()) - tp
        return cls(tp, fp, fn, overlap.pixels - tp - fp - fn)


@dataclass(frozen=True)
class ObjectCounts(_Detections):
    """Objects matched, spurious and missed at one threshold, and the matched pairs' sum of IoU."""

    iou_sum: float

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN), the "average precision" of DSB2018, Cellpose and StarDist."""
        return ratio(self.tp, self._seen, self._seen)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs (Kirillov 2019, at 0.5)."""
        return ratio(self.iou_sum, self.tp, self._seen)

    @property
    def rq(self) -> float:
        """Recognition quality: another name of F1 (Kirillov 2019)."""
        return self.f1

    @property
    def pq(self) -> float:
        """Panoptic quality: SQ times RQ (Kirillov 2019)."""
        return self.sq * self.rq

    @classmethod
    def of(cls, matching: Matching) -> Self:
        """Count a matching."""
        return cls(matching.tp, matching.fp, matching.fn, float(matching.ious.sum()))


@dataclass(frozen=True)
class AreaCounts(AddableCounts):
    """Sums over the objects of a field.

    Attributes
    ----------
    aji_shared, aji_union : int
        Pixels above and below the fraction of AJI.
    aji_plus_shared, aji_plus_union : int
        The same sums for AJI+, whose pairs are one to one.
    seg_iou_sum : float
        Sum of the IoU of true objects that are more than half covered.
    true, predicted : int
        Number of true and of predicted objects.
    """

    aji_shared: int
    aji_union: int
    aji_plus_shared: int
    aji_plus_union: int
    seg_iou_sum: float
    true: int
    predicted: int

    @property
    def aji(self) -> float:
        """Aggregated Jaccard index (Kumar 2017)."""
        return ratio(self.aji_shared, self.aji_union, self._seen)

    @property
    def aji_plus(self) -> float:
        """Aggregated Jaccard index of one-to-one pairs (Graham 2019)."""
        return ratio(self.aji_plus_shared, self.aji_plus_union, self._seen)

    @property
    def seg(self) -> float:
        """SEG of the Cell Tracking Challenge."""
        return ratio(self.seg_iou_sum, self.true, self._seen)

    @property
    def count_error(self) -> int:
        """Predicted objects less true ones."""
        return self.predicted - self.true

    @property
    def _seen(self) -> int:
        return self.true + self.predicted

    @classmethod
    def of(cls, overlap: Overlap) -> Self:
        """Sum up a field."""
        hits = half_covered(overlap)
        return cls(
            *_jaccard(overlap, best_partners(overlap)),
            *_jaccard(overlap, best_pairs(overlap)),
            float(overlap.ious[hits].sum()),
            len(overlap.truth_ids),
            len(overlap.predicted_ids),
        )


@dataclass(frozen=True)
class CaicedoCounts(AddableCounts):
    """Errors of a field.

    Attributes
    ----------
    splits : int
        True objects with more than one predicted one at IoU > 0.1.
    merges : int
        Predicted objects with more than one true one at IoU > 0.1.
    missed_tiny, missed_small, missed_normal, missed_large : int
        True objects of up to 250, 625, 900 and 10,000 px without a predicted one at IoU > 0.7.
    true_tiny, true_small, true_normal, true_large : int
        All true objects of the class.
    """

    splits: int
    merges: int
    missed_tiny: int
    missed_small: int
    missed_normal: int
    missed_large: int
    true_tiny: int
    true_small: int
    true_normal: int
    true_large: int

    @classmethod
    def of(cls, overlap: Overlap) -> Self:
        """Count the errors of a field."""
        parts = overlap.reaches(TOUCHES, strict=True)
        found = np.zeros(len(overlap.truth_ids), dtype=np.bool_)
        found[overlap.truth_index[overlap.reaches(FOUND, strict=True)]] = True
        size = np.searchsorted(list(SIZE_CLASSES.values()), overlap.truth_areas)
        kinds = len(SIZE_CLASSES)
        return cls(
            int(np.count_nonzero(np.bincount(overlap.truth_index[parts]) > 1)),
            int(np.count_nonzero(np.bincount(overlap.predicted_index[parts]) > 1)),
            *np.bincount(size[~found], minlength=kinds)[:kinds].tolist(),
            *np.bincount(size, minlength=kinds)[:kinds].tolist(),
        )


def best_partners(overlap: Overlap) -> Index:
    """Pair each true object with the predicted one of the best IoU, which may be taken twice.

    Of equal IoUs the lower number is taken. Returns positions in the overlap's list of pairs.
    """
    order = np.lexsort((-overlap.ious, overlap.truth_index))
    owner = overlap.truth_index[order]
    first = np.ones(len(owner), dtype=np.bool_)
    first[1:] = owner[1:] != owner[:-1]
    return order[first]


def best_pairs(overlap: Overlap) -> Index:
    """Pair objects one to one so that the sum of their IoU is the largest.

    Returns positions in the overlap's list of pairs.
    """
    return assign(overlap.truth_index, overlap.predicted_index, overlap.ious)


def half_covered(overlap: Overlap) -> NDArray[np.bool_]:
    """Tell in which pairs the predicted object covers more than half of the true one."""
    areas = overlap.truth_areas[overlap.truth_index]
    return np.asarray(2 * overlap.shared > areas, dtype=np.bool_)


def _jaccard(overlap: Overlap, pairs: Index) -> tuple[int, int]:
    """Sum what pairs share and cover; objects without a pair add their area below."""
    lost = np.ones(len(overlap.truth_ids), dtype=np.bool_)
    lost[overlap.truth_index[pairs]] = False
    unused = np.ones(len(overlap.predicted_ids), dtype=np.bool_)
    unused[overlap.predicted_index[pairs]] = False
    alone = overlap.truth_areas[lost].sum() + overlap.predicted_areas[unused].sum()
    return int(overlap.shared[pairs].sum()), int(overlap.unions[pairs].sum() + alone)

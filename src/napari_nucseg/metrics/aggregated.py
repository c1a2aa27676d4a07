"""Scores of whole nuclei that need no IoU threshold: AJI, AJI+ and SEG.

All three follow from the overlap table. They are kept as the sums they are ratios of, so that
fields can be pooled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.counts import AddableCounts, ratio
from napari_nucseg.metrics.matching import assign
from napari_nucseg.metrics.overlap import Index, Overlap


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

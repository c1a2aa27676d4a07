"""Which predicted object is which true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.assigning import assign
from napari_nucseg.core.images import Labels
from napari_nucseg.core.overlap import Index, Overlap


@dataclass(frozen=True)
class Matching:
    """One-to-one pairs of true and predicted objects.

    Attributes
    ----------
    overlap : Overlap
        What was matched.
    threshold : float
        The least IoU of a pair.
    pairs : ndarray of intp, shape (p,)
        Positions of the matched pairs in the overlap's list of pairs.
    strict : bool
        Whether the IoU of a pair lies above the threshold, and not just at it.
    """

    overlap: Overlap
    threshold: float
    pairs: Index
    strict: bool = False

    @property
    def truth_index(self) -> Index:
        """Matched true objects, shape (p,)."""
        return self.overlap.truth_index[self.pairs]

    @property
    def predicted_index(self) -> Index:
        """The predicted objects they are matched with, shape (p,)."""
        return self.overlap.predicted_index[self.pairs]

    @property
    def ious(self) -> NDArray[np.float64]:
        """IoU of each matched pair, shape (p,)."""
        return self.overlap.ious[self.pairs]

    @property
    def tp(self) -> int:
        """Matched pairs."""
        return len(self.pairs)

    @property
    def fp(self) -> int:
        """Predicted objects without a partner."""
        return len(self.overlap.predicted_ids) - self.tp

    @property
    def fn(self) -> int:
        """True objects without a partner."""
        return len(self.overlap.truth_ids) - self.tp

    def updated(self, before: tuple[Labels, Labels], after: tuple[Labels, Labels]) -> Matching:
        """Return the matching after an edit, of which only the changed part is counted.

        Parameters
        ----------
        before, after : tuple of two ndarrays of integers
            True and predicted labels of the changed part, see `Overlap.updated`.
        """
        return match(self.overlap.updated(before, after), self.threshold, self.strict)


def match(overlap: Overlap, threshold: float = 0.5, strict: bool = False) -> Matching:
    """Pair objects one to one: the most pairs with IoU >= threshold, then the largest sum of IoU.

    Parameters
    ----------
    overlap : Overlap
        From `find_overlap`.
    threshold : float
        Least IoU of a pair, above 0 and at most 1.
    strict : bool
        Ask for IoU > threshold instead, as DSB2018 and Caicedo 2019 do.

    Notes
    -----
    Above 0.5 a pair is unique. At or below, objects that compete for a partner are assigned
    optimally. The counts are those of stardist's ``matching``; which of equally many pairs are
    chosen may differ below 0.5, where stardist lets pairs below the threshold decide.
    """
    check_threshold(threshold)
    hits = np.flatnonzero(overlap.reaches(threshold, strict))
    left, right = overlap.truth_index[hits], overlap.predicted_index[hits]
    if not (_all_differ(left) and _all_differ(right)):
        # More pairs always outweigh a larger IoU
        gain = 1 + overlap.ious[hits] / (2 * len(hits))
        hits = hits[assign(left, right, gain)]
    return Matching(overlap, threshold, hits, strict)


def check_threshold(threshold: float) -> None:
    """Refuse an IoU threshold that no pair or every pair would reach."""
    if not 0 < threshold <= 1:
        raise ValueError(f"the IoU threshold is {threshold}; it must be above 0 and at most 1")


def _all_differ(index: Index) -> bool:
    return int(np.bincount(index).max(initial=0)) <= 1

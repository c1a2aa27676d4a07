"""What is counted in a field: pixels, matched objects and verdicts.

Counts of fields are added to pool them; a ratio always follows from counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from napari_nucseg.core.matching import Matching
from napari_nucseg.core.overlap import Overlap
from napari_nucseg.core.ratios import Summed, ratio
from napari_nucseg.core.verdicts import Verdict, Verdicts

_TRUE_ERRORS = (Verdict.MISSED, Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)
_PREDICTED_ERRORS = (Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)


@dataclass(frozen=True)
class PixelCounts(Summed):
    """Foreground pixels found, too many and missed, and background pixels left alone.

    The Dice coefficient is also the F1 score of the pixels.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, self._seen)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return ratio(self.tp, self._seen, self._seen)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return ratio(self.tp, self.tp + self.fp, self._seen)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return ratio(self.tp, self.tp + self.fn, self._seen)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / pixels: defined for a field without nuclei, too."""
        pixels = self._seen + self.tn
        return ratio(self.tp + self.tn, pixels, pixels)

    @property
    def _seen(self) -> int:
        return self.tp + self.fp + self.fn

    @classmethod
    def of(cls, overlap: Overlap) -> Self:
        """Count foreground against background."""
        tp = int(overlap.shared.sum())
        fp = int(overlap.predicted_areas.sum()) - tp
        fn = int(overlap.truth_areas.sum()) - tp
        return cls(tp, fp, fn, overlap.pixels - tp - fp - fn)


@dataclass(frozen=True)
class ObjectCounts(Summed):
    """Objects matched, spurious and missed at one threshold, and the matched pairs' sum of IoU."""

    tp: int
    fp: int
    fn: int
    iou_sum: float

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

    @property
    def _seen(self) -> int:
        return self.tp + self.fp + self.fn

    @classmethod
    def of(cls, matching: Matching) -> Self:
        """Count a matching."""
        return cls(matching.tp, matching.fp, matching.fn, float(matching.ious.sum()))


@dataclass(frozen=True)
class VerdictCounts(Summed):
    """Objects of each verdict; ``matched`` counts the loose ones, too.

    The errors of the true side add up to FN, those of the predicted side to FP.
    """

    matched: int
    loose: int
    missed: int
    merged: int
    split: int
    off: int
    tangled: int
    spurious: int
    predicted_merged: int
    predicted_split: int
    predicted_off: int
    predicted_tangled: int

    @classmethod
    def of(cls, verdicts: Verdicts) -> Self:
        """Count the verdicts of a field."""
        true = np.bincount(verdicts.truth.codes, minlength=len(Verdict) + 1).tolist()
        found = np.bincount(verdicts.predicted.codes, minlength=len(Verdict) + 1).tolist()
        return cls(
            matched=true[Verdict.MATCHED] + true[Verdict.LOOSE],
            loose=true[Verdict.LOOSE],
            spurious=found[Verdict.SPURIOUS],
            **{verdict.word: true[verdict] for verdict in _TRUE_ERRORS},
            **{f"predicted_{verdict.word}": found[verdict] for verdict in _PREDICTED_ERRORS},
        )

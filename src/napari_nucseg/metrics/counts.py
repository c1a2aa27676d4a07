"""What is counted in a field: pixels, matched objects, verdicts, and the errors of BBBC039's paper.

A ratio of nothing is undefined: NaN here, null in files, "empty" on the screen. With objects on
one side alone it is 0.

Counts of fields are added to pool them; a ratio always follows from counts.

Caicedo et al., *Cytometry Part A* 95, 952-965, 2019. They differ from the verdicts, which stand
beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.matching import Matching
from napari_nucseg.metrics.overlap import Overlap
from napari_nucseg.metrics.verdicts import Verdict, Verdicts

_TRUE_ERRORS = (Verdict.MISSED, Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)
_PREDICTED_ERRORS = (Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)

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
    """Divide; NaN where nothing was seen at all, 0 where only this ratio has nothing below.

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
class VerdictCounts(AddableCounts):
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

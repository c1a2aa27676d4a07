"""Scores of a field, and of many: pooled, and as a mean of fields.

A field without any object on either side has no ratios: it is left out of means, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from napari_nucseg.core.counting import ObjectCounts, PixelCounts, VerdictCounts
from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import Matching, find_overlap, match
from napari_nucseg.core.verdicts import judge

AP_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""IoU thresholds of the mean AP: 0.50, 0.55 ... 0.95 (DSB2018)."""
PIXEL_RATIOS = ("dice", "iou", "precision", "recall", "accuracy")
OBJECT_RATIOS = ("precision", "recall", "f1", "ap", "mean_ap", "sq", "rq", "pq")


@dataclass(frozen=True)
class Score:
    """Everything counted in a field, or in several together.

    Attributes
    ----------
    threshold : float
        IoU threshold of ``objects`` and ``verdicts``.
    pixels : PixelCounts
        Foreground against background.
    objects : ObjectCounts
        At the threshold.
    by_threshold : tuple of ObjectCounts
        At each of `AP_THRESHOLDS`.
    verdicts : VerdictCounts
        At the threshold.
    """

    threshold: float
    pixels: PixelCounts
    objects: ObjectCounts
    by_threshold: tuple[ObjectCounts, ...]
    verdicts: VerdictCounts

    @property
    def mean_ap(self) -> float:
        """Mean of AP over `AP_THRESHOLDS`."""
        return math.fsum(counts.ap for counts in self.by_threshold) / len(self.by_threshold)

    def ratios(self) -> dict[str, dict[str, float]]:
        """Every ratio by name, under "pixels" and "objects"."""
        return {
            "pixels": {name: getattr(self.pixels, name) for name in PIXEL_RATIOS},
            "objects": {
                name: self.mean_ap if name == "mean_ap" else getattr(self.objects, name)
                for name in OBJECT_RATIOS
            },
        }

    def __add__(self, other: Score) -> Score:
        """Pool with another score: counts are added, ratios follow."""
        if self.threshold != other.threshold:
            raise ValueError(
                f"scores at IoU {self.threshold} and {other.threshold} cannot be pooled; score "
                "both at the same threshold"
            )
        return Score(
            self.threshold,
            self.pixels + other.pixels,
            self.objects + other.objects,
            tuple(map(add, self.by_threshold, other.by_threshold)),
            self.verdicts + other.verdicts,
        )


@dataclass(frozen=True)
class Spread:
    """A ratio over fields: mean, least and largest, and of how many fields."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Summary:
    """Several fields: their pooled score, and each ratio as a mean of fields.

    Attributes
    ----------
    pooled : Score
        Counts added over the fields, then divided.
    spread : mapping
        Group and name of a ratio to its `Spread`; undefined fields left out.
    empty : int
        Fields without an object on either side.
    """

    pooled: Score
    spread: Mapping[tuple[str, str], Spread]
    empty: int


def score(truth: Labels, predicted: Labels, threshold: float = 0.5) -> Score:
    """Score predicted labels against the truth.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images; 0 is background.
    threshold : float
        Least IoU of a match, above 0 and at most 1.
    """
    return score_matching(match(find_overlap(truth, predicted), threshold))


def score_matching(matching: Matching) -> Score:
    """Score objects that have been matched."""
    overlap = matching.overlap
    return Score(
        matching.threshold,
        PixelCounts.of(overlap),
        ObjectCounts.of(matching),
        tuple(ObjectCounts.of(match(overlap, threshold)) for threshold in AP_THRESHOLDS),
        VerdictCounts.of(judge(matching)),
    )


def summarise(scores: Sequence[Score]) -> Summary:
    """Pool the scores of fields and take each ratio's mean and range.

    Raises
    ------
    ValueError
        If there is no score, or their thresholds differ.
    """
    if not scores:
        raise ValueError("there is no field to summarise; score at least one")
    ratios = [field.ratios() for field in scores]
    spread = {
        (group, name): _spread([field[group][name] for field in ratios])
        for group, names in ratios[0].items()
        for name in names
    }
    empty = sum(math.isnan(field["objects"]["f1"]) for field in ratios)
    return Summary(reduce(add, scores), spread, empty)


def _spread(values: Sequence[float]) -> Spread:
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return Spread(math.nan, math.nan, math.nan, 0)
    return Spread(math.fsum(defined) / len(defined), min(defined), max(defined), len(defined))

"""Scores by IoU threshold and by field, as plots show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.counts import ObjectCounts, PixelCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Overlap
from napari_nucseg.metrics.presets import ScoreRule

CURVE_THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
"""IoU thresholds of the curves: 0.05, 0.10 ... 0.95."""


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

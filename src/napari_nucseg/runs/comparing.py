"""Truth and prediction compared once; scores and pictures at any threshold follow from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import Overlap, find_overlap, match
from napari_nucseg.core.scoring import Score, Summary, score_matching, summarise
from napari_nucseg.core.verdicts import draw_agreement, draw_verdicts, judge

Plane = Callable[[], Labels]
"""Reads the labels of one field."""


@dataclass(frozen=True)
class FieldPair:
    """Truth and prediction of one field, and what they share.

    Attributes
    ----------
    truth, predicted : callable
        Read the labels, shape (height, width).
    overlap : Overlap
        Of the two.
    """

    truth: Plane = field(repr=False)
    predicted: Plane = field(repr=False)
    overlap: Overlap = field(repr=False)

    def score(self, threshold: float) -> Score:
        """Score at an IoU threshold, without reading labels again."""
        return score_matching(match(self.overlap, threshold))

    def draw_verdicts(self, threshold: float) -> NDArray[np.uint8]:
        """Outline the objects in their verdicts, shape (height, width)."""
        verdicts = judge(match(self.overlap, threshold))
        return draw_verdicts(self.truth(), self.predicted(), verdicts)

    def draw_agreement(self) -> NDArray[np.uint8]:
        """Mark found, missed and wrong pixels, shape (height, width)."""
        return draw_agreement(self.truth(), self.predicted())


@dataclass(frozen=True)
class Comparison:
    """Fields that were compared, by their number in the stack."""

    pairs: dict[int, FieldPair]

    def summarise(self, threshold: float) -> Summary:
        """Pool and average the fields' scores at an IoU threshold."""
        return summarise([pair.score(threshold) for pair in self.pairs.values()])


def compare(truth: Plane, predicted: Plane) -> FieldPair:
    """Compare the labels of one field.

    Raises
    ------
    ValueError
        If their shapes differ or they are no labels.
    """
    return FieldPair(truth, predicted, find_overlap(truth(), predicted()))

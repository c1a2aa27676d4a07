"""Truth and prediction compared once; scores and pictures at any threshold follow from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.boundaries import Boundaries, measure_boundaries
from napari_nucseg.core.boundary_counts import Spacing
from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import match
from napari_nucseg.core.overlap import Overlap, find_overlap
from napari_nucseg.core.presets import STARDIST, Preset
from napari_nucseg.core.scoring import Score, score_matching
from napari_nucseg.core.summaries import Summary, summarise
from napari_nucseg.core.verdict_pictures import draw_agreement, draw_verdicts
from napari_nucseg.core.verdicts import judge

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
    boundaries : Boundaries or None
        Their outlines, compared; None if that is not done yet.
    """

    truth: Plane = field(repr=False)
    predicted: Plane = field(repr=False)
    overlap: Overlap = field(repr=False)
    boundaries: Boundaries | None = field(repr=False)

    def score(self, threshold: float, preset: Preset = STARDIST) -> Score:
        """Score at an IoU threshold of 0.05 or more, without reading labels again."""
        matching = match(self.overlap, threshold, preset.strict)
        return score_matching(matching, preset, self.boundaries)

    def draw_verdicts(self, threshold: float, preset: Preset = STARDIST) -> NDArray[np.uint8]:
        """Outline the objects in their verdicts, shape (height, width)."""
        verdicts = judge(match(self.overlap, threshold, preset.strict))
        return draw_verdicts(self.truth(), self.predicted(), verdicts)

    def draw_agreement(self) -> NDArray[np.uint8]:
        """Mark found, missed and wrong pixels, shape (height, width)."""
        return draw_agreement(self.truth(), self.predicted())


@dataclass(frozen=True)
class Comparison:
    """Fields that were compared, by their number in the stack."""

    pairs: dict[int, FieldPair]

    def summarise(self, threshold: float, preset: Preset = STARDIST) -> Summary:
        """Pool and average the fields' scores at an IoU threshold."""
        return summarise([pair.score(threshold, preset) for pair in self.pairs.values()])


def compare(truth: Plane, predicted: Plane, spacing: Spacing | None = None) -> FieldPair:
    """Compare the labels of one field.

    Parameters
    ----------
    truth, predicted : callable
        Read the labels, shape (height, width).
    spacing : Spacing, optional
        Edges of a pixel, for distances of outlines in real units.

    Raises
    ------
    ValueError
        If their shapes differ or they are no labels.
    """
    # Copies, because labels may be painted in meanwhile
    true, found = np.array(truth()), np.array(predicted())
    overlap = find_overlap(true, found)
    boundaries = measure_boundaries(true, found, overlap, spacing=spacing)
    return FieldPair(truth, predicted, overlap, boundaries)

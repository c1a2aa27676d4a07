"""Truth and prediction compared once; scores at any threshold follow from that."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_nucseg.core.boundaries import Boundaries, measure_boundaries
from napari_nucseg.core.boundary_counts import Spacing
from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import match
from napari_nucseg.core.overlap import Overlap, find_overlap
from napari_nucseg.core.presets import STARDIST, Preset
from napari_nucseg.core.scoring import Score, score_matching


@dataclass(frozen=True)
class FieldPair:
    """What truth and prediction of one field share.

    Attributes
    ----------
    overlap : Overlap
        Of the two.
    boundaries : Boundaries or None
        Their outlines, compared; None if that is not done yet.
    """

    overlap: Overlap = field(repr=False)
    boundaries: Boundaries | None = field(repr=False)

    def score(self, threshold: float, preset: Preset = STARDIST) -> Score:
        """Score at an IoU threshold of 0.05 or more, without reading labels again."""
        matching = match(self.overlap, threshold, preset.strict)
        return score_matching(matching, preset, self.boundaries)


def compare(truth: Labels, predicted: Labels, spacing: Spacing | None = None) -> FieldPair:
    """Compare the labels of one field.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        The labels.
    spacing : Spacing, optional
        Edges of a pixel, for distances of outlines in real units.

    Raises
    ------
    ValueError
        If their shapes differ or they are no labels.
    """
    overlap = find_overlap(truth, predicted)
    return FieldPair(overlap, measure_boundaries(truth, predicted, overlap, spacing=spacing))

"""The errors that the paper of BBBC039 counts: splits, merges, and missed nuclei by size.

Caicedo et al., *Cytometry Part A* 95, 952-965, 2019. They differ from the verdicts, which stand
beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from napari_nucseg.core.overlap import Overlap
from napari_nucseg.core.ratios import Summed

SIZE_CLASSES = {"tiny": 250, "small": 625, "normal": 900, "large": 10_000}
"""Name of a class and its largest area in pixels; larger nuclei are in none."""
TOUCHES, FOUND = 0.1, 0.7
"""IoU above which an object counts as a part, and above which a nucleus counts as found."""


@dataclass(frozen=True)
class CaicedoCounts(Summed):
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

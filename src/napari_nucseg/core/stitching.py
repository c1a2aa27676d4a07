"""Joining the labels of neighbouring planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.overlap import Overlap, find_overlap


def stitch_planes(planes: Labels, threshold: float) -> Labels:
    """Give objects of neighbouring planes that overlap enough one number.

    An object goes on in the object of the next plane that it shares the largest IoU with; where
    two of a plane go on in one, it takes the number of the one that it overlaps more.

    Parameters
    ----------
    planes : ndarray of integers, shape (planes, height, width)
        Labels of each plane by itself.
    threshold : float
        Least IoU.

    Returns
    -------
    ndarray of int32, shape (planes, height, width)
        The first plane keeps its numbers.

    Notes
    -----
    As ``cellpose.utils.stitch3D`` 4.2, but after an empty plane numbers are new, where that may
    give them out twice, and without its table of all pairs.
    """
    joined = np.zeros(planes.shape, dtype=np.int32)
    joined[:1] = planes[:1]
    highest = int(joined[:1].max(initial=0))
    for index in range(1, len(planes)):
        overlap = find_overlap(joined[index - 1], planes[index])
        numbers = _continue(overlap, threshold)
        new = numbers == 0
        numbers[new] = np.arange(highest + 1, highest + 1 + np.count_nonzero(new))
        highest += int(np.count_nonzero(new))
        table = np.zeros(int(planes[index].max(initial=0)) + 1, dtype=np.int32)
        table[overlap.predicted_ids] = numbers
        joined[index] = table[planes[index]]
    return joined


def _continue(overlap: Overlap, threshold: float) -> NDArray[np.int64]:
    """Return the number that each object of the later plane takes from the one before, or 0."""
    ious = np.where(overlap.reaches(threshold), overlap.ious, 0.0)
    best = np.zeros(len(overlap.truth_ids))
    np.maximum.at(best, overlap.truth_index, ious)
    going_on = np.flatnonzero((ious > 0) & (ious == best[overlap.truth_index]))
    order = going_on[np.lexsort((overlap.truth_index[going_on], -ious[going_on]))]
    later, first = np.unique(overlap.predicted_index[order], return_index=True)
    numbers = np.zeros(len(overlap.predicted_ids), dtype=np.int64)
    numbers[later] = overlap.truth_ids[overlap.truth_index[order[first]]]
    return numbers

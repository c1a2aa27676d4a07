"""Which predicted object is which true one.

Everything that is scored by object comes from one table, built once a field: how many pixels
each pair of a true and a predicted object shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels

Index = NDArray[np.intp]
_MAX_DIRECT_TABLE = 2**22


@dataclass(frozen=True)
class Overlap:
    """How many pixels the true and the predicted objects of a field share.

    Attributes
    ----------
    truth_ids, predicted_ids : ndarray of int64, shapes (n,) and (m,)
        The labels' own numbers, ascending.
    truth_areas, predicted_areas : ndarray of int64, shapes (n,) and (m,)
        Pixels of each object.
    truth_index, predicted_index : ndarray of intp, shape (k,)
        The pairs that share a pixel, as positions in the arrays above.
    shared : ndarray of int64, shape (k,)
        Pixels that each pair shares.
    pixels : int
        Pixels of the field.
    """

    truth_ids: NDArray[np.int64]
    predicted_ids: NDArray[np.int64]
    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    truth_index: Index
    predicted_index: Index
    shared: NDArray[np.int64]
    pixels: int

    @property
    def unions(self) -> NDArray[np.int64]:
        """Pixels that each pair covers together, shape (k,)."""
        areas = self.truth_areas[self.truth_index] + self.predicted_areas[self.predicted_index]
        return areas - self.shared

    @property
    def ious(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, shape (k,)."""
        return self.shared / self.unions

    def reaches(self, threshold: float) -> NDArray[np.bool_]:
        """Tell which pairs have IoU >= threshold, compared as whole numbers, so that 1/2 is 1/2."""
        exact = Fraction(threshold).limit_denominator(1_000_000)
        hits = self.shared * exact.denominator >= self.unions * exact.numerator
        return np.asarray(hits, dtype=np.bool_)


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
    """

    overlap: Overlap
    threshold: float
    pairs: Index

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


def find_overlap(truth: Labels, predicted: Labels) -> Overlap:
    """Count the pixels that each pair of objects shares.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images; 0 is background, numbers may have gaps and be of any size.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"the ground truth is {truth.shape} px and the prediction {predicted.shape} px; "
            "choose labels of the same field"
        )
    truth_ids, truth_index = _renumber(truth, "ground truth")
    predicted_ids, predicted_index = _renumber(predicted, "prediction")
    codes = truth_index * (len(predicted_ids) + 1) + predicted_index
    table, counts = _count(codes, (len(truth_ids) + 1) * (len(predicted_ids) + 1))
    rows, columns = np.divmod(table, len(predicted_ids) + 1)
    pair = (rows > 0) & (columns > 0)
    return Overlap(
        truth_ids=truth_ids,
        predicted_ids=predicted_ids,
        truth_areas=_sum_by(rows, counts, len(truth_ids)),
        predicted_areas=_sum_by(columns, counts, len(predicted_ids)),
        truth_index=rows[pair] - 1,
        predicted_index=columns[pair] - 1,
        shared=counts[pair],
        pixels=truth.size,
    )


def match(overlap: Overlap, threshold: float = 0.5) -> Matching:
    """Pair objects one to one: the most pairs with IoU >= threshold, then the largest sum of IoU.

    Parameters
    ----------
    overlap : Overlap
        From `find_overlap`.
    threshold : float
        Least IoU of a pair, above 0 and at most 1.

    Notes
    -----
    Above 0.5 a pair is unique. At or below, objects that compete for a partner are assigned
    optimally, each group of competitors by itself. The counts are those of stardist's
    ``matching``; which of equally many pairs are chosen may differ below 0.5, where stardist
    lets pairs below the threshold decide.
    """
    check_threshold(threshold)
    hits = np.flatnonzero(overlap.reaches(threshold))
    truth_index, predicted_index = overlap.truth_index[hits], overlap.predicted_index[hits]
    if _unique(truth_index) and _unique(predicted_index):
        return Matching(overlap, threshold, hits)
    groups = number_components(overlap, hits)[truth_index]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    chosen = [_assign(overlap, hits[group]) for group in np.split(order, starts)]
    return Matching(overlap, threshold, np.sort(np.concatenate(chosen)))


def check_threshold(threshold: float) -> None:
    """Refuse an IoU threshold that no pair or every pair would reach."""
    if not 0 < threshold <= 1:
        raise ValueError(f"the IoU threshold is {threshold}; it must be above 0 and at most 1")


def number_components(overlap: Overlap, edges: NDArray[Any]) -> Index:
    """Find what hangs together when some pairs are edges of a graph of the objects.

    Parameters
    ----------
    overlap : Overlap
        Pairs of objects that share pixels.
    edges : ndarray of int or bool
        Which of the pairs are edges.

    Returns
    -------
    ndarray of int, shape (true objects + predicted objects,)
        Component of each true object, then of each predicted one.
    """
    # Not above, because opening a panel would wait for this import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, size = len(overlap.truth_ids), len(overlap.truth_ids) + len(overlap.predicted_ids)
    ends = (overlap.truth_index[edges], overlap.predicted_index[edges] + n)
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _renumber(labels: Labels, what: str) -> tuple[NDArray[np.int64], Index]:
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"the {what} holds {labels.dtype} values; labels are whole numbers from 0")
    flat = labels.ravel()
    largest = int(flat.max(initial=0))
    if int(flat.min(initial=0)) < 0:
        raise ValueError(f"the {what} holds negative labels; labels are whole numbers from 0")
    if largest <= max(4 * flat.size, 2**16):
        present = np.bincount(flat, minlength=1) > 0
        present[0] = False
        ids = np.flatnonzero(present)
        lookup = np.zeros(len(present), dtype=np.intp)
        lookup[ids] = np.arange(1, len(ids) + 1)
        return ids.astype(np.int64), lookup[flat]
    values, index = np.unique(flat, return_inverse=True)
    if values[0] == 0:
        return values[1:].astype(np.int64), index.astype(np.intp)
    return values.astype(np.int64), index.astype(np.intp) + 1


def _count(codes: Index, size: int) -> tuple[Index, NDArray[np.int64]]:
    if size <= _MAX_DIRECT_TABLE:
        counts = np.bincount(codes, minlength=1)
        found = np.flatnonzero(counts)
        return found, counts[found]
    found, counts = np.unique(codes, return_counts=True)
    return found, counts.astype(np.int64)


def _sum_by(index: Index, counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    sums = np.zeros(size + 1, dtype=np.int64)
    np.add.at(sums, index, counts)
    return sums[1:]


def _unique(values: NDArray[Any]) -> bool:
    return len(np.unique(values)) == len(values)


def _assign(overlap: Overlap, hits: Index) -> Index:
    """Choose among competing pairs; more pairs always outweigh a larger IoU."""
    if len(hits) == 1:
        return hits
    rows, row = np.unique(overlap.truth_index[hits], return_inverse=True)
    columns, column = np.unique(overlap.predicted_index[hits], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = 1 + overlap.ious[hits] / (2 * min(gain.shape))
    from scipy.optimize import linear_sum_assignment  # as in number_components

    position = np.full(gain.shape, -1, dtype=np.intp)
    position[row, column] = hits
    chosen: Index = position[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= 0]

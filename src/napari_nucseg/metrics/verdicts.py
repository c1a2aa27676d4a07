"""What is wrong with each object: one verdict for every true and every predicted object.

The verdicts explain the score, so they start from its matching. A graph joins a true and a
predicted object that share more than half of the smaller of the two; the connected component
tells what kind of error an unmatched object is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.counts import AddableCounts
from napari_nucseg.metrics.matching import Matching
from napari_nucseg.metrics.overlap import Index, Overlap

LOOSE_BELOW = 0.7
"""IoU below which a matched pair is called loose."""


class Verdict(IntEnum):
    """What became of an object; the values are those of the label images that show them."""

    MATCHED = 1
    LOOSE = 2
    MISSED = 3
    MERGED = 4
    SPLIT = 5
    OFF = 6
    TANGLED = 7
    SPURIOUS = 8

    @property
    def word(self) -> str:
        """The verdict as it stands on the screen."""
        return self.name.lower()

    @property
    def is_match(self) -> bool:
        """Whether the object has a partner at the threshold."""
        return self in (Verdict.MATCHED, Verdict.LOOSE)


class Agreement(IntEnum):
    """What became of a pixel that is foreground on either side."""

    TRUE_POSITIVE = 1
    FALSE_NEGATIVE = 2
    FALSE_POSITIVE = 3


@dataclass(frozen=True)
class ObjectVerdicts:
    """The verdicts of one side's objects, in the order of their numbers.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Labels of the objects in their layer, ascending.
    codes : ndarray of uint8, shape (n,)
        Verdict on each object, a `Verdict`.
    ious : ndarray of float64, shape (n,)
        IoU with the partner; of an unmatched object, the best with any object; 0 without one.
    partners : tuple of tuple of int
        Numbers of the objects on the other side that explain the verdict.
    beside : ndarray of bool, shape (n,)
        Matched, but touched by another object's split or merge.
    """

    ids: NDArray[np.int64]
    codes: NDArray[np.uint8]
    ious: NDArray[np.float64]
    partners: tuple[tuple[int, ...], ...]
    beside: NDArray[np.bool_]

    def count(self, verdict: Verdict) -> int:
        """Objects with a verdict; the loose ones are not among the matched here."""
        return int(np.count_nonzero(self.codes == verdict))


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of a field, true and predicted side."""

    truth: ObjectVerdicts
    predicted: ObjectVerdicts


_TRUE_ERRORS = (Verdict.MISSED, Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)
_PREDICTED_ERRORS = (Verdict.OFF, Verdict.MERGED, Verdict.SPLIT, Verdict.TANGLED)


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
    def of(cls, matching: Matching) -> Self:
        """Count the verdicts of a field."""
        codes, n = examine(matching).codes, len(matching.overlap.truth_ids)
        true = np.bincount(codes[:n], minlength=len(Verdict) + 1).tolist()
        found = np.bincount(codes[n:], minlength=len(Verdict) + 1).tolist()
        return cls(
            matched=true[Verdict.MATCHED] + true[Verdict.LOOSE],
            loose=true[Verdict.LOOSE],
            spurious=found[Verdict.SPURIOUS],
            **{verdict.word: true[verdict] for verdict in _TRUE_ERRORS},
            **{f"predicted_{verdict.word}": found[verdict] for verdict in _PREDICTED_ERRORS},
        )


def classify(matching: Matching) -> Verdicts:
    """Give every object its verdict.

    Returns
    -------
    Verdicts
        True objects are matched, loose, missed, merged, split, off or tangled; predicted ones
        spurious instead of missed. Matched and loose together are the TP, the others of the
        true side the FN, of the predicted side the FP.
    """
    overlap, found = matching.overlap, examine(matching)
    n, m = len(overlap.truth_ids), len(overlap.predicted_ids)
    true_numbers = overlap.truth_ids[overlap.truth_index]
    predicted_numbers = overlap.predicted_ids[overlap.predicted_index]
    return Verdicts(
        ObjectVerdicts(
            overlap.truth_ids,
            found.codes[:n],
            found.ious[:n],
            _partners(found.pairs, overlap.truth_index, n, predicted_numbers),
            found.beside[:n],
        ),
        ObjectVerdicts(
            overlap.predicted_ids,
            found.codes[n:],
            found.ious[n:],
            _partners(found.pairs, overlap.predicted_index, m, true_numbers),
            found.beside[n:],
        ),
    )


@dataclass(frozen=True)
class Findings:
    """The verdicts of both sides as arrays, true objects first: all that is needed for many.

    Attributes
    ----------
    codes : ndarray of uint8, shape (n + m,)
        Verdict on each object, a `Verdict`, the true ones first.
    ious : ndarray of float64, shape (n + m,)
        IoU of each object, as in `ObjectVerdicts`.
    beside : ndarray of bool, shape (n + m,)
        Whether each object is matched, but touched by another object's split or merge, as in
        `ObjectVerdicts`.
    pairs : ndarray of intp
        Pairs of partners, as positions in the overlap's list of pairs; matches stand first.
    """

    codes: NDArray[np.uint8]
    ious: NDArray[np.float64]
    beside: NDArray[np.bool_]
    pairs: Index


def examine(matching: Matching) -> Findings:
    """Give every object its verdict, without gathering its partners; see `classify`."""
    overlap = matching.overlap
    edges = _is_edge(overlap)
    codes, beside = _codes(matching, _components(overlap, edges))
    joined = edges.copy()
    joined[matching.pairs] = False
    pairs = np.concatenate([matching.pairs, np.flatnonzero(joined)])
    ious = (
        _object_ious(matching, overlap.truth_index, len(overlap.truth_ids)),
        _object_ious(matching, overlap.predicted_index, len(overlap.predicted_ids)),
    )
    return Findings(codes, np.concatenate(ious), beside, pairs)


def _is_edge(overlap: Overlap) -> NDArray[np.bool_]:
    smaller = np.minimum(
        overlap.truth_areas[overlap.truth_index], overlap.predicted_areas[overlap.predicted_index]
    )
    return np.asarray(2 * overlap.shared > smaller, dtype=np.bool_)


def _components(overlap: Overlap, edges: NDArray[np.bool_]) -> Index:
    """Find the connected component of each true object, then of each predicted one."""
    # Not above, because opening a panel would wait for this import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, size = len(overlap.truth_ids), len(overlap.truth_ids) + len(overlap.predicted_ids)
    ends = (overlap.truth_index[edges], overlap.predicted_index[edges] + n)
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _codes(matching: Matching, component: Index) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Verdict of every object, true ones first, and which matches are beside an error."""
    n = len(matching.overlap.truth_ids)
    true_members = np.bincount(component[:n], minlength=len(component))
    predicted_members = np.bincount(component[n:], minlength=len(component))
    codes = _kinds(true_members, predicted_members)[component]
    matches = np.where(matching.ious < LOOSE_BELOW, Verdict.LOOSE, Verdict.MATCHED)
    codes[matching.truth_index] = codes[n + matching.predicted_index] = matches
    crowded = (true_members + predicted_members > 2)[component]
    return codes, crowded & (codes <= Verdict.LOOSE)


def _kinds(true_members: Index, predicted_members: Index) -> NDArray[np.uint8]:
    kinds = np.full(len(true_members), Verdict.TANGLED, dtype=np.uint8)
    kinds[predicted_members == 0] = Verdict.MISSED
    kinds[true_members == 0] = Verdict.SPURIOUS
    kinds[(true_members == 1) & (predicted_members == 1)] = Verdict.OFF
    kinds[(true_members > 1) & (predicted_members == 1)] = Verdict.MERGED
    kinds[(true_members == 1) & (predicted_members > 1)] = Verdict.SPLIT
    return kinds


def _object_ious(matching: Matching, index: Index, size: int) -> NDArray[np.float64]:
    ious = np.zeros(size)
    np.maximum.at(ious, index, matching.overlap.ious)
    ious[index[matching.pairs]] = matching.ious
    return ious


def _partners(
    pairs: Index, mine: Index, size: int, others: NDArray[np.int64]
) -> tuple[tuple[int, ...], ...]:
    """Numbers of each object's partners, in the order of the pairs."""
    partners: list[list[int]] = [[] for _ in range(size)]
    for one, other in zip(mine[pairs].tolist(), others[pairs].tolist(), strict=True):
        partners[one].append(other)
    return tuple(map(tuple, partners))

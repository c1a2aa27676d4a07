"""One-to-one pairs of the largest total gain, in memory that grows with the pairs alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.overlap import Index

_ROUNDS = 3
"""Rounds of settling clear cases; what is left after them is mostly a true competition."""


def assign(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    """Choose pairs so that no object has two partners and the sum of gains is the largest.

    Parameters
    ----------
    left, right : ndarray of int, shape (k,)
        The two objects of each pair; no pair stands twice.
    gain : ndarray of float64, shape (k,)
        What choosing a pair adds, above 0.

    Returns
    -------
    ndarray of int
        Positions of the chosen pairs, ascending.
    """
    chosen: list[NDArray[Any]] = []
    open_pairs: Index = np.arange(len(gain))
    for _ in range(_ROUNDS):
        if not len(open_pairs):
            break
        a, b, g = left[open_pairs], right[open_pairs], gain[open_pairs]
        clear = _clear(a, b, g)
        chosen.append(open_pairs[clear])
        open_pairs = open_pairs[~(_among(a, a[clear]) | _among(b, b[clear]))]
    if len(open_pairs):
        best = _solve(left[open_pairs], right[open_pairs], gain[open_pairs])
        chosen.append(open_pairs[best])
    return np.sort(np.concatenate(chosen)) if chosen else open_pairs


def _among(objects: Index, taken: Index) -> NDArray[np.bool_]:
    """Tell which objects are among those taken."""
    marks = np.zeros(int(objects.max()) + 1, dtype=np.bool_)
    marks[taken] = True
    return marks[objects]


def _clear(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    """Find pairs that gain no less than what both objects could have with others."""
    clear = np.flatnonzero(gain >= _best_other(left, gain) + _best_other(right, gain))
    clear = clear[np.unique(left[clear], return_index=True)[1]]  # of equals the first
    return clear[np.unique(right[clear], return_index=True)[1]]


def _best_other(owner: Index, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each pair the largest gain of its owner's other pairs; 0 without any."""
    order = np.lexsort((gain, owner))
    owners, gains = owner[order], gain[order]
    ends = np.ones(len(order), dtype=np.bool_)
    ends[:-1] = owners[1:] != owners[:-1]
    best = np.flatnonzero(ends)
    # Sorted by gain, the best of an owner comes last; before it the second best, if any
    second = np.zeros(len(best))
    several = owners[best - 1] == owners[best]
    several &= best > 0
    second[several] = gains[best[several] - 1]
    others = gains[best][np.cumsum(ends) - ends]
    others[best] = second
    result = np.empty_like(gain)
    result[order] = others
    return result


def _solve(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    # Not above, because opening a panel would wait for this import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(left, return_inverse=True)
    columns, column = np.unique(right, return_inverse=True)
    # Every left object may stay alone, with a column of its own, at no gain; the solver needs
    # weights that are not 0, hence the 1 for all.
    alone = np.arange(len(rows))
    weights = np.concatenate([1 + gain, np.ones(len(rows))])
    ends = (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))
    graph = coo_array((weights, ends), shape=(len(rows), len(columns) + len(rows))).tocsr()
    matched = np.full(len(rows), -1)
    one, other = min_weight_full_bipartite_matching(graph, maximize=True)
    matched[one] = other
    return np.flatnonzero(matched[row] == column)

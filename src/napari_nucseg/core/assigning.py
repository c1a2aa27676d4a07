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
        free = ~np.isin(a, a[clear])
        free &= ~np.isin(b, b[clear])
        open_pairs = open_pairs[free]
    if len(open_pairs):
        best = _solve(left[open_pairs], right[open_pairs], gain[open_pairs])
        chosen.append(open_pairs[best])
    return np.sort(np.concatenate(chosen)) if chosen else open_pairs


def _clear(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    """Find pairs that gain no less than what both objects could have with others."""
    clear = np.flatnonzero(gain >= _best_other(left, gain) + _best_other(right, gain))
    clear = clear[np.unique(left[clear], return_index=True)[1]]  # of equals the first
    return clear[np.unique(right[clear], return_index=True)[1]]


def _best_other(owner: Index, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each pair the largest gain of its owner's other pairs; 0 without any."""
    order = np.lexsort((gain, owner))
    ends = np.append(owner[order][1:] != owner[order][:-1], True)
    best = np.flatnonzero(ends)
    number = np.cumsum(ends) - ends
    second = np.zeros(len(best))
    several = np.diff(best, prepend=-1) > 1
    second[several] = gain[order][best[several] - 1]
    others = gain[order][best][number]
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

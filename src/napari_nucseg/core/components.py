"""Which objects hang together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.overlap import Index, Overlap


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

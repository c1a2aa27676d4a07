"""Few colours for many objects, so that touching ones differ: how the masks of BBBC039 are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels

WANTED_COLOURS = 3
"""Colours besides the background in the published masks."""
_STRATEGIES = (("DSATUR", False), ("smallest_last", True), ("largest_first", True))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def colour(labels: Labels) -> NDArray[np.uint8]:
    """Give objects that touch, corners included, different small values.

    Three values are enough for most fields and four for nearly all; where objects surround one
    another more are used, and the mask can be decoded all the same.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        0 is background; the 8-connected regions of equal value are the objects.

    Raises
    ------
    ValueError
        If an object is in several pieces, which would be decoded as several objects.
    """
    from networkx import Graph, greedy_color

    ids, indices = np.unique(labels, return_inverse=True)
    require_whole(labels)
    graph = Graph()
    graph.add_nodes_from(ids[ids != 0].tolist())
    graph.add_edges_from(touching(labels).tolist())
    colours: dict[int, int] = {}
    for strategy, interchange in _STRATEGIES:
        found = greedy_color(graph, strategy, interchange=interchange)
        if not colours or max(found.values()) < max(colours.values()):
            colours = found
        if max(colours.values(), default=0) < WANTED_COLOURS:
            break
    values = [0 if label == 0 else colours[label] + 1 for label in ids.tolist()]
    return np.asarray(values, dtype=np.uint8)[indices].reshape(labels.shape)


def touching(labels: Labels) -> NDArray[np.integer]:
    """Find the pairs of objects that are neighbours, corners included.

    Returns
    -------
    ndarray, shape (pairs, 2)
        Labels, the smaller first.
    """
    height, width = labels.shape
    found = []
    for down, right in _NEIGHBOURS:
        one = labels[: height - down, max(0, -right) : width - max(0, right)]
        other = labels[down:, max(0, right) : width - max(0, -right)]
        differ = (one != other) & (one != 0) & (other != 0)
        found.append(np.stack([one[differ], other[differ]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def require_whole(labels: Labels) -> None:
    """Refuse labels that no colouring keeps apart.

    Raises
    ------
    ValueError
        If an object is in several pieces, which would be decoded as several objects.
    """
    from skimage.measure import label

    pieces = label(labels, connectivity=2)
    first = np.unique(pieces, return_index=True)[1]
    owners, counts = np.unique(labels.ravel()[first], return_counts=True)
    torn = owners[(counts > 1) & (owners != 0)]
    if torn.size:
        raise ValueError(
            f"{torn.size} objects are in several pieces, the first is {torn[0]}; a mask would "
            "make each piece an object: erase or relabel the pieces, or save a TIFF"
        )

"""Masks as BBBC039 publishes them: nuclei that touch have different colours.

`napari_nucseg.io.label_rules.decode_colouring` is the way back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole

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
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
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
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
    """
    from skimage.measure import label

    if labels.min(initial=0) < 0:
        raise ValueError(
            f"label {labels.min()} is negative; give these pixels 0 if they are background, or a "
            "number of their own"
        )
    pieces = label(labels, connectivity=2)
    first = np.unique(pieces, return_index=True)[1]
    owners, counts = np.unique(labels.ravel()[first], return_counts=True)
    torn = owners[(counts > 1) & (owners != 0)]
    if torn.size:
        raise ValueError(
            f"{torn.size} objects are in several pieces, the first is {torn[0]}; a mask would "
            "make each piece an object: erase or relabel the pieces, or save a TIFF"
        )


def write_mask(path: Path, labels: Labels) -> None:
    """Write labels as the masks of BBBC039 are: a colouring in the red of an RGBA PNG.

    `napari_nucseg.io.images.read_labels` gives back the same objects, numbered by place.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (height, width)
        0 is background; every object in one piece.

    Raises
    ------
    ValueError
        If an object is in several pieces.
    """
    rgba = np.zeros((*labels.shape, 4), dtype=np.uint8)
    rgba[..., 0] = colour(labels)
    rgba[..., 3] = 255
    write_whole(path, lambda file: Image.fromarray(rgba).save(file, format="PNG"))

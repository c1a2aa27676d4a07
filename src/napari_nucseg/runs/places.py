"""Where objects are: their centres and the boxes around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.overlap import Index


@dataclass(frozen=True)
class Places:
    """Where the objects of a label image are, in the order of their numbers.

    Attributes
    ----------
    y, x : ndarray of float64, shape (n,)
        Centroids in pixels, from the middle of the first pixel.
    boxes : ndarray of intp, shape (n, 4)
        First row, first column, and row and column after the last.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    boxes: Index


def find_places(labels: Labels, ids: NDArray[np.int64]) -> Places:
    """Find all objects in one pass.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background.
    ids : ndarray of int64, shape (n,)
        All labels there are, ascending.
    """
    flat = np.flatnonzero(labels)
    owner: Index = np.searchsorted(ids, labels.reshape(-1)[flat].astype(np.int64))
    y, x = np.divmod(flat, labels.shape[-1])
    areas = np.bincount(owner, minlength=len(ids))
    boxes = np.zeros((len(ids), 4), dtype=np.intp)
    boxes[:, :2] = max(labels.shape, default=0)
    for column, place in enumerate((y, x)):
        np.minimum.at(boxes[:, column], owner, place)
        np.maximum.at(boxes[:, column + 2], owner, place + 1)
    return Places(
        np.bincount(owner, weights=y, minlength=len(ids)) / areas,
        np.bincount(owner, weights=x, minlength=len(ids)) / areas,
        boxes,
    )

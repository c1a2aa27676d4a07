"""Where the objects of a label image are, and where they are after an edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels, Window
from napari_nucseg.metrics.overlap import Index, Overlap

MAX_LISTED = 2_000_000
"""Objects of a field, of both sides together, that are listed: a table of more fills the memory."""


@dataclass(frozen=True)
class ObjectGeometry:
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


def refuse_many(overlap: Overlap) -> None:
    """Refuse to list the objects of a field where they are far more than there can be nuclei.

    Raises
    ------
    ValueError
        If there are more than `MAX_LISTED`.
    """
    true, predicted = len(overlap.truth_ids), len(overlap.predicted_ids)
    if true + predicted > MAX_LISTED:
        raise ValueError(
            f"{true:,} true and {predicted:,} predicted objects are too many for a table, which "
            f"holds {MAX_LISTED:,} of a field; crop the field if these are nuclei, or score the "
            "two files by the command napari-nucseg score, which lists none"
        )


def find_geometry(
    labels: Labels, ids: NDArray[np.int64], origin: tuple[int, int] = (0, 0)
) -> ObjectGeometry:
    """Find all objects in one pass.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        Labels of one field; 0 is background.
    ids : ndarray of int64, shape (n,)
        All labels there are, ascending.
    origin : tuple of int
        Row and column of the first pixel.
    """
    flat = np.flatnonzero(labels)
    owner: Index = np.searchsorted(ids, labels.reshape(-1)[flat].astype(np.int64))
    y, x = np.divmod(flat, labels.shape[-1])
    y, x = y + origin[0], x + origin[1]
    areas = np.bincount(owner, minlength=len(ids))
    boxes = np.zeros((len(ids), 4), dtype=np.intp)
    boxes[:, :2] = np.iinfo(np.intp).max
    for column, place in enumerate((y, x)):
        np.minimum.at(boxes[:, column], owner, place)
        np.maximum.at(boxes[:, column + 2], owner, place + 1)
    return ObjectGeometry(
        np.bincount(owner, weights=y, minlength=len(ids)) / areas,
        np.bincount(owner, weights=x, minlength=len(ids)) / areas,
        boxes,
    )


def move_geometry(
    places: ObjectGeometry,
    old_ids: NDArray[np.int64],
    ids: NDArray[np.int64],
    box: Window,
    before: Labels,
    labels: Labels,
) -> ObjectGeometry:
    """Find the objects after an edit, looking at those alone that it touched.

    Parameters
    ----------
    places : ObjectGeometry
        Before the edit, in the order of ``old_ids``.
    old_ids, ids : ndarray of int64, shape (n,) and (m,)
        All labels before and after it, ascending.
    box : tuple of slice
        Rows and columns that hold all pixels that changed.
    before : ndarray of integers
        Labels in the box as they were.
    labels : ndarray of integers, shape (height, width)
        All labels as they are.
    """
    touched = np.union1d(before, labels[box]).astype(np.int64)
    old = np.isin(old_ids, touched)
    edges = np.array([[part.start for part in box], [part.stop for part in box]]).reshape(1, 4)
    reach = np.concatenate([places.boxes[old], edges])
    top, left = reach[:, :2].min(axis=0).tolist()
    bottom, right = reach[:, 2:].max(axis=0).tolist()
    part = labels[top:bottom, left:right]
    new = np.isin(ids, touched)
    inside = np.where(np.isin(part, ids[new]), part, 0)
    found = find_geometry(inside, ids[new], (top, left))
    kept = [(a[~old], b) for a, b in zip(_columns(places), _columns(found), strict=True)]
    y, x, boxes = (_merge(new, stay, come) for stay, come in kept)
    return ObjectGeometry(y, x, boxes)


def _columns(places: ObjectGeometry) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return places.y, places.x, places.boxes


def _merge(new: NDArray[np.bool_], stay: NDArray[Any], come: NDArray[Any]) -> NDArray[Any]:
    """Put rows where they belong; both parts are in ascending order of their labels."""
    merged = np.empty((len(new), *stay.shape[1:]), dtype=stay.dtype)
    merged[~new], merged[new] = stay, come
    return merged

"""The pixels of objects: where they lie, how bright they and the rings around are, and hulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels, Window
from napari_nucseg.metrics.overlap import Index, Overlap

MAX_LISTED = 2_000_000
"""Objects of a field, of both sides together, that are listed: a table of more fills the memory."""
GAP, WIDTH = 2, 3
"""Pixels between a nucleus and its ring, where its light may be, and pixels across the ring."""
_NOWHERE = -(2**40)
"""Stands for no column; twice as far out it still does."""
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Owned:
    """Pixels that belong to nuclei, and to which.

    Attributes
    ----------
    mask : ndarray of bool
        Where the pixels are.
    owner : ndarray of int, shape (pixels,)
        Position of each one's nucleus among the labels in ascending order.
    count : ndarray of int, shape (nuclei,)
        Pixels of each nucleus.
    """

    mask: NDArray[np.bool_]
    owner: Index
    count: Index

    @classmethod
    def by(cls, labels: Labels, ids: NDArray[np.integer]) -> Self:
        """Take the pixels of an array of labels whose numbers are all among these."""
        mask = labels > 0
        owner = np.searchsorted(ids, labels[mask])
        return cls(mask, owner, np.bincount(owner, minlength=len(ids)))

    def total(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add up what the pixels of each nucleus have, shape (pixels,)."""
        totals = np.bincount(self.owner, values, minlength=len(self.count))
        return np.asarray(totals, dtype=np.float64)  # those of nothing are integers

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of what the pixels of each nucleus have; NaN where it has none."""
        nothing = np.full(len(self.count), np.nan)
        np.divide(self.total(values), self.count, out=nothing, where=self.count > 0)
        return nothing


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
    owned = Owned.by(labels, ids)
    y, x = (place + first for place, first in zip(np.nonzero(owned.mask), origin, strict=True))
    boxes = np.zeros((len(ids), 4), dtype=np.intp)
    boxes[:, :2] = np.iinfo(np.intp).max
    for column, place in enumerate((y, x)):
        np.minimum.at(boxes[:, column], owned.owner, place)
        np.maximum.at(boxes[:, column + 2], owned.owner, place + 1)
    return ObjectGeometry(owned.mean(y), owned.mean(x), boxes)


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
    columns = zip(vars(places).values(), vars(found).values(), strict=True)
    return ObjectGeometry(*(_merge(new, column[~old], come) for column, come in columns))


def _merge(new: NDArray[np.bool_], stay: NDArray[Any], come: NDArray[Any]) -> NDArray[Any]:
    """Put rows where they belong; both parts are in ascending order of their labels."""
    merged = np.empty((len(new), *stay.shape[1:]), dtype=stay.dtype)
    merged[~new], merged[new] = stay, come
    return merged


def measure_intensities(
    labels: Labels, image: NDArray[Any], channels: Mapping[str, NDArray[Any]] | None = None
) -> Columns:
    """Measure the intensities of every nucleus of a field or a volume.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width) or (planes, height, width)
        0 is background.
    image : ndarray of the same shape
        Intensities of the channel that was segmented.
    channels : mapping of str to ndarray of the same shape, optional
        Intensities of each channel by its name, where there are several.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        By ascending label: ``intensity_mean`` and ``intensity_sum`` in the image's units, and
        ``intensity_background``, the mean in a ring around the nucleus; NaN where other nuclei
        leave it no room. Of each channel the same with its name behind it.

    Raises
    ------
    ValueError
        If an image has another shape than the labels.

    Examples
    --------
    >>> labels = np.zeros((1, 12), int)
    >>> labels[0, :2] = 7
    >>> image = np.array([[9, 7, 0, 0, 3, 3, 3, 0, 0, 0, 0, 0]])
    >>> {name: column.tolist() for name, column in measure_intensities(labels, image).items()}
    {'intensity_mean': [8.0], 'intensity_sum': [16.0], 'intensity_background': [3.0]}
    """
    ids = np.unique(labels[labels > 0])
    inside, ring = Owned.by(labels, ids), Owned.by(rings_around(labels), ids)
    columns: Columns = {}
    for name, one in {"": image, **(channels or {})}.items():
        if one.shape != labels.shape:
            what = f"channel {name}" if name else "image"
            raise ValueError(
                f"the {what} has shape {one.shape}, but the labels need {labels.shape}"
            )
        behind = f"_{name}" if name else ""
        columns |= {
            f"intensity_mean{behind}": inside.mean(one[inside.mask]),
            f"intensity_sum{behind}": inside.total(one[inside.mask]),
            f"intensity_background{behind}": ring.mean(one[ring.mask]),
        }
    return columns


def rings_around(labels: Labels) -> Labels:
    """Give the pixels of the ring around each nucleus its number, and all others 0.

    A ring lies in the nucleus's own planes, `GAP` pixels away and `WIDTH` wide, and nearer to its
    nucleus than to others.
    """
    grown = np.maximum(labels, 0)
    for step in range(GAP + WIDTH):
        if step == GAP:
            near = grown.copy()
        _grow(grown)
    return np.where(near == 0, grown, 0)


def _grow(labels: Labels) -> None:
    """Give each pixel of the background the number of a neighbour, if it has one, in place."""
    before = labels.copy()
    for axis in (-2, -1):
        here, there = np.moveaxis(labels, axis, 0), np.moveaxis(before, axis, 0)
        np.copyto(here[1:], there[:-1], where=here[1:] == 0)
        np.copyto(here[:-1], there[1:], where=here[:-1] == 0)


def hull_areas(nuclei: Owned) -> Index:
    """Count the pixels of a field whose centres lie in the convex hull of each nucleus.

    As in scikit-image the hull spans the middles of the pixels' edges. The rows of all nuclei
    stand in one list, with an empty row after each nucleus.
    """
    y, x = np.nonzero(nuclei.mask)
    top, bottom = -_largest(nuclei, -y), _largest(nuclei, y)
    spaced = bottom - top + 2
    first = np.cumsum(spaced) - spaced
    owner = np.repeat(np.arange(len(spaced)), spaced)
    rows = np.delete(np.arange(len(owner)), first + spaced - 1)
    row = (first - top)[nuclei.owner] + y
    widths = np.ones(len(rows), dtype=np.intp)
    for place in (x, -x):
        ends = np.full(len(owner), _NOWHERE, dtype=np.intp)
        np.maximum.at(ends, row, place)
        widths += _hull_ends(ends, owner, rows)
    return np.bincount(owner[rows], widths).astype(np.intp)


def _largest(nuclei: Owned, values: Index) -> Index:
    result = np.full(len(nuclei.count), _NOWHERE, dtype=np.intp)
    np.maximum.at(result, nuclei.owner, values)
    return result


def _hull_ends(ends: Index, owner: Index, rows: Index) -> Index:
    """Find the last column of rows inside the convex hull.

    Parameters
    ----------
    ends : ndarray of int, shape (r,)
        Last column of each row that holds a pixel; `_NOWHERE` for an empty row.
    owner : ndarray of int, shape (r,)
        Index of the nucleus that each row of pixels belongs to.
    rows : ndarray of int, shape (k,)
        Indices of the rows to look at.
    """
    # Counted in half pixels all points of the hull are whole numbers: row k lies at 2 k + 1
    reach = np.full(2 * len(ends) + 1, _NOWHERE, dtype=np.intp)
    reach[1::2] = 2 * ends + 1
    reach[:-1:2] = 2 * ends
    reach[2::2] = np.maximum(reach[2::2], 2 * ends)
    points = np.flatnonzero(reach > _NOWHERE)
    corners = _corners(points, reach[points], owner[points // 2])
    at = 2 * rows + 1
    segment = np.searchsorted(corners, at, side="right") - 1
    start, stop = corners[segment], corners[segment + 1]
    rise = reach[start] * (stop - at) + reach[stop] * (at - start)
    return np.asarray(rise // (2 * (stop - start)))


def _corners(y: Index, x: Index, owner: Index) -> Index:
    """Drop every point on or within the line between its neighbours, until the line is convex."""
    while True:
        before, here, after = y[:-2], y[1:-1], y[2:]
        line = x[:-2] * (after - here) + x[2:] * (here - before)
        within = (owner[:-2] == owner[2:]) & (x[1:-1] * (after - before) <= line)
        if not within.any():
            return y
        kept = np.concatenate(([True], ~within, [True]))
        y, x, owner = y[kept], x[kept], owner[kept]

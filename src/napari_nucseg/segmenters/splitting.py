"""Cutting nuclei that came out as one: at their waist by a watershed, or along a drawn line.

References
----------
.. [1] Soille, Morphological Image Analysis, 2nd ed., sections 6.3.3 and 9.2 (2004): h-maxima, and
   the watershed of the distance transform.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_nucseg.array_types import Labels, number_in_raster_order
from napari_nucseg.metrics.ignoring import without_border

SMOOTHING = 1.0
"""Sigma of the Gaussian that evens out the steps of an outline of pixels, px."""
LEAST_SHARE = 0.02
"""Share of a nucleus that a part of it needs to be one when it is cut along a line."""
_BESIDE = 1.5
"""Pixels from a line within which a pixel's centre lies beside it."""
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def split_touching(labels: Labels, depth: float) -> Labels:
    """Cut each object where its waist is narrower than what it joins.

    Each object is taken by itself, whatever touches it. Its pixels' distances from its outline,
    smoothed a little, rise to one or more summits. A summit becomes an object of its own if every
    way to a higher one leads down by more than `depth`; the watershed draws the cuts.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background, numbers may have gaps.
    depth : float
        Least depth of a waist in pixels: by how much its half width falls short of the narrower
        side's. The larger, the fewer cuts; at 0 and below there are none.

    Returns
    -------
    ndarray of int32, shape (height, width)
        The same foreground, its objects 1 to n in the order of their first pixels; with a depth
        of 0 or below the labels as they came.

    Notes
    -----
    Pieces of an object that do not touch at all become objects of their own if their summits are
    higher than `depth`; crumbs that are lower stay with the object's largest part. The edge of
    the field counts as outline. Cutting the result again may cut more: a cut is an outline, too.
    """
    if depth <= 0:
        return labels
    objects = number_in_raster_order(labels)
    heights = _heights(objects)
    boxes = ndi.find_objects(objects)
    count = len(boxes)
    parts = objects.copy()
    for number in _with_summits(heights, objects, depth):
        box = boxes[number - 1]
        own = objects[box] == number
        pieces = _cut(np.where(own, heights[box], 0), own, depth)
        later = pieces > 1
        parts[box][later] = pieces[later] + (count - 1)
        count += int(pieces.max()) - 1
    return number_in_raster_order(parts)


def _heights(objects: NDArray[np.int32]) -> NDArray[np.float64]:
    """Smoothed distance of every pixel from its own object's outline, which is at 0.

    Between the inner pixels of two objects lie at least two pixels of outline, which a Gaussian
    of this radius does not reach across: all objects are done at once and none sees another.
    """
    around = np.pad(objects, 1)
    inner = ndi.minimum_filter(around, 3) == ndi.maximum_filter(around, 3)
    inner &= around > 0
    heights = ndi.gaussian_filter(ndi.distance_transform_edt(inner), SMOOTHING, radius=2)
    return np.asarray(np.where(inner, heights, 0)[1:-1, 1:-1], dtype=np.float64)


def _with_summits(
    heights: NDArray[np.float64], objects: NDArray[np.int32], depth: float
) -> list[int]:
    """Find the objects with several summits above `depth`: no other can come apart."""
    from skimage.morphology import local_maxima  # a panel that opens would wait for it

    summits, count = ndi.label(local_maxima(heights) & (heights > depth), _EIGHT_CONNECTED)
    owners = np.zeros(count + 1, dtype=np.int32)
    owners[summits] = objects
    return np.flatnonzero(np.bincount(owners[1:]) > 1).tolist()


def _cut(heights: NDArray[np.float64], own: NDArray[np.bool_], depth: float) -> NDArray[np.int32]:
    """Return the pieces of one object as 1 to n, 0 outside of it."""
    # not skimage's h_maxima: it takes two summits of one height for two, however shallow the dip
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    filled = reconstruction(heights - depth, heights)
    seeds, _ = ndi.label(local_maxima(filled) & (filled > 0), _EIGHT_CONNECTED)
    pieces = watershed(-heights, seeds, connectivity=2, mask=own)
    pieces[own & (pieces == 0)] = np.bincount(pieces[pieces > 0]).argmax()
    return np.asarray(pieces, dtype=np.int32)


def draw_line(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark the pixels under a line, each beside the next by a side or a corner.

    Parameters
    ----------
    points : ndarray of float64, shape (n, 2)
        Points of the line along y and x, in pixels; what is outside of the plane is left out.
    shape : tuple of int
        Height and width of the plane.
    """
    drawn = np.zeros(shape, dtype=np.bool_)
    for start, stop in itertools.pairwise(points):
        count = int(np.ceil(np.abs(stop - start).max())) + 1
        y, x = np.floor(np.linspace(start, stop, count) + 0.5).astype(int).T
        inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        drawn[y[inside], x[inside]] = True
    return drawn


def cut_along(own: NDArray[np.bool_], points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Cut one object along a line.

    Parameters
    ----------
    own : ndarray of bool, shape (height, width) or (planes, height, width)
        Pixels of the object.
    points : ndarray of float64, shape (n, 2)
        Points of the line along y and x; it cuts all planes of a volume.

    Returns
    -------
    ndarray of int32, of the object's shape
        Parts 1 to n, the largest first; 0 outside. Pixels under the line, and crumbs below
        `LEAST_SHARE` of the object, go to the nearest part. If the line leaves one part alone,
        the watershed of the distances from the outline divides the object from both sides of the
        line; if the line has nothing on one side, there is one part.
    """
    line = np.broadcast_to(draw_line(points, own.shape[-2:]), own.shape)
    # Pieces apart from those under the line are none of its parts: they stay with the largest
    pieces, _ = ndi.label(own, np.ones((3,) * own.ndim))
    crossed = own & np.isin(pieces, pieces[own & line])
    parts = _without_crumbs(ndi.label(crossed & ~line)[0])
    if len(np.unique(parts[parts > 0])) < 2:
        side = np.broadcast_to(_sides(points, own.shape[-2:]), own.shape)
        heights = ndi.distance_transform_edt(np.pad(own, 1))[(slice(1, -1),) * own.ndim]
        from skimage.segmentation import watershed

        parts = _without_crumbs(watershed(-heights, np.where(crossed, side, 0), mask=crossed))
    if not parts.any():
        return own.astype(np.int32)
    nearest = ndi.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    parts = np.where(crossed, parts[tuple(nearest)], 0)
    sizes = np.bincount(parts.ravel())[1:]
    numbers = np.zeros(len(sizes) + 1, dtype=np.int32)
    numbers[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return np.where(own & ~crossed, np.int32(1), numbers[parts])


def _without_crumbs(parts: NDArray[np.int32]) -> NDArray[np.int32]:
    sizes = np.bincount(parts.ravel())
    return np.where((sizes < LEAST_SHARE * sizes[1:].sum())[parts], 0, parts)


def _sides(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Mark pixels beside a line by 1 on its left and 2 on its right; 0 is elsewhere."""
    y, x = np.indices(shape)
    least, sides = np.full(shape, np.inf), np.zeros(shape, dtype=np.int32)
    for (y0, x0), (y1, x1) in itertools.pairwise(points):
        length = np.hypot(y1 - y0, x1 - x0)
        if length == 0:
            continue
        along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length
        across = ((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)) / length
        distance = np.abs(across)
        beside = (distance >= 0.5) & (distance <= _BESIDE)  # not what lies under the line
        nearer = beside & (along >= 0) & (along <= length) & (distance < least)
        least[nearer] = distance[nearer]
        sides[nearer] = np.where(across > 0, 2, 1)[nearer]
    return sides


def drop_on_edges(labels: Labels) -> Labels:
    """Drop the objects that touch the border of the field, and number the others.

    Parameters
    ----------
    labels : ndarray of integers, of two axes or more
        0 is background; for the border of a stack see `touching_border`.

    Returns
    -------
    ndarray of int32, of the same shape
        Labels 1 to n in raster order.
    """
    return number_in_raster_order(without_border(labels))


def drop_small(labels: Labels, min_size: int) -> Labels:
    """Drop objects of fewer pixels, and number the others.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n in raster order.
    """
    large = np.bincount(labels.ravel()) >= min_size
    return number_in_raster_order(np.where(large[labels], labels, 0))

"""Cutting nuclei that came out as one at their waist: the watershed of the distances inside.

References
----------
.. [1] Soille, Morphological Image Analysis, 2nd ed., sections 6.3.3 and 9.2 (2004): h-maxima, and
   the watershed of the distance transform.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.ignoring import without_border

SMOOTHING = 1.0
"""Sigma of the Gaussian that evens out the steps of an outline of pixels, px."""
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


def number_in_raster_order(labels: Labels) -> NDArray[np.int32]:
    """Renumber the objects 1 to n in the order of their first pixels.

    Parameters
    ----------
    labels : ndarray of integers, of any shape
        0 is background, numbers may have gaps.

    Returns
    -------
    ndarray of int32, of the same shape
        The same objects, numbered from 1 in the order of their first pixels.
    """
    foreground = labels > 0
    _, first, index = np.unique(labels[foreground], return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int32)
    numbers[np.argsort(first)] = np.arange(1, len(first) + 1)
    numbered = np.zeros(labels.shape, dtype=np.int32)
    numbered[foreground] = numbers[index]
    return numbered


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
    summits, count = ndi.label(local_maxima(heights) & (heights > depth), _EIGHT_CONNECTED)
    owners = np.zeros(count + 1, dtype=np.int32)
    owners[summits] = objects
    return np.flatnonzero(np.bincount(owners[1:]) > 1).tolist()


def _cut(heights: NDArray[np.float64], own: NDArray[np.bool_], depth: float) -> NDArray[np.int32]:
    """Return the pieces of one object as 1 to n, 0 outside of it."""
    # not skimage's h_maxima: it takes two summits of one height for two, however shallow the dip
    filled = reconstruction(heights - depth, heights)
    seeds, _ = ndi.label(local_maxima(filled) & (filled > 0), _EIGHT_CONNECTED)
    pieces = watershed(-heights, seeds, connectivity=2, mask=own)
    pieces[own & (pieces == 0)] = np.bincount(pieces[pieces > 0]).argmax()
    return np.asarray(pieces, dtype=np.int32)


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

"""Label images and distorted copies of them; numpy and scipy alone, for scripts, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage


def draw_discs(seed: int) -> np.ndarray:
    """Draw discs by whole numbers alone, the same on every machine; some touch or overlap."""
    rng = np.random.RandomState(seed)
    y, x = np.indices((150, 180))
    labels = np.zeros(y.shape, np.int32)
    for number in range(1, rng.randint(2, 30)):
        cy, cx, radius = rng.randint(0, 150), rng.randint(0, 180), rng.randint(3, 15)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def shift(labels: np.ndarray) -> np.ndarray:
    return np.roll(labels, (3, 4), (0, 1))


def erode(labels: np.ndarray) -> np.ndarray:
    inner = ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3)
    return np.where(inner, labels, 0)


def merge_neighbours(labels: np.ndarray) -> np.ndarray:
    largest = ndimage.maximum_filter(labels, 9)
    lookup = np.arange(labels.max(initial=0) + 1)
    lookup[labels[labels > 0]] = largest[labels > 0]
    return lookup[labels]


def split(labels: np.ndarray) -> np.ndarray:
    """Cut every nucleus at its middle column."""
    columns = np.broadcast_to(np.arange(labels.shape[1]), labels.shape)
    areas = np.bincount(labels.ravel())
    middle = np.bincount(labels.ravel(), columns.ravel()) / np.maximum(areas, 1)
    right = (columns > middle[labels]) & (labels > 0)
    return labels + right * labels.max(initial=0)


def drop_some(labels: np.ndarray) -> np.ndarray:
    return np.where(labels % 3 == 1, 0, labels)


def renumber(labels: np.ndarray) -> np.ndarray:
    """Give the objects numbers in the millions, with gaps and in another order."""
    numbers = np.random.default_rng(2).choice(2**31 - 1, labels.max(initial=0) + 1, False) + 1
    numbers[0] = 0
    return numbers[labels]


def distort_all(labels: np.ndarray) -> np.ndarray:
    return renumber(drop_some(split(merge_neighbours(erode(shift(labels))))))


DISTORTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    distortion.__name__: distortion
    for distortion in (shift, erode, merge_neighbours, split, drop_some, renumber, distort_all)
}


def consecutive(labels: np.ndarray) -> np.ndarray:
    """Number the objects 1 to n, as the references need them."""
    inside = labels > 0
    numbers = labels[inside]
    result = np.zeros(labels.shape, np.int32)
    result[inside] = np.searchsorted(np.unique(numbers), numbers) + 1
    return result

"""Fields at another magnification, and how well they are segmented."""

from __future__ import annotations

import numpy as np
from skimage.transform import resize

from napari_nucseg.metrics.score import score


def magnified(image, labels, times):
    """A field and its truth whose edges are so many times longer."""
    shape = [round(edge * times) for edge in image.shape]
    other = resize(image.astype(np.float32), shape, order=1, anti_aliasing=times < 1)
    truth = resize(labels, shape, order=0, preserve_range=True, anti_aliasing=False)
    return other, truth


def f1(truth, labels):
    """F1 of the nuclei at an IoU of 0.5."""
    return score(truth, labels).objects.f1


def usual_diameter(labels):
    """Diameter such that half of the nuclei's area lies in larger ones, px."""
    areas = np.sort(np.bincount(labels.ravel())[1:])
    half = np.searchsorted(np.cumsum(areas), areas.sum() / 2)
    return float(np.sqrt(areas[half] * 4 / np.pi))

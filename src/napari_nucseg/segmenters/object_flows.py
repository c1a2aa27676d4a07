"""The flows of objects' shapes: what a network shall learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.cpu_compiling import compiled
from napari_nucseg.segmenters.cpu_flow_check import heat_objects


def object_flows(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the flows of objects' shapes, each object by itself: what a network shall learn.

    Parameters
    ----------
    labels : ndarray of int32, shape (height, width)
        Objects 1 to n, each with a pixel.

    Returns
    -------
    ndarray of float32, shape (2, height, width)
        Unit vectors along y and x that lead to the object's centre; 0 in the background.
    """
    flows = np.zeros((2, *labels.shape), np.float32)
    _slope(labels, heat_objects(labels), flows)
    return flows


@compiled
def _slope(
    labels: NDArray[np.int32], heat: NDArray[np.float64], flows: NDArray[np.float32]
) -> None:
    """Write the directions in which the heat rises, as if each object were alone."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            i = labels[y, x]
            if i == 0:
                continue
            above = heat[y, x + 1] if y > 0 and labels[y - 1, x] == i else 0.0
            below = heat[y + 2, x + 1] if y + 1 < height and labels[y + 1, x] == i else 0.0
            left = heat[y + 1, x] if x > 0 and labels[y, x - 1] == i else 0.0
            right = heat[y + 1, x + 2] if x + 1 < width and labels[y, x + 1] == i else 0.0
            flow_y, flow_x = below - above, right - left
            length = 1e-60 + np.sqrt(flow_y * flow_y + flow_x * flow_x)
            flows[0, y, x], flows[1, y, x] = flow_y / length, flow_x / length

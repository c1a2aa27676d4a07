"""What can be said of each nucleus of a volume: its size in 3-D, place, shape and intensity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.intensities import measure_intensities
from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels


def measure_volume(
    labels: Labels,
    image: NDArray[Any],
    *,
    pixel_size: float | None = None,
    z_spacing: float | None = None,
    channels: Mapping[str, NDArray[Any]] | None = None,
) -> Nuclei:
    """Measure every nucleus of a volume, in which a nucleus has one number in all planes.

    Parameters
    ----------
    labels : ndarray of integers, shape (planes, height, width)
        0 is background.
    image : ndarray, shape (planes, height, width)
        Intensities, as stored in the image.
    pixel_size, z_spacing : float, optional
        Edge of a pixel and distance of planes in micrometres.
    channels : mapping of str to ndarray, optional
        Intensities of each channel by its name, where there are several.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        By ascending label: ``index``, the label; ``volume_voxels``; ``planes``, in how many it
        lies; ``centroid_z``, ``centroid_y`` and ``centroid_x`` in voxels; the columns of
        `napari_nucseg.analysis.intensities.measure_intensities`; if both sizes are given
        ``volume_um3``, and ``longest_axis_um`` and ``shortest_axis_um`` of the ellipsoid with the
        same second moments; and ``touches_border``, of the first and last plane, too.

    Raises
    ------
    ValueError
        If the arrays are not of one volume.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels of shape {labels.shape}; a volume is planes x height x width")
    ids, owner = np.unique(labels[labels > 0], return_inverse=True)
    places = np.nonzero(labels > 0)
    count = np.bincount(owner, minlength=len(ids))

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(owner, values, minlength=len(ids)) / count

    centres = [mean(axis) for axis in places]
    nuclei: Nuclei = {"index": ids.astype(np.int64), "volume_voxels": count}
    nuclei["planes"] = _planes(owner, places[0], len(ids))
    for name, centre in zip("zyx", centres, strict=True):
        nuclei[f"centroid_{name}"] = centre
    nuclei |= measure_intensities(labels, image, channels)
    if pixel_size is not None and z_spacing is not None:
        edges = np.array([z_spacing, pixel_size, pixel_size])
        away = [(axis - c[owner]) * e for axis, c, e in zip(places, centres, edges, strict=True)]
        moments = np.array([[mean(one * other) for other in away] for one in away])
        nuclei["volume_um3"] = count * edges.prod()
        nuclei |= _axes(np.moveaxis(moments, -1, 0) + np.diag(edges**2 / 12))  # of a voxel itself
    at_end = [
        (axis == 0) | (axis == length - 1)
        for axis, length in zip(places, labels.shape, strict=True)
    ]
    touching = np.bincount(owner, np.logical_or.reduce(at_end), minlength=len(ids))
    return nuclei | {"touches_border": touching > 0}


def _axes(moments: NDArray[np.float64]) -> Nuclei:
    """Return the axes of the ellipsoids that have these second moments, shape (n, 3, 3)."""
    axes = 2 * np.sqrt(5 * np.linalg.eigvalsh(moments).clip(min=0))
    return {"longest_axis_um": axes[:, -1], "shortest_axis_um": axes[:, 0]}


def _planes(
    owner: NDArray[np.integer], plane: NDArray[np.integer], nuclei: int
) -> NDArray[np.integer]:
    """Count the planes that each nucleus lies in."""
    pairs = np.unique(np.column_stack([owner, plane]), axis=0)
    return np.bincount(pairs[:, 0], minlength=nuclei)

"""What can be said of each nucleus without a ground truth: size, place, intensity, shape, doubt.

Terms and values are those of scikit-image's `regionprops`, but all nuclei are measured at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.object_pixels import Owned, hull_areas, measure_intensities
from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.overlap import Index
from napari_nucseg.segmenters.api import Segmentation
from napari_nucseg.segmenters.flows import compiling

Nuclei = dict[str, NDArray[Any]]
"""Columns of equal length by name, one row a nucleus, by ascending label; see `measure`."""


_SIZES = {
    "volume_um3": "median volume {:.0f} µm³",
    "volume_voxels": "median volume {:.0f} voxels",
    "area_um2": "median area {:.1f} µm²",
    "area_px": "median area {:.0f} px",
}
"""How the size of nuclei is told, by its column; the first that is there counts."""


def measure(
    labels: Labels,
    image: NDArray[Any],
    *,
    pixel_size: float | None = None,
    channels: Mapping[str, NDArray[Any]] | None = None,
    flow_errors: NDArray[np.float64] | None = None,
    cellprob: NDArray[np.float32] | None = None,
) -> Nuclei:
    """Measure every nucleus of a field.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background, numbers may have gaps and be of any size.
    image : ndarray, shape (height, width)
        Intensities of the field, as stored in the image.
    pixel_size : float, optional
        Edge of a pixel in micrometres.
    channels : mapping of str to ndarray, optional
        Intensities of each channel by its name, where there are several.
    flow_errors : ndarray of float64, shape (n,), optional
        Flow error of each nucleus, by ascending label: how far the network's flows are from those
        of the nucleus's shape.
    cellprob : ndarray of float32, shape (height, width), optional
        The network's cell probability as a logit.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        ``index``, the label; ``area_px``; ``area_um2``, if the pixel size is given;
        ``centroid_y`` and ``centroid_x`` in pixels; the columns of
        `napari_nucseg.analysis.object_pixels.measure_intensities`; ``eccentricity`` of the ellipse
        with the same second moments, from 0 for a circle to 1 for a line; ``solidity``, the share
        of its convex hull that a nucleus fills; ``touches_border``; and, where given,
        ``flow_error``, from 0 for flows that fit, and ``cellprob_logit``, the mean inside the
        nucleus.

    Raises
    ------
    ValueError
        If the arrays are not of one field.
    """
    _check_shape("image", image, labels.shape)
    ids = np.unique(labels[labels > 0])
    pixels = Owned.by(labels, ids)
    y, x = np.nonzero(pixels.mask)
    nuclei: Nuclei = {"index": ids.astype(np.int64), "area_px": pixels.count}
    if pixel_size is not None:
        nuclei["area_um2"] = pixels.count * pixel_size**2
    nuclei |= {
        "centroid_y": pixels.mean(y),
        "centroid_x": pixels.mean(x),
        **measure_intensities(labels, image, channels),
        "eccentricity": _eccentricity(pixels, y, x),
        "solidity": pixels.count / hull_areas(pixels),
        "touches_border": _touches_border(pixels, (y, x), labels.shape),
    }
    if flow_errors is not None:
        _check_shape("list of flow errors", flow_errors, ids.shape)
        nuclei["flow_error"] = flow_errors
    if cellprob is not None:
        _check_shape("cell probability", cellprob, labels.shape)
        nuclei["cellprob_logit"] = pixels.mean(cellprob[pixels.mask])
    return nuclei


def doubtful_first(nuclei: Nuclei) -> NDArray[np.int64]:
    """Order the labels by doubt: largest flow error first, which predicts errors best.

    Raises
    ------
    ValueError
        If the nuclei were measured without flow errors.

    Notes
    -----
    How well each column predicts errors is measured in ``docs/doubt.md``.
    """
    if "flow_error" not in nuclei:
        raise ValueError("these labels have no flow errors; segment the image with a network")
    index: NDArray[np.int64] = nuclei["index"]
    return index[np.argsort(-nuclei["flow_error"], kind="stable")]


def describe_size(nuclei: Nuclei) -> str:
    """Say the median size of nuclei, in micrometres where they are known; nothing of none.

    Examples
    --------
    >>> describe_size({"index": np.array([1, 2]), "area_px": np.array([40, 50])})
    'median area 45 px'
    """
    column = next((name for name in _SIZES if name in nuclei and len(nuclei[name])), None)
    return "" if column is None else _SIZES[column].format(np.median(nuclei[column]))


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"the {name} has shape {values.shape}, but the labels need {shape}")


def _touches_border(
    nuclei: Owned, places: Sequence[Index], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    at_end = [
        (axis == 0) | (axis == length - 1) for axis, length in zip(places, shape, strict=True)
    ]
    return nuclei.total(np.logical_or.reduce(at_end)) > 0


def _eccentricity(nuclei: Owned, y: Index, x: Index) -> NDArray[np.float64]:
    dy, dx = y - nuclei.mean(y)[nuclei.owner], x - nuclei.mean(x)[nuclei.owner]
    yy, xx, xy = nuclei.mean(dy * dy), nuclei.mean(dx * dx), nuclei.mean(dx * dy)
    spread = np.hypot((yy - xx) / 2, xy)
    longest = (yy + xx) / 2 + spread
    squared = np.divide(2 * spread, longest, out=np.zeros_like(spread), where=longest > 0)
    eccentricity: NDArray[np.float64] = np.sqrt(squared.clip(max=1))
    return eccentricity


def measure_nuclei(
    result: Segmentation,
    image: NDArray[Any],
    pixel_size: float | None = None,
    channels: Mapping[str, NDArray[Any]] | None = None,
) -> Nuclei:
    """Measure the nuclei of a result; with doubt if a network made it.

    Parameters
    ----------
    result : Segmentation
        Segmentation of the image, as a segmenter gave it.
    image : ndarray, shape (height, width)
        Intensities of the field, as stored in the image.
    pixel_size : float, optional
        Edge of a pixel in micrometres.
    channels : mapping of str to ndarray, optional
        Intensities of each channel by its name, where there are several.

    Returns
    -------
    dict of str to ndarray
        One array a measurement, by the names that `napari_nucseg.analysis.measurements.measure`
        gives.
    """
    if result.flows is None:
        return measure(result.labels, image, pixel_size=pixel_size, channels=channels)
    compiling().result()
    from napari_nucseg.segmenters.dynamics.objects import flow_errors

    vectors = np.require(result.flows.vectors, np.float32, ["C", "W"])
    return measure(
        result.labels,
        image,
        pixel_size=pixel_size,
        channels=channels,
        flow_errors=flow_errors(_without_gaps(result.labels), vectors),
        cellprob=result.flows.cellprob,
    )


def _without_gaps(labels: Labels) -> NDArray[np.int32]:
    """Give nuclei the numbers from 1 on in their order, as the network's dynamics do."""
    ids = np.unique(labels[labels > 0])
    if len(ids) == labels.max(initial=0):
        return np.asarray(labels, np.int32)
    return np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.int32)


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
        `napari_nucseg.analysis.object_pixels.measure_intensities`; if both sizes are given
        ``volume_um3``, and ``longest_axis_um`` and ``shortest_axis_um`` of the ellipsoid with the
        same second moments; and ``touches_border``, of the first and last plane, too.

    Raises
    ------
    ValueError
        If the arrays are not of one volume.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels of shape {labels.shape}; a volume is planes x height x width")
    ids = np.unique(labels[labels > 0])
    voxels = Owned.by(labels, ids)
    places = np.nonzero(voxels.mask)
    centres = [voxels.mean(axis) for axis in places]
    nuclei: Nuclei = {"index": ids.astype(np.int64), "volume_voxels": voxels.count}
    nuclei["planes"] = _planes(voxels.owner, places[0], len(ids))
    for name, centre in zip("zyx", centres, strict=True):
        nuclei[f"centroid_{name}"] = centre
    nuclei |= measure_intensities(labels, image, channels)
    if pixel_size is not None and z_spacing is not None:
        edges = np.array([z_spacing, pixel_size, pixel_size])
        placed = zip(places, centres, edges, strict=True)
        away = [(axis - centre[voxels.owner]) * edge for axis, centre, edge in placed]
        moments = np.array([[voxels.mean(one * other) for other in away] for one in away])
        nuclei["volume_um3"] = voxels.count * edges.prod()
        nuclei |= _axes(np.moveaxis(moments, -1, 0) + np.diag(edges**2 / 12))  # of a voxel itself
    return nuclei | {"touches_border": _touches_border(voxels, places, labels.shape)}


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

"""What can be said of each nucleus without a ground truth: size, place, intensity, shape, doubt.

Terms and values are those of scikit-image's `regionprops`, but all nuclei are measured at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.intensities import measure_intensities
from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.overlap import Index
from napari_nucseg.segmenters.api import Segmentation
from napari_nucseg.segmenters.flows import compiling

Nuclei = dict[str, NDArray[Any]]
"""Columns of equal length by name, one row a nucleus, by ascending label; see `measure`."""

_NOWHERE = -(2**40)
"""Stands for no column; twice as far out it still does."""


@dataclass(frozen=True)
class Overview:
    """The nuclei of a field in short.

    Attributes
    ----------
    count : int
        Number of nuclei in the field.
    median_area_px : float or None
        Median area of the nuclei in pixels; None without nuclei.
    median_area_um2 : float or None
        None without nuclei, or where the pixel size is unknown.
    """

    count: int
    median_area_px: float | None = None
    median_area_um2: float | None = None


@dataclass(frozen=True)
class _Pixels:
    """The pixels of all nuclei: where they lie, and whose they are as a position in the table."""

    y: Index
    x: Index
    nucleus: Index
    area: Index

    def total(self, values: NDArray[Any]) -> NDArray[np.float64]:
        weights = values.astype(np.float64, copy=False)
        totals = np.bincount(self.nucleus, weights, minlength=len(self.area))
        return totals.astype(np.float64, copy=False)  # those of nothing are integers

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return self.total(values) / self.area

    def largest(self, values: Index) -> Index:
        result = np.full(len(self.area), _NOWHERE, dtype=np.intp)
        np.maximum.at(result, self.nucleus, values)
        return result


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
        `napari_nucseg.analysis.intensities.measure_intensities`; ``eccentricity`` of the ellipse
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
    inside = labels > 0
    ids, nucleus = np.unique(labels[inside], return_inverse=True)
    y, x = np.nonzero(inside)
    pixels = _Pixels(y, x, nucleus, np.bincount(nucleus))
    nuclei: Nuclei = {"index": ids.astype(np.int64), "area_px": pixels.area}
    if pixel_size is not None:
        nuclei["area_um2"] = pixels.area * pixel_size**2
    nuclei |= {
        "centroid_y": pixels.mean(pixels.y),
        "centroid_x": pixels.mean(pixels.x),
        **measure_intensities(labels, image, channels),
        "eccentricity": _eccentricity(pixels),
        "solidity": pixels.area / _hull_areas(pixels),
        "touches_border": _touches_border(pixels, labels.shape),
    }
    if flow_errors is not None:
        _check_shape("list of flow errors", flow_errors, ids.shape)
        nuclei["flow_error"] = flow_errors
    if cellprob is not None:
        _check_shape("cell probability", cellprob, labels.shape)
        nuclei["cellprob_logit"] = pixels.mean(cellprob[inside])
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


def describe(nuclei: Nuclei) -> Overview:
    """Count the nuclei and find their median area."""
    count = len(nuclei["index"])
    if count == 0:
        return Overview(0)
    um2 = nuclei.get("area_um2")
    return Overview(
        count, float(np.median(nuclei["area_px"])), None if um2 is None else float(np.median(um2))
    )


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"the {name} has shape {values.shape}, but the labels need {shape}")


def _touches_border(pixels: _Pixels, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    at_end_y = (pixels.y == 0) | (pixels.y == shape[0] - 1)
    at_end_x = (pixels.x == 0) | (pixels.x == shape[1] - 1)
    return pixels.total(at_end_y | at_end_x) > 0


def _eccentricity(pixels: _Pixels) -> NDArray[np.float64]:
    y = pixels.y - pixels.mean(pixels.y)[pixels.nucleus]
    x = pixels.x - pixels.mean(pixels.x)[pixels.nucleus]
    yy, xx, xy = pixels.mean(y * y), pixels.mean(x * x), pixels.mean(x * y)
    spread = np.hypot((yy - xx) / 2, xy)
    longest = (yy + xx) / 2 + spread
    squared = np.divide(2 * spread, longest, out=np.zeros_like(spread), where=longest > 0)
    eccentricity: NDArray[np.float64] = np.sqrt(squared.clip(max=1))
    return eccentricity


def _hull_areas(pixels: _Pixels) -> Index:
    """Count the pixels whose centres lie in the convex hull of each nucleus.

    As in scikit-image the hull spans the middles of the pixels' edges. The rows of all nuclei
    stand in one list, with an empty row after each nucleus.
    """
    top, bottom = -pixels.largest(-pixels.y), pixels.largest(pixels.y)
    spaced = bottom - top + 2
    first = np.cumsum(spaced) - spaced
    owner = np.repeat(np.arange(len(spaced)), spaced)
    rows = np.delete(np.arange(len(owner)), first + spaced - 1)
    row = (first - top)[pixels.nucleus] + pixels.y
    widths = np.ones(len(rows), dtype=np.intp)
    for x in (pixels.x, -pixels.x):
        ends = np.full(len(owner), _NOWHERE, dtype=np.intp)
        np.maximum.at(ends, row, x)
        widths += _hull_ends(ends, owner, rows)
    areas = np.zeros(len(spaced), dtype=np.intp)
    np.add.at(areas, owner[rows], widths)
    return areas


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
    columns: Index = rise // (2 * (stop - start))
    return columns


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
    from napari_nucseg.segmenters.dynamics.flow_check import flow_errors

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

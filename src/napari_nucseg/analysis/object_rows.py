"""Objects as rows of a table: which, where, what became of each, and which objects explain that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.matching import Matching
from napari_nucseg.metrics.overlap import Index
from napari_nucseg.metrics.presets import Preset
from napari_nucseg.metrics.verdicts import ObjectVerdicts, Verdict, classify

Box = tuple[slice, slice]
"""Rows and columns of a field."""

Columns = dict[str, list[Any]]
"""Columns of equal length by name."""


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
    box: Box,
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


def object_columns(
    field: str,
    truth: Labels,
    predicted: Labels,
    matching: Matching,
    preset: Preset,
    *,
    pixel_size: float | None = None,
) -> Columns:
    """List the objects of a field, the true ones first.

    Parameters
    ----------
    field : str
        Name of the field, the same in all rows.
    truth, predicted : ndarray of integers, shape (height, width)
        The labels that were matched.
    matching : Matching
        Matched pairs of true and predicted objects.
    preset : Preset
        Rule of scores that they were matched by.
    pixel_size : float, optional
        Edge of a pixel in micrometres.

    Returns
    -------
    dict of str to list
        ``field``; ``side``, "truth" or "predicted"; ``object``, the label's own number;
        ``verdict``; ``beside_error``, whether a match is beside another object's split or merge;
        ``iou`` with the partner, or the best there is; ``area_px``, ``centroid_y_px`` and
        ``centroid_x_px``; with the pixel size ``area_um2``, ``centroid_y_um`` and
        ``centroid_x_um``; ``partners``, tuples of numbers of the other side;
        ``preset`` and ``threshold``, the rule of scores and the IoU that verdicts are by. A
        centroid counts from the middle of the field's first pixel.
    """
    verdicts, overlap = classify(matching), matching.overlap
    sides = (
        ("truth", truth, verdicts.truth, overlap.truth_areas),
        ("predicted", predicted, verdicts.predicted, overlap.predicted_areas),
    )
    columns = join([_side(field, *side, pixel_size) for side in sides])
    count = len(columns["object"])
    return columns | {"preset": [preset.name] * count, "threshold": [matching.threshold] * count}


def join(tables: Sequence[Mapping[str, list[Any]]]) -> Columns:
    """Put tables of the same columns under one another."""
    return {name: [cell for table in tables for cell in table[name]] for name in tables[0]}


def _side(
    field: str,
    side: str,
    labels: Labels,
    verdicts: ObjectVerdicts,
    areas: NDArray[np.int64],
    pixel_size: float | None,
) -> Columns:
    places = find_geometry(labels, verdicts.ids)
    columns = {
        "field": [field] * len(verdicts.ids),
        "side": [side] * len(verdicts.ids),
        "object": verdicts.ids.tolist(),
        "verdict": [Verdict(code).word for code in verdicts.codes.tolist()],
        "beside_error": verdicts.beside.tolist(),
        "iou": verdicts.ious.tolist(),
        "area_px": areas.tolist(),
        "centroid_y_px": places.y.tolist(),
        "centroid_x_px": places.x.tolist(),
    }
    if pixel_size is not None:
        columns["area_um2"] = (areas * pixel_size**2).tolist()
        columns["centroid_y_um"] = (places.y * pixel_size).tolist()
        columns["centroid_x_um"] = (places.x * pixel_size).tolist()
    return columns | {"partners": list(verdicts.partners)}

"""What the score panel's worker does, and overlays that are drawn when they are shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_nucseg.runs.comparing import Comparison, FieldPair, compare
from napari_nucseg.ui.jobs import Tell
from napari_nucseg.ui.layers import count_planes, plane_of, record_of


def scored_planes(prediction: Labels) -> tuple[int, ...]:
    """Return the numbers of the fields that have a prediction."""
    record = record_of(prediction)
    if record is not None and record.fields is not None:
        return tuple(record.fields)
    return tuple(range(count_planes(prediction)))


def compare_planes(truth: Any, predicted: Any, planes: tuple[int, ...], tell: Tell) -> Comparison:
    """Compare two label arrays field by field.

    Parameters
    ----------
    truth, predicted : array, shape (..., height, width)
        Labels, in memory or lazy.
    planes : tuple of int
        Numbers of the fields to compare.
    tell : callable
        Gets (done, in all, what); raises to stop.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"the ground truth is {truth.shape} px and the prediction {predicted.shape} px; choose "
            "two layers of the same fields"
        )
    pairs = {}
    for done, plane in enumerate(planes):
        tell(done, len(planes), "Comparing")
        pairs[plane] = compare(partial(_read, truth, plane), partial(_read, predicted, plane))
    return Comparison(pairs)


def draw_lazily(
    shape: tuple[int, ...], comparison: Comparison, draw: Callable[[FieldPair], np.ndarray]
) -> Any:
    """Return an overlay whose fields are drawn when shown: a stack has more than are looked at.

    Parameters
    ----------
    shape : tuple of int
        Of the labels, (..., height, width).
    comparison : Comparison
        Fields without a pair stay blank.
    draw : callable
        Pair of a field to uint8 values of shape (height, width).
    """
    # Not above, because opening the panel would wait for this import
    import dask
    import dask.array as da

    size = shape[-2:]
    blank = da.zeros(size, dtype=np.uint8, chunks=size)
    planes = [
        da.from_delayed(
            dask.delayed(partial(draw, comparison.pairs[plane]), pure=False)(), size, np.uint8
        )
        if plane in comparison.pairs
        else blank
        for plane in range(int(np.prod(shape[:-2])))
    ]
    return planes[0] if len(shape) == 2 else da.stack(planes).reshape(shape)


def _read(data: Any, plane: int) -> np.ndarray:
    return np.asarray(plane_of(data, plane))

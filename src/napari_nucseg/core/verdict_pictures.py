"""Label images that show the verdicts of objects, and the agreement of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.verdicts import Agreement, ObjectVerdicts, Verdict, Verdicts


def draw_verdicts(truth: Labels, predicted: Labels, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Outline every object in its verdict.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        The label images that were judged.
    verdicts : Verdicts
        From `judge`.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        `Verdict` on the outlines, 0 elsewhere. True objects have an outline of two pixels;
        of the predicted ones only those without a partner are drawn, one pixel wide.
    """
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    thin = _inner_edge(predicted)
    codes = _codes_of(predicted[thin], verdicts.predicted)
    drawn[thin] = np.where(codes > Verdict.LOOSE, codes, 0)
    thick = _inner_edge(truth)
    thick |= _inner_edge(np.where(thick, 0, truth))
    drawn[thick] = _codes_of(truth[thick], verdicts.truth)
    return drawn


def draw_agreement(truth: Labels, predicted: Labels) -> NDArray[np.uint8]:
    """Mark every foreground pixel as found, missed or too much: values of `Agreement`."""
    true, found = truth > 0, predicted > 0
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    drawn[true & found] = Agreement.TRUE_POSITIVE
    drawn[true & ~found] = Agreement.FALSE_NEGATIVE
    drawn[~true & found] = Agreement.FALSE_POSITIVE
    return drawn


def _inner_edge(labels: Labels) -> NDArray[np.bool_]:
    """Mark the pixels of objects that have a face on another label."""
    edge = np.zeros(labels.shape, dtype=np.bool_)
    for axis in range(labels.ndim):
        along, marked = np.moveaxis(labels, axis, 0), np.moveaxis(edge, axis, 0)
        differs = along[1:] != along[:-1]
        marked[1:] |= differs
        marked[:-1] |= differs
    return edge & (labels > 0)


def look_up(labels: Labels, ids: NDArray[np.int64], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the value of each label; 0 for one that is not known.

    Parameters
    ----------
    labels : ndarray of integers
        Of any shape.
    ids : ndarray of int64, shape (n,)
        Known labels, ascending.
    values : ndarray of uint8, shape (n,)
        Theirs.
    """
    if not len(ids):
        return np.zeros(labels.shape, dtype=np.uint8)
    position = np.searchsorted(ids, labels).clip(max=len(ids) - 1)
    return np.where(ids[position] == labels, values[position], 0).astype(np.uint8)


def _codes_of(labels: Labels, verdicts: ObjectVerdicts) -> NDArray[np.uint8]:
    return look_up(labels, verdicts.ids, verdicts.codes)

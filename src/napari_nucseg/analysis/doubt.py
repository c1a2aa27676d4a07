"""Why a nucleus is doubtful: one short reason in words, from what was measured of it.

How well the signs predict errors is measured in ``docs/doubt.md``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import find_outlines

SMALL, DIM = 0.25, 0.4
"""Share of the field's median, of the area and of the edge's contrast, below which is unusual."""
NOTCHED = 0.9
"""Solidity below which an outline has a notch."""
TOUCHING = 0.15
"""Share of an outline on other nuclei from which on it matters."""
DISAGREEING, UNSURE = 0.1, 3.0
"""Flow error above which, and cell probability (a logit) below which, a network is in doubt."""
_BESIDE = 2.0

CUT_OFF = "cut off by the border"
TOO_SMALL = "unusually small"
TOUCHES = "touches another"
HAS_NOTCH = "its outline has a notch"
IS_DIM = "its edge is dim"
DISAGREES = "flows disagree with its shape"
IS_UNSURE = "low cell probability"


def measure_edges(labels: Labels, image: NDArray[Any]) -> Nuclei:
    """Measure the outline of every nucleus.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background.
    image : ndarray, shape (height, width)
        Intensities of the field, with bright nuclei.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        By ascending label: ``edge_contrast``, the mean intensity of the outline's pixels less
        that of the background within 2 px of it, NaN without such background; and
        ``touching_share``, the share of the outline's pixels with a side on another nucleus.

    Examples
    --------
    >>> labels = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]])
    >>> edges = measure_edges(labels, np.where(labels == 1, 50, 10))
    >>> edges["edge_contrast"].tolist(), edges["touching_share"].tolist()
    ([40.0, nan], [0.5, 0.5])
    """
    from scipy import ndimage  # not above: opening a panel would wait for it

    ids, position = np.unique(labels[labels > 0], return_inverse=True)
    if not len(ids):
        return {"edge_contrast": np.zeros(0), "touching_share": np.zeros(0)}
    owner = np.full(labels.shape, -1, dtype=np.intp)
    owner[labels > 0] = position
    outline = find_outlines(labels)
    away, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    beside = (away > 0) & (away <= _BESIDE)
    sizes = np.bincount(owner[outline], minlength=len(ids))
    inner = np.bincount(owner[outline], image[outline], minlength=len(ids)) / sizes
    around = owner[tuple(nearest)][beside]
    count = np.bincount(around, minlength=len(ids))
    total = np.bincount(around, image[beside], minlength=len(ids))
    outer = np.divide(total, count, out=np.full(len(ids), np.nan), where=count > 0)
    touching = np.bincount(owner[_touching(labels)], minlength=len(ids))
    return {"edge_contrast": inner - outer, "touching_share": touching / sizes}


def find_reasons(nuclei: Nuclei) -> list[str]:
    """Say why each nucleus is doubtful.

    Parameters
    ----------
    nuclei : dict of str to ndarray of shape (n,)
        Measurements, as `measure` gives them; with those of `measure_edges`, where these count,
        too. What is not there is not looked at.

    Returns
    -------
    list of str
        One reason a nucleus, the most telling of those that hold; empty for one without any.
        A nucleus that touches another, as many do that are right, is doubtful if its flows are.

    Examples
    --------
    >>> area = np.array([400, 60, 410, 420])
    >>> find_reasons({"area_px": area, "flow_error": np.array([0.02, 0.03, 0.3, 0.02])})
    ['', 'unusually small', 'flows disagree with its shape', '']
    """
    count = len(nuclei["area_px"])
    none = np.zeros(count, dtype=np.bool_)
    small = nuclei["area_px"] < SMALL * np.median(nuclei["area_px"]) if count else none
    disagrees = _beyond(nuclei, "flow_error", DISAGREEING)
    signs = {
        CUT_OFF: small & nuclei.get("touches_border", none),
        TOO_SMALL: small,
        TOUCHES: _beyond(nuclei, "touching_share", TOUCHING) & disagrees,
        HAS_NOTCH: _beyond(nuclei, "solidity", NOTCHED, below=True),
        IS_DIM: _is_dim(nuclei),
        DISAGREES: disagrees,
        IS_UNSURE: _beyond(nuclei, "cellprob_logit", UNSURE, below=True),
    }
    reasons = [""] * count
    for reason, holds in reversed(signs.items()):
        for number in np.flatnonzero(holds).tolist():
            reasons[number] = reason
    return reasons


def _beyond(nuclei: Nuclei, name: str, limit: float, *, below: bool = False) -> NDArray[np.bool_]:
    if name not in nuclei:
        return np.zeros(len(nuclei["area_px"]), dtype=np.bool_)
    values = nuclei[name]
    return np.asarray(values < limit if below else values > limit, dtype=np.bool_)


def _is_dim(nuclei: Nuclei) -> NDArray[np.bool_]:
    contrast = nuclei.get("edge_contrast", np.zeros(0))
    known = contrast[~np.isnan(contrast)]
    usual = float(np.median(known)) if len(known) else 0.0
    if usual <= 0:  # nuclei are not brighter than what is around them: nothing can be said
        return np.zeros(len(nuclei["area_px"]), dtype=np.bool_)
    return np.asarray(contrast < DIM * usual, dtype=np.bool_)


def _touching(labels: Labels) -> NDArray[np.bool_]:
    """Mark the pixels of nuclei that have a side on another nucleus."""
    marked = np.zeros(labels.shape, dtype=np.bool_)
    for axis in range(labels.ndim):
        along, there = np.moveaxis(labels, axis, 0), np.moveaxis(marked, axis, 0)
        differs = (along[1:] != along[:-1]) & (along[1:] > 0) & (along[:-1] > 0)
        there[1:] |= differs
        there[:-1] |= differs
    return marked

"""Scores beyond matched counts, each as one function of two label images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.aggregated import AreaCounts
from napari_nucseg.metrics.boundaries import measure_boundaries
from napari_nucseg.metrics.boundary_counts import DISTANCES, Spacing
from napari_nucseg.metrics.counts import CaicedoCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import Verdicts, classify


def aggregated_jaccard(truth: Labels, predicted: Labels) -> float:
    """Return AJI: of each true object and its best predicted one, shared over united pixels.

    A predicted object may be taken more than once; the area of objects without a partner is added
    to the unions. Of equal IoUs the lower label is taken.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Kumar et al., IEEE Transactions on Medical Imaging 36, 2017.
    """
    return AreaCounts.of(find_overlap(truth, predicted)).aji


def aggregated_jaccard_plus(truth: Labels, predicted: Labels) -> float:
    """Return AJI+: AJI of one-to-one pairs, those of the largest sum of IoU.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Graham et al., Medical Image Analysis 58, 2019 (HoVer-Net).
    """
    return AreaCounts.of(find_overlap(truth, predicted)).aji_plus


def seg(truth: Labels, predicted: Labels) -> float:
    """Return SEG: the mean IoU of all true objects, 0 where none covers more than half of one.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Maska et al., Bioinformatics 30, 2014 (Cell Tracking Challenge).
    """
    return AreaCounts.of(find_overlap(truth, predicted)).seg


def count_error(truth: Labels, predicted: Labels) -> int:
    """Return the number of predicted objects less that of true ones.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    int
        In objects.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.
    """
    return AreaCounts.of(find_overlap(truth, predicted)).count_error


def boundary_f(truth: Labels, predicted: Labels) -> float:
    """Return the F1 of outline pixels that lie within 2 px of any outline of the other side.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Csurka et al., BMVC 2013.
    """
    overlap = find_overlap(truth, predicted)
    boundaries = measure_boundaries(truth, predicted, overlap)
    return boundaries.of(match(overlap)).boundary_f


def boundary_distances(
    truth: Labels,
    predicted: Labels,
    threshold: float = 0.5,
    strict: bool = False,
    edges: tuple[float, ...] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return how far the outlines of each matched pair lie apart.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    threshold : float
        IoU of a match, above 0 and at most 1.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.
    edges : tuple of float, optional
        Length of a pixel along each axis, in any unit.

    Returns
    -------
    dict of str to ndarray of float64, shape (p,)
        ``hausdorff``, the largest distance; ``hd95``, its 95th percentile; ``distance``, the
        mean; of the p pairs of `matched_pairs`, in pixels, or in the unit of ``edges``.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, the threshold is no IoU, or
        the edges are no lengths of all axes.

    References
    ----------
    Maier-Hein et al., Nature Methods 21, 2024 (MetricsReloaded).
    """
    matching = match(find_overlap(truth, predicted), threshold, strict)
    spacing = None if edges is None else Spacing(edges)
    overlap = matching.overlap
    found = measure_boundaries(truth, predicted, overlap, spacing=spacing, least=threshold)
    values = found.pixels if found.physical is None else found.physical
    at = np.searchsorted(found.pairs, matching.pairs)
    return dict(zip(DISTANCES, values[:, at], strict=True))


def verdicts(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> Verdicts:
    """Return one verdict for every object: what is wrong with it, and which others explain that.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    threshold : float
        IoU of a match, above 0 and at most 1.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

    Returns
    -------
    Verdicts
        Of the true and of the predicted objects, each with IoU and partners.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.
    """
    return classify(match(find_overlap(truth, predicted), threshold, strict))


def caicedo_errors(truth: Labels, predicted: Labels) -> CaicedoCounts:
    """Return splits, merges, and missed objects by size class.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    CaicedoCounts
        In objects; size classes in pixels.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Caicedo et al., Cytometry Part A 95, 2019.
    """
    return CaicedoCounts.of(find_overlap(truth, predicted))

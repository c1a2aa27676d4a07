"""Scores of matched objects at an IoU threshold, each as one function of two label images."""

from __future__ import annotations

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.counts import ObjectCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap


def matched_pairs(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> list[tuple[int, int, float]]:
    """Pair objects one to one: the most pairs that hit, then the largest sum of IoU.

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
    list of tuple
        True label, predicted label, and IoU of each pair, by true label.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.

    References
    ----------
    Weigert et al., stardist ``matching``; Kuhn, Naval Research Logistics 2, 1955.
    """
    matching = match(find_overlap(truth, predicted), threshold, strict)
    overlap = matching.overlap
    true, found = overlap.truth_ids[matching.truth_index], overlap.predicted_ids
    numbers = true.tolist(), found[matching.predicted_index].tolist(), matching.ious.tolist()
    return list(zip(*numbers, strict=True))


def precision(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> float:
    """Return TP / (TP + FP) of the objects.

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
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.

    References
    ----------
    Weigert et al., stardist ``matching``; van Rijsbergen, Information Retrieval, 1979.
    """
    return _count(truth, predicted, threshold, strict).precision


def recall(truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False) -> float:
    """Return TP / (TP + FN) of the objects.

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
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.

    References
    ----------
    Weigert et al., stardist ``matching``; van Rijsbergen, Information Retrieval, 1979.
    """
    return _count(truth, predicted, threshold, strict).recall


def f1(truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False) -> float:
    """Return 2 TP / (2 TP + FP + FN) of the objects.

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
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.

    References
    ----------
    Weigert et al., stardist ``matching``; van Rijsbergen, Information Retrieval, 1979.
    """
    return _count(truth, predicted, threshold, strict).f1


def average_precision(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> float:
    """Return TP / (TP + FP + FN) of the objects.

    COCO calls the area under a curve by the same name, which this is not.

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
    float
        From 0 to 1; NaN if there are no objects on either side.

    Raises
    ------
    ValueError
        If the shapes differ, labels are no whole numbers from 0, or the threshold is no IoU.

    References
    ----------
    DSB2018: Caicedo et al., Nature Methods 16, 2019; Stringer et al., Nature Methods 18, 2021.
    """
    return _count(truth, predicted, threshold, strict).ap


def _count(truth: Labels, predicted: Labels, threshold: float, strict: bool) -> ObjectCounts:
    return ObjectCounts.of(match(find_overlap(truth, predicted), threshold, strict))

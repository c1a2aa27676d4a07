"""Matched objects at published IoU thresholds, each score as one function of two label images."""

from __future__ import annotations

from statistics import fmean

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.counts import ObjectCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.presets import AP_THRESHOLDS, F1_THRESHOLDS


def mean_average_precision(truth: Labels, predicted: Labels, strict: bool = False) -> float:
    """Return the mean of AP over the IoU thresholds 0.50, 0.55 ... 0.95, which are ten.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

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
    DSB2018: Caicedo et al., Nature Methods 16, 2019.
    """
    overlap = find_overlap(truth, predicted)
    return fmean(ObjectCounts.of(match(overlap, t, strict)).ap for t in AP_THRESHOLDS)


def mean_f1(truth: Labels, predicted: Labels, strict: bool = False) -> float:
    """Return the mean of F1 over the IoU thresholds 0.50, 0.55 ... 0.90, which are nine.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

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
    Caicedo et al., Cytometry Part A 95, 2019.
    """
    overlap = find_overlap(truth, predicted)
    return fmean(ObjectCounts.of(match(overlap, t, strict)).f1 for t in F1_THRESHOLDS)


def segmentation_quality(truth: Labels, predicted: Labels, strict: bool = False) -> float:
    """Return SQ, the mean IoU of the pairs matched at 0.5.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

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
    Kirillov et al., CVPR 2019.
    """
    return _at_half(truth, predicted, strict).sq


def recognition_quality(truth: Labels, predicted: Labels, strict: bool = False) -> float:
    """Return RQ, the F1 of the objects at 0.5.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

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
    Kirillov et al., CVPR 2019.
    """
    return _at_half(truth, predicted, strict).rq


def panoptic_quality(truth: Labels, predicted: Labels, strict: bool = False) -> float:
    """Return PQ, SQ times RQ.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.
    strict : bool
        Ask for IoU > threshold instead of IoU >= threshold.

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
    Kirillov et al., CVPR 2019.
    """
    return _at_half(truth, predicted, strict).pq


def _at_half(truth: Labels, predicted: Labels, strict: bool) -> ObjectCounts:
    return ObjectCounts.of(match(find_overlap(truth, predicted), 0.5, strict))

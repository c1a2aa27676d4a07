"""Scores of matched objects at IoU thresholds, each as one function of two label images."""

from __future__ import annotations

from statistics import fmean

from napari_nucseg.core.counting import ObjectCounts
from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import match
from napari_nucseg.core.overlap import find_overlap
from napari_nucseg.core.presets import AP_THRESHOLDS, F1_THRESHOLDS


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

    References
    ----------
    DSB2018: Caicedo et al., Nature Methods 16, 2019; Stringer et al., Nature Methods 18, 2021.
    """
    return _count(truth, predicted, threshold, strict).ap


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

    References
    ----------
    Kirillov et al., CVPR 2019.
    """
    return _count(truth, predicted, 0.5, strict).sq


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

    References
    ----------
    Kirillov et al., CVPR 2019.
    """
    return _count(truth, predicted, 0.5, strict).rq


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

    References
    ----------
    Kirillov et al., CVPR 2019.
    """
    return _count(truth, predicted, 0.5, strict).pq


def _count(truth: Labels, predicted: Labels, threshold: float, strict: bool) -> ObjectCounts:
    return ObjectCounts.of(match(find_overlap(truth, predicted), threshold, strict))

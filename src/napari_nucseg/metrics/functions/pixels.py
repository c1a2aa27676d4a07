"""Scores of foreground against background, each as one function of two label images."""

from __future__ import annotations

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.counts import PixelCounts
from napari_nucseg.metrics.overlap import find_overlap


def pixel_dice(truth: Labels, predicted: Labels) -> float:
    """Return 2 TP / (2 TP + FP + FN) of the foreground pixels, which is also their F1.

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
    Dice, Ecology 26, 1945; Sorensen 1948.
    """
    return _count(truth, predicted).dice


def pixel_iou(truth: Labels, predicted: Labels) -> float:
    """Return TP / (TP + FP + FN) of the foreground pixels, the Jaccard index.

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
    Jaccard, New Phytologist 11, 1912.
    """
    return _count(truth, predicted).iou


def pixel_precision(truth: Labels, predicted: Labels) -> float:
    """Return the share of predicted foreground pixels that are foreground.

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
    Taha and Hanbury, BMC Medical Imaging 15, 2015.
    """
    return _count(truth, predicted).precision


def pixel_recall(truth: Labels, predicted: Labels) -> float:
    """Return the share of foreground pixels that are predicted.

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
    Taha and Hanbury, BMC Medical Imaging 15, 2015.
    """
    return _count(truth, predicted).recall


def pixel_accuracy(truth: Labels, predicted: Labels) -> float:
    """Return the share of all pixels, background included, that are right.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes, in pixels; 0 is background.

    Returns
    -------
    float
        From 0 to 1; NaN without pixels.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.

    References
    ----------
    Taha and Hanbury, BMC Medical Imaging 15, 2015.
    """
    return _count(truth, predicted).accuracy


def _count(truth: Labels, predicted: Labels) -> PixelCounts:
    return PixelCounts.of(find_overlap(truth, predicted))

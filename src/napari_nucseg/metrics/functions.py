"""Every score as one function of two label images; `score` gives all at once, for little more.

The functions of the registry's scores are made from it; after them stand those that are no number.

Examples
--------
>>> import numpy as np
>>> truth, predicted = np.array([[1, 1, 1, 0, 2]]), np.array([[5, 5, 0, 0, 0]])
>>> recall(truth, predicted), recall(truth, predicted, threshold=0.75)
(0.5, 0.0)
>>> matched_pairs(truth, predicted)
[(1, 5, 0.6666666666666666)]
>>> boundary_distances(truth, predicted, edges=(0.5, 0.5))["hausdorff"]
array([0.5])
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import Spacing, measure_boundaries
from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts
from napari_nucseg.metrics.matching import DSB2018, STARDIST, Preset, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.registry import GROUPS, Metric, find_metric
from napari_nucseg.metrics.score import score, score_with_boundaries
from napari_nucseg.metrics.verdicts import Verdicts, classify

_PARAMETERS = {
    "threshold": "float\n    IoU of a match, above 0 and at most 1.",
    "strict": "bool\n    Ask for IoU > threshold instead of IoU >= threshold.",
}


class OfLabels(Protocol):
    """A score that has no rule to choose."""

    def __call__(self, truth: Labels, predicted: Labels) -> float:
        """Score a field."""
        ...


class OfMatches(Protocol):
    """A score of objects that are matched at thresholds of its own."""

    def __call__(self, truth: Labels, predicted: Labels, strict: bool = False) -> float:
        """Score a field."""
        ...


class OfMatchesAt(Protocol):
    """A score of objects that are matched at a threshold."""

    def __call__(
        self, truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
    ) -> float:
        """Score a field."""
        ...


def _of_labels(name: str, group: str, score_name: str) -> OfLabels:
    metric = find_metric(group, score_name)
    count = score_with_boundaries if group == "boundaries" else score

    def function(truth: Labels, predicted: Labels) -> float:
        return metric.compute(count(truth, predicted))

    _document(function, name, metric)
    return function


def _of_matches(name: str, score_name: str) -> OfMatches:
    metric = find_metric("objects", score_name)

    def function(truth: Labels, predicted: Labels, strict: bool = False) -> float:
        return metric.compute(score(truth, predicted, preset=_rule(strict)))

    _document(function, name, metric, "strict")
    return function


def _of_matches_at(name: str, score_name: str) -> OfMatchesAt:
    metric = find_metric("objects", score_name)

    def function(
        truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
    ) -> float:
        return metric.compute(score(truth, predicted, threshold, _rule(strict)))

    _document(function, name, metric, "threshold", "strict")
    return function


def _rule(strict: bool) -> Preset:
    return DSB2018 if strict else STARDIST


def _document(function: Any, name: str, metric: Metric, *parameters: str) -> None:
    """Name a function, and describe it from its entry in the registry."""
    described = "".join(f"\n{one} : {_PARAMETERS[one]}" for one in parameters)
    function.__name__ = function.__qualname__ = name
    what = f"{metric.title} of {GROUPS[metric.group].lower()}"
    function.__doc__ = f"""Return {what}: {metric.formula}.

Where they occur, `g` is a true object, `p` a predicted one, and `t` an IoU threshold.

Parameters
----------
truth, predicted : ndarray of integers, of one shape
    Label images of any number of axes; 0 is background.{described}

Returns
-------
float
    From {metric.limits[0]} to {metric.limits[1]}; NaN where there is nothing to score.

References
----------
{metric.source}.
"""


pixel_dice = _of_labels("pixel_dice", "pixels", "dice")
pixel_iou = _of_labels("pixel_iou", "pixels", "iou")
pixel_precision = _of_labels("pixel_precision", "pixels", "precision")
pixel_recall = _of_labels("pixel_recall", "pixels", "recall")
pixel_accuracy = _of_labels("pixel_accuracy", "pixels", "accuracy")
precision = _of_matches_at("precision", "precision")
recall = _of_matches_at("recall", "recall")
f1 = _of_matches_at("f1", "f1")
average_precision = _of_matches_at("average_precision", "ap")
mean_average_precision = _of_matches("mean_average_precision", "mean_ap")
mean_f1 = _of_matches("mean_f1", "mean_f1")
segmentation_quality = _of_matches("segmentation_quality", "sq")
recognition_quality = _of_matches("recognition_quality", "rq")
panoptic_quality = _of_matches("panoptic_quality", "pq")
aggregated_jaccard = _of_labels("aggregated_jaccard", "objects", "aji")
aggregated_jaccard_plus = _of_labels("aggregated_jaccard_plus", "objects", "aji_plus")
seg = _of_labels("seg", "objects", "seg")
boundary_f = _of_labels("boundary_f", "boundaries", "boundary_f")


def matched_pairs(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> list[tuple[int, int, float]]:
    """Pair objects one to one: the most pairs that hit, then the largest sum of IoU.

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


def count_error(truth: Labels, predicted: Labels) -> int:
    """Return the number of predicted objects less that of true ones."""
    return AreaCounts.of(find_overlap(truth, predicted)).count_error


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
    truth, predicted, threshold, strict
        Labels and rule, as all functions of this module take them.
    edges : tuple of float, optional
        Length of a pixel along each axis, in any unit.

    Returns
    -------
    dict of str to ndarray of float64, shape (p,)
        ``hausdorff``, the largest distance; ``hd95``, its 95th percentile; ``distance``, the
        mean; of the p pairs of `matched_pairs`, in pixels, or in the unit of ``edges``.
    """
    matching = match(find_overlap(truth, predicted), threshold, strict)
    spacing = None if edges is None else Spacing(edges)
    overlap = matching.overlap
    found = measure_boundaries(truth, predicted, overlap, spacing=spacing, least=threshold)
    values = found.pixels if found.physical is None else found.physical
    at = np.searchsorted(found.pairs, matching.pairs)
    return dict(zip(("hausdorff", "hd95", "distance"), values[:, at], strict=True))


def verdicts(
    truth: Labels, predicted: Labels, threshold: float = 0.5, strict: bool = False
) -> Verdicts:
    """Return one verdict for every object: what is wrong with it, and which others explain that."""
    return classify(match(find_overlap(truth, predicted), threshold, strict))


def caicedo_errors(truth: Labels, predicted: Labels) -> CaicedoCounts:
    """Return splits, merges, and missed objects by size class, as Caicedo et al. 2019 count."""
    return CaicedoCounts.of(find_overlap(truth, predicted))

"""Every score as one function of two label images.

`napari_nucseg.metrics.score.score` gives them all at once, for the price of one.
"""

from napari_nucseg.metrics.functions.objects import (
    average_precision,
    f1,
    matched_pairs,
    precision,
    recall,
)
from napari_nucseg.metrics.functions.others import (
    aggregated_jaccard,
    aggregated_jaccard_plus,
    boundary_distances,
    boundary_f,
    caicedo_errors,
    count_error,
    seg,
    verdicts,
)
from napari_nucseg.metrics.functions.pixels import (
    pixel_accuracy,
    pixel_dice,
    pixel_iou,
    pixel_precision,
    pixel_recall,
)
from napari_nucseg.metrics.functions.published import (
    mean_average_precision,
    mean_f1,
    panoptic_quality,
    recognition_quality,
    segmentation_quality,
)

__all__ = [
    "aggregated_jaccard",
    "aggregated_jaccard_plus",
    "average_precision",
    "boundary_distances",
    "boundary_f",
    "caicedo_errors",
    "count_error",
    "f1",
    "matched_pairs",
    "mean_average_precision",
    "mean_f1",
    "panoptic_quality",
    "pixel_accuracy",
    "pixel_dice",
    "pixel_iou",
    "pixel_precision",
    "pixel_recall",
    "precision",
    "recall",
    "recognition_quality",
    "seg",
    "segmentation_quality",
    "verdicts",
]

"""What the score panel's worker does: fields compared, and summed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_nucseg.analysis.comparison import LabelPair, LocatedPair, compare, locate_objects
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.metrics.boundaries import measure_boundaries
from napari_nucseg.metrics.presets import ScoreRule
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Summary, summarise
from napari_nucseg.progress import Progress
from napari_nucseg.ui.layers import count_planes, plane_of, record_of


def scored_planes(prediction: Labels) -> tuple[int, ...]:
    """Return the numbers of the fields that have a prediction."""
    record = record_of(prediction)
    if record is not None and record.fields is not None:
        return tuple(sorted(record.fields))
    return tuple(range(count_planes(prediction)))


def compare_planes(
    truth: Any,
    predicted: Any,
    planes: tuple[int, ...],
    copies: Mapping[int, LabelPair],
    progress: Progress,
) -> dict[int, LocatedPair]:
    """Compare two label arrays field by field; return the fields by their number.

    Parameters
    ----------
    truth, predicted : array, shape (..., height, width)
        Labels of all fields, in memory or lazy; 0 is background.
    planes : tuple of int
        Numbers of the fields to compare.
    copies : mapping
        Labels of fields as they were when this was asked for, and are to be compared.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.

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
        progress(done, len(planes), "Comparing")
        # Copies, because labels may be painted in meanwhile
        true, found = copies.get(plane) or [
            read_plane(labels, plane).copy() for labels in (truth, predicted)
        ]
        pairs[plane] = locate_objects(compare(true, found), true, found)
    return pairs


@dataclass(frozen=True)
class DatasetScore:
    """What takes too long to be waited for.

    Attributes
    ----------
    measured : mapping
        Number of a field to what is known of it, with its outlines.
    scores : mapping
        Number of a field to its score.
    summary : Summary
        Pooled scores and spread over all fields.
    """

    measured: Mapping[int, LocatedPair]
    scores: Mapping[int, Score]
    summary: Summary


def score_dataset(
    pairs: Mapping[int, LocatedPair],
    copies: Mapping[int, LabelPair],
    rule: ScoreRule,
    progress: Progress,
    pixel_size: float | None = None,
) -> DatasetScore:
    """Compare the outlines of edited fields, then pool and average the scores of all.

    Parameters
    ----------
    pairs : mapping
        Number of a field to what is known of it.
    copies : mapping
        Labels of the fields whose outlines were not compared yet.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    pixel_size : float, optional
        Edge of a pixel in micrometres, in which distances are given then, too.
    """
    measured, scores = {}, {}
    for done, (plane, known) in enumerate(pairs.items()):
        progress(done, len(pairs), "Scoring")
        pair = known
        if plane in copies:
            boundaries = measure_boundaries(*copies[plane], pair.overlap)
            pair = measured[plane] = replace(pair, boundaries=boundaries)
        if pixel_size is not None and pair.boundaries is not None:
            pair = replace(pair, boundaries=pair.boundaries.in_unit(pixel_size))
        scores[plane] = pair.score(rule.threshold, rule.preset)
    return DatasetScore(measured, scores, summarise(list(scores.values()), rule.empty_as_one))


def read_plane(data: Any, plane: int) -> LabelImage:
    """Read one field of a stack of labels."""
    return np.asarray(plane_of(data, plane))


def read_all(data: Any, progress: Progress) -> LabelImage:
    """Read all fields of a stack of labels into memory."""
    labels = np.empty(data.shape, dtype=data.dtype)
    planes = int(np.prod(data.shape[:-2]))
    for plane in range(planes):
        progress(plane, planes, "Reading")
        plane_of(labels, plane)[...] = read_plane(data, plane)
    return labels

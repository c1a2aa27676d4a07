"""What changes with an edit, counted in its box alone."""

from __future__ import annotations

from napari_nucseg.core.overlap import Overlap, find_overlap
from napari_nucseg.runs.objects import Placed
from napari_nucseg.runs.places import Box, move_places
from napari_nucseg.ui.score.scoring import Both


def updated_overlap(overlap: Overlap, box: Box, before: Both, labels: Both) -> Overlap:
    """Count the changed part of a field again.

    Parameters
    ----------
    overlap : Overlap
        As it was counted last.
    box : tuple of slice
        Around all that changed.
    before : tuple of two ndarrays
        True and predicted labels in the box as they were.
    labels : tuple of two ndarrays
        All of the field's true and predicted labels as they are now.
    """
    try:
        return overlap.updated(before, (labels[0][box], labels[1][box]))
    except ValueError:  # labels were changed by a program, which told nobody
        return find_overlap(*labels)


def updated_places(
    placed: Placed, overlap: Overlap, box: Box, before: Both, labels: Both
) -> Placed:
    """Find the objects anew that an edit may have changed; parameters as of `updated_overlap`.

    Parameters
    ----------
    placed : Placed
        Before the edit.
    overlap : Overlap
        After it.
    """
    ids = (
        (placed.overlap.truth_ids, overlap.truth_ids),
        (placed.overlap.predicted_ids, overlap.predicted_ids),
    )
    truth, predicted = (
        move_places(places, *known, box, was, now)
        for places, known, was, now in zip(
            (placed.truth, placed.predicted), ids, before, labels, strict=True
        )
    )
    return Placed(overlap, truth, predicted)

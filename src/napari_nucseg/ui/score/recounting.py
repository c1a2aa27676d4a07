"""What changes with an edit, counted in its box alone."""

from __future__ import annotations

from napari_nucseg.core.overlap import find_overlap
from napari_nucseg.runs.objects import Placed
from napari_nucseg.runs.places import Box, move_places
from napari_nucseg.ui.score.scoring import Both, place


def recounted(placed: Placed, box: Box, before: Both, labels: Both) -> Placed:
    """Count and find the objects of a field again after an edit.

    Parameters
    ----------
    placed : Placed
        Before the edit.
    box : tuple of slice
        Around all that changed.
    before : tuple of two ndarrays
        True and predicted labels in the box as they were.
    labels : tuple of two ndarrays
        All of the field's true and predicted labels as they are now.
    """
    try:
        return _in_box(placed, box, before, labels)
    except ValueError:  # labels were changed by a program, too, which told nobody
        return place(find_overlap(*labels), *labels)


def _in_box(placed: Placed, box: Box, before: Both, labels: Both) -> Placed:
    old = placed.overlap
    new = old.updated(before, (labels[0][box], labels[1][box]))
    ids = ((old.truth_ids, new.truth_ids), (old.predicted_ids, new.predicted_ids))
    truth, predicted = (
        move_places(places, *known, box, was, now)
        for places, known, was, now in zip(
            (placed.truth, placed.predicted), ids, before, labels, strict=True
        )
    )
    return Placed(new, truth, predicted)

"""Proposing a diameter: from a line that the user drew, or from labels that are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_nucseg.ui.layers import field_shape, plane_of, shown_plane
from napari_nucseg.ui.segment.regions import drawn_length


@dataclass(frozen=True)
class Proposal:
    """A diameter in pixels, and what it was measured from."""

    diameter: float
    what: str

    def __str__(self) -> str:
        return f"Diameter {self.diameter:.1f} px: {self.what}."


def propose_diameter(
    viewer: ViewerModel, image: Image, prediction: Labels | None
) -> Proposal | None:
    """Measure the diameter of nuclei.

    Parameters
    ----------
    viewer : ViewerModel
        Where lines may be drawn and labels be selected.
    image : Image
        Whose pixels are counted.
    prediction : Labels or None
        What counts where no labels are selected.

    Returns
    -------
    Proposal or None
        The length of a drawn line; without one, of the nuclei in the field in sight the median
        diameter of a circle of their area, without those that its border cuts. None without
        either.
    """
    drawn = drawn_length(viewer, image)
    if drawn is not None and drawn[0] > 0:
        return Proposal(round(drawn[0], 1), f"the length of the line in {drawn[1]}")
    selected = viewer.layers.selection.active
    labels = selected if isinstance(selected, Labels) else prediction
    if labels is None or field_shape(labels)[-2:] != field_shape(image)[-2:]:
        return None
    field = np.asarray(plane_of(labels.data, shown_plane(viewer.dims.point, labels)))
    areas = _areas_of_whole(field)
    if not len(areas):
        return None
    median = float(np.median(2 * np.sqrt(areas / np.pi)))
    return Proposal(
        round(median, 1), f"the median of the {len(areas)} whole nuclei of {labels.name} in sight"
    )


def _areas_of_whole(field: NDArray[np.integer]) -> NDArray[np.integer]:
    """Count the pixels of the labels that do not touch the border."""
    ids, areas = np.unique(field, return_counts=True)
    border = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
    return areas[(ids > 0) & ~np.isin(ids, border)]

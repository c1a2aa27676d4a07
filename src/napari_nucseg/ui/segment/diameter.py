"""The diameter: measured at a drawn line or at labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_nucseg.ui.layers import field_shape, plane_of, shown_plane
from napari_nucseg.ui.segment.image_source import drawn_length
from napari_nucseg.ui.segment.selection import Selection

_NO_DIAMETER = (
    "Draw a line across a nucleus in a Shapes layer, or press Segment. Then press Measure again."
)


class DiameterHelp:
    """Finds the diameter for the user.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the image.
    chosen : Selection
        The chosen image, and the form with the row of the diameter.
    tell : callable
        Called with a line of text, to show it.
    rest : callable
        Called when the diameter has changed, for which the network has to run.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        chosen: Selection,
        tell: Callable[[str], None],
        rest: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._chosen = chosen
        self._tell = tell
        self._rest = rest
        chosen.form.measure.changed.connect(self.measure)

    def measure(self) -> None:
        """Set the diameter to what a drawn line or the labels say."""
        found = propose_diameter(self._viewer, self._chosen.image, self._chosen.prediction)
        if found is None:
            self._tell(_NO_DIAMETER)
            return
        self._chosen.form.params["diameter"].value = found.diameter
        self._rest()
        self._tell(f"{found} Press Segment to use it.")


@dataclass(frozen=True)
class Proposal:
    """A diameter in pixels, and what it was measured from."""

    diameter: float
    what: str

    def __str__(self) -> str:
        return f"Diameter {self.diameter:.1f} px: {self.what}."


def propose_diameter(
    viewer: ViewerModel, image: Image | None, prediction: Labels | None
) -> Proposal | None:
    """Measure the diameter of nuclei.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, in which lines may be drawn and labels be selected.
    image : Image or None
        Image layer whose pixels the diameter counts.
    prediction : Labels or None
        Labels that are measured where none are selected.

    Returns
    -------
    Proposal or None
        The length of a drawn line; without one, of the nuclei in the field in sight the median
        diameter of a circle of their area, without those that its border cuts. None without
        either.
    """
    if image is None:
        return None
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

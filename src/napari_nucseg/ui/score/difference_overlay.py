"""An overlay of the true nuclei that one of two predictions found and the other did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.core.boundaries import find_outlines
from napari_nucseg.runs.rivals import Disagreement
from napari_nucseg.ui.layers import (
    DIFFERENCE,
    LayerRecord,
    colormap,
    full_data,
    plane_of,
    put_labels,
    role_of,
)
from napari_nucseg.ui.score.drawn_planes import Draw, DrawnPlanes

FIRST, SECOND = 1, 2
COLOURS = {FIRST: "#56B4E9", SECOND: "#E69F00"}
"""Found by the first prediction alone, and by the second alone."""


def show_difference(
    viewer: ViewerModel, truth: Labels, prediction: Labels, differing: Sequence[Disagreement]
) -> Labels:
    """Outline true nuclei in the colour of the prediction that found them.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added, or refreshed.
    truth : Labels
        Whose nuclei are outlined.
    prediction : Labels
        The first one, which the layer belongs to.
    differing : sequence of Disagreement
        The nuclei.
    """
    selected = set(viewer.layers.selection)
    layer = put_labels(
        viewer,
        DrawnPlanes(full_data(truth).shape, _drawer(truth, differing)),
        prediction,
        LayerRecord(DIFFERENCE, source=str(prediction.unique_id)),
        f"{prediction.name} {DIFFERENCE}",
        colormap=colormap(COLOURS),
        opacity=1.0,
    )
    layer.editable = False
    if selected:
        viewer.layers.selection = selected
    return layer


def redraw_difference(
    viewer: ViewerModel, truth: Labels | None, differing: Sequence[Disagreement]
) -> None:
    """Let the overlay, where there is one, show other nuclei; parameters as `show_difference`.

    Parameters
    ----------
    truth : Labels or None
        None for a blank overlay.
    """
    for layer in viewer.layers:
        if role_of(layer) == DIFFERENCE and isinstance(layer.data, DrawnPlanes):
            layer.data.draw = _blank if truth is None else _drawer(truth, differing)
            layer.data.forget()
            layer.refresh(thumbnail=False, extent=False)


def _drawer(truth: Labels, differing: Sequence[Disagreement]) -> Draw:
    labels = full_data(truth)
    by_plane: dict[int, dict[int, list[int]]] = {}
    for one in differing:
        sides = by_plane.setdefault(one.plane, {FIRST: [], SECOND: []})
        sides[FIRST if one.in_first else SECOND].append(one.label)

    def draw(plane: int) -> NDArray[np.uint8]:
        return _outline(np.asarray(plane_of(labels, plane)), by_plane.get(plane, {}))

    return draw


def _blank(plane: int) -> None:
    """Draw nothing."""


def _outline(field: NDArray[Any], sides: Mapping[int, Sequence[int]]) -> NDArray[np.uint8]:
    drawn = np.zeros(field.shape, dtype=np.uint8)
    for value, labels in sides.items():
        mine = np.where(np.isin(field, labels), field, 0)
        edge = find_outlines(mine)
        drawn[edge | find_outlines(np.where(edge, 0, mine))] = value
    return drawn

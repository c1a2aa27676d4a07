"""Going to an object: its field, its layer, its label, and the camera on it."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.comparison_state import ComparisonState

MARGIN = 4.0
"""How many times a nucleus' box fits into the view that is chosen for it."""
_LEAST_BOX = 24
"""Pixels that a box counts for at least, so that a speck keeps its surroundings."""


def go_to_row(viewer: ViewerModel, state: ComparisonState, row: int) -> None:
    """Select an object's label in its layer, and move field slider and camera to it."""
    objects = state.objects
    layer = state.truth if objects.is_true[row] else state.prediction
    if layer is None or layer not in viewer.layers:
        return
    go_to_field(viewer, layer, int(objects.plane[row]))
    viewer.layers.selection = {layer}
    layer.selected_label = int(objects.label[row])
    show_box(viewer, layer, objects.box[row].tolist())


def go_to_field(viewer: ViewerModel, layer: Labels, plane: int) -> None:
    """Move the field slider."""
    stack = full_data(layer).shape[:-2]
    if not stack:
        return
    place = layer.data_to_world((*map(int, np.unravel_index(plane, stack)), 0, 0))
    first = viewer.dims.ndim - layer.ndim
    for axis in range(len(stack)):
        viewer.dims.set_point(first + axis, float(place[axis]))


def show_box(viewer: ViewerModel, layer: Labels, box: list[int]) -> None:
    """Move the camera to a box of the field shown, with a margin.

    Parameters
    ----------
    viewer : ViewerModel
        With the field shown.
    layer : Labels
        Whose pixels the box counts.
    box : list of int
        First row, first column, and row and column after the last.
    """
    top, left, bottom, right = box
    shown = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])[:-2]
    middle = ((top + bottom - 1) / 2, (left + right - 1) / 2)
    edge = [max(bottom - top, _LEAST_BOX), max(right - left, _LEAST_BOX)]
    size = np.multiply(edge, np.abs(layer.scale[-2:])) * MARGIN
    center = layer.data_to_world((*shown, *middle))[-2:]
    viewer.scene.camera.center = tuple(map(float, center))
    viewer.scene.camera.zoom = float(np.min(np.asarray(viewer.canvas.size) / size))

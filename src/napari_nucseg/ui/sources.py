"""What of a layer is given to a network: a field, a colour channel, a rectangle."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from pint import DimensionalityError

from napari_nucseg.ui.layers import field_shape, full_data

Box = tuple[slice, slice]
"""Rows and columns of a field."""

CHANNELS = ("Mean", "Red", "Green", "Blue")
"""Of a colour image; the first is the mean of the others."""


def field_of(layer: Image, number: int, channel: str, box: Box | None) -> Any:
    """Take one grey field out of an image, lazy if the layer is, else as a copy.

    Parameters
    ----------
    layer : Image
        Grey or colour, a stack or not, at its full resolution if it has several.
    number : int
        Of the field in the stack.
    channel : str
        One of `CHANNELS`, for a colour image.
    box : Box or None
        Rows and columns to cut out.
    """
    data = full_data(layer)
    stack = field_shape(layer)[:-2]
    field = data[np.unravel_index(number, stack)] if stack else data
    if layer.rgb:
        index = CHANNELS.index(channel) - 1
        field = field[..., :3].mean(axis=-1) if index < 0 else field[..., index]
    if box is not None:
        field = field[box]
    return field.copy() if isinstance(field, np.ndarray) else field


def pixel_size(layer: Image) -> float | None:
    """Return the edge of a pixel in micrometres; the geometric mean where pixels are no squares.

    None where the layer's unit is no length.
    """
    units = layer.units[-2:]
    try:
        edges = [
            float((scale * unit).to("um").magnitude)
            for scale, unit in zip(layer.scale[-2:], units, strict=True)
        ]
    except DimensionalityError:
        return None
    return float(np.sqrt(abs(edges[0] * edges[1])))


def drawn_box(viewer: ViewerModel, image: Image) -> Box | None:
    """Return the rectangle that is drawn over an image: the selected one, else the last.

    Shapes of any kind count with their bounding box, cut to the image. None if there is none.
    """
    corners = _drawn_corners(viewer)
    if corners is None:
        return None
    placed = np.array([image.world_to_data(corner)[-2:] for corner in corners])
    low = np.maximum(np.rint(placed.min(axis=0)), 0).astype(int)
    high = np.minimum(np.rint(placed.max(axis=0)), field_shape(image)[-2:]).astype(int)
    if (high <= low).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _drawn_corners(viewer: ViewerModel) -> np.ndarray | None:
    """Return the corners of the rectangle, in world coordinates."""
    for layer in reversed(viewer.layers):
        if isinstance(layer, Shapes) and layer.data:
            chosen = max(layer.selected_data, default=len(layer.data) - 1)
            return np.array([layer.data_to_world(corner) for corner in layer.data[chosen]])
    return None

"""What the user points at on the canvas: a drawn rectangle, a drawn line, the part in sight."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_nucseg.ui.layers import field_shape
from napari_nucseg.ui.segment.sources import Box

LINES = ("line", "path")


def drawn_box(viewer: ViewerModel, image: Image) -> Box | None:
    """Return the rectangle that is drawn over an image: the selected one, else the last.

    Of several Shapes layers the selected one counts, else the topmost in sight. Shapes of any
    kind but lines count with their bounding box, cut to the image. None if there is none.
    """
    corners = next(_drawn(viewer, ("rectangle", "ellipse", "polygon")), None)
    return None if corners is None else _box(corners[1], image)


def seen_box(viewer: ViewerModel, image: Image) -> Box | None:
    """Return the part of an image that lies within the canvas; None if none does.

    Raises
    ------
    ValueError
        If the viewer shows a volume, of which no rectangle is in sight.
    """
    if viewer.dims.ndisplay != 2:
        raise ValueError("what is in sight of a volume is no rectangle; switch to the 2-D view")
    axes = list(viewer.dims.displayed)
    half = np.divide(viewer.canvas.viewbox_size(viewer.layers), 2 * viewer.scene.camera.zoom)
    corners = np.tile(np.array(viewer.dims.point, dtype=float), (4, 1))
    centre = np.array(viewer.scene.camera.center[-2:])
    corners[:, axes] = [centre + half * sides for sides in product((-1, 1), repeat=2)]
    return _box(corners, image)


def drawn_length(viewer: ViewerModel, image: Image) -> tuple[float, str] | None:
    """Return the length of the line that is drawn over an image: the selected one, else the last.

    Parameters
    ----------
    viewer : ViewerModel
        Where it is drawn, with the line or the path tool of a Shapes layer.
    image : Image
        Whose pixels are counted.

    Returns
    -------
    (float, str) or None
        Its length in pixels, and the name of its layer.
    """
    for name, points in _drawn(viewer, LINES):
        steps = np.diff(_placed(points, image), axis=0)
        return float(np.hypot(*steps.T).sum()), name
    return None


def _drawn(
    viewer: ViewerModel, kinds: tuple[str, ...]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield name of the layer and points in world units of shapes, the likeliest first."""
    selected = [layer for layer in reversed(viewer.layers) if layer in viewer.layers.selection]
    in_sight = [layer for layer in reversed(viewer.layers) if layer.visible]
    for layer in (*selected, *in_sight):
        if not isinstance(layer, Shapes):
            continue
        fitting = [i for i, kind in enumerate(layer.shape_type) if kind in kinds]
        chosen = [i for i in fitting if i in layer.selected_data] or fitting
        if chosen:
            points = layer.data[chosen[-1]]
            yield layer.name, np.array([layer.data_to_world(point) for point in points])


def _placed(points: NDArray[np.float64], image: Image) -> NDArray[np.float64]:
    """Return rows and columns of an image for points in world units."""
    return np.array([image.world_to_data(point[-image.ndim :])[-2:] for point in points])


def _box(corners: NDArray[np.float64], image: Image) -> Box | None:
    placed = _placed(corners, image)
    low = np.maximum(np.rint(placed.min(axis=0)), 0).astype(int)
    high = np.minimum(np.rint(placed.max(axis=0)), field_shape(image)[-2:]).astype(int)
    if (high <= low).any():
        return None
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

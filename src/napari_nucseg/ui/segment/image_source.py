"""What of an image is given to a network: fields, a channel, a drawn part, or what is in sight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray
from pint import DimensionalityError

from napari_nucseg.analysis.field_parts import FieldSource, Rectangle
from napari_nucseg.array_types import Box
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.channels import (
    CHANNEL,
    COLOURS,
    DEPTH,
    FIELD,
    HAEMATOXYLIN,
    MEAN,
    MOST_COLOURS,
    propose_channel,
)
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.parameters import Depth, VolumeParams
from napari_nucseg.ui.layer_fields import (
    LINES,
    axes_of,
    count_planes,
    drawing_layers,
    field_shape,
    full_data,
    pixel_size,
    places_in,
    world_of,
)

CHANNELS = tuple(name.capitalize() for name in (MEAN, *COLOURS, HAEMATOXYLIN))
"""Channels of a colour image as they are shown; in small letters, names of a `Channel`."""
IN_SIGHT = "in sight"
"""The channel that is shown, where an axis holds channels."""


def source_of(layer: Image, channel: str, axes: Sequence[str] | None = None) -> FieldSource:
    """Tell where the fields of a layer are.

    Parameters
    ----------
    layer : Image
        Grey or colour, a stack or not.
    channel : str
        See `FieldSource`; of no account for a grey image.
    axes : sequence of str, optional
        What its axes before height and width hold; if not given, what is said or chosen now.
    """
    held = axes_of(layer) if axes is None else tuple(axes)
    has_channels = layer.rgb or CHANNEL in held
    return FieldSource(full_data(layer), held, channel if has_channels else "")


@dataclass(frozen=True)
class PlanesInParts:
    """The planes of a layer that are segmented, of which any part can be read."""

    source: FieldSource
    planes: tuple[int, ...]
    shape: tuple[int, ...]

    def read(self, box: Box, /) -> NDArray[Any]:
        """Return the pixels of a box."""
        *depth, rows, columns = box
        part = Rectangle(rows.start, columns.start, rows.stop, columns.stop)
        if not depth:
            return self.source.read(self.planes[0], part)
        planes = self.planes[depth[0]]
        return np.stack([self.source.read(plane, part) for plane in planes])


def channels_of(layer: Image | None) -> tuple[str, ...]:
    """List the channels to choose from, as they are shown; none of a grey image."""
    if layer is None:
        return ()
    if layer.rgb:
        return CHANNELS
    axes = axes_of(layer)
    if CHANNEL not in axes:
        return ()
    count = full_data(layer).shape[axes.index(CHANNEL)]
    return (IN_SIGHT, *(str(number + 1) for number in range(count)))


def shown_channel(viewer: ViewerModel, layer: Image) -> str:
    """Return the number, from 1, of the channel in sight along the axis that holds channels."""
    axis = axes_of(layer).index(CHANNEL)
    place = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])[axis]
    return str(int(np.clip(round(place), 0, full_data(layer).shape[axis] - 1)) + 1)


def likeliest_channel(layer: Image, plane: int) -> str:
    """Propose a channel of a colour image by a field at the coarsest level, which napari shows."""
    data = layer.data[-1] if layer.multiscale else layer.data
    stack = field_shape(layer)[:-2]
    if stack:  # a coarse level may have fewer fields
        place = np.minimum(np.unravel_index(plane, stack), np.subtract(data.shape[:-3], 1))
        data = data[tuple(place)]
    return propose_channel(data).capitalize()


def refuse_channels_last(layer: Image) -> None:
    """Refuse channels that napari takes for columns: labels would not lie on their nuclei."""
    shape = field_shape(layer)
    if len(shape) > 2 and shape[-1] <= MOST_COLOURS < min(shape[-3:-1]):
        raise ValueError(
            f"{layer.name}: its last axis, of length {shape[-1]}, seems to hold channels; add the "
            "image with one layer per channel: viewer.add_image(data, channel_axis=-1)"
        )


class Scope(StrEnum):
    """What of an image is segmented."""

    FIELD = "this field"
    SEEN = "what I see"
    BOX = "drawn rectangle"
    ALL = "all fields"
    STITCHED = "volume, stitched"
    IN_3D = "volume, in 3-D"


DEPTHS = {Scope.STITCHED: Depth.STITCHED, Scope.IN_3D: Depth.IN_3D}
"""How the planes of a volume belong together."""
USED_BY = {"stitch_threshold": Scope.STITCHED, "anisotropy": Scope.IN_3D}
"""The scope that each parameter of volumes counts for."""


def scopes_of(layer: Image | None) -> list[Scope]:
    """List what can be segmented of an image."""
    without = set[Scope]()
    if layer is None or count_planes(layer) < 2:
        without |= {Scope.ALL}
    axis = None if layer is None else depth_axis(layer)
    if layer is None or axis is None or field_shape(layer)[axis] == 1:
        without |= set(DEPTHS)
    return [scope for scope in Scope if scope not in without]


def depth_axis(layer: Image) -> int | None:
    """Return the axis, counted from the last, along which the planes of a volume lie, if any.

    That is the axis of depth. Without one it is the last before height and width, if that may
    be one of depth, too: of fields, which is said of axes of which nothing else is known.
    """
    axes = axes_of(layer)
    if DEPTH in axes:
        return axes.index(DEPTH) - layer.ndim
    others = [axis for axis, held in enumerate(axes) if held != CHANNEL]
    return others[-1] - layer.ndim if others and axes[others[-1]] == FIELD else None


def calibration_of(layer: Image) -> Calibration:
    """Return the sizes of an image's pixels, and the distance of a volume's planes."""
    axis, size = depth_axis(layer), pixel_size(layer)
    if axis is None:
        return Calibration(size)
    try:
        apart = abs(float((layer.scale[axis] * layer.units[axis]).to("um").magnitude))
    except DimensionalityError:
        return Calibration(size)
    return Calibration(size, apart)


def anisotropy(layer: Image) -> float:
    """Return the distance of an image's planes over the edge of a pixel, within its bounds.

    1 where there are no planes, or their distance is no length.
    """
    axis = depth_axis(layer)
    if axis is None:
        return 1.0
    try:
        apart, height, width = (
            abs(float((layer.scale[one] * layer.units[one]).to(layer.units[-1]).magnitude))
            for one in (axis, -2, -1)
        )
    except DimensionalityError:
        return 1.0
    spec = specs_of(VolumeParams)["anisotropy"]
    return float(np.clip(round(apart / float(np.sqrt(height * width)), 1), spec.low, spec.high))


def chosen_box(viewer: ViewerModel, image: Image, scope: Scope) -> Rectangle | None:
    """Return the rectangle of an image to segment; None for all of its field.

    Raises
    ------
    ValueError
        If there is no such rectangle; the message says what to do.
    """
    if scope not in (Scope.BOX, Scope.SEEN):
        return None
    box = drawn_box(viewer, image) if scope == Scope.BOX else seen_box(viewer, image)
    if box is None and scope == Scope.BOX:
        raise ValueError(
            "Draw a rectangle in a Shapes layer, or choose another scope under Segment."
        )
    if box is None:
        raise ValueError(
            "No part of this image is in sight. Move it into the canvas, then press Segment."
        )
    return None if box == (0, 0, *field_shape(image)[-2:]) else box


def drawn_box(viewer: ViewerModel, image: Image) -> Rectangle | None:
    """Return the rectangle that is drawn over an image: the selected one, else the last.

    Of several Shapes layers the selected one counts, else the topmost in sight. Shapes of any
    kind but lines count with their bounding box, cut to the image. None if there is none.
    """
    corners = next(_drawn(viewer, ("rectangle", "ellipse", "polygon")), None)
    return None if corners is None else _cut_box(corners[1], image)


def seen_box(viewer: ViewerModel, image: Image) -> Rectangle | None:
    """Return the part of an image that lies within the canvas; None if none does.

    Raises
    ------
    ValueError
        If the viewer shows a volume, of which no rectangle is in sight.
    """
    if viewer.dims.ndisplay != 2:
        raise ValueError(
            "What I see works in the 2-D view only; switch to it, or choose another "
            "scope under Segment"
        )
    axes = list(viewer.dims.displayed)
    half = np.divide(viewer.canvas.viewbox_size(viewer.layers), 2 * viewer.scene.camera.zoom)
    corners = np.tile(np.array(viewer.dims.point, dtype=float), (4, 1))
    centre = np.array(viewer.scene.camera.center[-2:])
    corners[:, axes] = [centre + half * sides for sides in product((-1, 1), repeat=2)]
    return _cut_box(corners, image)


def drawn_length(viewer: ViewerModel, image: Image) -> tuple[float, str] | None:
    """Return the length of the line that is drawn over an image: the selected one, else the last.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, in which it is drawn with the line or the path tool of a Shapes layer.
    image : Image
        Image layer whose pixels the length counts.

    Returns the length in pixels, and the name of the Shapes layer; None without a line.
    """
    for name, points in _drawn(viewer, LINES):
        steps = np.diff(places_in(image, points)[:, -2:], axis=0)
        return float(np.hypot(*steps.T).sum()), name
    return None


def _drawn(
    viewer: ViewerModel, kinds: tuple[str, ...]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield name of the layer and points in world units of shapes, the likeliest first."""
    shapes = drawing_layers(viewer.layers)
    selected = [layer for layer in shapes if layer in viewer.layers.selection]
    in_sight = [layer for layer in shapes if layer.visible]
    for layer in (*selected, *in_sight):
        fitting = [i for i, kind in enumerate(layer.shape_type) if kind in kinds]
        chosen = [i for i in fitting if i in layer.selected_data] or fitting
        if chosen:
            points = layer.data[chosen[-1]]
            yield layer.name, world_of(layer, points)


def _cut_box(corners: NDArray[np.float64], image: Image) -> Rectangle | None:
    placed = places_in(image, corners)[:, -2:]
    low = np.maximum(np.rint(placed.min(axis=0)), 0).astype(int)
    high = np.minimum(np.rint(placed.max(axis=0)), field_shape(image)[-2:]).astype(int)
    if (high <= low).any():
        return None
    return Rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

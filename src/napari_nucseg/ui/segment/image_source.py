"""What of an image is given to a network: fields, a channel, a drawn part, or what is in sight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from pint import DimensionalityError

from napari_nucseg.io.channels import COLOURS, HAEMATOXYLIN, MEAN, Channel
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.parameters import Depth, VolumeParams
from napari_nucseg.ui.layers import count_planes, field_shape, full_data

CHANNELS = tuple(name.capitalize() for name in (MEAN, *COLOURS, HAEMATOXYLIN))
"""Of a colour image, as they are shown; in small letters each is the name of a `Channel`."""


LINES = ("line", "path")


class Box(NamedTuple):
    """A rectangle of a field in pixels: its first row and column, and those behind its last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index a field with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, other: Box) -> bool:
        """Whether nothing of another rectangle lies outside of this one."""
        begins = self.top <= other.top and self.left <= other.left
        return begins and other.bottom <= self.bottom and other.right <= self.right


@dataclass(frozen=True)
class FieldSource:
    """The grey fields of an image, to be read one by one in a worker.

    Attributes
    ----------
    data : array
        Data of the layer at full resolution, lazy or not; never copied whole.
    stack : tuple of int
        Shape of its axes before height and width.
    channel : str
        One of `CHANNELS` for a colour image, empty for a grey one.
    """

    data: Any
    stack: tuple[int, ...]
    channel: str

    def read(self, plane: int, box: Box | None = None) -> NDArray[Any]:
        """Read a field, or a rectangle of it, into memory of its own.

        Parameters
        ----------
        plane : int
            Number of the field in the stack.
        box : Box, optional
            Part of the field that is read; all of it if not given.
        """
        field = self.data[np.unravel_index(plane, self.stack)] if self.stack else self.data
        if box is not None:
            field = field[box.slices]
        if not self.channel:
            return np.array(field)
        return Channel(self.channel.lower()).take(np.asarray(field), axis=-1, colours=3)

    @property
    def is_in_memory(self) -> bool:
        """Whether reading costs next to nothing."""
        return isinstance(self.data, np.ndarray) and not isinstance(self.data, np.memmap)


def source_of(layer: Image, channel: str) -> FieldSource:
    """Tell where the fields of a layer are.

    Parameters
    ----------
    layer : Image
        Grey or colour, a stack or not.
    channel : str
        One of `CHANNELS`; of no account for a grey image.
    """
    return FieldSource(full_data(layer), field_shape(layer)[:-2], channel if layer.rgb else "")


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
    """List what can be segmented of an image: a volume is the last axis before height and width."""
    without = set[Scope]()
    if layer is None or count_planes(layer) < 2:
        without |= {Scope.ALL}
    if layer is None or field_shape(layer)[:-2][-1:] in ((), (1,)):
        without |= set(DEPTHS)
    return [scope for scope in Scope if scope not in without]


def anisotropy(layer: Image) -> float:
    """Return the distance of an image's planes over the edge of a pixel, within its bounds.

    1 where there are no planes, or their distance is no length.
    """
    if len(field_shape(layer)) < 3:
        return 1.0
    try:
        apart, height, width = (
            abs(float((scale * unit).to(layer.units[-1]).magnitude))
            for scale, unit in zip(layer.scale[-3:], layer.units[-3:], strict=True)
        )
    except DimensionalityError:
        return 1.0
    spec = specs_of(VolumeParams)["anisotropy"]
    return float(np.clip(round(apart / float(np.sqrt(height * width)), 1), spec.low, spec.high))


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
        raise ValueError(
            "What I see works in the 2-D view only; switch to it, or choose another "
            "scope under Segment"
        )
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
        The viewer, in which it is drawn with the line or the path tool of a Shapes layer.
    image : Image
        Image layer whose pixels the length counts.

    Returns
    -------
    (float, str) or None
        Length in pixels, and the name of the Shapes layer.
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

"""What a layer's data holds: axes, fields along them, pixels of a size, shapes within fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pint
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray
from pint import DimensionalityError
from pint.registry import LazyRegistry

from napari_nucseg.array_types import Box
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.channels import CHANNEL, FIELD, said_by, stack_shape
from napari_nucseg.io.limits import max_pixels
from napari_nucseg.metrics.ignoring import Polygon, Regions, ellipse_in
from napari_nucseg.progress import Progress

_AXES, _REGIONS = "nucseg axes", "nucseg ignored regions"
_COPIED_AT_ONCE = 2**24
"""Bytes that are copied in some 20 milliseconds."""
LINES = ("line", "path")
"""Kinds of shapes that enclose nothing."""
DIAMETER_CIRCLE = "nucseg diameter circle"
"""What a Shapes layer says in its metadata that shows the diameter: nothing is drawn there."""
_DECIMALS = 2
"""Of corners of polygons, in pixels: napari keeps shapes as numbers of 32 bits."""


def itself(proxied: Any) -> Any:
    """Return a viewer or layer of which panels may have napari's proxy, which is short-lived."""
    return getattr(proxied, "__wrapped__", proxied)


def full_data(layer: Layer) -> Any:
    """Return the data of a layer at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def said_axes(layer: Layer) -> tuple[str | None, ...]:
    """Tell what the names of an image's axes before height and width say; None where nothing."""
    return tuple(said_by(name) for name in layer.axis_labels[:-2])


def axes_of(layer: Layer) -> tuple[str, ...]:
    """Tell what an image's axes before height and width hold: as their names say, else as chosen.

    That is fields where nothing was chosen. Of a colour image no axis holds channels.
    """
    said, chosen = said_axes(layer), layer.metadata.get(_AXES, ())
    if len(chosen) != len(said):
        chosen = (FIELD,) * len(said)
    held = [name or other for name, other in zip(said, chosen, strict=True)]
    first = held.index(CHANNEL) if CHANNEL in held and not layer.rgb else -1
    return tuple(FIELD if one == CHANNEL and n != first else one for n, one in enumerate(held))


def choose_axes(layer: Layer, axes: Sequence[str]) -> None:
    """Remember with an image what its axes before height and width hold."""
    layer.metadata = layer.metadata | {_AXES: tuple(axes)}


def field_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of a layer's fields as a stack; of an image without what holds channels."""
    shape = tuple(full_data(layer).shape)
    if not isinstance(layer, Image):
        return shape
    shape = shape[:-1] if layer.rgb else shape
    return (*stack_shape(shape[:-2], axes_of(layer)), *shape[-2:])


def count_planes(layer: Layer) -> int:
    """Count the fields of a layer: the product of all axes before height and width."""
    return int(np.prod(field_shape(layer)[:-2]))


def pixel_size(layer: Layer) -> float | None:
    """Return the edge of a pixel in micrometres; the geometric mean where pixels are no squares.

    None where the layer's unit is no length.
    """
    try:
        edges = [float((layer.scale[a] * layer.units[a]).to("um").magnitude) for a in (-2, -1)]
    except DimensionalityError:
        return None
    return float(np.sqrt(abs(edges[0] * edges[1])))


def pyramid_like(levels: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return labels of Zarr as napari takes a pyramid: two levels at least, and all axes.

    Parameters
    ----------
    levels : sequence of zarr.Array
        Levels of labels, the full resolution first.
    shape : tuple of int
        Shape of the image's fields, which may have more axes of length 1.
    """
    import dask.array as da  # not above, because opening a panel would wait for it

    index = tuple(None if length == 1 else slice(None) for length in shape[:-2])
    data = list(levels)
    if len(data) == 1 or levels[0].ndim < len(shape):
        data = [da.from_array(level, chunks=level.chunks) for level in levels]
    if levels[0].ndim < len(shape):
        data = [level[(*index, ...)] for level in data]
    return data if len(data) > 1 else [*data, data[0][..., ::2, ::2]]


def plane_of(data: Any, number: int) -> Any:
    """Return one field of a stack, still lazy if the stack is."""
    return data[np.unravel_index(number, data.shape[:-2])] if data.ndim > 2 else data


def read_plane(data: Any, number: int) -> NDArray[Any]:
    """Read one field of a stack into memory, where it is not there yet."""
    return np.asarray(plane_of(data, number))


def read_whole(data: Any, progress: Progress) -> LabelImage:
    """Read all fields of a stack of labels into memory."""
    labels = np.empty(data.shape, dtype=data.dtype)
    planes = math.prod(data.shape[:-2])
    for plane in range(planes):
        progress(plane, planes, "Reading")
        plane_of(labels, plane)[...] = read_plane(data, plane)
    return labels


def snapshot(data: Any, shown: int) -> Callable[[], Any]:
    """Return what gives a copy of a stack of labels as it is now, for a worker.

    The window would wait for a copy of much, so the worker makes it. Of the field in sight, which
    alone can be painted in meanwhile, that holds what is there now, too.

    Parameters
    ----------
    data : array of integers, shape (..., height, width)
        All fields. Lazy ones, which nobody writes into, are left as they are.
    shown : int
        Number of the field in sight.
    """
    if not isinstance(data, np.ndarray):
        return lambda: data
    if data.nbytes <= _COPIED_AT_ONCE:
        whole = np.array(data)
        return lambda: whole
    now = np.array(plane_of(data, shown))

    def copied() -> NDArray[Any]:
        fields = np.array(data)
        plane_of(fields, shown)[...] = now
        return fields

    return copied


def is_too_large(layer: Labels) -> bool:
    """Whether the fields of labels are larger than memory, and are read in parts."""
    data = full_data(layer)
    return not isinstance(data, np.ndarray) and math.prod(data.shape[-2:]) > max_pixels()


@dataclass(frozen=True)
class FieldInParts:
    """A field of which any part can be read without the rest; see `Windowed`."""

    data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width in pixels."""
        return tuple(self.data.shape)

    def read(self, box: Box, /) -> NDArray[Any]:
        """Return the pixels of a box."""
        return np.asarray(self.data[box])


def shown_plane(point: Sequence[float], layer: Layer) -> int:
    """Return the number of the field that is shown at a point of the viewer, in world units."""
    stack = field_shape(layer)[:-2]
    if not stack:
        return 0
    place = np.rint(layer.world_to_data(np.asarray(point)[-layer.ndim :])).astype(int)
    place = place[-len(stack) - 2 : -2]
    return int(np.ravel_multi_index(np.clip(place, 0, np.subtract(stack, 1)), stack))


def is_in_sight(viewer: ViewerModel, layer: Layer, planes: Container[int]) -> bool:
    """Whether any of the fields is shown, and not another one alone."""
    dims = viewer.dims
    is_plane = tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)
    return not is_plane or shown_plane(dims.point, layer) in planes


def load_units() -> None:
    """Load the units that napari measures layers in.

    Where nobody has used them yet, another thread would find them half loaded meanwhile. So they
    are loaded by themselves, and are those of the application from then on.
    """
    units: Any = pint.application_registry
    if isinstance(units.get(), LazyRegistry):
        loaded: Any = pint.UnitRegistry(on_redefinition="raise")
        if isinstance(units.get(), LazyRegistry):
            units.set(loaded)


def drawing_layers(layers: Sequence[Layer]) -> list[Shapes]:
    """List the Shapes layers that a person draws in, the topmost first."""
    shapes = [one for one in reversed(layers) if isinstance(one, Shapes)]
    return [one for one in shapes if DIAMETER_CIRCLE not in one.metadata]


def drawn_regions(layer: Layer, shapes: Shapes | None) -> Regions:
    """Return shapes as polygons in the pixels of an image or labels, field by field.

    A shape lies in the fields at its place along the axes that it has. Channels have the same
    nuclei: along an axis that has one field, as that of channels has, any place is good.
    """
    stack, found = field_shape(layer), dict[int, tuple[Polygon, ...]]()
    planes = np.arange(count_planes(layer)).reshape(stack[:-2])
    for polygon, place in filter(None, polygons_in(layer, shapes)):
        known = place[max(0, len(place) - planes.ndim) :]
        lengths = planes.shape[planes.ndim - len(known) :]
        at = tuple(0 if m == 1 else n for n, m in zip(known, lengths, strict=True))
        if all(0 <= n < m for n, m in zip(at, lengths, strict=True)):
            where: Any = (..., *at)
            for plane in planes[where].ravel().tolist():
                found[plane] = (*found.get(plane, ()), polygon)
    return Regions((stack[-2], stack[-1]), found)


def keep_regions(labels: Labels, regions: Regions) -> None:
    """Keep with labels the regions that are ignored in their fields, and no others."""
    if regions.by_plane or _REGIONS in labels.metadata:
        labels.metadata = labels.metadata | {_REGIONS: regions}


def kept_regions(labels: Labels) -> Regions:
    """Return the regions that are kept with labels."""
    kept: Regions = labels.metadata.get(_REGIONS, Regions())
    return kept


def polygons_in(
    layer: Layer, shapes: Shapes | None
) -> list[tuple[Polygon, tuple[int, ...]] | None]:
    """Return each shape as a polygon in the pixels of another layer, and its place in its stack.

    The place is along the last axes that both layers have. It is None instead of both for a shape
    that has no inside, or lies in more than one field.
    """
    found = list[tuple[Polygon, tuple[int, ...]] | None]()
    for points, kind in () if shapes is None else zip(shapes.data, shapes.shape_type, strict=True):
        corners = ellipse_in(points) if kind == "ellipse" else points
        placed = places_in(layer, world_of(shapes, corners))
        place = np.unique(np.rint(placed[:, :-2]).astype(int), axis=0)
        fits = kind not in LINES and len(place) == 1 and len(placed) > 2
        polygon = tuple((y, x) for y, x in placed[:, -2:].round(_DECIMALS).tolist())
        found.append((polygon, tuple(place[0].tolist())) if fits else None)
    return found


def world_of(layer: Layer, points: NDArray[Any]) -> NDArray[np.float64]:
    """Return where points in the data of a layer lie in the world."""
    return np.array([layer.data_to_world(point) for point in points])


def places_in(layer: Layer, world: NDArray[Any]) -> NDArray[np.float64]:
    """Return where points in world units lie in the data of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    world : ndarray, shape (n, axes)
        The points, whose last axis is the world's last.

    Returns
    -------
    ndarray of float64, shape (n, shared)
        Their places along the last axes that points and layer both have.
    """
    axes = min(layer.ndim, world.shape[1])
    points = np.zeros((len(world), layer.ndim))
    points[:, layer.ndim - axes :] = world[:, world.shape[1] - axes :]
    return np.array([layer.world_to_data(point)[-axes:] for point in points])

"""What a layer's data holds: axes, fields along them, pixels of a size, shapes within fields."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import pint
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray
from pint import DimensionalityError
from pint.registry import LazyRegistry

from napari_nucseg.io.channels import CHANNEL, FIELD, said_by, stack_shape
from napari_nucseg.metrics.ignoring import Polygon, Regions, ellipse_in

_AXES, _REGIONS = "nucseg axes", "nucseg ignored regions"
DIAMETER_CIRCLE = "nucseg diameter circle"
"""What a Shapes layer says in its metadata that shows the diameter: nothing is drawn there."""
_DECIMALS = 2
"""Of corners of polygons, in pixels: napari keeps shapes as numbers of 32 bits."""


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


def plane_of(data: Any, number: int) -> Any:
    """Return one field of a stack, still lazy if the stack is."""
    return data[np.unravel_index(number, data.shape[:-2])] if data.ndim > 2 else data


def read_plane(data: Any, number: int) -> NDArray[Any]:
    """Read one field of a stack into memory, where it is not there yet."""
    return np.asarray(plane_of(data, number))


def snapshot(data: Any, shown: int) -> Callable[[], Any]:
    """Return what copies a stack of labels, for a worker: a window would wait for it.

    Of the field in sight, which alone can be painted in meanwhile, it holds what is there now.

    Parameters
    ----------
    data : array of integers, shape (..., height, width)
        All fields. Lazy ones, which nobody writes into, are left as they are.
    shown : int
        Number of the field in sight.
    """
    if not isinstance(data, np.ndarray):
        return lambda: data
    now = np.array(plane_of(data, shown))

    def copied() -> NDArray[Any]:
        fields = np.array(data)
        plane_of(fields, shown)[...] = now
        return fields

    return copied


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


def drawn_regions(labels: Layer, layer: Shapes | None) -> Regions:
    """Return the shapes of a layer as polygons in the pixels of labels, field by field."""
    stack, found = field_shape(labels), dict[int, tuple[Polygon, ...]]()
    planes = np.arange(count_planes(labels)).reshape(stack[:-2])
    for polygon, place in filter(None, polygons_in(labels, layer)):
        if all(0 <= n < m for n, m in zip(place, stack[-2 - len(place) : -2], strict=True)):
            where: Any = (..., *place)
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
    labels: Layer, layer: Shapes | None
) -> list[tuple[Polygon, tuple[int, ...]] | None]:
    """Return each shape of a layer as a polygon in the pixels of labels, and the field it lies in.

    The field is its place in the stack of labels, along the last axes that both layers have. It is
    None instead of both for a shape that has no inside, or lies in more than one field.
    """
    found = list[tuple[Polygon, tuple[int, ...]] | None]()
    for points, kind in () if layer is None else zip(layer.data, layer.shape_type, strict=True):
        placed = _places_in(labels, ellipse_in(points) if kind == "ellipse" else points, layer)
        place = np.unique(np.rint(placed[:, :-2]).astype(int), axis=0)
        fits = kind not in ("line", "path") and len(place) == 1 and len(placed) > 2
        polygon = tuple((y, x) for y, x in placed[:, -2:].round(_DECIMALS).tolist())
        found.append((polygon, tuple(place[0].tolist())) if fits else None)
    return found


def _places_in(labels: Layer, points: NDArray[Any], layer: Layer) -> NDArray[np.float64]:
    """Return the places of points of a layer in labels, as far as both have the same axes."""
    axes, placed = min(layer.ndim, labels.ndim), []
    for point in points:
        world = np.zeros(labels.ndim)
        world[-axes:] = layer.data_to_world(point)[-axes:]
        placed.append(labels.world_to_data(world)[-axes:])
    return np.array(placed)

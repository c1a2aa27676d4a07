"""What a layer's data holds: the axes before height and width, and the fields along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_nucseg.io.channels import CHANNEL, FIELD, said_by, stack_shape

_AXES = "nucseg axes"


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

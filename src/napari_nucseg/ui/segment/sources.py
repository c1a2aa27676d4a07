"""What of a layer is given to a network: a field, a colour channel, a rectangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from pint import DimensionalityError

from napari_nucseg.core.channels import COLOURS, HAEMATOXYLIN, MEAN, Channel
from napari_nucseg.ui.layers import field_shape, full_data

CHANNELS = tuple(name.capitalize() for name in (MEAN, *COLOURS, HAEMATOXYLIN))
"""Of a colour image, as they are shown; in small letters each is the name of a `Channel`."""


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
        As the layer has it at full resolution, lazy or not; it is never copied whole.
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
            Its number in the stack.
        box : Box, optional
            What of it.
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

"""Fields of an image, and labels of a part of one put into it: nuclei at the edge stay whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels, Window
from napari_nucseg.io.channels import CHANNEL, COLOURS, Channel, stack_shape

Numbers = NDArray[np.integer]
ProvenanceRecord = Mapping[str, Any]
"""How labels were made, as plain values."""
BOXES = "boxes"
"""Key of a field's provenance for those of the boxes in it that were segmented later."""


class Rectangle(NamedTuple):
    """A rectangle of a field in pixels: its first row and column, and those behind its last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index a field with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, other: Rectangle) -> bool:
        """Whether nothing of another rectangle lies outside of this one."""
        begins = self.top <= other.top and self.left <= other.left
        return begins and other.bottom <= self.bottom and other.right <= self.right


@dataclass(frozen=True)
class FieldSource:
    """The grey fields of an image, to be read one by one, also in a worker.

    Attributes
    ----------
    data : array
        Data of the layer at full resolution, lazy or not; never copied whole.
    axes : tuple of str
        What its axes before height and width hold.
    channel : str
        Name of a `Channel` of a colour image, in capitals or not; a number from 1 where an axis
        holds channels; empty for a grey image.
    """

    data: Any
    axes: tuple[str, ...]
    channel: str

    def read(self, plane: int, box: Rectangle | None = None) -> NDArray[Any]:
        """Read a field, or a rectangle of it, into memory of its own.

        Parameters
        ----------
        plane : int
            Number of the field in the stack.
        box : Rectangle, optional
            Part of the field that is read; all of it if not given.
        """
        part = () if box is None else box.slices
        field = self.data[(*self._index(plane), *part)]  # at once, as Zarr reads what is indexed
        if not self.channel or CHANNEL in self.axes:
            return np.array(field)
        return Channel(self.channel.lower()).take(np.asarray(field), axis=-1, colours=3)

    def read_channels(self, plane: int, box: Rectangle | None = None) -> dict[str, NDArray[Any]]:
        """Read all channels of a field, by their names; none of a grey image."""
        if not self.channel:
            return {}
        names: Sequence[str] = COLOURS
        if CHANNEL in self.axes:
            count = self.data.shape[self.axes.index(CHANNEL)]
            names = [str(number) for number in range(1, count + 1)]
        return {name: replace(self, channel=name).read(plane, box) for name in names}

    def read_channels_of(self, planes: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Read all channels of a volume's planes, by their names; none of a grey image."""
        read = [self.read_channels(plane) for plane in planes]
        return {name: np.stack([one[name] for one in read]) for name in read[0]}

    def _index(self, plane: int) -> tuple[int, ...]:
        """Return the place of a field along the axes before height and width."""
        shape = self.data.shape[: len(self.axes)]
        stack = stack_shape(shape, self.axes)
        place = [int(index) for index in np.unravel_index(plane, stack)] if stack else []
        place = [0] * (len(shape) - len(stack)) + place
        if CHANNEL in self.axes:
            place[self.axes.index(CHANNEL)] = int(self.channel) - 1
        return tuple(place)

    @property
    def is_in_memory(self) -> bool:
        """Whether reading costs next to nothing."""
        return isinstance(self.data, np.ndarray) and not isinstance(self.data, np.memmap)


@dataclass(frozen=True)
class Placed:
    """A field with other labels in a part of it.

    Attributes
    ----------
    labels : ndarray of int32, shape (height, width)
        Labels of the whole field; 0 is background.
    taken : ndarray of integers
        Labels of the new nuclei that are in the field now, as the part numbered them.
    numbers : ndarray of integers
        The numbers that those have in the field.
    """

    labels: Labels
    taken: Numbers
    numbers: Numbers


def with_context(part: Window, shape: tuple[int, ...], margin: int) -> Window:
    """Grow a part by a margin on every side, as far as the field goes.

    Examples
    --------
    >>> with_context((slice(10, 20), slice(90, 100)), (50, 100), 16)
    (slice(0, 36, None), slice(74, 100, None))
    """
    rows, columns = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(part, shape, strict=True)
    )
    return rows, columns


def place_part(field: Labels, new: Labels, context: Window, part: Window, above: int = 0) -> Placed:
    """Put new labels of a part into a field.

    A nucleus on both sides of the edge is taken whole from the side that holds more of it: from
    the new labels if that is the part, else it stays as it was. Labels of both sides that share
    more than half of the smaller one are the same nucleus, or pieces of it, and are taken or left
    together, so that none is there twice or in pieces of two makes.

    Parameters
    ----------
    field : ndarray of integers, shape (height, width)
        Labels of the whole field so far; 0 is background.
    new : ndarray of integers
        Labels of the part and of a margin around it, by their own numbers.
    context : tuple of slice
        Rows and columns of the field that `new` covers.
    part : tuple of slice
        Rows and columns whose labels are exchanged, within the context.
    above : int, optional
        New nuclei get numbers above this one and above all in the field.

    Returns
    -------
    Placed
        The field, with new numbers for what was taken.

    Examples
    --------
    >>> field = np.zeros((1, 8), dtype=np.int32)
    >>> field[0, 2:4], field[0, 5:7] = 1, 2
    >>> new = np.array([[0, 0, 7, 7, 7, 0]], dtype=np.int32)
    >>> whole, left = (slice(0, 1), slice(0, 6)), (slice(0, 1), slice(0, 4))
    >>> place_part(field, new, whole, left).labels.tolist()
    [[0, 0, 3, 3, 3, 2, 2, 0]]
    """
    old = field[context]
    inside = np.zeros(new.shape, dtype=bool)
    top, left = context[0].start, context[1].start
    inside[part[0].start - top : part[0].stop - top, part[1].start - left : part[1].stop - left] = (
        True
    )
    taken, dropped = _choose(_Sides(field, old, new, inside))
    labels = np.array(field, dtype=np.int32)
    labels[np.isin(labels, dropped)] = 0
    first = max(above, int(labels.max(initial=0))) + 1
    numbers = np.arange(first, first + len(taken), dtype=np.int64)
    number_of = np.zeros(int(new.max(initial=0)) + 1, dtype=np.int32)
    number_of[taken] = numbers
    written = number_of[new]
    window = labels[context]
    free = (window == 0) | inside  # a neighbour that stays keeps its pixels outside
    window[...] = np.where((written > 0) & free, written, window)
    return Placed(labels, taken, numbers)


def moved(nuclei: Nuclei, placed: Placed, context: Window) -> Nuclei:
    """Return the measures of those nuclei of a part that are in the field, as they are there."""
    there = np.isin(nuclei["index"], placed.taken)
    taken: Nuclei = {name: column[there] for name, column in nuclei.items()}
    return taken | {
        "index": placed.numbers[np.searchsorted(placed.taken, taken["index"])],
        "centroid_y": taken["centroid_y"] + context[0].start,
        "centroid_x": taken["centroid_x"] + context[1].start,
    }


def merged(nuclei: Nuclei, earlier: Nuclei | None, field: Labels) -> Nuclei:
    """Add the earlier measures of a field's nuclei that are still there, but for their edges."""
    if earlier is None or set(earlier) != set(nuclei):
        return nuclei
    there = np.isin(earlier["index"], np.setdiff1d(field, nuclei["index"]))
    return {name: np.concatenate([earlier[name][there], nuclei[name]]) for name in nuclei}


@dataclass(frozen=True)
class _Sides:
    """Old labels, of the field and in the context, new ones there, and which pixels are inside."""

    field: Labels
    old: Labels
    new: Labels
    inside: NDArray[np.bool_]


def _choose(sides: _Sides) -> tuple[Numbers, Numbers]:
    """Return the new labels that are taken, and the old ones that go for them."""
    old_ids, old_in, old_out = _count(sides.old, sides.inside)
    new_ids, new_in, new_out = _count(sides.new, sides.inside)
    whole = np.bincount(sides.field.ravel(), minlength=int(old_ids.max(initial=0)) + 1)[old_ids]
    old_out = whole - old_in  # and what of them lies beyond the context
    group = _group(sides, old_ids, new_ids, whole)
    balance = np.bincount(
        group, np.concatenate([old_in - old_out, new_in - new_out]), minlength=len(group)
    )
    held = balance[group] > 0
    of_old, of_new = held[: len(old_ids)], held[len(old_ids) :]
    return new_ids[of_new], old_ids[of_old]


def _group(sides: _Sides, old_ids: Numbers, new_ids: Numbers, whole: Numbers) -> Numbers:
    """Give labels, old before new, one number where they are one nucleus or pieces of it."""
    from scipy.sparse import coo_array  # not above, because opening a panel would wait for it
    from scipy.sparse.csgraph import connected_components

    both = (sides.old > 0) & (sides.new > 0)
    one = np.searchsorted(old_ids, sides.old[both])
    other = np.searchsorted(new_ids, sides.new[both])
    count = len(old_ids) + len(new_ids)
    pairs, shared = np.unique(one * (len(new_ids) + 1) + other, return_counts=True)
    one, other = pairs // (len(new_ids) + 1), pairs % (len(new_ids) + 1)
    areas = np.bincount(np.searchsorted(new_ids, sides.new[sides.new > 0]), minlength=len(new_ids))
    same = 2 * shared > np.minimum(whole[one], areas[other])
    edges = (np.ones(int(same.sum())), (one[same], other[same] + len(old_ids)))
    graph = coo_array(edges, shape=(count, count))
    groups: Numbers = connected_components(graph, directed=False)[1]
    return groups


def _count(labels: Labels, inside: NDArray[np.bool_]) -> tuple[Numbers, Numbers, Numbers]:
    """Return the labels, and how many of their pixels lie inside and outside."""
    ids, areas = np.unique(labels, return_counts=True)
    ids, areas = ids[ids > 0].astype(np.int64), areas[ids > 0]
    within = np.bincount(np.searchsorted(ids, labels[inside & (labels > 0)]), minlength=len(ids))
    return ids, within, areas - within


def provenance_parts(made: ProvenanceRecord) -> list[ProvenanceRecord]:
    """List what lies on top of one another in a field, in the order of its making."""
    first = {key: value for key, value in made.items() if key != BOXES}
    return [first, *made.get(BOXES, ())]


def stacked(before: ProvenanceRecord | None, added: ProvenanceRecord) -> ProvenanceRecord:
    """Add how a field or a box was made to what is told of a field.

    Parameters
    ----------
    before : mapping or None
        Provenance of the field so far; None if there is none.
    added : mapping
        Provenance of a new part. It replaces what is told of boxes within its own; one of the whole
        field replaces all.
    """
    parts = [] if before is None else provenance_parts(before)
    left = [part for part in parts if not _covers(added.get("box"), part.get("box"))]
    first, *boxes = [*left, added]
    return {**first, BOXES: boxes} if boxes else dict(first)


def _covers(box: Sequence[int] | None, other: Sequence[int] | None) -> bool:
    """Whether a box (first row and column, and those after the last) holds all of another."""
    if box is None or other is None:
        return box is None
    starts = box[0] <= other[0] and box[1] <= other[1]
    return starts and box[2] >= other[2] and box[3] >= other[3]

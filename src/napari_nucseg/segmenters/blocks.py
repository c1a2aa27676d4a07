"""Blocks of an image that is too large to be segmented in one piece, and their labels made one.

Each block is segmented in a window that reaches beyond it on all sides, so that a nucleus at its
border is seen whole by both neighbours. A pixel gets the label of the block that it lies in.
What two neighbours take for one nucleus, by its overlap in the part that both have seen, is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Labels, intersect, within
from napari_nucseg.metrics.overlap import find_overlap

Place = tuple[int, ...]
"""Number of a block along each axis, from 0."""
SAME = 0.5
"""IoU, in what two blocks have both seen, above which two objects are one nucleus.

No object can have it with two others of one block.
"""


@dataclass(frozen=True)
class Block:
    """One of the blocks that an image is cut into.

    Attributes
    ----------
    place : tuple of int
        Its number along each axis.
    core : tuple of slice
        Pixels that get their labels from it; those of all blocks cover the image once.
    window : tuple of slice
        Pixels that are segmented for it: the core, and the overlap on each side of it.
    """

    place: Place
    core: Box
    window: Box

    @property
    def name(self) -> str:
        """Its place in words, for the screen and for the name of its file."""
        return "block-" + "-".join(f"{number:04d}" for number in self.place)

    def inside(self, box: Box) -> Box:
        """Return where a box of the image lies within the window."""
        return within(box, self.window)


@dataclass(frozen=True)
class Joined:
    """Numbers that the labels of blocks get in the labels of the whole image.

    Attributes
    ----------
    numbers : mapping
        For the place of each block an array that turns its labels into those of the image.
    count : int
        Nuclei in the image: they are numbered 1 to that in the order of their first pixels.
    """

    numbers: Mapping[Place, NDArray[np.uint32]]
    count: int


@dataclass(frozen=True)
class _Tally:
    """What is in a block's core of each of its labels, from 1 on.

    Attributes
    ----------
    areas : ndarray of int64, shape (n,)
        Number of pixels; 0 for an object that lies in the overlap alone.
    first : ndarray of int64, shape (n,)
        First pixel, as an index into the flattened image.
    on_border : ndarray of bool, shape (n,)
        Whether it touches the border of the image; in a volume, that of the planes.
    """

    areas: NDArray[np.int64]
    first: NDArray[np.int64]
    on_border: NDArray[np.bool_]


def plan_blocks(
    shape: Sequence[int], size: Sequence[int], overlap: Sequence[int], align: int = 1
) -> tuple[Block, ...]:
    """Cut an image into blocks of about one size, in the order of their first pixels.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis of the image.
    size : sequence of int
        Length of a block's core along each axis; blocks are evenly spread, and about as long.
    overlap : sequence of int
        Pixels by which a window reaches beyond its core on each side.
    align : int
        Blocks begin at multiples of this in the last two axes.

    Raises
    ------
    ValueError
        If a size or an overlap is no multiple of `align` there, or blocks that are no neighbours
        would overlap.

    Examples
    --------
    >>> [block.core for block in plan_blocks((7,), (4,), (1,))]
    [(slice(0, 4, None),), (slice(4, 7, None),)]
    >>> [block.window for block in plan_blocks((7,), (4,), (1,))]
    [(slice(0, 5, None),), (slice(3, 7, None),)]
    """
    steps = [1] * (len(shape) - 2) + [align] * min(len(shape), 2)
    cuts: list[list[tuple[slice, slice]]] = []
    for length, edge, beyond, step in zip(shape, size, overlap, steps, strict=True):
        if edge % step or beyond % step:
            raise ValueError(f"blocks of {edge} px that overlap by {beyond} px: not in {step} px")
        if edge < length and edge < beyond:
            raise ValueError(
                f"blocks of {edge} px overlap by {beyond} px on each side: choose blocks of "
                f"{beyond} px or more"
            )
        cuts.append(_cut(length, edge, beyond, step))
    return tuple(
        Block(place, *zip(*(cut[i] for cut, i in zip(cuts, place, strict=True)), strict=True))
        for place in product(*(range(len(cut)) for cut in cuts))
    )


def _cut(length: int, edge: int, beyond: int, step: int) -> list[tuple[slice, slice]]:
    """Cut an axis into cores of one length, the last perhaps shorter, with their windows."""
    count = -(-length // edge)
    if beyond:  # blocks that are no neighbours share nothing
        count = min(count, max(1, length // beyond))
    even = -(-length // count)
    even += -even % step
    cores = [slice(first, min(first + even, length)) for first in range(0, length, even)]
    return [
        (core, slice(max(core.start - beyond, 0), min(core.stop + beyond, length)))
        for core in cores
    ]


def join_blocks(
    blocks: Sequence[Block],
    read: Callable[[Block], Labels],
    *,
    min_size: int = 0,
    exclude_on_edges: bool = False,
) -> Joined:
    """Find out which labels of neighbouring blocks are one nucleus, and number the nuclei.

    Parameters
    ----------
    blocks : sequence of Block
        All blocks of an image, as `plan_blocks` gives them.
    read : callable
        Returns the labels of a block's window; called once for each block, in their order.
    min_size : int
        Nuclei of fewer pixels are dropped.
    exclude_on_edges : bool
        Whether nuclei that touch the border of the image are dropped.

    Notes
    -----
    A nucleus is the same as in the image in one piece if each block that it reaches into finds
    it, whole. Then the numbers are the same, too.
    """
    shape = tuple(core.stop for core in blocks[-1].core)
    by_place = {block.place: block for block in blocks}
    waiting: dict[Place, list[tuple[int, Box, Labels]]] = defaultdict(list)
    tallies, starts, links = [], dict[Place, int](), [np.zeros((2, 0), dtype=np.int64)]
    nodes = 0
    for block in blocks:
        labels = read(block)
        tally = _tally(block, labels, shape)
        own = np.append(False, tally.areas > 0)[labels] * labels
        for start, box, seen in waiting.pop(block.place, ()):
            pairs = _same(seen, own[block.inside(box)])
            links.append(pairs + np.array([[start - 1], [nodes - 1]]))
        for box, place in _shared(block, by_place):
            waiting[place].append((nodes, box, own[block.inside(box)].copy()))
        starts[block.place] = nodes
        tallies.append(tally)
        nodes += len(tally.areas)
    nuclei, owner = _unite(nodes, np.concatenate(links, axis=1))
    numbers = _number(tallies, owner, nuclei, min_size, exclude_on_edges)
    per_label = numbers[owner] if nodes else np.zeros(0, dtype=np.uint32)
    return Joined(
        {
            place: np.append(np.uint32(0), per_label[start : start + len(tally.areas)])
            for (place, start), tally in zip(starts.items(), tallies, strict=True)
        },
        int(numbers.max(initial=0)),
    )


def _tally(block: Block, labels: Labels, shape: tuple[int, ...]) -> _Tally:
    """Count a block's labels in its core."""
    core = labels[block.inside(block.core)]
    count = int(labels.max(initial=0))
    areas = np.bincount(core.reshape(-1), minlength=count + 1)[1:]
    at = np.stack(np.unravel_index(_first_of_each(core, count), core.shape))
    at += np.array([[one.start] for one in block.core])
    places = np.full(count, np.iinfo(np.int64).max)
    places[areas > 0] = np.ravel_multi_index(tuple(at), shape)
    on_border = np.zeros(count + 1, dtype=np.bool_)
    for axis in range(max(core.ndim - 2, 0), core.ndim):
        ends = np.moveaxis(core, axis, 0)
        if block.core[axis].start == 0:
            on_border[ends[0]] = True
        if block.core[axis].stop == shape[axis]:
            on_border[ends[-1]] = True
    return _Tally(areas, places, on_border[1:])


def _first_of_each(labels: Labels, count: int) -> NDArray[np.int64]:
    """Return the first pixel of each label that is there, up to a number, without sorting."""
    flat = labels.reshape(-1)
    places = np.flatnonzero(flat)[::-1]
    first = np.full(count + 1, -1)
    first[flat[places]] = places  # of places that are written to several times the last one stays
    return first[first >= 0]


def _shared(block: Block, blocks: Mapping[Place, Block]) -> Iterator[tuple[Box, Place]]:
    """Yield what later neighbours see of a block's window, at sides and at corners."""
    for step in product((-1, 0, 1), repeat=len(block.place)):
        place = tuple(number + by for number, by in zip(block.place, step, strict=True))
        if step > (0,) * len(step) and place in blocks:
            box = intersect(block.window, blocks[place].window)
            if all(one.start < one.stop for one in box):
                yield box, place


def _same(one: Labels, other: Labels) -> NDArray[np.int64]:
    """Return the pairs of labels that are one nucleus, shape (2, k)."""
    overlap = find_overlap(one, other)
    same = overlap.reaches(SAME, strict=True)
    return np.stack(
        [
            overlap.truth_ids[overlap.truth_index[same]],
            overlap.predicted_ids[overlap.predicted_index[same]],
        ]
    )


def _unite(nodes: int, links: NDArray[np.int64]) -> tuple[int, NDArray[np.int32]]:
    """Return how many sets linked nodes make, and the set of each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not nodes:
        return 0, np.zeros(0, dtype=np.int32)
    graph = coo_array((np.ones(links.shape[1], dtype=np.bool_), tuple(links)), (nodes, nodes))
    count, owner = connected_components(graph, directed=False)
    return int(count), owner


def _number(
    tallies: Sequence[_Tally],
    owner: NDArray[np.int32],
    nuclei: int,
    min_size: int,
    exclude_on_edges: bool,
) -> NDArray[np.uint32]:
    """Give kept nuclei numbers in the order of their first pixels, and the others 0."""
    areas = np.zeros(nuclei, dtype=np.int64)
    first = np.full(nuclei, np.iinfo(np.int64).max)
    on_border = np.zeros(nuclei, dtype=np.bool_)
    if nuclei:
        np.add.at(areas, owner, np.concatenate([tally.areas for tally in tallies]))
        np.minimum.at(first, owner, np.concatenate([tally.first for tally in tallies]))
        on_border[owner[np.concatenate([tally.on_border for tally in tallies])]] = True
    kept = areas >= max(min_size, 1)
    if exclude_on_edges:
        kept &= ~on_border
    order = np.flatnonzero(kept)
    order = order[np.argsort(first[order])]
    numbers = np.zeros(nuclei, dtype=np.uint32)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers

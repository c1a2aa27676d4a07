"""Outlines of nuclei as other programs draw them, and the pixels within.

Corners are x and y in pixels; the first pixel's centre is at 0.5, 0.5, as in ImageJ and QuPath.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.limits import BadFileError
from napari_nucseg.wording import counted

MOST_LABELS = 2**32
"""Numbers of labels lie below; files of labels hold no larger ones."""
Ring = NDArray[np.float64]
"""Corners of a closed line, shape (corners, 2): x and y; the first is not repeated at the end."""
_FARTHEST = 1e15
"""Pixels from the origin to the farthest corner of an outline that is believed."""
_MOST_CROSSINGS = 2**26
"""Rows that the lines of one outline may cross in all; a nucleus of 100 px crosses 200."""


@dataclass(frozen=True)
class Piece:
    """A connected piece of a nucleus: its outer line, and those of the holes in it."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """All lines, the outer first."""
        return (self.outer, *self.holes)


@dataclass(frozen=True)
class Outline:
    """The outline of a nucleus in a plane.

    Attributes
    ----------
    label : int
        Number of the nucleus, above 0 and below `MOST_LABELS`.
    rings : sequence of Ring
        Lines around its pieces and around holes in them: what lies within an odd number of lines
        is within the nucleus.
    plane : int
        Number of the plane, from 0.
    """

    label: int
    rings: Sequence[Ring]
    plane: int = 0


def trace(labels: Labels) -> Iterator[tuple[int, list[Piece]]]:
    """Yield each label above 0 with its pieces, whose corners touch one another or not.

    The lines run half-way between the centres of pixels, so that the pixels of a nucleus are those
    whose centre is within. They neither cross nor touch, and cut off the corners of pixels.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        What is not above 0 is background.
    """
    from scipy.ndimage import find_objects

    ids, indices = np.unique(labels, return_inverse=True)
    first = int(np.searchsorted(ids, 1))
    numbers = np.maximum(indices.reshape(labels.shape) + 1 - first, 0)  # small, 0 for background
    for number, box in enumerate(find_objects(numbers), start=1):
        rows, columns = box
        rings = _lines(numbers[box] == number, columns.start, rows.start)
        yield int(ids[number - 1 + first]), _pieces(rings)


def _lines(inside: NDArray[np.bool_], left: int, top: int) -> list[Ring]:
    """Find the lines around what is inside, without corners at which they go straight on."""
    from skimage.measure import find_contours

    lines = find_contours(np.pad(inside, 1).astype(float), 0.5, fully_connected="high")
    rings = []
    for line in lines:
        ring = line[:-1, ::-1] + (left - 0.5, top - 0.5)  # half a pixel to its centre, 1 of padding
        step = np.roll(ring, -1, axis=0) - ring
        turns = (step != np.roll(step, 1, axis=0)).any(axis=1)
        rings.append(ring[turns])
    return rings


def _pieces(rings: Sequence[Ring]) -> list[Piece]:
    """Tell outer lines from holes, and give each hole to the piece that it is in."""
    areas = [_signed_area(ring) for ring in rings]
    largest = max(areas, key=abs)  # no hole is as large as what it is in
    outer = [number for number, area in enumerate(areas) if area * largest > 0]
    holes: dict[int, list[Ring]] = {number: [] for number in outer}
    for number, ring in enumerate(rings):
        if number in holes:
            continue
        around = [one for one in outer if _is_within(ring[0], rings[one])]
        holes[min(around, key=lambda one: abs(areas[one]))].append(ring)
    return [Piece(rings[number], tuple(holes[number])) for number in outer]


def _signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _is_within(point: NDArray[np.float64], ring: Ring) -> bool:
    """Whether a line from a point to the right crosses a ring an odd number of times."""
    after = np.roll(ring, -1, axis=0)
    crosses = (ring[:, 1] <= point[1]) != (after[:, 1] <= point[1])
    start, stop = ring[crosses], after[crosses]
    share = (point[1] - start[:, 1]) / (stop[:, 1] - start[:, 1])
    x = start[:, 0] + share * (stop[:, 0] - start[:, 0])
    return int(np.count_nonzero(x > point[0])) % 2 == 1


def fill(outlines: Iterable[Outline], shape: tuple[int, ...]) -> tuple[Labels, tuple[str, ...]]:
    """Make labels of outlines; a pixel within several belongs to the first.

    Parameters
    ----------
    outlines : iterable of Outline
        Outlines, in order.
    shape : tuple of int
        Height and width of the image, after the number of planes if it has several.

    Returns
    -------
    ndarray of int32, or of uint32 where numbers need it
        The labels.
    tuple of str
        What the user should know: pixels that lie in several outlines, and outlines that hold no
        pixel's centre.

    Raises
    ------
    ValueError
        If a corner is no finite number, or an outline lies on a plane that the image has not.
    """
    labels = np.zeros(shape, np.uint32)
    planes = labels.reshape(-1, *shape[-2:])
    shared, empty = 0, 0
    for one in outlines:
        if not 0 <= one.plane < len(planes):
            raise BadFileError(
                f"the outline of {one.label} lies on plane {one.plane + 1}, and the image has "
                f"{len(planes)}; give the image that it belongs to"
            )
        rows, columns = pixels_within(one.rings, shape[-2:])
        free = planes[one.plane, rows, columns] == 0
        shared += len(free) - int(np.count_nonzero(free))
        empty += not len(free)
        planes[one.plane, rows[free], columns[free]] = one.label
    notes = []
    if shared:
        notes.append(f"{counted(shared, 'pixel')} in several outlines, and given to the first")
    if empty:
        notes.append(f"{counted(empty, 'outline')} around no pixel of the image, and left out")
    fits = labels.max(initial=0) < 2**31
    return labels.view(np.int32) if fits else labels, tuple(notes)


def pixels_within(rings: Sequence[Ring], shape: tuple[int, ...]) -> tuple[Labels, Labels]:
    """Find the pixels whose centre lies within an odd number of rings.

    A centre on a line belongs to what is to its right and below, so that outlines that share a
    line share no pixel.

    Returns
    -------
    rows, columns : ndarray of int
        Where the pixels are.

    Examples
    --------
    >>> square = np.array([[1, 1], [3, 1], [3, 2], [1, 2]], float)
    >>> [found.tolist() for found in pixels_within([square], (4, 4))]
    [[1, 1], [1, 2]]
    """
    height, width = shape
    row, x = _crossings(rings, height)
    if not len(row):
        return np.zeros(0, int), np.zeros(0, int)
    column = np.ceil(x - 0.5).clip(0, width).astype(int)
    top, left = int(row.min()), int(column.min())
    high, wide = int(row.max()) - top + 1, int(column.max()) - left + 1
    flips = np.bincount((row - top) * wide + column - left, minlength=high * wide)
    inside = np.cumsum(flips.reshape(high, wide), axis=1) % 2 == 1
    rows, columns = np.nonzero(inside)
    return rows + top, columns + left


def _crossings(rings: Sequence[Ring], height: int) -> tuple[Labels, NDArray[np.float64]]:
    """Find where lines cross the middles of rows: numbers of rows, and x."""
    start = np.concatenate([np.asarray(ring, float) for ring in rings])
    stop = np.concatenate([np.roll(np.asarray(ring, float), -1, axis=0) for ring in rings])
    if not np.isfinite(start).all():
        raise BadFileError("a corner of an outline is no finite number; save the outlines again")
    if np.abs(start).max(initial=0) > _FARTHEST:
        raise BadFileError("a corner of an outline lies beyond any image; save the outlines again")
    low, high = np.minimum(start[:, 1], stop[:, 1]), np.maximum(start[:, 1], stop[:, 1])
    first, last = (np.ceil(y - 0.5).clip(0, height).astype(int) for y in (low, high))
    count = last - first
    if count.sum() > _MOST_CROSSINGS:
        raise BadFileError("an outline goes up and down too often to be that of a nucleus")
    line = np.repeat(np.arange(len(count)), count)
    row = first[line] + np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    (x0, y0), (x1, y1) = start[line].T, stop[line].T
    return row, x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)

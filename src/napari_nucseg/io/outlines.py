"""Outlines of nuclei as other programs draw them, and the pixels within.

Corners are x and y in pixels; the first pixel's centre is at 0.5, 0.5, as in ImageJ and QuPath.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels, Ring, pixels_within
from napari_nucseg.io.limits import BadFileError
from napari_nucseg.wording import counted


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
        Number of the nucleus, above 0 and below `UINT32_LABELS`.
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
    from skimage.measure import points_in_poly

    areas = [_signed_area(ring) for ring in rings]
    largest = max(areas, key=abs)  # no hole is as large as what it is in
    outer = [number for number, area in enumerate(areas) if area * largest > 0]
    holes: dict[int, list[Ring]] = {number: [] for number in outer}
    for number, ring in enumerate(rings):
        if number in holes:
            continue
        around = [one for one in outer if points_in_poly(ring[:1], rings[one])[0]]
        holes[min(around, key=lambda one: abs(areas[one]))].append(ring)
    return [Piece(rings[number], tuple(holes[number])) for number in outer]


def _signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


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

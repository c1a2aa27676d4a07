"""One object taken over from one label image into another, and what was changed by hand."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.overlap import Overlap

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Changes:
    """How labels differ from what they were.

    Attributes
    ----------
    pixels : int
        Number of pixels whose label is another one.
    added, removed, changed : tuple of int
        Labels that are new, that are gone, and that have other pixels.
    """

    pixels: int
    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[int, ...]

    @property
    def nuclei(self) -> int:
        """Count the labels that are new, gone or have other pixels."""
        return len(self.added) + len(self.removed) + len(self.changed)


@dataclass(frozen=True)
class PackedLabels:
    """Labels of a field, compressed so that a second copy of all fields takes little memory.

    Attributes
    ----------
    content : bytes
        The labels as int32, compressed by zlib.
    shape : tuple of int
        Height and width of the labels, in pixels.
    fingerprint : int
        Checksum of the labels, to compare others with them quickly.

    Examples
    --------
    >>> packed = PackedLabels.of(np.array([[0, 3], [3, 0]]))
    >>> packed.unpacked().tolist()
    [[0, 3], [3, 0]]
    """

    content: bytes
    shape: tuple[int, ...]
    fingerprint: int

    @classmethod
    def of(cls, labels: Labels) -> PackedLabels:
        """Compress labels of any integer type."""
        plain = np.ascontiguousarray(labels, dtype=np.int32)
        return cls(zlib.compress(plain.data, 1), labels.shape, fingerprint(plain))

    def unpacked(self) -> Labels:
        """Return the labels as int32, in an array of their own."""
        values = np.frombuffer(zlib.decompress(self.content), dtype=np.int32)
        return values.reshape(self.shape).copy()


def fingerprint(labels: Labels) -> int:
    """Return a number that changes when labels do, whatever their type of integer."""
    return zlib.crc32(np.ascontiguousarray(labels, dtype=np.int32).data)


def find_changes(before: Labels, after: Labels) -> Changes:
    """Compare two states of a label image."""
    differs = before != after
    was, now = before[differs], after[differs]
    touched = np.unique(np.concatenate([was, now]))
    touched = touched[touched > 0]
    there_before, there_now = np.isin(touched, before), np.isin(touched, after)
    return Changes(
        int(differs.sum()),
        tuple(touched[~there_before].tolist()),
        tuple(touched[~there_now].tolist()),
        tuple(touched[there_before & there_now].tolist()),
    )


def mark_corrected(
    columns: Mapping[str, Sequence[Any]], changes: Mapping[str, Changes]
) -> list[bool]:
    """Tell of each object whether a hand added or changed it, as a column of a table of objects.

    Parameters
    ----------
    columns : mapping
        Columns of the table: the ``side``, "truth" or "predicted", and ``object``, the label.
    changes : mapping
        What was edited by hand on a side; nothing on sides that are left out.

    Examples
    --------
    >>> objects = {"side": ["truth", "truth", "predicted"], "object": [1, 2, 1]}
    >>> mark_corrected(objects, {"truth": Changes(5, added=(), removed=(3,), changed=(1,))})
    [True, False, False]
    """
    by_hand = {side: {*one.added, *one.changed} for side, one in changes.items()}
    rows = zip(columns["side"], columns["object"], strict=True)
    return [label in by_hand.get(side, ()) for side, label in rows]


@dataclass(frozen=True)
class Change:
    """What one mending does to labels.

    Attributes
    ----------
    region : tuple of slice
        The smallest box that holds every pixel that changes.
    before, after : ndarray of integers, of the region's shape
        Labels of the region as they were and as they become.
    gone, come : tuple of int
        Labels that there are no more, and that are new.
    """

    region: Slices
    before: Labels
    after: Labels
    gone: tuple[int, ...]
    come: tuple[int, ...]

    def applied_to(self, labels: Labels) -> Labels:
        """Return a mended copy of the labels."""
        mended = labels.copy()
        mended[self.region] = self.after
        return mended

    def pixels(self) -> tuple[tuple[NDArray[np.intp], ...], Labels]:
        """Return where pixels change, as an index of the labels, and their new labels.

        This is what ``data_setitem`` of a napari Labels layer takes as one step to be undone.
        """
        differs = self.before != self.after
        starts = (part.start for part in self.region)
        places = zip(np.nonzero(differs), starts, strict=True)
        return tuple(place + start for place, start in places), self.after[differs]

    def numbered_apart(self, data: Labels) -> Change:
        """Give new nuclei numbers that are free in all of a stack: fields of volumes share them."""
        after = self.after.copy()
        come = tuple(free_number(data, n) for n in range(len(self.come)))
        for before, number in zip(self.come, come, strict=True):
            after[self.after == before] = number
        return replace(self, after=after, come=come)

    def in_words(self) -> str:
        """Say which nuclei are new, and which are gone."""
        done = [f"nucleus {number} is new" for number in self.come]
        return ", ".join(done + [f"nucleus {number} is gone" for number in self.gone])


def box_of(mask: NDArray[np.bool_], margin: int = 0) -> Slices:
    """Find the smallest box around what is marked, and a margin; it may end beyond the array."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        there = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(int(there[0]) - margin, 0), int(there[-1]) + 1 + margin))
    return tuple(box)


def change_in(labels: Labels, after: Labels, box: Slices | None = None) -> Change:
    """Describe a change of labels.

    Parameters
    ----------
    labels : ndarray of integers
        Labels as they were.
    after : ndarray of integers, of the labels' or the box's shape
        What they become.
    box : tuple of slice, optional
        Part that changes, which holds all of every nucleus that goes; all if not given.
    """
    box = (slice(0, None),) * labels.ndim if box is None else box
    inner = box_of(labels[box] != after)
    region = tuple(
        slice(outer.start + part.start, outer.start + part.stop)
        for outer, part in zip(box, inner, strict=True)
    )
    found = find_changes(labels[box], after)
    new = after[inner].astype(labels.dtype)
    return Change(region, labels[region].copy(), new, found.removed, found.added)


def swapped(overlap: Overlap) -> Overlap:
    """Return the overlap with true and predicted side exchanged."""
    return Overlap(
        overlap.predicted_ids,
        overlap.truth_ids,
        overlap.predicted_areas,
        overlap.truth_areas,
        overlap.predicted_index,
        overlap.truth_index,
        overlap.shared,
        overlap.pixels,
    )


def take_over(source: Labels, target: Labels, label: int, overlap: Overlap) -> Labels:
    """Return the target with an object of the source in place of what it is confused with.

    An object of the target that shares more than half of the smaller of the two with this one,
    and with no other, is replaced. One that belongs to other objects, too, only loses the pixels
    that the new object takes.

    Parameters
    ----------
    source, target : ndarray of integers, shape (height, width)
        Labels of the same field; 0 is background.
    label : int
        Label of the object in the source.
    overlap : Overlap
        The pixels that the objects of source and target share, in this order.

    Raises
    ------
    ValueError
        If the target's numbers are used up.
    """
    replaced = _replaced(label, overlap)
    number = int(replaced[0]) if len(replaced) else free_number(target)
    new = target.copy()
    new[np.isin(target, replaced)] = 0
    new[source == label] = number
    return new


def erase(labels: Labels, label: int) -> Labels:
    """Return the labels without an object."""
    return np.where(labels == label, 0, labels).astype(labels.dtype)


def _replaced(label: int, overlap: Overlap) -> NDArray[np.int64]:
    """Numbers of the target's objects that belong to this one alone, the most shared first."""
    areas = np.minimum(
        overlap.truth_areas[overlap.truth_index], overlap.predicted_areas[overlap.predicted_index]
    )
    edges = 2 * overlap.shared > areas
    partners = np.bincount(overlap.predicted_index[edges], minlength=len(overlap.predicted_ids))
    mine = edges & (overlap.truth_ids[overlap.truth_index] == label)
    mine &= partners[overlap.predicted_index] == 1
    order = np.argsort(-overlap.shared[mine], kind="stable")
    numbers: NDArray[np.int64] = overlap.predicted_ids[overlap.predicted_index[mine][order]]
    return numbers


def free_number(labels: Labels, taken: int = 0) -> int:
    """Return a number that no object has.

    Parameters
    ----------
    labels : ndarray of integers
        Label image of any shape; 0 is background.
    taken : int
        How many free numbers were given to others before.

    Raises
    ------
    ValueError
        If the type of the labels has none left.
    """
    number = int(labels.max(initial=0)) + 1 + taken
    if number > np.iinfo(labels.dtype).max:
        raise ValueError(
            f"labels of type {labels.dtype} have no number left for another nucleus; convert the "
            "layer to a larger integer type first"
        )
    return number

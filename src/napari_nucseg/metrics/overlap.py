"""How many pixels true and predicted objects share.

Everything that is scored by object comes from this one table, built once a field. Label images
are runs of equal pixels, far fewer than pixels, so that runs are what is sorted and added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels

Index = NDArray[np.intp]
_CHUNK = 2**18
"""Pixels looked at in one go: what is made of them stays in the processor's cache."""


class _Counted(NamedTuple):
    """Pixels by their true and predicted label, background included, each pair of labels once."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    pixels: NDArray[np.int64]


@dataclass(frozen=True)
class Overlap:
    """How many pixels the true and the predicted objects of a field share.

    Attributes
    ----------
    truth_ids, predicted_ids : ndarray of int64, shapes (n,) and (m,)
        Labels of the true and of the predicted objects, ascending.
    truth_areas, predicted_areas : ndarray of int64, shapes (n,) and (m,)
        Area of each object in pixels.
    truth_index, predicted_index : ndarray of intp, shape (k,)
        The pairs that share a pixel, as positions in the arrays above, ascending.
    shared : ndarray of int64, shape (k,)
        Number of pixels that the objects of each pair share.
    pixels : int
        Number of pixels of the field, background included.
    """

    truth_ids: NDArray[np.int64]
    predicted_ids: NDArray[np.int64]
    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    truth_index: Index
    predicted_index: Index
    shared: NDArray[np.int64]
    pixels: int

    @cached_property
    def unions(self) -> NDArray[np.int64]:
        """Pixels that each pair covers together, shape (k,)."""
        areas = self.truth_areas[self.truth_index] + self.predicted_areas[self.predicted_index]
        return areas - self.shared

    @cached_property
    def ious(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, shape (k,)."""
        return self.shared / self.unions

    def reaches(self, threshold: float, strict: bool = False) -> NDArray[np.bool_]:
        """Tell which pairs have IoU >= threshold, compared as whole numbers, so that 1/2 is 1/2.

        Parameters
        ----------
        threshold : float
            Taken as the nearest fraction with a denominator up to a million.
        strict : bool
            Ask for IoU > threshold instead.
        """
        exact = _fraction(threshold)
        left, right = self.shared * exact.denominator, self.unions * exact.numerator
        return np.asarray(left > right if strict else left >= right, dtype=np.bool_)

    def updated(self, before: tuple[Labels, Labels], after: tuple[Labels, Labels]) -> Overlap:
        """Return the overlap after an edit, of which only the changed part is counted.

        Parameters
        ----------
        before, after : tuple of two ndarrays of integers, all of one shape
            True and predicted labels of the part that changed, such as the bounding box of what
            was painted, as they were and as they are.

        Raises
        ------
        ValueError
            If the parts differ in shape, or ``before`` is not what was counted.
        """
        if before[0].shape != after[0].shape:
            raise ValueError(
                f"the part was {before[0].shape} px before and is {after[0].shape} px after the "
                "edit; give the same part twice"
            )
        gone, come = _count(*before), _count(*after)
        counted = _add([self._counted(), gone._replace(pixels=-gone.pixels), come])
        if counted.pixels.min(initial=0) < 0:
            raise ValueError("the part before the edit is not of the labels that were counted")
        return _overlap(counted, self.pixels)

    def _counted(self) -> _Counted:
        """Return the table as it was counted: pairs, and the rest of every object."""
        n, m = len(self.truth_ids), len(self.predicted_ids)
        alone = self.truth_areas - _sum_by(self.truth_index, self.shared, n)
        extra = self.predicted_areas - _sum_by(self.predicted_index, self.shared, m)
        background = self.pixels - self.truth_areas.sum() - extra.sum()
        zero = np.zeros(1, dtype=np.int64)
        return _Counted(
            np.concatenate(
                [self.truth_ids[self.truth_index], self.truth_ids, np.zeros_like(extra), zero]
            ),
            np.concatenate(
                [
                    self.predicted_ids[self.predicted_index],
                    np.zeros_like(alone),
                    self.predicted_ids,
                    zero,
                ]
            ),
            np.concatenate([self.shared, alone, extra, [background]]),
        )


def find_overlap(truth: Labels, predicted: Labels) -> Overlap:
    """Count the pixels that each pair of objects shares.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes; 0 is background, numbers may have gaps and be of any
        size.

    Raises
    ------
    ValueError
        If the shapes differ or the labels are no whole numbers from 0.
    """
    return _overlap(_count(truth, predicted), truth.size)


def join_overlaps(overlaps: Sequence[Overlap]) -> Overlap:
    """Put the overlaps of fields side by side, as of one large field with objects from 1 up."""
    n = np.cumsum([0, *(len(overlap.truth_ids) for overlap in overlaps)])
    m = np.cumsum([0, *(len(overlap.predicted_ids) for overlap in overlaps)])
    return Overlap(
        truth_ids=np.arange(1, n[-1] + 1),
        predicted_ids=np.arange(1, m[-1] + 1),
        truth_areas=_end_to_end([overlap.truth_areas for overlap in overlaps]),
        predicted_areas=_end_to_end([overlap.predicted_areas for overlap in overlaps]),
        truth_index=_end_to_end(
            [overlap.truth_index + first for overlap, first in zip(overlaps, n, strict=False)]
        ),
        predicted_index=_end_to_end(
            [overlap.predicted_index + first for overlap, first in zip(overlaps, m, strict=False)]
        ),
        shared=_end_to_end([overlap.shared for overlap in overlaps]),
        pixels=sum(overlap.pixels for overlap in overlaps),
    )


def sum_overlaps(parts: Iterable[Overlap]) -> Overlap:
    """Add up the overlaps of the parts of one field, as if it was counted in one piece.

    Parameters
    ----------
    parts : iterable of Overlap
        Overlaps of parts that cover the field once, and in which an object has the same number.
        They are taken one after the other: memory is needed for the sum alone.

    Examples
    --------
    >>> truth, predicted = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 0]])
    >>> halves = (find_overlap(truth[:, c], predicted[:, c]) for c in (slice(0, 2), slice(2, 4)))
    >>> sum_overlaps(halves).shared
    array([2, 1])
    """
    counted, rows, most, pixels = list[_Counted](), 0, _CHUNK, 0
    for part in parts:
        counted.append(part._counted())
        rows += len(counted[-1].pixels)
        pixels += part.pixels
        if rows > most:
            counted = [_add(counted)]
            rows = len(counted[0].pixels)
            most = rows + max(_CHUNK, rows // 4)
    return _overlap(_add(counted), pixels)


@lru_cache
def _fraction(threshold: float) -> Fraction:
    return Fraction(float(threshold)).limit_denominator(1_000_000)


def _count(truth: Labels, predicted: Labels) -> _Counted:
    if truth.shape != predicted.shape:
        raise ValueError(
            f"the ground truth is {truth.shape} px and the prediction {predicted.shape} px; "
            "choose labels of the same field"
        )
    _check_type(truth, "ground truth")
    _check_type(predicted, "prediction")
    return _add([_add([runs]) for runs in _runs(truth.reshape(-1), predicted.reshape(-1))])


def _runs(truth: Labels, predicted: Labels) -> Iterator[_Counted]:
    """Cut each chunk where either label changes."""
    for start in range(0, truth.size, _CHUNK):
        one, other = truth[start : start + _CHUNK], predicted[start : start + _CHUNK]
        changes = one[1:] != one[:-1]
        changes |= other[1:] != other[:-1]
        last = np.append(np.flatnonzero(changes), len(one) - 1)
        yield _Counted(
            _whole(one[last], "ground truth"),
            _whole(other[last], "prediction"),
            np.diff(last, prepend=-1),
        )


def _add(parts: list[_Counted]) -> _Counted:
    """Add the pixels of equal pairs of labels; sorted by label, true ones first.

    The list is emptied, and columns are sorted one by one, because all this takes memory at once.
    """
    none = _Counted(*np.zeros((3, 0), dtype=np.int64))
    truth, predicted, pixels = map(np.concatenate, zip(none, *parts, strict=True))
    parts.clear()
    order = np.lexsort((predicted, truth))
    truth = truth[order]
    predicted = predicted[order]
    pixels = pixels[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (truth[1:] != truth[:-1]) | (predicted[1:] != predicted[:-1])
    first = np.flatnonzero(new)
    sums = np.add.reduceat(pixels, first) if len(first) else pixels
    there = sums != 0
    return _Counted(truth[first][there], predicted[first][there], sums[there])


def _overlap(counted: _Counted, pixels: int) -> Overlap:
    truth, predicted = counted.truth, counted.predicted
    truth_ids, predicted_ids = np.unique(truth[truth > 0]), np.unique(predicted[predicted > 0])
    row, column = np.searchsorted(truth_ids, truth), np.searchsorted(predicted_ids, predicted)
    rows, columns = truth > 0, predicted > 0
    pair = rows & columns
    return Overlap(
        truth_ids=truth_ids,
        predicted_ids=predicted_ids,
        truth_areas=_sum_by(row[rows], counted.pixels[rows], len(truth_ids)),
        predicted_areas=_sum_by(column[columns], counted.pixels[columns], len(predicted_ids)),
        truth_index=row[pair],
        predicted_index=column[pair],
        shared=counted.pixels[pair],
        pixels=pixels,
    )


def _check_type(labels: Labels, what: str) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"the {what} holds {labels.dtype} values; labels are whole numbers from 0")


def _whole(labels: Labels, what: str) -> NDArray[np.int64]:
    numbers = labels.astype(np.int64)
    if numbers.min(initial=0) < 0:
        kind = "negative labels" if labels.dtype.kind == "i" else "labels of 2**63 and above"
        raise ValueError(f"the {what} holds {kind}; labels are whole numbers from 0")
    return numbers


def _sum_by(index: Index, counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, index, counts)
    return sums


def _end_to_end(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

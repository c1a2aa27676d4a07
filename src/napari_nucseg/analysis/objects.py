"""All objects of all fields as columns, which a table sorts and filters at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.comparison import LabelPair, LocatedPair
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Index, Overlap, join_overlaps
from napari_nucseg.metrics.verdicts import Findings, Verdict, examine


class ObjectKey(NamedTuple):
    """What an object is known by, whatever row it stands in: field, label and side."""

    plane: int
    label: int
    is_true: bool


@dataclass(frozen=True)
class Objects:
    """Every nucleus once: all true objects, and the predicted ones that are no pair with one.

    Matches are pairs, and so are the two objects of an `OFF` pair, which have only each other.
    Rows are ordered by field, true objects first, then by label.

    Attributes
    ----------
    plane : ndarray of intp, shape (n,)
        Number of the field that each object lies in.
    is_true : ndarray of bool, shape (n,)
        Whether each object is a true one, else a predicted one.
    label : ndarray of int64, shape (n,)
        Label of each object in its layer.
    code : ndarray of uint8, shape (n,)
        Verdict on each object, a `Verdict`.
    iou : ndarray of float64, shape (n,)
        IoU with the partner; for an object without one, the best IoU with any.
    area : ndarray of int64, shape (n,)
        Area of each object in pixels.
    y, x : ndarray of float64, shape (n,)
        Centre of mass of each object, in pixels from the top left of the field.
    box : ndarray of intp, shape (n, 4)
        Bounding box of each object in pixels, as in `ObjectGeometry`.
    starts : ndarray of intp, shape (n,)
        Position of the first partner of each object in the list of all partners.
    counts : ndarray of intp, shape (n,)
        Number of partners of each object.
    partners : ndarray of int64
        Numbers of the partners in the other layer.
    left_out : ndarray of bool, shape (n,)
        Whether each object is left out of the scores.
    """

    plane: Index
    is_true: NDArray[np.bool_]
    label: NDArray[np.int64]
    code: NDArray[np.uint8]
    iou: NDArray[np.float64]
    area: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    box: Index
    starts: Index
    counts: Index
    partners: NDArray[np.int64]
    left_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.plane)

    @property
    def first_partner(self) -> NDArray[np.int64]:
        """Number of the best partner of each, 0 without one; shape (n,)."""
        first = np.zeros(len(self), dtype=np.int64)
        some = self.counts > 0
        first[some] = self.partners[self.starts[some]]
        return first

    @property
    def true_number(self) -> NDArray[np.int64]:
        """Number in the ground truth, of itself or its best partner, 0 for none; shape (n,)."""
        return np.where(self.is_true, self.label, self.first_partner)

    @property
    def predicted_number(self) -> NDArray[np.int64]:
        """Number in the prediction, of itself or its best partner, 0 for none; shape (n,)."""
        return np.where(self.is_true, self.first_partner, self.label)

    @property
    def is_error(self) -> NDArray[np.bool_]:
        """Whether it has no match, and is counted; shape (n,)."""
        return (self.code > Verdict.LOOSE) & ~self.left_out

    def partners_of(self, row: int) -> tuple[int, ...]:
        """Return the numbers of an object's partners in the other layer, the match first."""
        start = int(self.starts[row])
        return tuple(self.partners[start : start + int(self.counts[row])].tolist())

    def describe(self, row: int) -> str:
        """Say in few words what became of an object."""
        mine, theirs = ("true", "predicted") if self.is_true[row] else ("predicted", "true")
        words = [Verdict(int(self.code[row])).word, f"{mine} {self.label[row]}"]
        partners = self.partners_of(row)
        if partners:
            words.append(f"{theirs} {', '.join(map(str, partners))}")
        return f"{' - '.join(words)} - IoU {self.iou[row]:.2f}"

    def key_of(self, row: int) -> ObjectKey:
        """Return what an object is known by."""
        return ObjectKey(int(self.plane[row]), int(self.label[row]), bool(self.is_true[row]))

    @property
    def key_numbers(self) -> NDArray[np.int64]:
        """What each is known by, as `key_of` has it, in one number; shape (n,)."""
        return (self.plane.astype(np.int64) << 33) | (self.label << 1) | self.is_true

    def rows_of(self, plane: int) -> slice:
        """Return the rows of a field."""
        first, end = np.searchsorted(self.plane, [plane, plane + 1])
        return slice(int(first), int(end))

    def find(self, plane: int, label: int, *, is_true: bool) -> int | None:
        """Return the row of an object; a predicted one of a pair stands in its partner's."""
        rows = self.rows_of(plane)
        number = self.label[rows]
        hit = (number == label) & (self.is_true[rows] == is_true)
        code = self.code[rows]
        for is_pair in (code <= Verdict.LOOSE, code == Verdict.OFF):
            if not is_true and not hit.any():
                hit = (self.predicted_number[rows] == label) & is_pair
        found = np.flatnonzero(hit)
        return rows.start + int(found[0]) if len(found) else None

    def at(self, plane: int, labels: LabelPair, y: int, x: int) -> int | None:
        """Return the row of the object at a pixel of a field, the true one first.

        Parameters
        ----------
        plane : int
            Number of the field.
        labels : tuple of two ndarrays
            Its true and predicted labels.
        y, x : int
            Row and column of the pixel, which may lie outside.
        """
        if not (0 <= y < labels[0].shape[0] and 0 <= x < labels[0].shape[1]):
            return None
        for side, is_true in zip(labels, (True, False), strict=True):
            if side[y, x]:
                return self.find(plane, int(side[y, x]), is_true=is_true)
        return None

    def replaced(self, plane: int, new: Objects) -> Objects:
        """Return the objects with those of one field exchanged."""
        rows = self.rows_of(plane)
        parts = {
            field.name: np.concatenate(
                [
                    getattr(self, field.name)[: rows.start],
                    getattr(new, field.name),
                    getattr(self, field.name)[rows.stop :],
                ]
            )
            for field in fields(self)
            if field.name not in ("starts", "partners")
        }
        # The old partners stay where they are, unused, until all is listed anew
        starts = np.concatenate(
            [self.starts[: rows.start], new.starts + len(self.partners), self.starts[rows.stop :]]
        )
        return Objects(
            **parts, starts=starts, partners=np.concatenate([self.partners, new.partners])
        )


def no_objects() -> Objects:
    """Return no rows, at no cost: judging would load scipy, and opening a panel wait for it."""
    whole, places = np.zeros(0, dtype=np.int64), np.zeros(0)
    index: Index = np.zeros(0, dtype=np.intp)
    return Objects(
        index,
        np.zeros(0, dtype=np.bool_),
        whole,
        np.zeros(0, dtype=np.uint8),
        places,
        whole,
        places,
        places,
        np.zeros((0, 4), dtype=np.intp),
        index,
        index,
        whole,
        np.zeros(0, dtype=np.bool_),
    )


def list_objects(pairs: Mapping[int, LocatedPair], threshold: float, *, strict: bool) -> Objects:
    """Classify and list the objects of all fields at once.

    Parameters
    ----------
    pairs : mapping
        Number of a field to its objects.
    threshold : float
        Least IoU of a match.
    strict : bool
        Ask for IoU > threshold instead of >=.
    """
    if not pairs:
        return no_objects()
    planes, parts = list(pairs), list(pairs.values())
    joined = join_overlaps([part.overlap for part in parts])
    found = examine(match(joined, threshold, strict))
    true_labels = np.concatenate([part.overlap.truth_ids for part in parts])
    found_labels = np.concatenate([part.overlap.predicted_ids for part in parts])
    sizes = [[len(p.overlap.truth_ids), len(p.overlap.predicted_ids)] for p in parts]
    n, m = np.array(sizes, dtype=np.intp).reshape(-1, 2).T
    plane = np.concatenate([np.repeat(planes, n), np.repeat(planes, m)]).astype(np.intp)
    is_true = np.arange(len(found.codes)) < len(true_labels)
    left_out = np.concatenate(_left_out(parts))
    in_partners_row = (found.codes <= Verdict.LOOSE) | _is_second_of_off(joined, found, left_out)
    shown = np.flatnonzero(is_true | ~in_partners_row)
    rows = shown[np.argsort(plane[shown], kind="stable")]
    places = [*(part.truth for part in parts), *(part.predicted for part in parts)]
    counts, partners = _partners(joined, found.pairs, true_labels, found_labels)
    return Objects(
        plane[rows],
        is_true[rows],
        np.concatenate([true_labels, found_labels])[rows],
        found.codes[rows],
        found.ious[rows],
        np.concatenate([joined.truth_areas, joined.predicted_areas])[rows],
        np.concatenate([np.zeros(0), *(place.y for place in places)])[rows],
        np.concatenate([np.zeros(0), *(place.x for place in places)])[rows],
        np.concatenate([np.zeros((0, 4), np.intp), *(place.boxes for place in places)])[rows],
        (np.cumsum(counts) - counts)[rows],
        counts[rows],
        partners,
        left_out[rows],
    )


def _is_second_of_off(
    joined: Overlap, found: Findings, left_out: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which objects, true ones first, are the predicted ones of pairs that are off.

    They are no pair where one is left out of the scores: the other one is an error of its own.
    """
    truth = joined.truth_index[found.pairs]
    predicted = len(joined.truth_ids) + joined.predicted_index[found.pairs]
    is_off = found.codes == Verdict.OFF  # one of them may be matched with another at a low IoU
    second = np.zeros(len(found.codes), dtype=np.bool_)
    is_pair = is_off[truth] & is_off[predicted] & (left_out[truth] == left_out[predicted])
    second[predicted[is_pair]] = True
    return second


def _left_out(parts: Sequence[LocatedPair]) -> list[NDArray[np.bool_]]:
    """Tell which objects of each field are left out of the scores, all true ones first."""
    both = [(part.overlap, part.counted_overlap) for part in parts]
    sides = [
        *((every.truth_ids, counted.truth_ids) for every, counted in both),
        *((every.predicted_ids, counted.predicted_ids) for every, counted in both),
    ]
    return [
        np.zeros(len(labels), np.bool_) if labels is counted else ~np.isin(labels, counted)
        for labels, counted in sides
    ]


def _partners(
    joined: Overlap, pairs: Index, true_labels: NDArray[np.int64], found_labels: NDArray[np.int64]
) -> tuple[Index, NDArray[np.int64]]:
    """Return how many partners each object has, true ones first, and all partners' labels."""
    truth, predicted = joined.truth_index[pairs], joined.predicted_index[pairs]
    counts = (
        np.bincount(truth, minlength=len(true_labels)),
        np.bincount(predicted, minlength=len(found_labels)),
    )
    labels = (
        found_labels[predicted[np.argsort(truth, kind="stable")]],
        true_labels[truth[np.argsort(predicted, kind="stable")]],
    )
    return np.concatenate(counts), np.concatenate(labels)

"""All objects of all fields as columns, which a table sorts and filters at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.comparison import LocatedPair
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Index, Overlap
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
        """Whether it has no match; shape (n,)."""
        return self.code > Verdict.LOOSE

    def partners_of(self, row: int) -> tuple[int, ...]:
        """Return the numbers of an object's partners in the other layer, the match first."""
        start = int(self.starts[row])
        return tuple(self.partners[start : start + int(self.counts[row])].tolist())

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
        for is_pair in (~self.is_error[rows], self.code[rows] == Verdict.OFF):
            if not is_true and not hit.any():
                hit = (self.predicted_number[rows] == label) & is_pair
        found = np.flatnonzero(hit)
        return rows.start + int(found[0]) if len(found) else None

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
            [
                self.starts[: rows.start],
                new.starts + len(self.partners),
                self.starts[rows.stop :],
            ]
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
    )


def list_objects(pairs: Mapping[int, LocatedPair], threshold: float, *, strict: bool) -> Objects:
    """Judge and list the objects of all fields at once.

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
    true_labels = _end_to_end([part.overlap.truth_ids for part in parts])
    found_labels = _end_to_end([part.overlap.predicted_ids for part in parts])
    sizes = [[len(p.overlap.truth_ids), len(p.overlap.predicted_ids)] for p in parts]
    n, m = np.array(sizes, dtype=np.intp).reshape(-1, 2).T
    plane = np.concatenate([np.repeat(planes, n), np.repeat(planes, m)]).astype(np.intp)
    is_true = np.arange(len(found.codes)) < len(true_labels)
    in_partners_row = (found.codes <= Verdict.LOOSE) | _is_second_of_off(joined, found)
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
    )


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


def _is_second_of_off(joined: Overlap, found: Findings) -> NDArray[np.bool_]:
    """Tell which objects, true ones first, are the predicted ones of pairs that are off."""
    truth = joined.truth_index[found.pairs]
    predicted = len(joined.truth_ids) + joined.predicted_index[found.pairs]
    is_off = found.codes == Verdict.OFF  # one of them may be matched with another at a low IoU
    second = np.zeros(len(found.codes), dtype=np.bool_)
    second[predicted[is_off[truth] & is_off[predicted]]] = True
    return second


def _end_to_end(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _partners(
    joined: Overlap,
    pairs: Index,
    true_labels: NDArray[np.int64],
    found_labels: NDArray[np.int64],
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

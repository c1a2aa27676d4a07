"""Sums of boundary distances, which are pooled by adding them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from napari_nucseg.metrics.counts import ratio


@dataclass(frozen=True)
class Spacing:
    """How large a pixel is.

    Attributes
    ----------
    edges : tuple of float
        Length along each axis, in the unit.
    unit : str
        Name of the unit, such as "um".
    """

    edges: tuple[float, ...]
    unit: str = "um"


@dataclass(frozen=True)
class BoundaryCounts:
    """Sums over the matched pairs of a field, or of several, and over all outlines.

    Attributes
    ----------
    unit : str or None
        Unit of the sums that are not in pixels; those are 0 without it.
    pairs : int
        Number of matched pairs whose outlines were measured.
    hausdorff_px_sum, hd95_px_sum, distance_px_sum : float
        Sums over the pairs, in pixels.
    hausdorff_sum, hd95_sum, distance_sum : float
        The same sums in the unit of the pixel size.
    near_true, true, near_predicted, predicted : int
        Outline pixels within 2 px of any outline of the other side, and all outline pixels.
    """

    unit: str | None
    pairs: int
    hausdorff_px_sum: float
    hd95_px_sum: float
    distance_px_sum: float
    hausdorff_sum: float
    hd95_sum: float
    distance_sum: float
    near_true: int
    true: int
    near_predicted: int
    predicted: int

    @property
    def boundary_f(self) -> float:
        """2 PR / (P + R): precision and recall of outline pixels within 2 px."""
        precision = ratio(self.near_predicted, self.predicted, self._seen)
        recall = ratio(self.near_true, self.true, self._seen)
        return ratio(2 * precision * recall, precision + recall, self._seen)

    def mean(self, distance: str) -> float:
        """Return the mean over the matched pairs of a distance, named as its sum without "_sum".

        Those in pixels end in "_px"; undefined without a pair.
        """
        return ratio(getattr(self, f"{distance}_sum"), self.pairs, self.pairs)

    def __add__(self, other: Self) -> Self:
        """Pool with another field."""
        if self.unit != other.unit:
            raise ValueError(
                f"distances in {self.unit or 'pixels'} and in {other.unit or 'pixels'} cannot be "
                "pooled; give all fields the same unit"
            )
        names = [field.name for field in fields(self)][1:]
        return type(self)(
            self.unit, *(getattr(self, name) + getattr(other, name) for name in names)
        )

    @property
    def _seen(self) -> int:
        return self.true + self.predicted

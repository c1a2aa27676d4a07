"""Results that are kept so that labels can follow the sliders without the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_nucseg.core.segmenting import Segmentation
from napari_nucseg.ui.sources import Box


@dataclass(frozen=True)
class Kept:
    """A result, and what else is needed to make it anew.

    Attributes
    ----------
    result : Segmentation
        Of a field, or of a box in it.
    image : ndarray, shape (height, width)
        That was segmented.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    box : Box or None
        Where in the field it is; None for all of it.
    """

    result: Segmentation
    image: NDArray[Any]
    pixel_size: float | None
    box: Box | None

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self.result.nbytes + self.image.nbytes


@dataclass(frozen=True)
class Spot:
    """Where a result belongs: a field of an image layer, by one model."""

    source: str
    model: str
    plane: int


class KeptResults:
    """Results by their spot; the oldest are dropped beyond a limit of memory.

    Attributes
    ----------
    limit : int
        Bytes that they may take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._results: dict[Spot, Kept] = {}

    def replace(self, spot: Spot, kept: Kept | None) -> None:
        """Keep a result, as the newest; None only drops the one before."""
        self._results.pop(spot, None)
        if kept is None:
            return
        self._results[spot] = kept
        while self._results and self.taken > self.limit:
            del self._results[next(iter(self._results))]

    @property
    def taken(self) -> int:
        """Bytes taken."""
        return sum(kept.nbytes for kept in self._results.values())

    def of(self, source: str, model: str) -> Mapping[int, Kept]:
        """Return what is kept of an image layer and model, by the number of the field."""
        return {
            spot.plane: kept
            for spot, kept in self._results.items()
            if (spot.source, spot.model) == (source, model)
        }

    def forget(self, source: str, model: str | None = None) -> None:
        """Drop what is kept of an image layer, by one model or by all."""
        self._results = {
            spot: kept
            for spot, kept in self._results.items()
            if spot.source != source or model not in (None, spot.model)
        }

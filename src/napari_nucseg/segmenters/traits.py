"""What a kind of model makes no use of, and how precise it is; readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from napari_nucseg.core.parameters import SegmentParams

DEVICE = "device"
"""Stands beside the parameters' names for the choice of a device."""


@dataclass(frozen=True)
class Traits:
    """What can be said of a model before it is loaded.

    Attributes
    ----------
    ignores : frozenset of str
        Names of the parameters that change nothing, and `DEVICE` if it always runs on the CPU.
    precision : str or None
        As in `napari_nucseg.core.segmenting.Provenance`; None if the device decides.
    """

    ignores: frozenset[str]
    precision: str | None


OTSU = Traits(
    frozenset(field.name for field in fields(SegmentParams)) - {"min_size", "invert"} | {DEVICE},
    "float64",
)
"""Of Otsu's threshold: there are no flows, no cell probability and no diameter in it."""
FLUO = Traits(
    frozenset({"tile_overlap", "batch_size", "low_percentile", "high_percentile"}), "float32"
)
"""Of `fluo-nuclei` and networks trained like it, which scale intensities in their own way."""
UNET = Traits(frozenset({"tile_overlap", "batch_size"}), "float32")
"""Of this package's residual U-Nets, which see a field whole or in tiles that they choose."""
CLASSIC = Traits(frozenset({"tile_overlap"}), "float32")
"""Of the U-Nets of Cellpose 1 to 3, whose tiles overlap as in Cellpose 3."""
CELLPOSE = Traits(frozenset(), None)
"""Of Cellpose 4's networks."""

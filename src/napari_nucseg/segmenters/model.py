"""What is known of a model before it is loaded: its files, and what it makes no use of."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from napari_nucseg.io.download import RemoteFile, is_complete
from napari_nucseg.segmenters.parameters import SegmentParams

DEVICE = "device"
"""Stands beside the parameters' names for the choice of a device."""


@dataclass(frozen=True)
class Model:
    """A model and where its weights are.

    Attributes
    ----------
    name : str
        What it is called on the form and the command line.
    about : str
        One line for the user.
    path : Path or None
        Where its weights are, or will be after a download; None if it has none.
    megabytes : int
        Size of the weights, rounded.
    remote : RemoteFile or None
        Where they are published; None where they cannot be fetched.
    onnx : Path or None
        The graph by which ONNX Runtime runs the weights on a CPU without loading torch.
    defaults : SegmentParams
        Parameters that suit it.
    capabilities : Capabilities or None
        Of its kind; None for a file that was not opened yet.
    """

    name: str
    about: str
    path: Path | None
    megabytes: int
    remote: RemoteFile | None = None
    onnx: Path | None = None
    defaults: SegmentParams = field(default_factory=SegmentParams)
    capabilities: Capabilities | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the weights are here."""
        if self.remote is None:
            return self.path is None or self.path.is_file()
        return is_complete(self.remote, weights_folder())


def weights_folder() -> Path:
    """Folder of Cellpose's weights: ``$CELLPOSE_LOCAL_MODELS_PATH``, or that in the home folder."""
    chosen = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(chosen) if chosen else Path.home() / ".cellpose" / "models"


@dataclass(frozen=True)
class Capabilities:
    """What can be said of a model before it is loaded.

    Attributes
    ----------
    ignores : frozenset of str
        Names of the parameters that change nothing, and `DEVICE` if it always runs on the CPU.
    precision : str or None
        As in `napari_nucseg.segmenters.api.Provenance`; None if the device decides.
    """

    ignores: frozenset[str]
    precision: str | None


OTSU = Capabilities(
    frozenset(field.name for field in fields(SegmentParams)) - {"min_size", "invert"} | {DEVICE},
    "float64",
)
"""Of Otsu's threshold: there are no flows, no cell probability and no diameter in it."""
FLUO = Capabilities(
    frozenset({"tile_overlap", "batch_size", "low_percentile", "high_percentile"}), "float32"
)
"""Of `fluo-nuclei` and networks trained like it, which scale intensities in their own way."""
UNET = Capabilities(frozenset({"tile_overlap", "batch_size"}), "float32")
"""Of this package's residual U-Nets, which see a field whole or in tiles that they choose."""
CLASSIC = Capabilities(frozenset({"tile_overlap"}), "float32")
"""Of the U-Nets of Cellpose 1 to 3, whose tiles overlap as in Cellpose 3."""
CELLPOSE = Capabilities(frozenset(), None)
"""Of Cellpose 4's networks."""

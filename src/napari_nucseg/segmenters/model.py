"""What is known of a model before it is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from napari_nucseg.core.fetching import RemoteFile, is_complete
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.segmenters.traits import Traits


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
    traits : Traits or None
        Of its kind; None for a file that was not opened yet.
    """

    name: str
    about: str
    path: Path | None
    megabytes: int
    remote: RemoteFile | None = None
    onnx: Path | None = None
    defaults: SegmentParams = field(default_factory=SegmentParams)
    traits: Traits | None = None

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

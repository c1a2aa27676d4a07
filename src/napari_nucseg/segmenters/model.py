"""What a model declares of itself, by its card, too; and how a function becomes one.

`docs/segmenters.md` shows how another package adds its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.download import RemoteFile, is_complete
from napari_nucseg.io.sources import sha256
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import (
    Capabilities,
    Provenance,
    Segmentation,
    Segmenter,
    check_image,
)
from napari_nucseg.segmenters.devices import Device, choose
from napari_nucseg.segmenters.intensities import with_bright_nuclei
from napari_nucseg.segmenters.parameters import Depth, SegmentParams
from napari_nucseg.system_info import versions
from napari_nucseg.wording import counted, terms_of


@dataclass(frozen=True)
class Model:
    """A model: what it is, where its weights are, and how it is loaded.

    Attributes
    ----------
    name : str
        Name of the model on the form and the command line.
    about : str
        Description of the model in one line, for the user.
    licence : str
        Terms of its weights, or of its code if it has none; empty where they are not known.
    load : callable
        Gets the model and a device (auto, cuda, mps or cpu), and returns its segmenter. What takes
        long to import is best imported within.
    file : Path or None
        File of the weights: bundled with a package, or added by the user.
    remote : RemoteFile or None
        Address that the weights are downloaded from, to `weights_folder`; None if they are not.
    download_mb : int
        Size of such weights in megabytes, rounded.
    onnx : Path or None
        The graph by which ONNX Runtime runs the weights on a CPU without loading torch.
    defaults : SegmentParams
        Values of the parameters that suit the model.
    capabilities : Capabilities or None
        None for a file of the user's: what it is turns out when it is loaded.
    libraries : tuple of str
        Packages, by the names they are installed by, whose versions its labels depend on.
    trained_on : str
        What its weights learned from, and the terms of that; empty where it is not known.
    """

    name: str
    about: str
    licence: str
    load: Callable[[Model, str], Segmenter]
    file: Path | None = None
    remote: RemoteFile | None = None
    download_mb: int = 0
    onnx: Path | None = None
    defaults: SegmentParams = field(default_factory=SegmentParams)
    capabilities: Capabilities | None = field(default=Capabilities(), compare=False)
    libraries: tuple[str, ...] = ()
    trained_on: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that cannot be one of a folder of results, and several lines."""
        if not self.name.strip() or Path(self.name).name != self.name:
            raise ValueError(
                f"{self.name!r} is not a valid name for a model; use letters, digits, - and _"
            )
        if "\n" in self.name + self.about + self.licence + self.trained_on:
            raise ValueError(f"{self.name!r}: name, description and licence are one line each")

    @property
    def terms(self) -> str:
        """Its licence and what it was trained on, as far as they are known."""
        return terms_of(self.licence, self.trained_on)

    @property
    def path(self) -> Path | None:
        """Where its weights are, or will be after a download; None if it has none."""
        return self.file if self.remote is None else weights_folder() / self.remote.name

    @property
    def megabytes(self) -> int:
        """Size of the weights, rounded."""
        if self.remote is not None:
            return self.download_mb
        return 0 if not self.file or not self.is_ready else round(self.file.stat().st_size / 1e6)

    @property
    def is_ready(self) -> bool:
        """Whether the weights are here."""
        if self.remote is None:
            return self.file is None or self.file.is_file()
        return is_complete(self.remote, weights_folder())

    def check(self, params: SegmentParams, depth: Depth | None = None) -> None:
        """Refuse what it cannot do, as far as that is known before it is loaded.

        Raises
        ------
        ValueError
            Saying what to choose instead.
        """
        if self.capabilities is None:
            return
        if self.capabilities.needs_diameter and not params.diameter:
            raise ValueError(f"{self.name} needs the diameter of the nuclei; set it in pixels")
        if depth is Depth.IN_3D and not self.capabilities.in_3d:
            raise ValueError(f"{self.name} works on planes, not in 3-D; choose stitched")

    def provenance(
        self, params: SegmentParams, device: Device, precision: str, seconds: float, sha256: str
    ) -> Provenance:
        """Say how labels were made.

        Parameters
        ----------
        params : SegmentParams
            Parameters that the model was run with.
        device : Device
            Device that the model ran on.
        precision : str
            Number format of the computations, such as float32.
        seconds : float
            Seconds that the segmentation took.
        sha256 : str
            Fingerprint of its weights; empty without any.
        """
        return Provenance(
            model=self.name,
            weights_sha256=sha256,
            parameters=asdict(params),
            device=str(device),
            precision=precision,
            versions=versions(self.libraries),
            seconds=seconds,
            weights="" if self.path is None else self.path.name,
            licence=self.licence,
            trained_on=self.trained_on,
        )


def weights_folder() -> Path:
    """Folder of Cellpose's weights: ``$CELLPOSE_LOCAL_MODELS_PATH``, or that in the home folder."""
    chosen = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(chosen) if chosen else Path.home() / ".cellpose" / "models"


@dataclass(frozen=True)
class LabelSegmenter:
    """A function that finds the nuclei of an image, as a `Segmenter`.

    Dark nuclei are made bright before. Those below the minimum size, and on request those at the
    border, are dropped after: a change of this does not call the function again.

    Attributes
    ----------
    model : Model
        The model that the function belongs to.
    find : callable
        Gets the image, shape (height, width), with bright nuclei; the parameters; and a callable
        for its progress. Returns labels: integers of the same shape, 0 is background.
    device : Device, optional
        Device that the function runs on; this computer's CPU if not given.
    sha256 : str
        Fingerprint of its weights, if it has any; see `napari_nucseg.io.sources.sha256`.
    """

    model: Model
    find: Callable[[NDArray[Any], SegmentParams, Progress], NDArray[Any]]
    device: Device | None = None
    sha256: str = ""

    def __call__(
        self, image: NDArray[Any], params: SegmentParams, progress: Progress
    ) -> Segmentation:
        """Segment a field; see `napari_nucseg.segmenters.api.Segmenter`."""
        # Not above, because this takes long to import
        from napari_nucseg.segmenters.splitting import drop_on_edges, drop_small

        check_image(image, "image")
        self.model.check(params)
        start = time.perf_counter()
        progress(0, 1)
        found = self._numbered(
            self.find(with_bright_nuclei(image, params), params, progress), image
        )

        def labeller(params: SegmentParams) -> Labels:
            large = drop_small(found, params.min_size)
            return drop_on_edges(large) if params.exclude_on_edges else large

        labels = labeller(params)
        seconds = time.perf_counter() - start
        capabilities = self.model.capabilities or Capabilities()
        precision = capabilities.precision or "float32"
        device = self.device or choose("cpu")
        made = self.model.provenance(params, device, precision, seconds, self.sha256)
        progress(1, 1)
        return Segmentation(labels, None, made, labeller, capabilities)

    def _numbered(self, labels: NDArray[Any], image: NDArray[Any]) -> Labels:
        """Refuse what are no labels of the image, and bring numbers down to where they fit."""
        labels = np.asarray(labels)
        if labels.shape != image.shape or labels.dtype.kind not in "ui" or labels.min() < 0:
            raise ValueError(
                f"{self.model.name} returned {labels.dtype} values of shape {labels.shape} for an "
                f"image of shape {image.shape}, not labels from 0 on; report it to the authors of "
                "that model"
            )
        if labels.max() > labels.size:
            _, numbers = np.unique(np.append(0, labels), return_inverse=True)
            labels = numbers[1:].reshape(image.shape)
        return labels.astype(np.int32)


def card_of(path: Path) -> Mapping[str, Any]:
    """Read the card beside a file of weights that training wrote; empty if there is none.

    A card of other weights, or a file that is none, counts for nothing.
    """
    beside = path.with_suffix(".json")
    try:
        written = beside.stat().st_mtime_ns, path.stat().st_mtime_ns
    except OSError:
        return {}
    return _read_card(beside, path, written)


@lru_cache(maxsize=64)
def _read_card(beside: Path, path: Path, written: tuple[int, int]) -> Mapping[str, Any]:
    """Read a card, anew only if it or the weights were written (in ns) at another time."""
    try:
        card: Mapping[str, Any] = json.loads(beside.read_text("utf-8"))
        return card if card["sha256"] == sha256(path) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def describe_card(card: Mapping[str, Any]) -> Iterator[str]:
    """Say in words what a card tells a user who chooses a model."""
    if not card:
        return
    before, after = (card.get(key) or {} for key in ("before", "best"))
    fields = counted(sum(one["fields"] for one in card.get("learned_from", [])), "field")
    origin = card.get("started_from")
    yield f"learned from {fields}{f', starting from {origin}' if origin else ''}."
    if after.get("f1_50") is not None:
        was = f", before it learned {before['f1_50']:.3f}" if before.get("f1_50") else ""
        yield f"F1 of what was held out {after['f1_50']:.3f}{was}."

"""A network and what follows it, as one segmenter."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_nucseg import __version__
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Flows, Provenance, Report, Segmentation, check_image
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.flows import Labeller

_LIBRARIES = ("cellpose", "torch", "onnxruntime", "numba", "numpy")


class Network(Protocol):
    """A network on a device."""

    @property
    def device(self) -> Device:
        """Where it runs."""
        ...

    @property
    def precision(self) -> str:
        """float32 or bfloat16."""
        ...

    @property
    def ignores(self) -> frozenset[str]:
        """Names of the parameters that it makes no use of."""
        ...

    def predict(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
        """Return the flows of an image of shape (height, width)."""
        ...


@dataclass(frozen=True)
class NetSegmenter:
    """Image to labels: a network, then its flows followed to the nuclei.

    Attributes
    ----------
    name : str
        The model's name, for the screen and the metadata.
    weights_sha256 : str
        Fingerprint of its weights.
    network : Network
        Loaded and ready.
    weights : str
        Name of the file of its weights.
    """

    name: str
    weights_sha256: str
    network: Network
    weights: str = ""

    def __call__(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Segmentation:
        """Segment a field; see `napari_nucseg.core.segmenting.Segmenter`."""
        check_image(image, "image")
        start = time.perf_counter()
        flows = self.network.predict(image, params, report)
        labeller = Labeller(flows, self.network.device)
        labels = labeller(params)
        provenance = Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            parameters=asdict(params),
            device=str(self.network.device),
            precision=self.network.precision,
            versions={
                "napari-nucseg": __version__,
                **{name: version(name) for name in _LIBRARIES},
            },
            seconds=time.perf_counter() - start,
            notes=flows.notes,
            weights=self.weights,
        )
        return Segmentation(labels, flows, provenance, labeller, self.network.ignores)

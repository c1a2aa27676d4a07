"""A network and what follows it, as one segmenter."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg import __version__
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Provenance, Report, Segmentation, check_image
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.network import Network, infer, prepared
from napari_nucseg.segmenters.suitability import Found, find_concerns

_LIBRARIES = ("cellpose", "torch", "onnxruntime", "numba", "numpy")


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
        bright = prepared(image, params)
        normalised = self.network.normalise(bright, params)
        result = self.segment_normalised(normalised, params, report)
        concerns = find_concerns(bright, self._found(result), params)
        made = replace(
            result.provenance,
            seconds=time.perf_counter() - start,
            suspect=tuple(str(concern) for concern in concerns),
        )
        return replace(result, provenance=made, concerns=concerns)

    def segment_normalised(
        self, image: NDArray[np.float32], params: SegmentParams, report: Report
    ) -> Segmentation:
        """Segment a field whose intensities `Network.normalise` has scaled."""
        start = time.perf_counter()
        flows = infer(self.network, image, params, report)
        labeller = Labeller(flows, self.network.device)
        labels = labeller(params)
        made = replace(
            self.provenance(params, time.perf_counter() - start, flows.notes),
            diameter=flows.diameter,
            is_estimated=flows.is_estimated,
        )
        return Segmentation(labels, flows, made, labeller, self.network.ignores)

    def _found(self, result: Segmentation) -> Found:
        flows, labeller = result.flows, result.labeller
        assert flows is not None
        assert isinstance(labeller, Labeller)
        return Found(result.labels, labeller.errors, flows.diameter)

    def provenance(
        self, params: SegmentParams, seconds: float, notes: tuple[str, ...]
    ) -> Provenance:
        """Say how labels were made."""
        return Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            parameters=asdict(params),
            device=str(self.network.device),
            precision=self.network.precision,
            versions={
                "napari-nucseg": __version__,
                **{name: version(name) for name in _LIBRARIES},
            },
            seconds=seconds,
            notes=notes,
            weights=self.weights,
        )

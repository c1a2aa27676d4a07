"""What a network is to the rest, and a network with what follows it as one segmenter."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_nucseg import __version__
from napari_nucseg.segmenters.api import (
    Flows,
    Provenance,
    Report,
    Segmentation,
    check_image,
    with_bright_nuclei,
)
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.suitability import Found, find_concerns

NO_CELL = -100.0
"""A cell probability that no threshold takes for a cell."""
_LARGEST = float(np.finfo(np.float32).max) / 4

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

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities as it wants them; 0 everywhere where there is no contrast.

        Parameters
        ----------
        image : ndarray, shape (height, width) or (planes, height, width)
            Of any scale; planes are scaled together.
        params : SegmentParams
            The percentiles are used.
        """
        ...

    def scale(self, params: SegmentParams) -> float:
        """Tell how many times larger nuclei of the diameter are at the network's own scale."""
        ...

    def infer(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """Return the flows of a normalised image of shape (height, width), at its scale."""
        ...

    def run(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """As `infer`, for an image at the network's own scale."""
        ...


def infer(
    network: Network, image: NDArray[np.float32], params: SegmentParams, report: Report
) -> Flows:
    """Run a network on a normalised field; without contrast there are no nuclei, and it is not run.

    Parameters
    ----------
    network : Network
        Ready to run.
    image : ndarray of float32, shape (height, width)
        From `Network.normalise`.
    params : SegmentParams
        Those that need the network are used.
    report : callable
        Called before each step and at the end.

    Raises
    ------
    ValueError
        If the image, at the network's own scale, is too large for the memory.
    OutOfDeviceMemory
        If the device cannot hold what has to be computed at once.
    """
    if image.any():
        return network.infer(image, params, report)
    report(0, 1)
    report(1, 1)
    return empty_flows(image.shape)


def prepared(image: NDArray[Any], params: SegmentParams) -> NDArray[Any]:
    """Return intensities as `Network.normalise` takes them: nuclei bright, in single precision."""
    return with_bright_nuclei(within_single_precision(image), params)


def predict(network: Network, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
    """Run a network on a field of intensities of any scale; see `infer`."""
    normalised = network.normalise(prepared(image, params), params)
    return infer(network, normalised, params, report)


def empty_flows(shape: tuple[int, ...]) -> Flows:
    """Flows of a field without nuclei."""
    cellprob = np.full(shape, NO_CELL, dtype=np.float32)
    return Flows(np.zeros((2, *shape), dtype=np.float32), cellprob)


def within_single_precision(image: NDArray[Any]) -> NDArray[Any]:
    """Divide intensities that single precision cannot hold."""
    if image.dtype.kind != "f" or image.dtype.itemsize <= 4:
        return image
    largest = max(abs(float(image.max())), abs(float(image.min())))
    return image / largest if largest > _LARGEST else image


def refuse_too_large(shape: tuple[int, ...], scale: float, most: int) -> None:
    """Refuse an image whose flows would not fit into memory.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    scale : float
        How many times longer an edge is at the network's own scale.
    most : int
        Pixels that there may be then.

    Raises
    ------
    ValueError
        Saying what to do.
    """
    if np.prod(shape, dtype=float) * scale ** len(shape) > most:
        raise ValueError(
            f"{' x '.join(map(str, shape))} px, scaled by {scale:.3g} for this model, are more "
            "than memory can hold; set a larger diameter, or crop the image"
        )


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
        """Segment a field; see `napari_nucseg.segmenters.api.Segmenter`."""
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

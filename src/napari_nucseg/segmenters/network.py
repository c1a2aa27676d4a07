"""What a network is to the rest, and a network with what follows it as one segmenter."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Capabilities, Flows, Provenance, Segmentation, check_image
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.intensities import with_bright_nuclei
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.suitability import Found, find_concerns
from napari_nucseg.system_info import available_memory
from napari_nucseg.wording import as_size

NO_CELL = -100.0
"""A cell probability that no threshold takes for a cell."""
UNSCALED = (22.0, 55.0)
"""Range of diameters, in pixels, within which fluo-nuclei leaves an image at its own size."""
_LARGEST = float(np.finfo(np.float32).max) / 4


class Network(ABC):
    """A network on a device."""

    device: Device
    """Where it runs."""

    @property
    def precision(self) -> str:
        """float32, so that a field gets the same labels on every machine, or bfloat16."""
        return "float32"

    @property
    def reach(self) -> int:
        """How far away, in pixels at its own scale, an input changes an output noticeably.

        Networks that see an image in tiles of their own look no farther than half of a tile.
        """
        return 128

    @abstractmethod
    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities as it wants them; 0 everywhere where there is no contrast.

        Parameters
        ----------
        image : ndarray, shape (height, width) or (planes, height, width)
            Intensities of any scale; planes are scaled together.
        params : SegmentParams
            Parameters, of which the two percentiles are used where the network has a use for them.
        """

    @abstractmethod
    def scale(self, params: SegmentParams) -> float:
        """Tell how many times larger nuclei of the diameter are at the network's own scale."""

    def diameter_of_large(self, image: NDArray[np.float32], progress: Progress) -> float | None:
        """Estimate the diameter, in pixels, of nuclei that are too large to be seen as they are.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            Scaled intensities, as `normalise` gives them.
        progress : Progress
            Called before each step; may raise to stop.

        Returns
        -------
        float or None
            None where nuclei are not too large, and for networks that cannot tell.
        """
        return None

    @abstractmethod
    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it on a normalised field.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            Scaled intensities, as `normalise` gives them.
        params : SegmentParams
            Parameters, of which those are used that need the network.
        progress : Progress
            Called before each step and at the end; may raise to stop.

        Raises
        ------
        ValueError
            If the image, at the network's own scale, is too large for the memory.
        OutOfDeviceMemory
            If the device cannot hold what has to be computed at once.
        """

    @abstractmethod
    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Compute the flows of an image that is at the network's own scale; see `infer`."""


def infer(
    network: Network, image: NDArray[np.float32], params: SegmentParams, progress: Progress
) -> Flows:
    """Run a network on an image; one without contrast has no nuclei, and it is not run.

    Raises
    ------
    ValueError
        What `Network.infer` raises, or `Flows` of a result that holds NaN.
    """
    if image.any():
        return network.infer(image, params, progress)
    progress(0, 1)
    progress(1, 1)
    return empty_flows(image.shape)


def prepared(image: NDArray[Any], params: SegmentParams) -> NDArray[Any]:
    """Return intensities as `Network.normalise` takes them: nuclei bright, in single precision."""
    return with_bright_nuclei(within_single_precision(image), params)


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


def refuse_too_large(shape: tuple[int, ...], scale: float, most: int, cost: int) -> None:
    """Refuse an image whose flows would not fit into memory.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image in pixels, after the planes if there are any.
    scale : float
        Factor from the edges of the image to those at the network's own scale.
    most : int
        Largest number of pixels allowed at that scale.
    cost : int
        Bytes of memory that each of these pixels takes.

    Raises
    ------
    ValueError
        Saying what to do.
    """
    pixels = float(np.prod(shape, dtype=float)) * scale ** len(shape)
    needed, free = pixels * cost, available_memory()
    if pixels > most or needed > free:
        raise ValueError(
            f"{as_size(shape)} px, scaled by {scale:.3g} for this model, do not fit "
            f"into memory: they take about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free; set a larger diameter, or crop the image"
        )


@dataclass(frozen=True)
class NetSegmenter:
    """Image to labels: a network, then its flows followed to the nuclei.

    Attributes
    ----------
    model : Model
        The model that the network belongs to.
    weights_sha256 : str
        sha256 of the file of the weights.
    network : Network
        The network, loaded and ready to run.
    """

    model: Model
    weights_sha256: str
    network: Network

    def __call__(
        self, image: NDArray[Any], params: SegmentParams, progress: Progress
    ) -> Segmentation:
        """Segment a field; see `napari_nucseg.segmenters.api.Segmenter`."""
        check_image(image, "image")
        start = time.perf_counter()
        bright = prepared(image, params)
        normalised = self.network.normalise(bright, params)
        result = self.segment_normalised(normalised, params, progress)
        concerns = find_concerns(bright, self._found(result, params), params)
        made = replace(
            result.provenance,
            seconds=time.perf_counter() - start,
            suspect=tuple(str(concern) for concern in concerns),
        )
        return replace(result, provenance=made, concerns=concerns)

    def segment_normalised(
        self, image: NDArray[np.float32], params: SegmentParams, progress: Progress
    ) -> Segmentation:
        """Segment a field whose intensities `Network.normalise` has scaled."""
        start = time.perf_counter()
        flows = infer(self.network, image, params, progress)
        labeller = Labeller(flows, self.network.device)
        labels = labeller(params)
        made = replace(
            self.provenance(params, time.perf_counter() - start),
            notes=(*flows.notes, *labeller.notes(params)),
            diameter=flows.diameter,
            is_estimated=flows.is_estimated,
        )
        capabilities = self.model.capabilities or Capabilities()
        return Segmentation(labels, flows, made, labeller, capabilities)

    def _found(self, result: Segmentation, params: SegmentParams) -> Found:
        flows, labeller = result.flows, result.labeller
        assert flows is not None
        assert isinstance(labeller, Labeller)
        # Nuclei that the user leaves out were found all the same
        whole = replace(params, exclude_on_edges=False)
        labels = labeller(whole) if params.exclude_on_edges else result.labels
        return Found(labels, labeller.errors, flows.diameter)

    def provenance(self, params: SegmentParams, seconds: float) -> Provenance:
        """Say how labels were made; see `Model.provenance`."""
        network = self.network
        return self.model.provenance(
            params, network.device, network.precision, seconds, self.weights_sha256
        )

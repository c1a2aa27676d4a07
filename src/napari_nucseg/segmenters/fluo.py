"""The network `fluo-nuclei` on a field: it finds out by itself how large the nuclei are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Flows, Report
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.size import Look, find_large, find_small, look_at, scale_for
from napari_nucseg.segmenters.tiled_net import TiledNet
from napari_nucseg.segmenters.traits import FLUO
from napari_nucseg.segmenters.unet import resized, run_scaled


@dataclass(frozen=True)
class FluoNuclei:
    """The network on a device, ready to run.

    Attributes
    ----------
    net : TiledNet
        Computes the network.
    device : Device
        Where it runs.
    """

    net: TiledNet
    device: Device

    @property
    def ignores(self) -> frozenset[str]:
        """Names of the parameters that it makes no use of."""
        return FLUO.ignores

    @property
    def precision(self) -> str:
        """Always float32, so that a field gets the same labels on every machine."""
        return "float32"

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities so that background is 0 and nuclei are about 1."""
        return scale_intensities(image)

    def scale(self, params: SegmentParams) -> float:
        """Bring nuclei of the diameter, if there is one, into the range of the training's."""
        return scale_for(params.diameter) if params.diameter else 1.0

    def infer(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """Run the network on a normalised field, at a scale that suits its nuclei.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            From `normalise`.
        params : SegmentParams
            Diameter and augmentation are used; a diameter of 0 is estimated.
        report : callable
            Called before each tile, and after the last.

        Returns
        -------
        Flows
            With the diameter, where one was set or the estimate made the image be resized.

        Raises
        ------
        ValueError
            If the resized image is too large.
        """
        if params.diameter:
            return self._run_for(params.diameter, image, params, report)
        found = find_large(image.shape, partial(self._look, image, report))
        flows = self._run_for(found, image, params, report)
        if found is None:
            compiling().result()
            found = find_small(flows)
            if found is not None:
                flows = self._run_for(found, image, params, report)
        return replace(flows, is_estimated=found is not None)

    def _run_for(
        self,
        diameter: float | None,
        image: NDArray[np.float32],
        params: SegmentParams,
        report: Report,
    ) -> Flows:
        """Run the network at the scale that suits nuclei of a diameter."""
        flows = run_scaled(self.net, image, scale_for(diameter), params.augment, report)
        return replace(flows, diameter=diameter)

    def _look(self, image: NDArray[np.float32], report: Report, scale: float) -> Look:
        compiling().result()

        def begin(done: int, total: int) -> None:
            report(0, 1)  # a look is no progress, but it can be stopped

        # a ground darker than the background would make the whole field stand out
        copy = np.maximum(resized(image, scale), 0)
        return look_at(copy, lambda small: self.net(small, False, begin))

    def run(self, image: NDArray[np.float32], params: SegmentParams, report: Report) -> Flows:
        """As `infer`, for an image at the network's own scale."""
        return run_scaled(self.net, image, 1.0, params.augment, report)

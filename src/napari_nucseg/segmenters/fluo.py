"""The network `fluo-nuclei` on a field: it finds out by itself how large the nuclei are.

A network finds nuclei in the range of sizes that it was trained with. Larger ones come into that
range when the image is reduced: if the network then finds, and is sure of, what is bright in the
image, the nuclei are as large as it says. Small ones are found as they are, and outlined better
when the image is enlarged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import FLOW_STEPS, Flows
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.dynamics.masks import finish, trace
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.network import UNSCALED, Network
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.tiling import TiledNet, resized, run_scaled, tile_starts

SMALLEST, LARGEST = UNSCALED
USUAL = 36.0
"""Diameter, in pixels, to which other nuclei are brought."""
MOST_ENLARGED = 2.0
"""An image is enlarged no more: its pixels tell no more, and the time grows with the square."""
LOOKS = (1 / 16, 1 / 4)
"""Scales of the smaller copies, the smallest first: together they cost 7 % of a whole run."""
LEAST_EDGE = 24
"""A copy with a shorter edge shows nothing, px."""
BRIGHT = 0.4
"""Normalised intensity above which a pixel is taken for one of a nucleus."""
LEAST_COVER = 0.6
"""Share of the bright pixels that has to lie in the nuclei found for them to be believed."""
MOST_ERROR = 0.14
"""Error of the flows, in the median of what is found, up to which it is believed."""
LEAST_SEEN = 10.0
"""Diameter in a copy, px, below which nuclei are seen better at a larger scale."""
WINDOW = 256
"""Edge of the part of an image whose nuclei are measured, px."""
_FLOW_THRESHOLD = 0.4

RunNetwork = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A normalised image to flows and cell probability, shape (3, height, width)."""


@dataclass(frozen=True)
class Look:
    """What a network finds in a smaller copy of an image.

    Attributes
    ----------
    diameter : float
        Diameter in pixels of the copy: half of all that is found lies in larger nuclei. 0 if
        nothing is found.
    cover : float
        Share of the bright pixels that lies in nuclei.
    error : float
        Median flow error of the objects: how far the flows are from those of their shapes; 1
        without objects.
    """

    diameter: float
    cover: float
    error: float

    @property
    def is_sure(self) -> bool:
        """Whether nuclei are found, of a size that is seen well, and little else is there."""
        return (
            self.diameter >= LEAST_SEEN and self.cover >= LEAST_COVER and self.error <= MOST_ERROR
        )


def find_large(shape: tuple[int, ...], look: Callable[[float], Look]) -> float | None:
    """Find the diameter of nuclei that are too large for the network.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image, px.
    look : callable
        Looks at the image at a scale.

    Returns
    -------
    float or None
        Diameter in pixels of the image; None if the nuclei are not too large.
    """
    for scale in LOOKS:
        if min(shape) * scale < LEAST_EDGE:
            continue
        seen = look(scale)
        if seen.is_sure and seen.diameter / scale > LARGEST:
            return seen.diameter / scale
    return None


def look_at(copy: NDArray[np.float32], run: RunNetwork) -> Look:
    """Look at a smaller copy of a normalised image, shape (height, width)."""
    output = run(copy)
    flows = Flows(output[:2], output[2])
    traced = trace(flows.vectors, flows.cellprob, cellprob_threshold=0.0, steps=FLOW_STEPS)
    labels = finish(traced, flow_threshold=_FLOW_THRESHOLD, min_size=1)
    bright = copy > BRIGHT
    cover = float((bright & (labels > 0)).sum() / max(bright.sum(), 1))
    errors = traced.flow_errors
    return Look(_usual_diameter(labels), cover, float(np.median(errors)) if len(errors) else 1.0)


def find_small(flows: Flows) -> float | None:
    """Find the diameter of nuclei that are better outlined in an enlarged image.

    Parameters
    ----------
    flows : Flows
        Flows of the image at its own scale; the part that holds most of the nuclei is measured.

    Returns
    -------
    float or None
        Diameter in pixels; None if nuclei are not small, or there are none.
    """
    part = _densest(flows.cellprob > 0)
    traced = trace(
        flows.vectors[:, *part], flows.cellprob[part], cellprob_threshold=0.0, steps=FLOW_STEPS
    )
    labels = finish(traced, flow_threshold=_FLOW_THRESHOLD, min_size=1)
    diameter = _usual_diameter(labels)
    return diameter if 0 < diameter < SMALLEST else None


def scale_for(diameter: float | None) -> float:
    """Tell how many times longer an image's edges shall be for nuclei of a diameter.

    Parameters
    ----------
    diameter : float or None
        Diameter of nuclei in pixels of the image; None where it suits the network as it is.

    Examples
    --------
    >>> scale_for(None), scale_for(30.0), scale_for(360.0), scale_for(12.0)
    (1.0, 1.0, 0.1, 2.0)
    """
    if diameter is None or SMALLEST <= diameter <= LARGEST:
        return 1.0
    return min(USUAL / diameter, MOST_ENLARGED)


def _densest(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Choose the square of `WINDOW`, of some that cover the image, with the most pixels set."""
    squares = [
        (slice(top, top + WINDOW), slice(left, left + WINDOW))
        for top, left in product(*(tile_starts(edge, WINDOW, 0) for edge in inside.shape))
    ]
    return max(squares, key=lambda square: int(np.count_nonzero(inside[square])))


def _usual_diameter(labels: NDArray[Any]) -> float:
    """Return the diameter such that half of the objects' area lies in larger ones."""
    areas = np.sort(np.bincount(labels.ravel())[1:])
    if not len(areas):
        return 0.0
    total = np.cumsum(areas)
    return float(np.sqrt(areas[np.searchsorted(total, total[-1] / 2)] * 4 / np.pi))


@dataclass(frozen=True)
class FluoNuclei(Network):
    """The network on a device, ready to run.

    Attributes
    ----------
    net : TiledNet
        Runs the network on whole images, in tiles if need be.
    device : Device
        Device that the network runs on.
    """

    net: TiledNet
    device: Device

    @property
    def reach(self) -> int:
        """How far away, in pixels at its own scale, an input changes an output noticeably."""
        return self.net.reach

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities so that background is 0 and nuclei are about 1."""
        return scale_intensities(image)

    def scale(self, params: SegmentParams) -> float:
        """Bring nuclei of the diameter, if there is one, into the range of the training's."""
        return scale_for(params.diameter) if params.diameter else 1.0

    def diameter_of_large(self, image: NDArray[np.float32], progress: Progress) -> float | None:
        """Look at smaller copies of the image."""
        return find_large(image.shape, partial(self._look, image, progress))

    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it at a scale that suits the nuclei: a diameter of 0 is estimated.

        The flows tell the diameter, where one was set or the estimate made the image be resized.
        """
        if params.diameter:
            return self._run_for(params.diameter, image, params, progress)
        found = self.diameter_of_large(image, progress)
        flows = self._run_for(found, image, params, progress)
        if found is None:
            compiling().result()
            found = find_small(flows)
            if found is not None:
                flows = self._run_for(found, image, params, progress)
        return replace(flows, is_estimated=found is not None)

    def _run_for(
        self,
        diameter: float | None,
        image: NDArray[np.float32],
        params: SegmentParams,
        progress: Progress,
    ) -> Flows:
        """Run the network at the scale that suits nuclei of a diameter."""
        flows = run_scaled(self.net, image, scale_for(diameter), params.augment, progress)
        return replace(flows, diameter=diameter)

    def _look(self, image: NDArray[np.float32], progress: Progress, scale: float) -> Look:
        compiling().result()

        def begin(*_: object) -> None:
            progress(0, 1)  # a look is no progress, but it can be stopped

        # a ground darker than the background would make the whole field stand out
        copy = np.maximum(resized(image, scale), 0)
        return look_at(copy, lambda small: self.net(small, False, begin))

    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Compute the flows of an image that is at the network's own scale; see `infer`."""
        return run_scaled(self.net, image, 1.0, params.augment, progress)

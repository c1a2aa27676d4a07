"""What a segmentation is made with, and what it is.

`SegmentParams` is the one list of parameters: the form, the command line and the saved metadata
are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.knobs import Knob, check_bounds

Report = Callable[[int, int], None]
"""Called with (steps done, steps in all); may raise to stop the work."""


class Stopped(Exception):
    """The user asked to stop."""


@dataclass(frozen=True)
class SegmentParams:
    """How to segment; the same values on the form, the command line and in the metadata."""

    diameter: Annotated[
        float,
        Knob(
            "Diameter",
            "Typical nucleus diameter in pixels. 0 uses the model's own size; set it when your "
            "nuclei are much larger or smaller than the model expects.",
            0.0,
            2000.0,
            1.0,
            "px",
        ),
    ] = 0.0
    flow_threshold: Annotated[
        float,
        Knob(
            "Flow threshold",
            "Largest allowed disagreement between a nucleus and its flows. Raise it when nuclei "
            "are missing, lower it when shapes look wrong. 0 keeps all.",
            0.0,
            3.0,
            0.05,
        ),
    ] = 0.4
    cellprob_threshold: Annotated[
        float,
        Knob(
            "Cell probability",
            "Pixels above this cell probability (a logit, -6 to 6) belong to nuclei. Lower it to "
            "find more and larger nuclei, raise it to lose dim ones.",
            -6.0,
            6.0,
            0.1,
        ),
    ] = 0.0
    min_size: Annotated[
        int,
        Knob(
            "Minimum size",
            "Nuclei of fewer pixels are dropped. Lower it to keep debris and micronuclei.",
            0,
            1000,
            1,
            "px",
        ),
    ] = 15

    def __post_init__(self) -> None:
        """Refuse values outside the bounds."""
        check_bounds(self)


@dataclass(frozen=True)
class Flows:
    """What a network says of a field, before thresholds.

    Attributes
    ----------
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, scaled by 5 as Cellpose does.
    cellprob : ndarray of float32, shape (height, width)
        Cell probability as a logit.
    steps : int
        How many steps of one pixel a pixel follows the flow for.
    """

    vectors: NDArray[np.float32]
    cellprob: NDArray[np.float32]
    steps: int = 200


@dataclass(frozen=True)
class Provenance:
    """How labels were made."""

    model: str
    weights_sha256: str
    parameters: Mapping[str, float]
    device: str
    precision: str
    versions: Mapping[str, str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and layer metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Segmentation:
    """Labels of a field, how they were made, and what is needed to make others.

    Attributes
    ----------
    labels : ndarray of int32, shape (height, width)
        0 is background.
    flows : Flows
        That gave the labels.
    provenance : Provenance
        Model, parameters and machine.
    labeller : callable
        Makes the labels of the same flows under other thresholds, without the network.
    """

    labels: Labels
    flows: Flows
    provenance: Provenance
    labeller: Callable[[SegmentParams], Labels]

    def relabelled(self, params: SegmentParams) -> Segmentation:
        """Segment the same field with other thresholds, without the network.

        Raises
        ------
        ValueError
            If the diameter is another: that needs the network.
        """
        parameters = asdict(params)
        if parameters["diameter"] != self.provenance.parameters["diameter"]:
            raise ValueError("another diameter needs the network; segment the field again")
        provenance = replace(self.provenance, parameters=parameters)
        return replace(self, labels=self.labeller(params), provenance=provenance)


class Segmenter(Protocol):
    """Anything that turns a grey image into a `Segmentation`."""

    def __call__(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Segmentation:
        """Segment one field.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities, of any scale.
        params : SegmentParams
            Thresholds and diameter.
        report : callable
            Progress; what it raises stops the work and passes through.
        """
        ...


def check_image(image: NDArray[Any], name: str) -> None:
    """Refuse what no network can segment: not 2-D, empty, complex, NaN or infinite.

    Raises
    ------
    ValueError
        Naming the image and the remedy.
    """
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(
            f"{name}: an image of shape {image.shape}; choose one grey plane of height x width"
        )
    if image.dtype.kind not in "uifb":
        raise ValueError(f"{name}: {image.dtype} values; convert the image to grey intensities")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(f"{name}: it holds NaN or infinite values; replace them before segmenting")

"""What a segmentation is, and what makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.parameters import SegmentParams

DEVICE = "device"
"""Stands beside the parameters' names, in `Capabilities.ignores`, for the choice of a device."""
FLOW_STEPS = 200
"""Steps of one pixel, at the network's own scale, for which a pixel follows the flow."""


class Stopped(Exception):
    """The user asked to stop."""


class OutOfDeviceMemory(OSError):
    """A device cannot hold what has to be computed at once."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"{device} does not have enough memory for this image; choose the device cpu, or close "
            "other programs that use it"
        )


@dataclass(frozen=True)
class Capabilities:
    """What can be said of a model before it is loaded.

    Attributes
    ----------
    ignores : frozenset of str
        Names of the parameters that change nothing, and `DEVICE` if it always runs on the CPU.
    precision : str or None
        Number format of the computations, as in `Provenance`; None if the device decides.
    in_3d : bool
        Whether it follows flows in three dimensions; any model does planes, and stitches them.
    needs_diameter : bool
        Whether it cannot do without the diameter of nuclei.
    unscaled : tuple of float or None
        Least and largest diameter, in pixels, of nuclei for which an image is left as it is.
    seen : frozenset of str
        Splits of BBBC039 that it learned from, or was chosen by.
    caveat : str
        Why scores on those splits look better than they are; a clause without a full stop.
    """

    ignores: frozenset[str] = frozenset()
    precision: str | None = None
    in_3d: bool = False
    needs_diameter: bool = False
    unscaled: tuple[float, float] | None = None
    seen: frozenset[str] = frozenset()
    caveat: str = ""


def all_but(*used: str) -> frozenset[str]:
    """Name `DEVICE` and every parameter but those that a model uses; for `Capabilities.ignores`.

    Raises
    ------
    ValueError
        If there is no such parameter.

    Examples
    --------
    >>> "diameter" in all_but("min_size", "invert")
    True
    """
    names = {*specs_of(SegmentParams), DEVICE}
    if unknown := ", ".join(set(used) - names):
        raise ValueError(f"{unknown}: no such parameter; choose among {', '.join(sorted(names))}")
    return frozenset(names - set(used))


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
        Number of steps of one pixel for which a pixel follows the flow.
    notes : tuple of str
        Sentences that the user should read about how the flows were made.
    diameter : float or None
        Diameter of nuclei, in pixels, that the network was run for; None if it takes any.
    is_estimated : bool
        Whether the diameter was found in the image, not set.
    least_area : int
        Area, in pixels, of the smallest object that it can have seen in an image it reduced.
    """

    vectors: NDArray[np.float32]
    cellprob: NDArray[np.float32]
    steps: int = FLOW_STEPS
    notes: tuple[str, ...] = ()
    diameter: float | None = None
    is_estimated: bool = False
    least_area: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no number, which would be taken for background."""
        if not all(np.isfinite(part).all() for part in (self.cellprob, self.vectors)):
            told = "its weights are damaged, or do not suit this image; choose another model"
            raise ValueError(f"the network's result holds NaN or infinite values: {told}")


@dataclass(frozen=True)
class Concern:
    """A sign that a model does not suit an image, or that its result is not to be trusted.

    Attributes
    ----------
    reason : str
        Clause that says what was seen, without a full stop: "38 bright objects, 1 nucleus".
    advice : str
        Order that says what the user can do about it: "Try the model otsu".
    change : mapping
        Parameters, by name, with which another run may do better; empty if none would.
    option : str
        Option of the command line that follows the advice: "--diameter 30"; empty without one.
    """

    reason: str
    advice: str
    change: Mapping[str, Any] = field(default_factory=dict)
    option: str = ""

    def __str__(self) -> str:
        """Text of files and tables, which people read in both places."""
        option = f" ({self.option})" if self.option else ""
        return f"{self.reason}. {self.advice}{option}."


@dataclass(frozen=True)
class Provenance:
    """How labels were made.

    Attributes
    ----------
    model : str
        Name of the model, or of its file.
    weights_sha256 : str
        Fingerprint of the file of weights that ran; empty without weights.
    parameters : mapping
        A `SegmentParams` as plain values.
    device, precision : str
        Device that the network ran on, and number format of its computations.
    versions : mapping
        Versions of this package and of the libraries that it ran on, by their names.
    seconds : float
        Seconds that the segmentation took.
    notes : tuple of str
        Sentences that the user should read about the result.
    weights : str
        Name of the file of weights that ran.
    depth : mapping
        How the planes of a volume were put together; empty for a plane by itself.
    diameter, is_estimated
        As those of `Flows`.
    suspect : tuple of str
        Signs that the model does not suit the image: the text of each `Concern`.
    licence : str
        Terms of the model; empty where they are not known, as of a user's own file.
    trained_on : str
        What its weights learned from, and the terms of that; empty where it is not known.
    """

    model: str
    weights_sha256: str
    parameters: Mapping[str, float]
    device: str
    precision: str
    versions: Mapping[str, str]
    seconds: float
    notes: tuple[str, ...] = ()
    weights: str = ""
    depth: Mapping[str, float | str] = field(default_factory=dict)
    diameter: float | None = None
    is_estimated: bool = False
    suspect: tuple[str, ...] = ()
    licence: str = ""
    trained_on: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and layer metadata."""
        return {**asdict(self), "notes": list(self.notes), "suspect": list(self.suspect)}


@dataclass(frozen=True)
class Segmentation:
    """Labels of a field, how they were made, and what is needed to make others.

    Attributes
    ----------
    labels : ndarray of int32, shape (height, width)
        Labels of the nuclei; 0 is background.
    flows : Flows or None
        Flows that the labels follow from; None for a model without a network.
    provenance : Provenance
        Model, parameters, device and versions that made the labels.
    labeller : callable
        Makes the labels of the same flows under other thresholds, without the network.
    capabilities : Capabilities
        Capabilities of the model that made the labels.
    concerns : tuple of Concern
        Signs that the model does not suit the image, the most telling first.
    """

    labels: Labels
    flows: Flows | None
    provenance: Provenance
    labeller: Callable[[SegmentParams], Labels]
    capabilities: Capabilities = Capabilities()
    concerns: tuple[Concern, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps: labels twice, since the labeller has its own, and the flows."""
        flows = self.flows
        kept = 0 if flows is None else flows.vectors.nbytes + flows.cellprob.nbytes
        return 2 * self.labels.nbytes + kept

    def outdated_by(self, params: SegmentParams) -> list[str]:
        """Name the parameters that differ and need the network, as they are on the form."""
        wanted = asdict(params)
        return [
            spec.label
            for name, spec in specs_of(SegmentParams).items()
            if spec.needs_network
            and name not in self.capabilities.ignores
            and wanted[name] != self.provenance.parameters[name]
        ]

    def relabelled(self, params: SegmentParams) -> Segmentation:
        """Segment the same field with other thresholds, without the network.

        A parameter that the network has to run for raises a ValueError.
        """
        if outdated := self.outdated_by(params):
            raise ValueError(f"{', '.join(outdated)}: this change needs the network; segment again")
        # Signs were seen with the thresholds that the network ran with
        made = replace(self.provenance, parameters=asdict(params), suspect=())
        return replace(self, labels=self.labeller(params), provenance=made, concerns=())


@dataclass(frozen=True)
class VolumeSegmentation:
    """Labels of a stack, shape (planes, height, width), and how they were made."""

    labels: Labels
    provenance: Provenance


class Segmenter(Protocol):
    """Anything that turns a grey image into a `Segmentation`."""

    def __call__(
        self, image: NDArray[Any], params: SegmentParams, progress: Progress
    ) -> Segmentation:
        """Segment one field.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities of one field, of any scale.
        params : SegmentParams
            Thresholds, sizes and the other parameters.
        progress : Progress
            What it raises stops the work and passes through.
        """


def check_image(image: NDArray[Any], name: str) -> None:
    """Refuse, by its name, what no network can segment: not 2-D, empty, complex or infinite."""
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(
            f"{name}: an image of shape {image.shape}; choose one grey plane of height x width"
        )
    if image.dtype.kind not in "uifb":
        raise ValueError(f"{name}: {image.dtype} values; convert the image to grey intensities")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(f"{name}: it holds NaN or infinite values; replace them before segmenting")

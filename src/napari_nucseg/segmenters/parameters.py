"""The parameters of segmentation: form, command line and metadata are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

from napari_nucseg.parameter_spec import Spec, check_values


@dataclass(frozen=True)
class SegmentParams:
    """How to segment; the same values on the form, the command line and in the metadata."""

    diameter: Annotated[
        float,
        Spec(
            "Diameter",
            "Typical diameter of a nucleus in pixels. 0 is automatic: fluo-nuclei finds the "
            "diameter in the image, other models use the size that they were trained with. Set it "
            "when nuclei are missed or cut into pieces.",
            0.0,
            2000.0,
            1.0,
            "px",
            needs_network=True,
            lowest="auto",
        ),
    ] = 0.0
    flow_threshold: Annotated[
        float,
        Spec(
            "Flow threshold",
            "Largest allowed disagreement between a nucleus and its flows. Raise it when nuclei "
            "are missing, lower it when shapes look wrong. 0 keeps all nuclei. Not used for "
            "volumes in 3-D.",
            0.0,
            3.0,
            0.05,
        ),
    ] = 0.4
    cellprob_threshold: Annotated[
        float,
        Spec(
            "Cell probability",
            "Pixels above this cell probability (a logit, -6 to 6) belong to nuclei. Lower it to "
            "find more and larger nuclei, raise it to leave out dim ones.",
            -6.0,
            6.0,
            0.1,
        ),
    ] = 0.0
    min_size: Annotated[
        int,
        Spec(
            "Minimum size",
            "Nuclei with fewer pixels are dropped. Lower it to keep debris and micronuclei.",
            0,
            1000,
            1,
            "px",
        ),
    ] = 15
    exclude_on_edges: Annotated[
        bool,
        Spec(
            "Exclude on edges",
            "Drops nuclei that touch the border of the image, which may be cut off. Of a volume "
            "the sides count, not the first and the last plane.",
        ),
    ] = False
    invert: Annotated[
        bool,
        Spec(
            "Dark nuclei",
            "For nuclei that are darker than the background. The model gets the inverted image: "
            "its largest value minus each value. Intensities are still measured in the image as "
            "it is stored.",
            needs_network=True,
        ),
    ] = False
    split_depth: Annotated[
        float,
        Spec(
            "Split depth",
            "Cuts a nucleus at its waist (by a watershed) if the waist is narrower than both "
            "halves by this many pixels. 0 cuts none. Try 1 to 2 if touching nuclei come out as "
            "one. fluo-nuclei does not need it.",
            0.0,
            10.0,
            0.25,
            "px",
            advanced=True,
        ),
    ] = 0.0
    niter: Annotated[
        int,
        Spec(
            "Flow steps",
            "Number of steps that pixels follow the flows. 0 uses the model's own number (200). "
            "Raise it when long or very large nuclei come out in pieces.",
            0,
            2000,
            50,
            advanced=True,
        ),
    ] = 0
    max_size_fraction: Annotated[
        float,
        Spec(
            "Largest nucleus",
            "Objects that cover more than this share of the field are dropped. Raise it when a "
            "single nucleus fills a small image.",
            0.05,
            1.0,
            0.05,
            advanced=True,
        ),
    ] = 0.4
    low_percentile: Annotated[
        float,
        Spec(
            "Dark percentile",
            "Intensity percentile that is black to the network. Raise it when the background is "
            "uneven or bright.",
            0.0,
            50.0,
            0.5,
            "%",
            advanced=True,
            needs_network=True,
        ),
    ] = 1.0
    high_percentile: Annotated[
        float,
        Spec(
            "Bright percentile",
            "Intensity percentile that is white to the network. Lower it when nuclei are few, or "
            "dim beside a bright spot. Raise it when nuclei saturate.",
            50.0,
            100.0,
            0.1,
            "%",
            advanced=True,
            needs_network=True,
        ),
    ] = 99.0
    tile_overlap: Annotated[
        int,
        Spec(
            "Tile overlap",
            "Least overlap of neighbouring tiles in pixels, for Cellpose's own networks. Raise it "
            "when nuclei are cut along straight lines. More overlap takes longer.",
            0,
            96,
            8,
            "px",
            advanced=True,
            needs_network=True,
        ),
    ] = 16
    batch_size: Annotated[
        int,
        Spec(
            "Tiles at once",
            "Number of tiles that Cellpose's own networks work on together. 0 is automatic: 1 on "
            "a CPU, 8 on a GPU. Lower it when the GPU runs out of memory.",
            0,
            64,
            1,
            advanced=True,
            needs_network=True,
        ),
    ] = 0
    augment: Annotated[
        bool,
        Spec(
            "Flipped copies",
            "Runs the network on flipped tiles, too, and averages the results (test-time "
            "augmentation). Outlines become a little more exact. Takes about four times as long.",
            advanced=True,
            needs_network=True,
        ),
    ] = False

    def __post_init__(self) -> None:
        check_values(self)


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the parameters that a `SegmentParams` of an older version did not have.

    Parameters
    ----------
    values : mapping
        Values by the names of the parameters, as that version saved them.

    Returns
    -------
    dict
        All values, with the default of each that is missing: what that version did.

    Examples
    --------
    >>> completed({"min_size": 40})["invert"]
    False
    """
    return {**asdict(SegmentParams()), **values}


class Depth(StrEnum):
    """How the planes of a stack belong together."""

    PLANES = "planes"
    STITCHED = "stitched"
    IN_3D = "3d"


@dataclass(frozen=True)
class VolumeParams:
    """How to segment a stack in depth; used beside `SegmentParams`."""

    stitch_threshold: Annotated[
        float,
        Spec(
            "Stitch threshold",
            "For stitched planes: nuclei of neighbouring planes become one nucleus if their "
            "overlap (IoU) is at least this. Raise it when nuclei above one another are joined, "
            "lower it when one nucleus gets several labels.",
            0.0,
            1.0,
            0.05,
        ),
    ] = 0.25
    anisotropy: Annotated[
        float,
        Spec(
            "Anisotropy",
            "For volumes in 3-D: the distance between planes divided by the width of a pixel. "
            "Example: 2 for planes 0.5 µm apart and pixels of 0.25 µm.",
            0.1,
            20.0,
            0.1,
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        check_values(self)

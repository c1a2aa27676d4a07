"""What of an image can be segmented."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from napari.layers import Image
from pint import DimensionalityError

from napari_nucseg.core.knobs import knobs
from napari_nucseg.core.parameters import Depth, VolumeParams
from napari_nucseg.ui.layers import count_planes, field_shape


class Scope(StrEnum):
    """What of an image is segmented."""

    FIELD = "this field"
    SEEN = "what I see"
    BOX = "drawn rectangle"
    ALL = "all fields"
    STITCHED = "volume, stitched"
    IN_3D = "volume, in 3-D"


DEPTHS = {Scope.STITCHED: Depth.STITCHED, Scope.IN_3D: Depth.IN_3D}
"""How the planes of a volume belong together."""
USED_BY = {"stitch_threshold": Scope.STITCHED, "anisotropy": Scope.IN_3D}
"""The scope that each parameter of volumes counts for."""


def scopes_of(layer: Image | None) -> list[Scope]:
    """List what can be segmented of an image: a volume is the last axis before height and width."""
    without = set[Scope]()
    if layer is None or count_planes(layer) < 2:
        without |= {Scope.ALL}
    if layer is None or field_shape(layer)[:-2][-1:] in ((), (1,)):
        without |= set(DEPTHS)
    return [scope for scope in Scope if scope not in without]


def anisotropy(layer: Image) -> float:
    """Return the distance of an image's planes over the edge of a pixel, within its bounds.

    1 where there are no planes, or their distance is no length.
    """
    if len(field_shape(layer)) < 3:
        return 1.0
    try:
        apart, height, width = (
            abs(float((scale * unit).to(layer.units[-1]).magnitude))
            for scale, unit in zip(layer.scale[-3:], layer.units[-3:], strict=True)
        )
    except DimensionalityError:
        return 1.0
    knob = knobs(VolumeParams)["anisotropy"]
    return float(np.clip(round(apart / float(np.sqrt(height * width)), 1), knob.low, knob.high))

"""What the segment panel's worker does with a stack that is a volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.measuring import measure
from napari_nucseg.core.segmenting import VolumeSegmentation
from napari_nucseg.segmenters.volumes import segment_volume
from napari_nucseg.ui.countdown import Countdown
from napari_nucseg.ui.jobs import Tell
from napari_nucseg.ui.segment.kept import Spot
from napari_nucseg.ui.segment.segmenting import (
    Made,
    Request,
    Result,
    fingerprint,
    load,
    provenance_at,
)


def segment_stack(request: Request, tell: Tell) -> Result:
    """Segment planes as one volume, which is in memory whole; a nucleus has one number in all.

    The nuclei are measured plane by plane. Nothing is kept to follow the sliders.

    Raises
    ------
    ValueError, OSError
        If the model or the image cannot be used; the message names it.
    """
    if request.depth is None:
        raise ValueError(f"{request.name}: it was not said how its planes belong together")
    segmenter = load(request, tell)
    planes = []
    for number, spot in enumerate(request.spots):
        tell(number, len(request.spots), f"Reading plane {number + 1} of {len(request.spots)}")
        planes.append(request.source.read(spot.plane))
    volume = np.stack(planes)
    report = Countdown(tell, 1, step="plane").report
    try:
        result = segment_volume(
            segmenter, volume, request.params, request.depth, request.volume, report
        )
    except ValueError as error:
        raise ValueError(f"{request.name}: {error}") from error
    made = []
    for number, (spot, labels) in enumerate(zip(request.spots, result.labels, strict=True)):
        tell(number, len(request.spots), f"Measuring plane {number + 1} of {len(request.spots)}")
        made.append(_made(request, spot, labels, volume[number], result))
    return Result(tuple(made), {})


def _made(
    request: Request,
    spot: Spot,
    labels: Labels,
    image: NDArray[np.generic],
    result: VolumeSegmentation,
) -> Made:
    nuclei = measure(labels, image, pixel_size=request.pixel_size)
    provenance = provenance_at(spot, result.provenance, request.name)
    return Made(spot, labels, nuclei, provenance, fingerprint(labels))

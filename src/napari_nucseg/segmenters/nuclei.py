"""What a segmentation says of each nucleus: measures, and the network's own doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.measuring import Nuclei, measure
from napari_nucseg.core.segmenting import Segmentation
from napari_nucseg.segmenters.flows import compiling


def measure_nuclei(
    result: Segmentation, image: NDArray[Any], pixel_size: float | None = None
) -> Nuclei:
    """Measure the nuclei of a result; with doubt if a network made it.

    Parameters
    ----------
    result : Segmentation
        Of the image, as it came out of a segmenter.
    image : ndarray, shape (height, width)
        Intensities as stored.
    pixel_size : float, optional
        Edge of a pixel in micrometres.

    Returns
    -------
    dict of str to ndarray
        See `napari_nucseg.core.measuring.measure`.
    """
    if result.flows is None:
        return measure(result.labels, image, pixel_size=pixel_size)
    compiling().result()
    from napari_nucseg.segmenters.cpu_flow_check import flow_errors

    vectors = np.require(result.flows.vectors, np.float32, ["C", "W"])
    return measure(
        result.labels,
        image,
        pixel_size=pixel_size,
        flow_errors=flow_errors(np.asarray(result.labels, np.int32), vectors),
        cellprob=result.flows.cellprob,
    )

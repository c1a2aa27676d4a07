"""The classical baseline: Otsu's threshold, then a watershed; what a network is worth beside it.

References
----------
.. [1] Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 62-66 (1979).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from napari_nucseg import __version__
from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.api import (
    Provenance,
    Report,
    Segmentation,
    check_image,
    with_bright_nuclei,
)
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.model import OTSU
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.splitting import drop_small, split_touching

NAME = "otsu"
# Chosen by the training split of BBBC039
SMOOTHING = 0.5
"""Sigma of the Gaussian before the threshold, px."""
SPLIT_DEPTH = 0.75
"""Depth of `split_touching`, px."""
LEAST_CONTRAST = 4.0
"""Least difference of nuclei and background, in standard deviations of the background.

Otsu's threshold cuts noise in halves that are 2.7 apart and an even slope in halves that are 3.5
apart; in BBBC039's training and validation splits fields with nuclei have at least 5.2, the
three without at most 2.6.
"""
_LIBRARIES = ("scikit-image", "scipy", "numpy")


def segment(image: NDArray[Any], params: SegmentParams, report: Report) -> Segmentation:
    """Segment a field by its intensities; see `napari_nucseg.segmenters.api.Segmenter`.

    The image is smoothed, Otsu's threshold taken, holes filled, touching nuclei cut apart by
    `split_touching`, and what is then too small is dropped. Of the parameters the minimum size
    and whether nuclei are dark are used: there are neither flows nor cell probabilities to be
    thresholded, and an intensity threshold knows no diameter.

    Otsu's threshold always finds two classes, in pure background, too. Where they are less than
    `LEAST_CONTRAST` apart, or the image is constant, there are no nuclei. Debris alone in a field
    still counts as nuclei, and a very bright speck still hides dim nuclei: that is the method.
    """
    check_image(image, "image")
    start = time.perf_counter()
    report(0, 1)
    objects, _ = ndi.label(find_foreground(with_bright_nuclei(image, params)))
    pieces = split_touching(objects, SPLIT_DEPTH)

    def labeller(params: SegmentParams) -> Labels:
        return drop_small(pieces, params.min_size)

    labels = labeller(params)
    provenance = Provenance(
        model=NAME,
        weights_sha256="",
        parameters=asdict(params),
        device=str(choose("cpu")),
        precision="float64",
        versions={"napari-nucseg": __version__, **{name: version(name) for name in _LIBRARIES}},
        seconds=time.perf_counter() - start,
    )
    report(1, 1)
    return Segmentation(labels, None, provenance, labeller, OTSU.ignores)


def find_foreground(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels belong to nuclei.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Intensities, of any scale.
    """
    grey = image.astype(np.float64)
    spread = np.ptp(grey)
    if spread == 0:
        return np.zeros(image.shape, dtype=np.bool_)
    # from 0 to 1, so that Otsu's histogram has bins however large the intensities are
    smooth = ndi.gaussian_filter((grey - grey.min()) / spread, SMOOTHING)
    nuclei = smooth > threshold_otsu(smooth)
    background = smooth[~nuclei]
    contrast = smooth[nuclei].mean() - background.mean()
    if contrast < LEAST_CONTRAST * background.std():
        return np.zeros(image.shape, dtype=np.bool_)
    return np.asarray(ndi.binary_fill_holes(nuclei), dtype=np.bool_)

"""The classical baseline without a network: Otsu's threshold, then a watershed.

References
----------
.. [1] Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 62-66 (1979).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Capabilities, all_but
from napari_nucseg.segmenters.model import LabelSegmenter, Model
from napari_nucseg.segmenters.parameters import SegmentParams

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


def find_nuclei(image: NDArray[Any], params: SegmentParams, progress: Progress) -> Labels:
    """Find the nuclei of a field by its intensities.

    The image is smoothed, Otsu's threshold taken, holes filled, and touching nuclei cut apart by
    `split_touching`. There are neither flows nor cell probabilities to be thresholded, and an
    intensity threshold knows no diameter.

    Otsu's threshold always finds two classes, in pure background, too. Where they are less than
    `LEAST_CONTRAST` apart, or the image is constant, there are no nuclei. Debris alone in a field
    still counts as nuclei, and a very bright speck still hides dim nuclei: that is the method.
    """
    from scipy import ndimage as ndi

    from napari_nucseg.segmenters.splitting import split_touching

    objects, _ = ndi.label(find_foreground(image))
    return split_touching(objects, SPLIT_DEPTH)


def find_foreground(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels belong to nuclei.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Intensities of one field, of any scale.
    """
    from scipy import ndimage as ndi
    from skimage.filters import threshold_otsu

    grey = image.astype(np.float64)
    if np.abs(grey).max() > np.finfo(np.float64).max / 4:
        grey /= 4  # or the largest number is less than their spread
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


MODEL = Model(
    NAME,
    "Otsu's threshold and a watershed, without a network: a baseline to compare with",
    "BSD-3-Clause",
    lambda model, device: LabelSegmenter(model, find_nuclei),
    capabilities=Capabilities(
        all_but("min_size", "exclude_on_edges", "invert"),
        "float64",
        seen=frozenset({"training"}),
        caveat="the two constants of otsu were chosen on the training split",
    ),
    libraries=("scikit-image", "scipy", "numpy"),
)
segment = LabelSegmenter(MODEL, find_nuclei)
"""The baseline, ready to run."""

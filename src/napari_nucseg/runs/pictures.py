"""Fields and their errors as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import match
from napari_nucseg.core.overlap import find_overlap
from napari_nucseg.core.palette import VERDICT_COLOURS
from napari_nucseg.core.verdict_pictures import draw_verdicts
from napari_nucseg.core.verdicts import Verdict, judge

_BRIGHTEST_PERCENTILE = 99.8
_BRIGHTEST = 110
"""Grey of the brightest pixels, of 255: dark enough for every verdict's colour to stand out."""


def picture_verdicts(
    image: NDArray[Any],
    truth: Labels,
    predicted: Labels,
    threshold: float = 0.5,
    strict: bool = False,
) -> NDArray[np.uint8]:
    """Draw the verdicts' outlines over the image, which is dimmed for them.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Intensities.
    truth, predicted : ndarray of integers, shape (height, width)
        Label images.
    threshold : float
        IoU of a match.
    strict : bool
        Whether an IoU of exactly the threshold is none.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    from scipy import ndimage  # not above: opening the score panel would wait for it

    verdicts = judge(match(find_overlap(truth, predicted), threshold, strict))
    drawn = draw_verdicts(truth, predicted, verdicts)
    # One pixel wide and the darkest of the colours, they would be lost on a bright nucleus
    wider = ndimage.binary_dilation(drawn == Verdict.SPURIOUS, np.ones((2, 2)))
    drawn[wider & (drawn == 0)] = Verdict.SPURIOUS
    low, high = np.percentile(image, (0, _BRIGHTEST_PERCENTILE))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    picture = np.repeat((_BRIGHTEST * np.sqrt(grey)).astype(np.uint8)[..., None], 3, axis=2)
    for verdict, colour in VERDICT_COLOURS.items():
        picture[drawn == verdict] = ImageColor.getrgb(colour)
    return picture

"""Whether a model suits an image, told by its result; no ground truth is needed.

`docs/own_images.md` says how often the signs are right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.api import Concern
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.wording import counted

BRIGHT = 0.5
"""Scaled intensity above which a pixel is bright: background is 0, nuclei are about 1."""
STANDING_OUT = 0.3
"""So much an object is brighter or darker than what is around it, in scaled intensity."""
AROUND = 101
"""Edge of the square whose mean is what is usual around a pixel, in thinned pixels."""
MOST = 0.5
"""Share of something that is most of it."""
MOST_LEFT = 0.25
"""Share of the bright objects that may be left without a nucleus."""
FEWEST_LEFT = 3
"""So few bright objects may always be left: debris, dead cells, dust."""
MOST_EMPTY = 0.02
"""Share of an image that may stand out without any nucleus in it."""
LEAST_OBJECT = 12
"""Area of the smallest bright object that counts, in pixels of the image."""
OUTSHINING = 3.0
"""Scaled intensity above which something is brighter than any bright ground."""
LEAST_COVERED = 0.2
"""Share of a bright object that has to be nucleus for it not to be left."""
ENOUGH = 10.0
"""Pixels across a nucleus that are enough to see it: larger ones are thinned out to that."""
FINEST = 2
"""Distance of the pixels that are looked at, where nuclei are small."""
OTHER_SIZE = 1.8
"""So many times larger or smaller than what was segmented for, nuclei have another size."""
SMALLEST = 7.0
"""Diameter, in pixels, below which nuclei have no shape that could be outlined."""
DOUBTFUL_ERROR = 0.14
"""Error of the flows, in the upper quartile of the nuclei, from which outlines are doubtful."""
FEWEST_DROPPED = 3
"""Fewer objects than these may always be dropped."""
MOST_DROPPED = 0.2
"""Share of the objects that may be dropped for the error of their flows."""


@dataclass(frozen=True)
class Found:
    """What a segmentation found in an image.

    Attributes
    ----------
    labels : ndarray of integers, shape (height, width)
        Labels of the nuclei that were found; 0 is background.
    errors : ndarray of float64, shape (n,)
        Flow error of each object that the network found, also of those that were dropped for it;
        empty where that is not known.
    diameter : float or None
        Diameter, in pixels, that was segmented for; None where it is the model's own.
    """

    labels: Labels
    errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    diameter: float | None = None


def find_concerns(image: NDArray[Any], found: Found, params: SegmentParams) -> tuple[Concern, ...]:
    """Find signs that a model does not suit an image, the most telling first.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Intensities as the model was given them: nuclei are bright.
    found : Found
        Labels and flow errors that the model gave for the image.
    params : SegmentParams
        Parameters that the model was run with.

    Returns
    -------
    tuple of Concern
        Signs that something is wrong; empty where all looks well.
    """
    areas = np.bincount(found.labels.ravel())[1:]
    usual = float(np.sqrt(np.median(areas[areas > 0]) * 4 / np.pi)) if areas.any() else 0.0
    sizes = [size for size in (found.diameter, usual) if size]
    step = max(FINEST, int(min(sizes, default=0) / ENOUGH))
    thinned = _Thinned.out_of(image, step)
    if not thinned.pixels.any():
        advice = "Check that this is the channel that shows the nuclei"
        return (Concern("The image has no contrast", advice),)
    concerns = tuple(_concerns(thinned, found, usual, params))
    if usual == 0 or step == FINEST or any(one.change for one in concerns):
        return concerns
    # Nuclei much smaller than the others were thinned away
    fine = _Thinned.out_of(image, FINEST)
    bright = _bright_objects(fine, fine.of(found.labels) > 0, np.pi / 4 * SMALLEST**2)
    if not _are_many_left(bright) or bright.diameter * OTHER_SIZE > usual:
        return concerns
    return (_smaller_left_out(bright, usual), *concerns)


@dataclass(frozen=True)
class _Thinned:
    """Every so many pixels of an image along each edge, their intensities scaled.

    Attributes
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        Scaled intensities, smoothed a little against noise.
    around : ndarray of float32, of the same shape
        Mean of the scaled intensities around each pixel: shading, and dense nuclei.
    step : int
        Distance of neighbouring pixels, in pixels of the image.
    """

    pixels: NDArray[np.float32]
    around: NDArray[np.float32]
    step: int

    @classmethod
    def out_of(cls, image: NDArray[Any], step: int) -> _Thinned:
        """Thin out an image as it was given to the model."""
        scaled = scale_intensities(image[::step, ::step])
        return cls(ndi.gaussian_filter(scaled, 1), ndi.uniform_filter(scaled, AROUND), step)

    @property
    def bright(self) -> NDArray[np.bool_]:
        """Whether a pixel is bright, also beside what is around it."""
        return (self.pixels > BRIGHT) & (self.pixels - self.around > STANDING_OUT)

    @property
    def dark(self) -> NDArray[np.bool_]:
        """Whether a pixel is darker than what is around it."""
        return self.around - self.pixels > STANDING_OUT

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Thin out another array of the image's shape."""
        return array[:: self.step, :: self.step]


@dataclass(frozen=True)
class _Bright:
    """Bright objects: how many, how many of them without a nucleus, and their diameter in px."""

    count: int
    left: int
    diameter: float


def _concerns(
    thinned: _Thinned, found: Found, usual: float, params: SegmentParams
) -> Iterator[Concern]:
    """Look for one sign after the other; nuclei have the usual diameter, px, or 0 without any."""
    inside = thinned.of(found.labels) > 0
    bright = _bright_objects(thinned, inside)
    ground = thinned.pixels > BRIGHT
    is_bright = ground.mean() > MOST and thinned.pixels.max() < OUTSHINING
    if is_bright and thinned.dark.mean() > MOST_EMPTY and inside[ground].mean() < MOST:
        yield _bright_ground(params)
    elif _are_many_left(bright):
        yield _left_out(bright, found)
    elif usual == 0 and thinned.bright.mean() > MOST_EMPTY:
        yield Concern(
            f"No nucleus was found, and {thinned.bright.mean():.0%} of the image is bright",
            "Check that this is the channel that shows the nuclei, or try another model",
        )
    elif params.diameter and found.diameter and usual and _is_other(usual, params.diameter):
        yield _other_size(usual, params.diameter)
    dropped = found.errors > (params.flow_threshold or np.inf)
    if dropped.sum() >= FEWEST_DROPPED and dropped.mean() > MOST_DROPPED:
        yield _doubtful(
            f"{dropped.mean():.0%} of the objects that the network found do not fit its flows"
        )
    elif not dropped.all() and np.percentile(found.errors[~dropped], 75) > DOUBTFUL_ERROR:
        yield _doubtful("The outlines of many nuclei fit the network's flows badly")
    if 0 < usual < SMALLEST:
        yield Concern(
            f"Nuclei with a diameter of {usual:.0f} px are too small for exact outlines",
            "Use an image of higher magnification",
        )


def _is_other(size: float, expected: float) -> bool:
    return not 1 / OTHER_SIZE < size / expected < OTHER_SIZE


def _compared(size: float, expected: float) -> str:
    how = "larger" if size > expected else "smaller"
    return f"{max(size / expected, expected / size):.1f} times {how}"


def _other_size(usual: float, chosen: float) -> Concern:
    """Tell that the diameter that was set is not that of the nuclei that were found."""
    return Concern(
        f"Nuclei look {_compared(usual, chosen)} than {chosen:g} px",
        f"Use {usual:.0f} px",
        {"diameter": float(round(usual))},
        f"--diameter {usual:.0f}",
    )


def _are_many_left(bright: _Bright) -> bool:
    return bright.left > max(FEWEST_LEFT, MOST_LEFT * bright.count)


def _bright_objects(
    thinned: _Thinned, inside: NDArray[np.bool_], least: float = LEAST_OBJECT
) -> _Bright:
    """Find bright objects of an area, px, at least, and tell which of them hold no nucleus."""
    numbered, count = ndi.label(thinned.bright)
    areas = np.bincount(numbered.ravel(), minlength=count + 1) * thinned.step**2
    covered = np.bincount(numbered[inside], minlength=count + 1) * thinned.step**2
    counts = areas >= least
    counts[0] = False
    left = counts & (covered < LEAST_COVERED * areas)
    usual = float(np.median(areas[left])) if left.any() else 0.0
    return _Bright(int(counts.sum()), int(left.sum()), float(np.sqrt(usual * 4 / np.pi)))


def _doubtful(reason: str) -> Concern:
    return Concern(reason, "Check the outlines. A sharper image or another model may do better")


def _bright_ground(params: SegmentParams) -> Concern:
    if params.invert:
        return Concern(
            "In the inverted image, the nuclei seem to be darker than the "
            "background", "Switch off Dark nuclei",
            {"invert": False}, "leave out --invert",
        )  # fmt: skip
    return Concern(
        "The nuclei seem to be darker than the background",
        "Switch on Dark nuclei",
        {"invert": True},
        "--invert",
    )


def _left_out(bright: _Bright, found: Found) -> Concern:
    """Tell of bright objects without a nucleus, and of their size where it is another."""
    nuclei = len(np.unique(found.labels[found.labels > 0]))
    seen = f"{counted(bright.count, 'bright object')}, {counted(nuclei, 'nucleus')}"
    expected, diameter = found.diameter, bright.diameter
    if expected and _is_other(diameter, expected):
        return Concern(
            f"{seen}: the objects look {_compared(diameter, expected)} than expected",
            f"Set the diameter to {diameter:.0f} px",
            {"diameter": float(round(diameter))},
            f"--diameter {diameter:.0f}",
        )
    return Concern(
        f"{seen}: {bright.left} of the bright objects have no nucleus",
        "Lower the cell probability, or try another model. otsu finds everything that is bright",
        option="--cellprob-threshold, --model",
    )


def _smaller_left_out(bright: _Bright, usual: float) -> Concern:
    """Tell of bright objects without a nucleus where nuclei are of very different sizes."""
    diameter = f"{bright.diameter:.0f}"
    return Concern(
        f"{bright.left} of {counted(bright.count, 'bright object')} have no nucleus: they are "
        f"about {diameter} px across, and most nuclei that were found about {usual:.0f} px",
        f"Segment once more with a diameter of {diameter} px for the small ones",
        option=f"--diameter {diameter}",
    )

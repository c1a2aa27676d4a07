"""Seeded synthetic fields of nuclei in the format of BBBC039, with exact ground truth.

Its numbers were measured on BBBC039's training fields (U2OS, DAPI, 12-bit camera), so that a
network trained on real fields also segments these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_nucseg.array_types import number_in_raster_order

PIXEL_SIZE_UM = 0.645  # from the MetaMorph metadata of BBBC039's images

# Camera and light, measured on BBBC039's training fields, in counts. The variance of the noise
# is zero at the offset and grows by COUNTS_PER_PHOTON for each count above it.
CAMERA_OFFSET, CAMERA_MAXIMUM = 100.0, 4095
COUNTS_PER_PHOTON, READ_NOISE = 0.37, 1.5
STRAY_LIGHT, EXPOSURE_SPREAD, VIGNETTING = 54.0, 0.12, 0.14

# Blur, texture and outline, fitted to the edge profile, autocovariance and solidity of the
# nuclei in the same fields; sizes in px.
PSF_SIGMA, HALO_SIGMA, HALO_SHARE = 1.25, 5.0, 0.17
RIM_DEPTH, RIM_BRIGHTNESS = 4.0, 0.72
GRAIN_SIZES, GRAIN_CONTRASTS, CONTRAST_SPREAD = (0.6, 3.0), (0.25, 0.03), 0.2
NUCLEOLI_PER_PIXEL, NUCLEOLUS_SIGMA, NUCLEOLUS_CONTRAST = 0.002, 1.3, 0.6
ROUND, LOBED, MAX_RADIUS = 0.08, 0.4, 1.25

# Shares counted on the same fields: one object in 14 is smaller than 100 px, debris or cut off
# by the border, half of the debris adjoins a nucleus, and a quarter of all objects touch.
MITOTIC_FROM, DEBRIS_EVERY, TOUCHING_EVERY, TOUCHING_DEBRIS_SHARE = 10, 18, 8, 0.5

# What bounds the drawing, in px; the margin around the field holds what its border cuts off.
MARGIN, OVERSHOOT = 64, 12
MIN_AREA, MAX_OVERLAP = 10, 0.05
TRIES, FAILURES_UNTIL_FULL = 30, 10

_INSIDE = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)
_Mask = NDArray[np.bool_]
_Point = NDArray[np.int64]


@dataclass(frozen=True)
class SyntheticField:
    """One drawn field and its ground truth.

    Attributes
    ----------
    image : NDArray[np.uint16], shape (H, W)
        Camera counts, 0 to 4095; a pixel is `PIXEL_SIZE_UM` micrometres wide.
    labels : NDArray[np.int32], shape (H, W)
        The exact nuclei: 0 is background; 1 to n, each one 8-connected object, in raster order.
    """

    image: NDArray[np.uint16]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class _Kind:
    """Objects of one kind: areas in px, brightness in counts, spreads in natural-log units."""

    area: float
    area_spread: float
    area_limits: tuple[float, float]
    aspect_limits: tuple[float, float]
    brightness: float
    brightness_spread: float
    lobed_share: float = 0.0
    inset: int = -OVERSHOOT


_INTERPHASE = _Kind(690, 0.28, (200, 1800), (0.42, 0.90), 630, 0.27, 0.2)
_DEBRIS = _Kind(40, 0.6, (14, 85), (0.6, 1.0), 500, 0.55)
_METAPHASE = _Kind(230, 0.1, (180, 280), (0.28, 0.36), 2800, 0.1, inset=24)


class _Canvas:
    """The objects placed so far, on the field widened by `MARGIN` on every side."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = np.array(shape)
        self.labels = np.pad(np.zeros(shape, dtype=np.int32), MARGIN)
        self.field = np.pad(np.ones(shape, dtype=bool), MARGIN)
        self.brightness = [0.0]
        self.interphase_centres: list[_Point] = []

    def window(self, mask: _Mask, centre: _Point) -> tuple[slice, ...]:
        start = centre + MARGIN - np.array(mask.shape) // 2
        return tuple(slice(a, a + size) for a, size in zip(start, mask.shape, strict=True))


def draw_field(
    seed: int = 0, *, shape: tuple[int, int] = (520, 696), nuclei: int = 100
) -> SyntheticField:
    """Draw U2OS nuclei as BBBC039 shows them, with their exact labels.

    Parameters
    ----------
    seed : int
        The same seed, shape and number give the same field.
    shape : tuple of int
        Rows and columns, px.
    nuclei : int
        Objects to draw; a field too small for them holds fewer. Ten or more include a metaphase
        plate, debris and a touching pair.

    Returns
    -------
    SyntheticField
        Image (H, W) in camera counts and labels (H, W).

    Raises
    ------
    ValueError
        If `shape` is not two positive numbers or `nuclei` is negative.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"A field cannot be {shape}: pass (rows, columns), each 1 or more.")
    if nuclei < 0:
        raise ValueError(f"A field cannot hold {nuclei} nuclei: pass 0 or more.")
    rng = np.random.default_rng(seed)
    canvas = _populate(shape, nuclei, rng)
    labels = number_in_raster_order(canvas.labels[_INSIDE])
    return SyntheticField(_photograph(_stain(canvas, rng), rng), labels)


def _populate(shape: tuple[int, int], nuclei: int, rng: Generator) -> _Canvas:
    canvas = _Canvas(shape)
    failures = 0
    for index in range(nuclei):
        # Kinds take turns, so that ten objects hold one of each whatever the seed.
        if index == 0 and nuclei >= MITOTIC_FROM:
            kind, touching = _METAPHASE, False
        elif index % DEBRIS_EVERY == 4:
            kind, touching = _DEBRIS, rng.random() < TOUCHING_DEBRIS_SHARE
        else:
            kind, touching = _INTERPHASE, index % TOUCHING_EVERY == 5
        mask = _outline(kind, rng)
        placed = touching and _place(canvas, mask, kind, True, rng)
        placed = placed or _place(canvas, mask, kind, False, rng)
        failures = 0 if placed else failures + 1
        if failures == FAILURES_UNTIL_FULL:
            break
    return canvas


def _outline(kind: _Kind, rng: Generator) -> _Mask:
    """Pixels of one object: an ellipse of any orientation whose radius wavers."""
    area = np.clip(kind.area * rng.lognormal(0, kind.area_spread), *kind.area_limits)
    aspect = rng.uniform(*kind.aspect_limits)
    major, minor = np.sqrt(area / np.pi / aspect), np.sqrt(area / np.pi * aspect)
    half = int(MAX_RADIUS * major) + 3
    y, x = np.mgrid[-half : half + 1, -half : half + 1] + rng.uniform(-0.5, 0.5, (2, 1, 1))
    angle = rng.uniform(0, np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) / major
    across = (y * np.cos(angle) - x * np.sin(angle)) / minor
    lobing = LOBED if rng.random() < kind.lobed_share else ROUND
    direction = np.arctan2(across, along)
    radius = np.ones_like(direction)
    for waves in (2, 3, 4):
        height, phase = rng.normal(0, lobing / waves**1.5), rng.uniform(0, 2 * np.pi)
        radius += height * np.cos(waves * direction + phase)
    return _largest_part(np.hypot(along, across) <= np.clip(radius, 0.5, MAX_RADIUS))


def _largest_part(mask: _Mask) -> _Mask:
    parts, _ = ndi.label(mask, _EIGHT_CONNECTED)
    largest = np.bincount(parts[mask], minlength=1).argmax()
    return np.asarray(mask & (parts == largest))


def _place(canvas: _Canvas, mask: _Mask, kind: _Kind, touching: bool, rng: Generator) -> bool:
    """Put an object beside another or apart from all, if one of `TRIES` places allows it."""
    low = np.minimum(kind.inset, canvas.shape // 2)
    for _ in range(TRIES):
        if touching and canvas.interphase_centres:
            centre = _slide_off_a_nucleus(canvas, mask, rng)
        else:
            centre = rng.integers(low, canvas.shape - low, endpoint=True)
        window = canvas.window(mask, centre)
        labels, field = canvas.labels[window], canvas.field[window]
        free = _largest_part(mask & (labels == 0))
        seen = free & field
        in_one_piece = ndi.label(seen, _EIGHT_CONNECTED)[1] == 1 and seen.sum() >= MIN_AREA
        spared = free.sum() >= (1 - MAX_OVERLAP) * mask.sum()
        neighbours = labels[field & ndi.binary_dilation(seen, _EIGHT_CONNECTED)]
        if in_one_piece and spared and neighbours.any() == touching:
            labels[free] = len(canvas.brightness)
            canvas.brightness.append(kind.brightness * rng.lognormal(0, kind.brightness_spread))
            if kind is _INTERPHASE:
                canvas.interphase_centres.append(centre)
            return True
    return False


def _slide_off_a_nucleus(canvas: _Canvas, mask: _Mask, rng: Generator) -> _Point:
    """Centre at which `mask`, moved off a nucleus in a random direction, hardly overlaps it."""
    nucleus = canvas.interphase_centres[rng.integers(len(canvas.interphase_centres))]
    angle = rng.uniform(0, 2 * np.pi)
    for distance in range(2 * MARGIN):
        step = np.rint([distance * np.sin(angle), distance * np.cos(angle)]).astype(np.int64)
        centre = np.clip(nucleus + step, -OVERSHOOT, canvas.shape + OVERSHOOT)
        overlap = np.count_nonzero(canvas.labels[canvas.window(mask, centre)][mask])
        if overlap <= MAX_OVERLAP * mask.sum():
            break
    return np.asarray(centre)


def _stain(canvas: _Canvas, rng: Generator) -> NDArray[np.float64]:
    """Fluorescence of the nuclei in the field as the optics show it, counts (H, W)."""
    labels = canvas.labels
    alone = ndi.minimum_filter(labels, 3) == ndi.maximum_filter(labels, 3)
    depth = ndi.distance_transform_edt(alone & (labels > 0))
    thickness = 1 - (1 - RIM_BRIGHTNESS) * np.exp(-depth / RIM_DEPTH)
    grain = np.zeros(labels.shape)
    for size, share in zip(GRAIN_SIZES, GRAIN_CONTRASTS, strict=True):
        noise = ndi.gaussian_filter(rng.standard_normal(labels.shape), size)
        grain += share * noise / noise.std()
    contrast = rng.lognormal(0, CONTRAST_SPREAD, len(canvas.brightness))
    chromatin = np.maximum(1 + contrast[labels] * grain, 0)
    nucleoli = (rng.random(labels.shape) < NUCLEOLI_PER_PIXEL) & (depth > 2 * NUCLEOLUS_SIGMA)
    holes = nucleoli * rng.uniform(0, NUCLEOLUS_CONTRAST, labels.shape)
    holes = 2 * np.pi * NUCLEOLUS_SIGMA**2 * ndi.gaussian_filter(holes, NUCLEOLUS_SIGMA)
    light = np.array(canvas.brightness)[labels] * thickness * chromatin * np.maximum(1 - holes, 0)
    sharp, halo = (ndi.gaussian_filter(light, sigma)[_INSIDE] for sigma in (PSF_SIGMA, HALO_SIGMA))
    return np.asarray((1 - HALO_SHARE) * sharp + HALO_SHARE * halo)


def _photograph(stain: NDArray[np.float64], rng: Generator) -> NDArray[np.uint16]:
    """Camera counts of `stain` under uneven illumination, with shot and read noise."""
    y, x = (np.abs(np.arange(size) + 0.5 - size / 2) / (size / 2) for size in stain.shape)
    exposure = rng.lognormal(0, EXPOSURE_SPREAD)
    light = exposure * (1 - VIGNETTING * (y[:, None] ** 2 + x**2)) * (STRAY_LIGHT + stain)
    counts = CAMERA_OFFSET + COUNTS_PER_PHOTON * rng.poisson(light / COUNTS_PER_PHOTON)
    counts = counts + READ_NOISE * rng.standard_normal(stain.shape)
    return np.asarray(np.clip(np.rint(counts), 0, CAMERA_MAXIMUM), dtype=np.uint16)

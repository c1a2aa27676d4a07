"""Varying how an image looks, so that a network learns what does not depend on it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LEFT_ALONE = 0.4
"""Share of the crops that stay as they are, but for a little gain."""


def vary(
    image: NDArray[np.float32],
    labels: NDArray[np.float32],
    diameter: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Vary how an image looks, as microscopes, stains and cells do.

    Parameters
    ----------
    image, labels : ndarray of float32, shape (edge, edge)
        Scaled intensities and labels of one crop.
    diameter : float
        Usual diameter of the objects in pixels.
    rng : Generator
        Source of all random numbers; the same seed gives the same crop.
    """
    if rng.random() < LEFT_ALONE:
        return vary_gain(image, rng)
    image = image * _brightness(labels, rng)
    if rng.random() < 0.2:
        image = image * _texture(image.shape, diameter, rng)
    if rng.random() < 0.15:
        image = image + _out_of_focus(image, diameter, rng)
    if rng.random() < 0.35:
        image = blur(image, rng.uniform(0.3, 0.08 * max(diameter, 8)))
    if rng.random() < 0.5:
        image = np.sign(image) * np.abs(image) ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.25:
        image = image + _slope_across(image.shape, rng) * rng.uniform(0, 0.5)
    if rng.random() < 0.15:
        image = np.minimum(image, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        deviation = np.float32(np.exp(rng.uniform(np.log(0.005), np.log(0.15))))
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + deviation * noise * np.sqrt(0.2 + np.abs(image))
    offset = rng.uniform(-0.1, 0.5) if rng.random() < 0.15 else rng.normal(0, 0.04)
    gain = np.exp(
        rng.uniform(np.log(0.1), np.log(5)) if rng.random() < 0.25 else rng.normal(0, 0.4)
    )
    return np.asarray(gain * (image + offset), np.float32)


def vary_gain(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Make an image of any shape a little brighter or dimmer, and nothing else."""
    return np.asarray(np.exp(rng.normal(0, 0.2)) * image, np.float32)


def _brightness(
    labels: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32] | float:
    """Draw a factor for each object: dim ones beside bright ones."""
    kind = rng.random()
    if kind > 0.35:
        return 1.0
    count = int(labels.max()) + 1
    factors = np.exp(rng.normal(0, 0.4, count))
    if kind < 0.12:
        factors[rng.random(count) < 0.15] *= rng.uniform(2, 12)
    elif kind < 0.24:
        factors[rng.random(count) < 0.5] *= rng.uniform(0.1, 0.5)
    factors[0] = 1
    return blur(factors.astype(np.float32)[labels.astype(np.int32)], 1.2)


def _texture(
    shape: tuple[int, ...], diameter: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a factor that varies within nuclei, as chromatin and nucleoli do."""
    grain = max(1.0, diameter * rng.uniform(0.03, 0.2))
    noise = blur(rng.standard_normal(shape, np.float32), grain)
    return np.asarray(np.exp(noise / noise.std() * rng.uniform(0.1, 0.4)), np.float32)


def _out_of_focus(
    image: NDArray[np.float32], diameter: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw haze: what lies beside, turned over and blurred, as of another plane."""
    blurred = blur(image[::-1, ::-1], max(1.0, diameter * rng.uniform(0.2, 0.7)))
    return np.asarray(blurred * rng.uniform(0.1, 0.5), np.float32)


def _slope_across(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw an even slope from 0 to 1 in any direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = (np.linspace(-0.5, 0.5, length, dtype=np.float32) for length in shape)
    slope = np.sin(angle) * y[:, None] + np.cos(angle) * x
    return np.asarray((slope - slope.min()) / np.ptp(slope), np.float32)


def blur(image: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """Blur an image of shape (height, width) with a Gaussian of `sigma` pixels."""
    blurred: Any = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.asarray(blurred, np.float32)

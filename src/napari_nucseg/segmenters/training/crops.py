"""Crops of images at many sizes, which look as of many microscopes, stains and cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.training.examples import Batch, Example, blur
from napari_nucseg.segmenters.training.params import TrainParams

AS_IT_IS = 0.4
"""Share of the crops that are cut out of an image as it is, pixel by pixel."""
AREA_POWER = 0.75
"""Between 0, where all images are drawn alike, and 1, where all pixels are."""
LEFT_ALONE = 0.4
"""Share of the crops that stay as they are, but for a little gain."""
REPLAYED = 0.25
"""Share of the crops that are of the old kind, where there are such images."""
_AHEAD = 2
"""Batches that are drawn ahead."""


def batches(
    examples: Sequence[Example], params: TrainParams, first: int, old: Sequence[Example] = ()
) -> Generator[Batch, None, None]:
    """Draw batch after batch, ahead of their use.

    Each depends on the seed and its own number alone, so that training that goes on sees what it
    would have seen.

    Parameters
    ----------
    examples : sequence of Example
        Images to learn from, with their labels.
    params : TrainParams
        Size of crops and batches, and the seed.
    first : int
        Number of the first batch.
    old : sequence of Example
        Images like those that the network knows, for it not to forget them; `REPLAYED` of the
        crops are of them.
    """
    replayed = round(params.batch_size * REPLAYED) if old else 0

    def draw(number: int) -> Batch:
        rng = np.random.default_rng([params.seed, number])
        diameters = params.smallest, params.largest
        own = draw_batch(examples, params.batch_size - replayed, params.crop, diameters, rng)
        if not replayed:
            return own
        return Batch.joined([own, draw_batch(old, replayed, params.crop, diameters, rng)])

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # crops are small, and the cores are the network's
    pool = ThreadPoolExecutor(1, thread_name_prefix="crops")
    try:
        numbers = range(first, params.batches)
        waiting = [pool.submit(draw, number) for number in numbers[:_AHEAD]]
        for number in numbers:
            batch = waiting.pop(0).result()
            if number + _AHEAD in numbers:
                waiting.append(pool.submit(draw, number + _AHEAD))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(before)


def draw_batch(
    examples: Sequence[Example],
    count: int,
    edge: int,
    diameters: tuple[float, float],
    rng: np.random.Generator,
) -> Batch:
    """Draw crops; larger images are drawn more often, by a power of their area.

    Parameters
    ----------
    examples : sequence of Example
        Images to draw crops from, with their labels.
    count, edge : int
        Number of crops, and their height and width in pixels.
    diameters : tuple of float
        Range of the median diameter, in pixels, that a crop's image is resized to; within half to
        twice its own.
    rng : Generator
        Source of all random numbers; the same seed gives the same batch.
    """
    chances = np.array([example.image.size for example in examples], float) ** AREA_POWER
    chosen = rng.choice(len(examples), count, p=chances / chances.sum())
    crops, images = [], []
    for number in chosen:
        if rng.random() < AS_IT_IS:
            crop = cut_as_it_is(examples[number], edge, rng)
            images.append(vary_gain(crop.image, rng))
        else:
            crop = cut(examples[number], edge, diameters, rng)
            images.append(vary(crop.image, crop.labels, crop.diameter, rng))
        crops.append(crop)
    return Batch.of(crops, images)


def cut(
    example: Example, edge: int, diameters: tuple[float, float], rng: np.random.Generator
) -> Example:
    """Cut one crop at a place, of a size, turned and reflected as drawn; see `draw_batch`."""
    own = example.diameter
    low, high = (np.clip(bound, *diameters) for bound in (own / 2, own * 2))
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / own
    turn = _draw_turn(rng, right=rng.random() < 0.5)
    matrix = _place(example.image.shape, edge, turn / scale, rng)
    image = example.image
    if scale < 0.9:
        image = blur(image, (1 / scale - 1) / 2)
    return _crop(replace(example, image=image, diameter=own * scale), edge, matrix, turn)


def cut_as_it_is(example: Example, edge: int, rng: np.random.Generator) -> Example:
    """Cut one crop whose pixels are the image's own, so that outlines are learned exactly.

    All its pixels that are complete count alike, so that no weight draws outlines to one side.
    """
    turn = _draw_turn(rng, right=True)
    matrix = np.round(_place(example.image.shape, edge, turn, rng))
    crop = _crop(example, edge, matrix, turn)
    return replace(crop, weights=np.minimum(crop.weights, 1))


def _crop(
    example: Example, edge: int, matrix: NDArray[np.float32], turn: NDArray[np.float32]
) -> Example:
    """Cut what a matrix from a crop's (x, y, 1) to the example's (x, y) says."""
    labels = _warp(example.labels, matrix, edge, cv2.INTER_NEAREST)
    vectors = _warp(example.flows, matrix, edge, cv2.INTER_LINEAR)
    # matrices act on (x, y), flows are (y, x)
    flows = (vectors[..., ::-1] @ turn)[..., ::-1] * (labels > 0)[..., None]
    return replace(
        example,
        image=_warp(example.image, matrix, edge, cv2.INTER_LINEAR),
        labels=labels,
        flows=flows,
        weights=_warp(example.weights, matrix, edge, cv2.INTER_LINEAR, beyond=1.0),
    )


def _draw_turn(rng: np.random.Generator, *, right: bool) -> NDArray[np.float32]:
    """Draw a rotation, by a right angle or by any, and maybe a reflection: shape (2, 2)."""
    angle = rng.integers(4) * np.pi / 2 if right else rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]], np.float32)
    turn[:, 0] *= rng.choice((-1, 1))
    return turn


def _place(
    shape: tuple[int, ...], edge: int, linear: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw where a crop lies: the matrix from its (x, y, 1) to the image's (x, y)."""
    reach = 0.8 * edge / 2 * float(np.sqrt(abs(np.linalg.det(linear))))
    centre = [
        rng.uniform(margin := min(length / 2, reach), length - margin) for length in shape[::-1]
    ]
    middle = np.full(2, (edge - 1) / 2, np.float32)
    offset = np.array(centre, np.float32) - 0.5 - linear @ middle
    return np.column_stack([linear, offset]).astype(np.float32)


def _warp(
    array: NDArray[np.float32],
    matrix: NDArray[np.float32],
    edge: int,
    how: int,
    beyond: float = 0.0,
) -> NDArray[np.float32]:
    flags = how | cv2.WARP_INVERSE_MAP
    warped: Any = cv2.warpAffine(array, matrix, (edge, edge), flags=flags, borderValue=beyond)
    return np.asarray(warped, np.float32)


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

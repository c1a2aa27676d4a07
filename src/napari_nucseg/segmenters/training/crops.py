"""What a network learns from: crops of images at many sizes, brightnesses and sharpnesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.segmentation import relabel_sequential

from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.dynamics.compiling import compiled
from napari_nucseg.segmenters.dynamics.flow_check import heat_objects
from napari_nucseg.segmenters.training.appearance import blur, vary, vary_gain

USUAL_DIAMETER = 28.0
"""Taken for the diameter of nuclei where an image has none, px."""
AS_IT_IS = 0.4
"""Share of the crops that are cut out of an image as it is, pixel by pixel."""
AREA_POWER = 0.75
"""Between 0, where all images are drawn alike, and 1, where all pixels are."""
_BEYOND = 3
"""How far flows are continued beyond objects, so that they can be interpolated at the edge, px."""
_GAP_WEIGHT = 2.0
_SMALL = 20.0
"""Pixels of objects of a smaller diameter count more, up to `_MOST_WEIGHT` times."""
_MOST_WEIGHT = 3.0


@dataclass(frozen=True)
class Example:
    """An image ready to be learned from.

    Attributes
    ----------
    image : ndarray of float32, shape (height, width)
        Scaled intensities: background 0, nuclei about 1.
    labels : ndarray of float32, shape (height, width)
        Objects 1 to n, exact in single precision.
    flows : ndarray of float32, shape (height, width, 2)
        Unit vectors along y and x, continued a little beyond the objects.
    weights : ndarray of float32, shape (height, width)
        Weight of each pixel in the loss.
    diameter : float
        Median diameter of the objects as discs, px.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.float32]
    flows: NDArray[np.float32]
    weights: NDArray[np.float32]
    diameter: float

    @classmethod
    def of(cls, image: NDArray[np.float32], labels: Labels) -> Example:
        """Compute what is to be learned of an image with its labels, shape (height, width)."""
        numbered = np.ascontiguousarray(relabel_sequential(labels)[0], dtype=np.int32)
        areas = np.bincount(numbered.ravel())[1:]
        diameters = np.sqrt(areas * 4 / np.pi)
        return cls(
            image,
            numbered.astype(np.float32),
            _continued(object_flows(numbered), numbered),
            _weights(numbered, diameters),
            float(np.median(diameters)) if len(areas) else USUAL_DIAMETER,
        )

    def whole(self) -> Batch:
        """Return the image as it is: a batch of one crop, which is all of it."""
        inside = (self.labels > 0).astype(np.float32)
        flows = self.flows.transpose(2, 0, 1) * inside
        weights = self.weights / self.weights.mean()
        return Batch(self.image[None, None], flows[None], inside[None], weights[None])


@dataclass(frozen=True)
class Crop:
    """Part of an `Example`, resized and turned.

    Attributes
    ----------
    image, labels, weights : ndarray of float32, shape (edge, edge)
        Part of the example's arrays; beyond its border image and labels are 0.
    flows : ndarray of float32, shape (2, edge, edge)
        Unit vectors along y and x; 0 in the background.
    diameter : float
        Median diameter of the example's objects in the crop's pixels.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.float32]
    flows: NDArray[np.float32]
    weights: NDArray[np.float32]
    diameter: float


@dataclass(frozen=True)
class Batch:
    """Crops and what the network shall say of them.

    Attributes
    ----------
    images : ndarray of float32, shape (crops, 1, edge, edge)
        Scaled intensities of the crops, with one channel.
    flows : ndarray of float32, shape (crops, 2, edge, edge)
        Unit vectors along y and x; 0 in the background.
    inside : ndarray of float32, shape (crops, edge, edge)
        1 in objects, 0 in the background.
    weights : ndarray of float32, shape (crops, edge, edge)
        Weight of each pixel in the loss, 1 on average.
    """

    images: NDArray[np.float32]
    flows: NDArray[np.float32]
    inside: NDArray[np.float32]
    weights: NDArray[np.float32]


def mean_diameter(examples: Sequence[Example]) -> float:
    """Return the mean, over images with nuclei, of their median diameter, px."""
    diameters = [example.diameter for example in examples if example.labels.any()]
    return float(np.mean(diameters)) if diameters else USUAL_DIAMETER


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
    flows = np.stack([crop.flows for crop in crops])
    inside = np.stack([(crop.labels > 0).astype(np.float32) for crop in crops])
    weights = np.stack([crop.weights for crop in crops])
    return Batch(np.stack(images)[:, None], flows, inside, weights / weights.mean())


def cut(
    example: Example, edge: int, diameters: tuple[float, float], rng: np.random.Generator
) -> Crop:
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


def cut_as_it_is(example: Example, edge: int, rng: np.random.Generator) -> Crop:
    """Cut one crop whose pixels are the image's own, so that outlines are learned exactly.

    All its pixels count alike, so that no weight draws outlines to one side.
    """
    turn = _draw_turn(rng, right=True)
    matrix = np.round(_place(example.image.shape, edge, turn, rng))
    crop = _crop(example, edge, matrix, turn)
    return replace(crop, weights=np.ones_like(crop.weights))


def _crop(
    example: Example, edge: int, matrix: NDArray[np.float32], turn: NDArray[np.float32]
) -> Crop:
    """Cut what a matrix from a crop's (x, y, 1) to the example's (x, y) says."""
    labels = _warp(example.labels, matrix, edge, cv2.INTER_NEAREST)
    vectors = _warp(example.flows, matrix, edge, cv2.INTER_LINEAR)
    # matrices act on (x, y), flows are (y, x)
    flows = (vectors[..., ::-1] @ turn)[..., ::-1] * (labels > 0)[..., None]
    return Crop(
        image=_warp(example.image, matrix, edge, cv2.INTER_LINEAR),
        labels=labels,
        flows=flows.transpose(2, 0, 1),
        weights=np.maximum(_warp(example.weights, matrix, edge, cv2.INTER_LINEAR), 1),
        diameter=example.diameter,
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
    array: NDArray[np.float32], matrix: NDArray[np.float32], edge: int, how: int
) -> NDArray[np.float32]:
    warped: Any = cv2.warpAffine(array, matrix, (edge, edge), flags=how | cv2.WARP_INVERSE_MAP)
    return np.asarray(warped, np.float32)


def _continued(flows: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Continue flows of shape (2, height, width) beyond objects; the result has the axes last."""
    if not labels.any():
        return np.zeros((*labels.shape, 2), np.float32)
    distance, nearest = ndi.distance_transform_edt(labels == 0, return_indices=True)
    continued = flows[:, nearest[0], nearest[1]] * (distance <= _BEYOND)
    return np.ascontiguousarray(continued.transpose(1, 2, 0), dtype=np.float32)


def _weights(labels: NDArray[np.int32], diameters: NDArray[np.float64]) -> NDArray[np.float32]:
    """Let gaps between objects and small objects count more: shape (height, width)."""
    highest = labels.max(initial=0) + 1
    largest = ndi.maximum_filter(labels, 5)
    smallest = ndi.minimum_filter(np.where(labels > 0, labels, highest), 5)
    gaps = (smallest < largest) & (largest > 0)
    of_object = np.concatenate([[1.0], np.clip(_SMALL / np.maximum(diameters, 1), 1, _MOST_WEIGHT)])
    of_place = of_object[ndi.maximum_filter(labels, 3)]
    weights = np.maximum(of_place, np.where(gaps, _GAP_WEIGHT, 1))
    return blur(weights.astype(np.float32), 0.7)


def object_flows(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the flows of objects' shapes, each object by itself: what a network shall learn.

    Parameters
    ----------
    labels : ndarray of int32, shape (height, width)
        Objects 1 to n, each with a pixel.

    Returns
    -------
    ndarray of float32, shape (2, height, width)
        Unit vectors along y and x that lead to the object's centre; 0 in the background.
    """
    flows = np.zeros((2, *labels.shape), np.float32)
    _slope(labels, heat_objects(labels), flows)
    return flows


@compiled
def _slope(
    labels: NDArray[np.int32], heat: NDArray[np.float64], flows: NDArray[np.float32]
) -> None:
    """Write the directions in which the heat rises, as if each object were alone."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            i = labels[y, x]
            if i == 0:
                continue
            above = heat[y, x + 1] if y > 0 and labels[y - 1, x] == i else 0.0
            below = heat[y + 2, x + 1] if y + 1 < height and labels[y + 1, x] == i else 0.0
            left = heat[y + 1, x] if x > 0 and labels[y, x - 1] == i else 0.0
            right = heat[y + 1, x + 2] if x + 1 < width and labels[y, x + 1] == i else 0.0
            flow_y, flow_x = below - above, right - left
            length = 1e-60 + np.sqrt(flow_y * flow_y + flow_x * flow_x)
            flows[0, y, x], flows[1, y, x] = flow_y / length, flow_x / length

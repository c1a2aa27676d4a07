"""What a network learns from: images with the flows of their nuclei and a weight for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.segmentation import relabel_sequential

from napari_nucseg.array_types import Labels
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.dynamics.compiling import compiled
from napari_nucseg.segmenters.dynamics.objects import heat_objects

USUAL_DIAMETER = 28.0
"""Taken for the diameter of nuclei where an image has none, px."""
_BEYOND = 3
"""How far flows are continued beyond objects, so that they can be interpolated at the edge, px."""
_DRAWN_FIELDS, _DRAWN_SHAPE, _DRAWN = 4, (352, 352), 40
_RIM = 64
"""How much of an image is seen around the part whose labels are complete, px."""
_GAP_WEIGHT = 2.0
_SMALL = 20.0
"""Pixels of objects of a smaller diameter count more, up to `_MOST_WEIGHT` times."""
_MOST_WEIGHT = 3.0


@dataclass(frozen=True)
class Example:
    """An image, or a crop of one, ready to be learned from.

    Attributes
    ----------
    image : ndarray of float32, shape (height, width)
        Scaled intensities: background 0, nuclei about 1.
    labels : ndarray of float32, shape (height, width)
        Objects 1 to n, exact in single precision.
    flows : ndarray of float32, shape (height, width, 2)
        Unit vectors along y and x, continued a little beyond the objects.
    weights : ndarray of float32, shape (height, width)
        Weight of each pixel in the loss: 1 or more, and 0 where the labels are not complete.
    diameter : float
        Median diameter of the objects as discs, px.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.float32]
    flows: NDArray[np.float32]
    weights: NDArray[np.float32]
    diameter: float

    @classmethod
    def of(
        cls, image: NDArray[np.float32], labels: Labels, complete: NDArray[np.bool_] | None = None
    ) -> Example:
        """Compute what is to be learned of an image.

        Parameters
        ----------
        image : ndarray of float32, shape (height, width)
            Scaled intensities of the whole image.
        labels : ndarray of integers, shape (height, width)
            Its objects.
        complete : ndarray of bool, shape (height, width), optional
            Where all objects are labelled; everywhere if not given. Of the rest only a rim is
            kept, for the network to see what goes on there; it counts for nothing.
        """
        if complete is not None:
            labels = np.where(np.isin(labels, labels[complete]), labels, 0)
            part = around(complete)
            image, labels, complete = image[part], labels[part], complete[part]
        numbered = np.ascontiguousarray(relabel_sequential(labels)[0], dtype=np.int32)
        areas = np.bincount(numbered.ravel())[1:]
        diameters = np.sqrt(areas * 4 / np.pi)
        return cls(
            image,
            numbered.astype(np.float32),
            _continued(object_flows(numbered), numbered),
            _weights(numbered, diameters) * (1 if complete is None else complete),
            float(np.median(diameters)) if len(areas) else USUAL_DIAMETER,
        )

    def whole(self) -> Batch:
        """Return the image as it is: a batch of one crop, which is all of it."""
        return Batch.of([self], [self.image])


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

    @classmethod
    def of(cls, crops: Sequence[Example], images: Sequence[NDArray[np.float32]]) -> Batch:
        """Put crops together; their images are given, as they may look otherwise by now."""
        inside = np.stack([(crop.labels > 0).astype(np.float32) for crop in crops])
        flows = np.stack([crop.flows.transpose(2, 0, 1) for crop in crops]) * inside[:, None]
        weights = np.stack([crop.weights for crop in crops])
        mean = weights.mean() or 1.0  # nothing may be complete in any of them
        return cls(np.stack(images)[:, None], flows, inside, weights / mean)

    def parts(self, most: int) -> Iterator[tuple[Batch, float]]:
        """Yield parts of so many crops at most, each with its share of all crops."""
        count = len(self.images)
        for first in range(0, count, most):
            part = slice(first, first + most)
            few = self.images[part], self.flows[part], self.inside[part], self.weights[part]
            yield Batch(*few), len(few[0]) / count

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Put the crops of several batches into one."""
        names = [one.name for one in fields(cls)]
        return cls(*(np.concatenate([getattr(one, name) for one in batches]) for name in names))


def drawn_examples(normalise: Callable[[NDArray[Any]], NDArray[np.float32]]) -> tuple[Example, ...]:
    """Draw images of the kind that bundled networks know, so that fine-tuning keeps that in mind.

    Parameters
    ----------
    normalise : callable
        Scales the intensities of an image as the network wants them.
    """
    fields = [draw_field(seed, shape=_DRAWN_SHAPE, nuclei=_DRAWN) for seed in range(_DRAWN_FIELDS)]
    return tuple(Example.of(normalise(field.image), field.labels) for field in fields)


def mean_diameter(examples: Sequence[Example]) -> float:
    """Return the mean, over images with nuclei, of their median diameter, px."""
    diameters = [example.diameter for example in examples if example.labels.any()]
    return float(np.mean(diameters)) if diameters else USUAL_DIAMETER


def around(complete: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest rectangle that holds all that is complete, and a rim."""
    found = ndi.find_objects(complete.astype(np.int8))[0]
    return tuple(slice(max(side.start - _RIM, 0), side.stop + _RIM) for side in found)


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


def blur(image: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """Blur an image of shape (height, width) with a Gaussian of `sigma` pixels."""
    blurred: Any = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.asarray(blurred, np.float32)

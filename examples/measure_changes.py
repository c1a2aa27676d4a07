"""Measure how little the bundled model minds changes that mean nothing to a person.

    python examples/measure_changes.py /path/to/DSB2018 [every]

Segments every so many fields of the validation split, 3 unless told otherwise, as they are and
changed: resized, put into darkness or background, with a saturated blob, and with other gain
and offset. Prints a Markdown table of the mean change of F1 at 0.5, and the worst field's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.score import score
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams

LEAST_TO_HALVE = 16.0
"""Diameter, in pixels, of nuclei that have enough of them left at half the size."""

Pair = tuple[NDArray[Any], NDArray[Any]]
"""An image and its truth."""


def resized(times: float) -> Callable[[NDArray[Any], NDArray[Any]], Pair]:
    """Make a change of both edges; truth is not smoothed."""

    def change(image: NDArray[Any], truth: NDArray[Any]) -> Pair:
        height, width = (max(1, round(edge * times)) for edge in image.shape)
        smooth = cv2.INTER_AREA if times < 1 else cv2.INTER_LINEAR
        labels = cv2.resize(
            truth.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST
        )
        return cv2.resize(image, (width, height), interpolation=smooth), labels.astype(np.int32)

    return change


def in_darkness(image: NDArray[Any], truth: NDArray[Any]) -> Pair:
    """Put it into the middle of a dark ground nine times its area."""
    around = [(edge, edge) for edge in image.shape]
    return np.pad(image, around), np.pad(truth, around)


def in_its_background(image: NDArray[Any], truth: NDArray[Any]) -> Pair:
    """Put it into the middle of nine times its area of its own background."""
    around = [(edge, edge) for edge in image.shape]
    ground = int(np.median(image[truth == 0]))
    return np.pad(image, around, constant_values=ground), np.pad(truth, around)


def with_a_blob(image: NDArray[Any], truth: NDArray[Any]) -> Pair:
    """Put a saturated blob of 30 px into the middle; nuclei below it are not counted."""
    y, x = np.indices(image.shape)
    blob = np.hypot(y - image.shape[0] // 2, x - image.shape[1] // 2) < 15
    return np.where(blob, np.iinfo(image.dtype).max, image), np.where(blob, 0, truth)


def by_another_camera(image: NDArray[Any], truth: NDArray[Any]) -> Pair:
    """Multiply intensities, and add an offset."""
    return 3.7 * image + 900, truth


CHANGES = {
    "half the size": resized(0.5),
    "twice the size": resized(2),
    "four times the size": resized(4),
    "in darkness": in_darkness,
    "in its background": in_its_background,
    "one saturated blob": with_a_blob,
    "gain 3.7, offset 900": by_another_camera,
}


def main() -> None:
    """Print a row for every change."""
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    pairs = list(pairs_with_nuclei(Path(sys.argv[1])))[::every]
    plain = [f1(*pair) for pair in pairs]
    print(f"| {len(pairs)} fields, mean F1 {np.mean(plain):.3f} | change | worst |")
    print("|---|---:|---:|")
    for name, change in CHANGES.items():
        lost = [
            f1(*change(*pair)) - as_it_is
            for pair, as_it_is in zip(pairs, plain, strict=True)
            if name != "half the size" or usual_diameter(pair[1]) >= LEAST_TO_HALVE
        ]
        print(f"| {name} | {np.mean(lost):+.3f} | {min(lost):+.2f} |", flush=True)


def pairs_with_nuclei(path: Path) -> Iterator[Pair]:
    """Read the fields of the validation split that have nuclei."""
    for field in open_dataset(path, "validation").fields:
        truth = field.read_truth()
        if truth.any():
            yield field.read_image().data, truth


def f1(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """Segment an image with the model's defaults, and score it."""
    segment = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    ratios = score(truth, segment(image, SegmentParams(), ignore).labels).ratios()
    return float(ratios["objects"]["f1"])


def usual_diameter(truth: NDArray[Any]) -> float:
    """Return the median diameter of nuclei, in pixels."""
    areas = np.bincount(truth.ravel())[1:]
    return float(np.sqrt(np.median(areas[areas > 0]) * 4 / np.pi))


if __name__ == "__main__":
    main()

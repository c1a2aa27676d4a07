"""Labels from flows on the CPU, as `cellpose.dynamics.compute_masks` makes them, but faster.

The parts, in order: `cpu_following`, `cpu_objects` and `cpu_flow_check`. They round as torch does
where that decides about labels; the tests say where Cellpose's own result is left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.cpu_flow_check import flow_errors
from napari_nucseg.segmenters.cpu_following import follow
from napari_nucseg.segmenters.cpu_objects import (
    fill_holes,
    keep_numbers,
    keep_sizes,
    label_meetings,
)


@dataclass(frozen=True)
class Traced:
    """Everything about the labels of a field that no later threshold changes.

    Attributes
    ----------
    labels : ndarray of int32, shape (height, width)
        The objects before any is dropped for its flows or size, 1 to n in raster order.
    flow_errors : ndarray of float64, shape (n,)
        How far the network's flows are from those of each object's shape: mean squared
        distance of the vectors, which have length 1.
    """

    labels: NDArray[np.int32]
    flow_errors: NDArray[np.float64]


def trace(
    vectors: NDArray[np.float32],
    cellprob: NDArray[np.float32],
    *,
    cellprob_threshold: float,
    steps: int,
    max_size_fraction: float = 0.4,
) -> Traced:
    """Follow the flows to where they meet, and compare each object with its flows.

    Parameters
    ----------
    vectors : ndarray of float32, shape (2, height, width)
        Flow along y and x, times 5.
    cellprob : ndarray of float32, shape (height, width)
        Cell probability as a logit.
    cellprob_threshold : float
        Pixels above it are followed.
    steps : int
        How often a pixel moves by the flow.
    max_size_fraction : float
        An object that covers more of the field than this is none.
    """
    # numba compiles anew for arrays that are read-only or not contiguous
    vectors = np.require(vectors, np.float32, ["C", "W"])
    inside = np.ascontiguousarray(cellprob > cellprob_threshold)
    points = np.flatnonzero(inside)
    ends = follow(vectors, inside, points, steps)
    labels = label_meetings(points, ends, inside.shape)
    keep_sizes(labels, 1, int(max_size_fraction * labels.size))
    return Traced(labels, flow_errors(labels, vectors))


def finish(traced: Traced, *, flow_threshold: float, min_size: int) -> NDArray[np.int32]:
    """Drop the objects that a threshold refuses, and fill the holes of the others.

    Parameters
    ----------
    traced : Traced
        From `trace`; it is left as it is.
    flow_threshold : float
        Largest error of an object's flows; 0 keeps all.
    min_size : int
        Least pixels of an object, before and after its holes are filled; 0 keeps all, and, as
        in Cellpose, their holes.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n in raster order.
    """
    labels = traced.labels.copy()
    if flow_threshold > 0:
        keep_numbers(labels, ~(traced.flow_errors > flow_threshold))
    if min_size > 0:
        keep_sizes(labels, min_size, labels.size)
        fill_holes(labels)
        keep_sizes(labels, min_size, labels.size)
    return labels


def warm_up() -> None:
    """Compile every loop or load its machine code, which the first labels otherwise wait for."""
    around = np.arange(-8, 9, dtype=np.float32)
    to_centre = -np.stack(np.meshgrid(around, around, indexing="ij"))
    disc = (to_centre**2).sum(axis=0) < 30
    traced = trace(to_centre, disc - np.float32(0.5), cellprob_threshold=0, steps=50)
    finish(traced, flow_threshold=0.4, min_size=1)

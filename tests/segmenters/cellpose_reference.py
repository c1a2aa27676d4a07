"""Cellpose's own labels, and flows to make them from."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
from unittest.mock import patch

import numpy as np
import torch

ROUNDS_AS_HERE = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
"""Whether torch rounds products and sums together, which it does for these instructions."""


def by_cellpose(vectors, cellprob, *, steps, cellprob_threshold=0.0, flow_threshold, min_size):
    from cellpose.dynamics import compute_masks

    with np.errstate(divide="ignore"):  # by the length less 1, which can be 0
        return compute_masks(
            vectors,
            cellprob,
            niter=steps,
            cellprob_threshold=cellprob_threshold,
            flow_threshold=flow_threshold,
            min_size=min_size,
        )


@contextmanager
def nothing_left_to_chance():
    """Give an order to what torch, and so Cellpose, takes in any.

    Seeds that are hit alike are sorted anyhow, which shows where they are in reach of each other.
    And the last pixels of a thread's share are averaged in another order than the others, which
    shows where heat is even on both sides of a pixel: there a last bit makes a whole vector.
    """
    argsort = torch.Tensor.argsort

    def stable_argsort(values):
        return argsort(values, stable=True)

    def sum_in_order(values, dim):
        return reduce(torch.add, values.unbind(dim))

    with (
        patch.object(torch.Tensor, "argsort", stable_argsort),
        patch.object(torch.Tensor, "sum", sum_in_order),
    ):
        yield


def flows_of(truth, noise=0.0, seed=0):
    """Flows and cell probability that would lead to some labels, with noise."""
    from cellpose.dynamics import labels_to_flows

    flows = labels_to_flows([truth.copy()])[0]
    rng = np.random.default_rng(seed)
    vectors = 5 * flows[2:] + noise * rng.standard_normal(flows[2:].shape)
    return vectors.astype(np.float32), np.where(truth > 0, 3, -3).astype(np.float32)


def discs(shape, *circles):
    y, x = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, dtype=np.int32)
    for number, (row, column, radius) in enumerate(circles, 1):
        truth[np.hypot(y - row, x - column) <= radius] = number
    return truth

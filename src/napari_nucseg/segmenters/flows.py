"""From a network's flows to labels, and to other labels when a threshold moves."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.parameters import SegmentParams

if TYPE_CHECKING:
    from napari_nucseg.segmenters.dynamics.masks import Traced


LOOSER = (0.0, -1.0, -2.0, -3.0)
"""Cell probabilities, as logits, that an object is looked for with, one after the other."""
_REACH = 128
"""Pixels on each side of a pixel within which its object is looked for first."""


class Labeller:
    """The labels of a field's flows: they are followed to the nuclei's centres.

    What a threshold leaves as it was is kept for the next call: on a CPU another flow threshold
    or minimum size takes a few milliseconds.

    Parameters
    ----------
    flows : Flows
        Flows and cell probability of one field.
    device : Device
        Device to compute on: a GPU by Cellpose itself, the CPU by our own code, which gives the
        same labels many times faster.

    References
    ----------
    .. [1] Stringer et al., Nature Methods 18, 100-106 (2021); ``cellpose.dynamics``.
    """

    def __init__(self, flows: Flows, device: Device) -> None:
        self._flows = flows
        self._device = device
        self._kept: tuple[tuple[float, ...], Traced] | None = None

    def __call__(self, params: SegmentParams) -> Labels:
        """Label the field.

        Parameters
        ----------
        params : SegmentParams
            Parameters, of which those are used that need no network.

        Returns
        -------
        ndarray of int32, shape (height, width)
            Labels of the field, 1 to n; 0 is background.
        """
        least = max(params.min_size, self._flows.least_area) if params.min_size else 0
        labels = self._find(params, least)
        if params.split_depth == 0 and not params.exclude_on_edges:
            return labels
        # Not above, because opening the segment panel would wait for this import
        from napari_nucseg.segmenters.splitting import drop_on_edges, drop_small, split_touching

        if params.split_depth:
            labels = drop_small(split_touching(labels, params.split_depth), least)
        return drop_on_edges(labels) if params.exclude_on_edges else labels

    def notes(self, params: SegmentParams) -> tuple[str, ...]:
        """Say that a larger minimum size was used than was set, if objects were dropped for it."""
        least = self._flows.least_area
        if not 0 < params.min_size < least:
            return ()
        every, kept = (self._find(params, size).max(initial=0) for size in (params.min_size, least))
        if every == kept:
            return ()
        return (
            f"Objects of fewer than {least} px were dropped, though the minimum size is "
            f"{params.min_size} px. The image was reduced for the network, which saw too little "
            "of them. A minimum size of 0 keeps them.",
        )

    def _find(self, params: SegmentParams, least: int) -> Labels:
        """Label objects of an area at least, px."""
        on_cpu = self._device.kind == "cpu"
        return self._on_cpu(params, least) if on_cpu else self._by_cellpose(params, least)

    @property
    def errors(self) -> NDArray[np.float64]:
        """How far the flows are from each object's shape, also of objects that were dropped.

        It is known where labels are made on the CPU; elsewhere there is none.
        """
        return np.zeros(0) if self._kept is None else self._kept[1].flow_errors

    def _on_cpu(self, params: SegmentParams, least: int) -> Labels:
        compiling().result()
        from napari_nucseg.segmenters.dynamics.masks import finish, trace

        steps = params.niter or self._flows.steps
        basis = params.cellprob_threshold, params.max_size_fraction, steps
        kept = self._kept
        if kept is None or kept[0] != basis:
            traced = trace(
                self._flows.vectors,
                self._flows.cellprob,
                cellprob_threshold=params.cellprob_threshold,
                max_size_fraction=params.max_size_fraction,
                steps=steps,
            )
            kept = self._kept = basis, traced
        return finish(kept[1], flow_threshold=params.flow_threshold, min_size=least)

    def _by_cellpose(self, params: SegmentParams, least: int) -> Labels:
        import torch
        from cellpose.dynamics import compute_masks

        # Cellpose builds sparse tensors; torch warns at each until the choice is made explicitly
        torch.sparse.check_sparse_tensor_invariants.disable()
        labels = compute_masks(
            self._flows.vectors,
            self._flows.cellprob,
            niter=params.niter or self._flows.steps,
            max_size_fraction=params.max_size_fraction,
            cellprob_threshold=params.cellprob_threshold,
            flow_threshold=params.flow_threshold,
            min_size=least,
            device=torch.device(self._device.kind),
        )
        return np.asarray(labels, dtype=np.int32)


def find_object(flows: Flows, at: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Find the object that a pixel belongs to by its flows, with looser and looser thresholds.

    Parameters
    ----------
    flows : Flows
        Flows and cell probability of one field.
    at : tuple of int
        The pixel along y and x.

    Returns
    -------
    ndarray of bool, shape (height, width), or None
        The object by the first of the cell probabilities `LOOSER` that gives one; None if none
        does. Its flows need not fit its shape, and its size does not matter.

    Notes
    -----
    With fluo-nuclei, of 59 missed nuclei in 14 fields of BBBC039's validation split 56 got an
    object at their middle, 38 of them with an IoU of at least 0.5; of 560 places of background,
    8 px and more from any nucleus, none did.
    """
    compiling().result()
    for threshold in LOOSER:
        reach, found = _REACH, None
        while flows.cellprob[at] > threshold:
            window = tuple(slice(max(place - reach, 0), place + reach + 1) for place in at)
            found = _object_within(flows, at, window, threshold)
            if found is None or not _is_cut(found, window):
                break
            reach *= 2
        if found is not None:
            return found
    return None


def _object_within(
    flows: Flows, at: tuple[int, int], window: tuple[slice, ...], threshold: float
) -> NDArray[np.bool_] | None:
    """Follow the flows of a window alone, which takes far less time than those of a field."""
    from napari_nucseg.segmenters.dynamics.masks import finish, trace

    traced = trace(
        flows.vectors[:, *window],
        flows.cellprob[window],
        cellprob_threshold=threshold,
        max_size_fraction=1.0,
        steps=flows.steps,
    )
    found = np.zeros(flows.cellprob.shape, dtype=np.int32)
    found[window] = finish(traced, flow_threshold=0, min_size=1)
    return found == found[at] if found[at] else None


def _is_cut(found: NDArray[np.bool_], window: tuple[slice, ...]) -> bool:
    """Whether an object reaches an edge of the window that is none of the field."""
    inner = np.zeros_like(found)
    ends = zip(window, found.shape, strict=True)
    inner[tuple(slice(w.start + (w.start > 0), w.stop - (w.stop < end)) for w, end in ends)] = True
    return bool((found & ~inner).any())


@lru_cache(maxsize=1)
def compiling() -> Future[None]:
    """Compile the CPU's loops in a thread of its own, once a process; the result is there then.

    The first time on a computer that takes seconds, later it is read from disk: begin before the
    network is loaded.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="compile")
    try:
        return pool.submit(_warm_up)
    finally:
        pool.shutdown(wait=False)


def is_compiling() -> bool:
    """Whether the CPU's loops are on their way, which a run may have to wait for."""
    return compiling.cache_info().currsize > 0 and not compiling().done()


def _warm_up() -> None:
    from napari_nucseg.segmenters.dynamics.masks import warm_up

    warm_up()

"""From a network's flows to labels."""

from __future__ import annotations

import numpy as np
import torch

from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Flows, SegmentParams


def to_labels(flows: Flows, params: SegmentParams, device: torch.device) -> Labels:
    """Follow the flows to the nuclei's centres and label what meets there.

    Parameters
    ----------
    flows : Flows
        Of one field.
    params : SegmentParams
        Flow threshold, cell probability threshold and minimum size are used.
    device : torch.device
        Where to compute: on a GPU by Cellpose itself, on the CPU by our own code, which gives the
        same labels many times faster.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n.

    References
    ----------
    .. [1] Stringer et al., Nature Methods 18, 100-106 (2021); ``cellpose.dynamics``.
    """
    if device.type == "cpu":
        return _on_cpu(flows, params)
    return _by_cellpose(flows, params, device)


def _on_cpu(flows: Flows, params: SegmentParams) -> Labels:
    from napari_nucseg.segmenters.cpu_dynamics import finish, trace

    traced = trace(
        flows.vectors,
        flows.cellprob,
        cellprob_threshold=params.cellprob_threshold,
        steps=flows.steps,
    )
    return finish(traced, flow_threshold=params.flow_threshold, min_size=params.min_size)


def _by_cellpose(flows: Flows, params: SegmentParams, device: torch.device) -> Labels:
    from cellpose.dynamics import compute_masks

    # Cellpose builds sparse tensors; torch warns at each until the choice is made explicitly
    torch.sparse.check_sparse_tensor_invariants.disable()
    labels = compute_masks(
        flows.vectors,
        flows.cellprob,
        niter=flows.steps,
        cellprob_threshold=params.cellprob_threshold,
        flow_threshold=params.flow_threshold,
        min_size=params.min_size,
        device=device,
    )
    return np.asarray(labels, dtype=np.int32)

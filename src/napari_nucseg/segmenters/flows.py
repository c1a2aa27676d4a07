"""From a network's flows to labels."""

from __future__ import annotations

import numpy as np
import torch

from napari_nucseg.core.images import Labels
from napari_nucseg.core.segmenting import Flows, SegmentParams

# Cellpose builds sparse tensors; torch warns at each until the choice is made explicitly
torch.sparse.check_sparse_tensor_invariants.disable()


def to_labels(flows: Flows, params: SegmentParams, device: torch.device) -> Labels:
    """Follow the flows to the nuclei's centres and label what meets there.

    Parameters
    ----------
    flows : Flows
        Of one field.
    params : SegmentParams
        Flow threshold, cell probability threshold and minimum size are used.
    device : torch.device
        Where to compute.

    Returns
    -------
    ndarray of int32, shape (height, width)
        Labels 1 to n.

    References
    ----------
    .. [1] Stringer et al., Nature Methods 18, 100-106 (2021); ``cellpose.dynamics``.
    """
    from cellpose.dynamics import compute_masks

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

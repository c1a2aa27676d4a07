"""From flows to labels: Cellpose's dynamics and ours, and what a moved slider costs."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.rows import Peer, Row, TimesFaster, Within
from benchmarks.sample import images
from benchmarks.setting import Setting
from benchmarks.timing import interleave, timed
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.dynamics.masks import Traced, finish, trace
from napari_nucseg.segmenters.parameters import SegmentParams

PARAMS = SegmentParams()
OTHER_CELLPROB = SegmentParams(cellprob_threshold=-1.0)
OTHER_SIZE = SegmentParams(flow_threshold=0.3, min_size=50)


def measure(setting: Setting) -> list[Row]:
    """Take the times on the flows of the bundled network."""
    segment = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    fields = images(setting.dataset)
    flows = [segment(image, PARAMS, lambda done, total: None).flows for image in fields]
    kept = [_trace(PARAMS, one) for one in flows]
    # Cellpose builds sparse tensors; torch warns at each until the choice is made explicitly
    torch.sparse.check_sparse_tensor_invariants.disable()
    ours, cellpose = interleave(
        [timed(partial(_label, PARAMS), flows), timed(_label_by_cellpose, flows)], setting.runs
    )
    other_size, other_cellprob = interleave(
        [timed(partial(_finish, OTHER_SIZE), kept), timed(partial(_label, OTHER_CELLPROB), flows)],
        setting.runs,
    )
    return [
        Row("Labels from flows, a field", ours, Peer("Cellpose", cellpose), TimesFaster(20)),
        Row("Another flow threshold and minimum size", other_size, bar=Within(0.015)),
        Row("Another cell probability threshold", other_cellprob, bar=Within(0.15)),
    ]


def _label(params: SegmentParams, flows: Flows) -> None:
    _finish(params, _trace(params, flows))


def _trace(params: SegmentParams, flows: Flows) -> Traced:
    return trace(
        flows.vectors,
        flows.cellprob,
        cellprob_threshold=params.cellprob_threshold,
        steps=flows.steps,
    )


def _finish(params: SegmentParams, traced: Traced) -> None:
    finish(traced, flow_threshold=params.flow_threshold, min_size=params.min_size)


def _label_by_cellpose(flows: Flows) -> None:
    from cellpose.dynamics import compute_masks

    compute_masks(
        flows.vectors,
        flows.cellprob,
        niter=flows.steps,
        cellprob_threshold=PARAMS.cellprob_threshold,
        flow_threshold=PARAMS.flow_threshold,
        min_size=PARAMS.min_size,
    )

"""The bundled model's labels of many real fields, made by us and by Cellpose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import cores
from tests.conftest import sampled
from tests.segmenters.cellpose_reference import by_cellpose


@pytest.fixture
def one_torch_thread(one_thread):
    """Cellpose's many short steps wait for each other's threads; fields side by side do not."""
    torch.sparse.check_sparse_tensor_invariants.disable()


def compare(segment, field):
    """Objects of ours and of Cellpose, pairs of them at IoU 0.95, and share of other pixels."""
    params = SegmentParams()
    made = segment(field.read_image().data, params, lambda done, total: None)
    expected = by_cellpose(
        made.flows.vectors,
        made.flows.cellprob,
        steps=made.flows.steps,
        flow_threshold=params.flow_threshold,
        min_size=params.min_size,
    ).astype(np.int32)
    pairs = match(find_overlap(expected, made.labels), 0.95).tp
    other = np.mean(made.labels != expected)
    return int(made.labels.max()), int(expected.max()), pairs, other


@pytest.mark.slow
def test_real_fields_get_cellposes_labels(bbbc039, one_torch_thread):
    """Up to a pixel in 10,000: Cellpose leaves the order of seeds that are hit alike to torch."""
    fields = sampled(
        [one for part in ("training", "validation") for one in open_dataset(bbbc039, part).fields]
    )
    segment = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    with ThreadPoolExecutor(cores()) as pool:
        results = list(pool.map(lambda field: compare(segment, field), fields))
    assert sum(ours for ours, *_ in results) > 60 * len(fields)
    for field, (ours, theirs, pairs, other) in zip(fields, results, strict=True):
        assert ours == theirs == pairs, field.name
        assert other <= 1e-4, field.name

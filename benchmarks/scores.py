"""Scores beside stardist's and Cellpose's, after an edit, and of large images; on one core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from benchmarks.machine import on_one_core
from benchmarks.rows import Peer, Row, TimesFaster, TimesPeer, Within
from benchmarks.sample import NUCLEI, SHAPE
from benchmarks.setting import Setting
from benchmarks.timing import interleave, timed
from napari_nucseg.array_types import Labels
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.boundaries import measure_boundaries
from napari_nucseg.metrics.matching import AP_THRESHOLDS, match
from napari_nucseg.metrics.overlap import Overlap, find_overlap
from napari_nucseg.metrics.score import score, score_matching

Pair = tuple[Labels, Labels]
RUNS = 15
"""At least: a run takes milliseconds."""
ABOUT_120 = ("B19_s7", "A02_s1", "J20_s1")
"""Fields with 93, 110 and 142 nuclei."""
LARGE, LARGE_NUCLEI = 8192, 50_000
PART = 2048
"""Edge of a part of the large image, which has a sixteenth of its pixels and nuclei."""


def measure(setting: Setting) -> list[Row]:
    """Take the times on ground truths against distorted copies."""
    pairs = [(truth, distort(truth)) for truth in _truths(setting.dataset)]
    runs = max(setting.runs, RUNS)
    with on_one_core():
        return [*_fields(pairs, runs), _edit(pairs, runs), *_large(min(setting.runs, 5))]


def distort(truth: Labels) -> Labels:
    """Shift, cut every fifth nucleus in two, drop every seventh and merge neighbours of others."""
    moved = np.roll(truth, (1, 2), (0, 1)).astype(np.int32)
    columns = np.broadcast_to(np.arange(truth.shape[1]), truth.shape)
    middle = ndi.mean(columns, moved, np.arange(moved.max() + 1))
    cut = (moved % 5 == 1) & (columns > np.nan_to_num(middle)[moved])
    result = np.where(moved % 7 == 3, 0, moved + cut * moved.max())
    return np.asarray(np.where((result > 0) & (result % 11 == 5), result - 1, result))


def _truths(dataset: Path | None) -> list[Labels]:
    if dataset is None:
        counts = [NUCLEI[name] for name in ABOUT_120]
        return [draw_field(n, shape=SHAPE, nuclei=n).labels for n in counts]
    fields = {field.name: field for field in open_dataset(dataset, "validation").fields}
    return [fields[name].read_truth() for name in ABOUT_120]


def _fields(pairs: list[Pair], runs: int) -> list[Row]:
    from cellpose.metrics import aggregated_jaccard_index, average_precision
    from stardist.matching import matching

    thresholds = list(AP_THRESHOLDS)
    ours, outlines, stardist, cellpose_ap, cellpose_aji = interleave(
        [
            timed(_score, pairs),
            timed(_outlines, pairs),
            timed(lambda pair: matching(*pair, thresh=thresholds), pairs),
            timed(lambda pair: average_precision(*pair, thresholds), pairs),
            timed(lambda pair: aggregated_jaccard_index([pair[0]], [pair[1]]), pairs),
        ],
        runs,
    )
    what = "All scores of a field but outlines"
    three = "stardist `matching` + Cellpose AP + Cellpose AJI"
    return [
        Row(what, ours, bar=Within(0.005)),
        Row(what, ours, Peer(three, stardist + cellpose_ap + cellpose_aji), TimesFaster(9)),
        Row(what, ours, Peer("Cellpose `average_precision`", cellpose_ap), TimesFaster(3)),
        Row("Outlines of a field", outlines, bar=Within(0.05)),
    ]


def _score(pair: Pair) -> None:
    score(*pair)


def _outlines(pair: Pair) -> None:
    measure_boundaries(*pair, find_overlap(*pair))


def _edit(pairs: list[Pair], runs: int) -> Row:
    edits = [_remove_a_nucleus(*pair) for pair in pairs]
    (seconds,) = interleave([timed(_score_edit, edits)], runs)
    return Row("All scores after an edit of one nucleus", seconds, bar=Within(0.002))


Edit = tuple[Overlap, Pair, Pair]


def _remove_a_nucleus(truth: Labels, predicted: Labels) -> Edit:
    label = int(np.unique(predicted)[20])
    box = ndi.find_objects(predicted)[label - 1]
    after = np.where(predicted[box] == label, 0, predicted[box])
    parts = (truth[box], predicted[box]), (truth[box], after)
    return find_overlap(truth, predicted), *parts


def _score_edit(edit: Edit) -> None:
    overlap, before, after = edit
    score_matching(match(overlap.updated(before, after)))


def _large(runs: int) -> list[Row]:
    truth = _many_nuclei()
    whole = truth, distort(truth)
    part = truth[:PART, :PART].copy(), whole[1][:PART, :PART].copy()
    times = (LARGE // PART) ** 2
    ours, small = interleave([timed(_score, [whole]), timed(_score, [part])], runs)
    what = f"All scores of {LARGE:,} x {LARGE:,} px with {whole[0].max():,} nuclei"
    peer = Peer(f"{times} x a part of {PART:,} x {PART:,} px", times * small)
    return [Row(what, ours, peer, TimesPeer(2))]


def _many_nuclei() -> Labels:
    """Discs in a grid, of different size and a little out of place."""
    rng = np.random.default_rng(0)
    across = int(np.ceil(np.sqrt(LARGE_NUCLEI)))
    pitch = LARGE // across
    labels = np.zeros((LARGE, LARGE), dtype=np.int32)
    y, x = np.indices((pitch, pitch))
    for number in range(1, LARGE_NUCLEI + 1):
        row, column = divmod(number - 1, across)
        cy, cx = pitch / 2 + rng.uniform(-3, 3, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= rng.uniform(8, 16) ** 2
        part = np.s_[row * pitch : (row + 1) * pitch, column * pitch : (column + 1) * pitch]
        labels[part][disc] = number
    return labels

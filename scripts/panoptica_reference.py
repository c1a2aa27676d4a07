"""Write what panoptica says of distorted labels, for `tests/metrics/test_agreement.py`.

In an environment of its own, because panoptica needs an older rich than napari:
``pip install panoptica==2.1.7 'rich<14' 'numpy<2.3' tifffile imagecodecs scikit-image pillow``,
then, from the root of the repository with ``PYTHONPATH=src:.``,
``python scripts/panoptica_reference.py tests/data/panoptica.csv /path/to/BBBC039``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from panoptica import InputType, NaiveThresholdMatching, Panoptica_Evaluator

from napari_nucseg.io.datasets import open_dataset
from tests.metrics.distortions import DISTORTIONS, consecutive, draw_discs

DRAWN = 12
"""Drawn truths, each with all distortions; of the real fields each gets one, by turns."""


def cases(dataset: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the name of each truth, the name of a distortion, and the truth."""
    for seed in range(DRAWN):
        for distortion in DISTORTIONS:
            yield f"discs {seed}", distortion, draw_discs(seed)
    names = list(DISTORTIONS)
    for number, field in enumerate(open_dataset(dataset).fields):
        yield field.stem, names[number % len(names)], field.read_truth()


def evaluate(evaluator: Panoptica_Evaluator, truth: np.ndarray, predicted: np.ndarray) -> list[Any]:
    """Return TP, FP, FN, PQ, SQ and RQ."""
    result = evaluator.evaluate(predicted, truth, verbose=False)["ungrouped"]
    counts = [int(result.tp), int(result.fp), int(result.fn)]
    return [*counts, *(repr(float(ratio)) for ratio in (result.pq, result.sq, result.rq))]


def main(target: Path, dataset: Path) -> None:
    """Evaluate all cases."""
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE,
        instance_matcher=NaiveThresholdMatching(matching_threshold=0.5),
        verbose=False,
        log_times=False,
    )
    with target.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["truth", "distortion", "tp", "fp", "fn", "pq", "sq", "rq"])
        for name, distortion, truth in cases(dataset):
            predicted = consecutive(DISTORTIONS[distortion](truth))
            row = evaluate(evaluator, consecutive(truth), predicted)
            writer.writerow([name, distortion, *row])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

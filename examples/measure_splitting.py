"""Measure what cutting merged nuclei gains or loses, and the baseline, for docs/splitting.md.

    python examples/measure_splitting.py /path/to/BBBC039

Segments the validation split with the bundled model and with `otsu`, and prints a Markdown table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from scipy import ndimage as ndi

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.score import Score, score
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue, otsu
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.splitting import drop_small, split_touching

DEPTHS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
TITLE = """\
| | mean AP .50:.95 | AP .5 | F1 | merged | split | pieces |
|---|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Print a row for the baseline without and with its watershed, and one for every depth."""
    print(TITLE)
    for name, scores in score_fields(Path(sys.argv[1])).items():
        print(table_row(name, scores))


def score_fields(path: Path) -> Mapping[str, list[Score]]:
    """Segment every field with both, and score their labels before and after they are cut."""
    model = catalogue.find(catalogue.BUNDLED)
    segment = catalogue.load(model, "cpu")
    names = [f"{model.name}, depth {depth:g}" if depth else model.name for depth in DEPTHS]
    threshold_alone = f"{otsu.NAME} without its watershed"
    scores: dict[str, list[Score]] = {name: [] for name in (threshold_alone, otsu.NAME, *names)}
    for field in open_dataset(path, "validation").fields:
        image, truth = field.read_image().data, field.read_truth()
        objects, _ = ndi.label(otsu.find_foreground(image))
        uncut = drop_small(objects, SegmentParams().min_size)
        scores[threshold_alone].append(score(truth, uncut))
        baseline = otsu.segment(image, SegmentParams(), ignore).labels
        scores[otsu.NAME].append(score(truth, baseline))
        labels = segment(image, model.defaults, ignore).labels
        for name, depth in zip(names, DEPTHS, strict=True):
            scores[name].append(score(truth, split_touching(labels, depth)))
    return scores


def table_row(name: str, scores: list[Score]) -> str:
    """Means over the fields; true nuclei merged and split, and predicted pieces, in all of them."""
    summary = summarise(scores)
    means = [summary.spread["objects", ratio].mean for ratio in ("mean_ap", "ap", "f1")]
    verdicts = summary.pooled.verdicts
    counts = verdicts.merged, verdicts.split, verdicts.predicted_split
    columns = [name, *(f"{mean:.4f}" for mean in means), *map(str, counts)]
    return f"| {' | '.join(columns)} |"


if __name__ == "__main__":
    main()

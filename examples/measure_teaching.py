"""Teach `fluo-nuclei` from three images of each kind in a dataset, and print what became of it.

python examples/measure_teaching.py DSB2018 [--batches 150] [--images 3] [--seed 0] [--size 256x256]

Images of one size are a kind. The three are drawn from the training split by the seed, one of them
is held out by training itself, and the scores before and after are those of the validation split.
By default a kind takes as many batches as three minutes on two idle cores.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_nucseg.batch.train_data import hold_out, read_fields
from napari_nucseg.batch.train_log import Epoch
from napari_nucseg.batch.train_run import Recipe, Watch, train_fields
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.metrics.score import score
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.params import FINE_TUNING

BATCHES = 150
MOST_LOST = 0.005
"""F1 at 0.5 that a kind may lose at the most."""


def by_size(dataset: Dataset) -> dict[tuple[int, ...], list[Field]]:
    """Sort the fields of a dataset by the size of their images."""
    kinds = defaultdict(list)
    for field in dataset.fields:
        kinds[field.read_image_header().shape].append(field)
    return dict(kinds)


def scores_of(model: str, fields: Sequence[Field]) -> tuple[float, float]:
    """Return F1 at 0.5 and mean AP of a model, mean over fields."""
    segmenter = catalogue.load(catalogue.find(model), "cpu")
    found = []
    for field in fields:
        labels = segmenter(field.read_image().data, SegmentParams(), ignore).labels
        ratios = score(field.read_truth(), labels).ratios()["objects"]
        found.append((ratios["f1"], ratios["mean_ap"]))
    f1, mean_ap = np.nanmean(found, axis=0)
    return float(f1), float(mean_ap)


def teach(fields: Sequence[Field], out: Path, args: argparse.Namespace) -> None:
    """Fine-tune the bundled model on some fields; write the weights."""
    params = replace(FINE_TUNING, batches=args.batches, seed=args.seed)
    data = hold_out(read_fields([Dataset("three", tuple(fields))]), "three", seed=args.seed)
    start = catalogue.find(catalogue.BUNDLED).path

    def tell(epoch: Epoch) -> None:
        row = epoch.row
        kept = "kept" if row.kept else ""
        if row.mean_ap is not None and row.f1_50 is not None:
            print(
                f"  batch {row.batch}: held out F1 {row.f1_50:.3f} AP {row.mean_ap:.3f} "
                f"share {row.share} after {row.seconds:.0f} s {kept}",
                flush=True,
            )

    train_fields(data, Recipe(params, "cpu", start), out, Watch(on_epoch=tell))


def main() -> None:
    """Print a line for each kind, and whether any lost too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", help="One kind alone, such as 256x256.")
    args = parser.parse_args()
    learn, validation = (
        by_size(open_dataset(args.dataset, split)) for split in ("training", "validation")
    )
    for shape, fields in sorted(validation.items()):
        if args.size not in (None, "x".join(map(str, shape))) or len(learn[shape]) < args.images:
            continue
        rng = np.random.default_rng(args.seed)
        chosen = [learn[shape][i] for i in rng.permutation(len(learn[shape]))[: args.images]]
        with TemporaryDirectory() as folder:
            out = Path(folder) / "taught.safetensors"
            teach(chosen, out, args)
            before, after = scores_of(catalogue.BUNDLED, fields), scores_of(str(out), fields)
        change = after[0] - before[0]
        print(
            f"{shape[0]} x {shape[1]} px, {len(fields)} validation images: F1 {before[0]:.4f} to "
            f"{after[0]:.4f} ({change:+.4f}), AP {before[1]:.4f} to {after[1]:.4f}: "
            f"{'held' if change >= -MOST_LOST else 'LOST'}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Measure how well a network's own doubt predicts its errors, for docs/doubt.md.

    python examples/measure_doubt.py /path/to/BBBC039

Segments the validation split with the bundled model and prints Markdown tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from napari_nucseg.analysis.measurements import Nuclei, measure
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.fields import Field
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import Verdict, Verdicts, classify
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmentation
from napari_nucseg.segmenters.dynamics.objects import flow_errors

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

DOUBTS: dict[str, Callable[[Nuclei], Values]] = {
    "largest flow error": lambda nuclei: nuclei["flow_error"],
    "lowest cell probability": lambda nuclei: -nuclei["cellprob_logit"],
    "smallest area": lambda nuclei: -nuclei["area_px"].astype(np.float64),
    "lowest solidity": lambda nuclei: -nuclei["solidity"],
}
BEST, NEXT = list(DOUBTS)[:2]
ERRORS = (Verdict.SPURIOUS, Verdict.SPLIT, Verdict.MERGED, Verdict.OFF, Verdict.TANGLED)
SHARES = (0.02, 0.05, 0.1, 0.2)
RESAMPLES = 2000


@dataclass(frozen=True)
class Judged:
    """The predicted nuclei of a field, what became of each, and how many true ones are missed."""

    nuclei: Nuclei
    codes: NDArray[np.uint8]
    missed: int

    @property
    def wrong(self) -> Flags:
        """Which predicted nuclei are matched with no true one."""
        return self.codes > Verdict.LOOSE

    @property
    def wrong_or_loose(self) -> Flags:
        """Which are matched with none, or with an IoU below 0.7."""
        return self.codes > Verdict.MATCHED


def main() -> None:
    """Print the tables for the model's defaults and for no flow threshold."""
    by_setting = judge_fields(Path(sys.argv[1]))
    print(counts_table(by_setting))
    print(area_table(by_setting))
    defaults = next(iter(by_setting.values()))
    print(kinds_table(defaults))
    print(walk_table(defaults))


def judge_fields(path: Path) -> dict[str, list[Judged]]:
    """Segment every field once, and label it under both settings."""
    model = catalogue.find(catalogue.BUNDLED)
    segmenter = catalogue.load(model, "cpu")
    settings = {
        f"flow threshold {model.defaults.flow_threshold:g}": model.defaults,
        "no flow threshold": replace(model.defaults, flow_threshold=0.0),
    }
    classified: dict[str, list[Judged]] = {name: [] for name in settings}
    for field in open_dataset(path, "validation").fields:
        image = field.read_image().data
        segmentation = segmenter(image, model.defaults, lambda done, total: None)
        for name, params in settings.items():
            classified[name].append(judge_field(field, image, segmentation.relabelled(params)))
    return classified


def judge_field(field: Field, image: NDArray[np.generic], result: Segmentation) -> Judged:
    """Measure the nuclei of a field and compare them with the ground truth."""
    nuclei = measure(
        result.labels,
        image,
        flow_errors=flow_errors(result.labels, result.flows.vectors),
        cellprob=result.flows.cellprob,
    )
    verdicts: Verdicts = classify(match(find_overlap(field.read_truth(), result.labels)))
    return Judged(nuclei, verdicts.predicted.codes, verdicts.truth.count(Verdict.MISSED))


def counts_table(by_setting: dict[str, list[Judged]]) -> str:
    """Count what is to be predicted."""
    rows = []
    for name, fields in by_setting.items():
        codes = np.concatenate([field.codes for field in fields])
        loose = np.count_nonzero(codes == Verdict.LOOSE)
        wrong = np.count_nonzero(codes > Verdict.LOOSE)
        kinds = [str(np.count_nonzero(codes == kind)) for kind in ERRORS]
        missed = sum(field.missed for field in fields)
        rows.append([name, str(len(codes)), str(wrong), *kinds, str(loose), str(missed)])
    kinds = [kind.word for kind in ERRORS]
    return markdown(["", "predicted", "errors", *kinds, "loose", "missed"], rows)


def area_table(by_setting: dict[str, list[Judged]]) -> str:
    """Areas under the curve with their intervals, pooled over the fields."""
    title, columns = ["first"], []
    for name, fields in by_setting.items():
        for what, wrong in (
            ("errors", [field.wrong for field in fields]),
            ("errors and loose", [field.wrong_or_loose for field in fields]),
        ):
            title.append(f"{what}, {name}")
            columns.append(area_column(fields, wrong))
    rows = [list(row) for row in zip([*DOUBTS, f"{BEST} minus {NEXT}"], *columns, strict=True)]
    return markdown(title, rows)


def area_column(fields: Sequence[Judged], wrong: Sequence[Flags]) -> list[str]:
    """Return each doubt's area, and last how much the first exceeds the second."""
    doubts = [[doubt(field.nuclei) for field in fields] for doubt in DOUBTS.values()]
    every = range(len(fields))
    areas = np.array([area_of(values, wrong, every) for values in doubts])
    drawn = np.array(
        [[area_of(values, wrong, draw) for values in doubts] for draw in resamples(len(fields))]
    )
    areas = np.append(areas, areas[0] - areas[1])
    drawn = np.column_stack([drawn, drawn[:, 0] - drawn[:, 1]])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return [f"{a:.3f} ({b:.3f}-{c:.3f})" for a, b, c in zip(areas, low, high, strict=True)]


def area_of(values: Sequence[Values], wrong: Sequence[Flags], chosen: Sequence[int]) -> float:
    """Pool the chosen fields' nuclei and return the area under the curve."""
    return area_under_curve(
        np.concatenate([values[i] for i in chosen]), np.concatenate([wrong[i] for i in chosen])
    )


def area_under_curve(doubt: Values, wrong: Flags) -> float:
    """Chance that an error is more doubtful than a nucleus that is right; a tie counts half."""
    errors, right = np.count_nonzero(wrong), np.count_nonzero(~wrong)
    rank_sum = rankdata(doubt)[wrong].sum()
    return float((rank_sum - errors * (errors + 1) / 2) / (errors * right))


def resamples(count: int) -> Iterator[list[int]]:
    """Draw fields with replacement, always the same draws."""
    random = np.random.default_rng(39)
    for _ in range(RESAMPLES):
        yield random.integers(0, count, count).tolist()


def kinds_table(fields: Sequence[Judged]) -> str:
    """Areas under the curve of one kind of error against the matched nuclei."""
    codes = np.concatenate([field.codes for field in fields])
    rows = []
    for name, doubt in DOUBTS.items():
        values = np.concatenate([doubt(field.nuclei) for field in fields])
        row = [name]
        for kind in ERRORS:
            known = (codes == kind) | (codes <= Verdict.LOOSE)
            row.append(f"{area_under_curve(values[known], codes[known] == kind):.3f}")
        rows.append(row)
    counts = [f"{kind.word} ({np.count_nonzero(codes == kind)})" for kind in ERRORS]
    return markdown(["first", *counts], rows)


def walk_table(fields: Sequence[Judged]) -> str:
    """Errors that a walk meets which ends after a share of each field's nuclei."""
    rows = []
    for name, doubt in DOUBTS.items():
        row = [name]
        for share in SHARES:
            met = steps = 0
            for field in fields:
                count = int(np.ceil(share * len(field.codes)))
                met += field.wrong[np.argsort(-doubt(field.nuclei), kind="stable")[:count]].sum()
                steps += count
            row.append(f"{met} of {steps}")
        rows.append(row)
    return markdown(["first", *(f"{share:.0%} of each field" for share in SHARES)], rows)


def markdown(title: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table."""
    rule = ["---"] + ["---:"] * (len(title) - 1)
    return "".join(f"| {' | '.join(row)} |\n" for row in (title, rule, *rows))


if __name__ == "__main__":
    main()

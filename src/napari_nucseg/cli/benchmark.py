"""The command that runs models over a dataset."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.batch.tables import Benchmark
from napari_nucseg.cli.console import (
    console,
    counting,
    follow_with,
    going_on,
    print_json,
    print_rows,
    tell_failures,
    tell_suspects,
    told_beside,
    warn,
)
from napari_nucseg.cli.options import (
    AsJson,
    Components,
    ModelOptions,
    RuleOptions,
    WellOptions,
    complete_splits,
    examples,
    grouped,
    path_argument,
    path_option,
    prepare,
    takes,
)
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.plates import PlateOptions
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import versions
from napari_nucseg.wording import counted

EXAMPLES = examples(
    ("The test split of BBBC039", "benchmark BBBC039 --split test --out results"),
    ("Two models compared", "benchmark images masks -m fluo-nuclei -m otsu"),
)


@dataclass(frozen=True)
class FieldOptions:
    """The fields to run on."""

    dataset: Annotated[
        Path,
        path_argument(
            "Folder, split file, images.zip or table of pairs (.csv) of a dataset, a folder of "
            "images, or a plate of OME-Zarr."
        ),
    ]
    truth: Annotated[
        Path | None, path_argument("Folder of the ground truth of a folder of images.")
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            help="training, validation, test, or another list of the dataset, or the path of a "
            "text file with one name a line. All fields if not given.",
            autocompletion=complete_splits,
        ),
    ] = None
    allow_missing: Annotated[
        bool, typer.Option(help="Go on without fields of the split that are absent.")
    ] = False
    components: Components = False

    def open(self, plate: PlateOptions) -> Dataset:
        """Open the dataset."""
        from napari_nucseg.io.datasets import open_dataset

        fields = open_dataset(
            self.dataset,
            self.split,
            truths=self.truth,
            allow_missing=self.allow_missing,
            plate=plate,
        )
        return fields.with_components() if self.components else fields


@dataclass(frozen=True)
class ResultOptions:
    """What is written, and where to."""

    out: Annotated[
        Path | None,
        path_option(
            "Folder of the results. [dim]\\[default: results/DATASET-MODELS][/dim]",
            *("--out", "-o"),
            show_default=False,
        ),
    ] = None
    parquet: Annotated[
        bool | None,
        typer.Option(
            help="Write tables as Parquet, too. By default they are if pyarrow is installed."
        ),
    ] = None
    worst: Annotated[
        int, typer.Option(min=0, help="Fields that the report pictures, the worst first.")
    ] = 6
    as_json: AsJson = False

    def folder(self, dataset: Dataset, setups: Sequence[Setup]) -> Path:
        """Return the folder of the results, and tell where it is if it was not chosen."""
        from napari_nucseg.batch.run_setup import default_folder

        if self.out is not None:
            return self.out
        out = default_folder(dataset.name, [setup.model for setup in setups])
        console.print(f"Results go to {out}")
        return out


@takes(SegmentParams, "Segmentation", "set by the model")
@grouped
def benchmark(
    fields: FieldOptions,
    wells: WellOptions,
    models: ModelOptions,
    rule: RuleOptions,
    results: ResultOptions,
    chosen: dict[str, Any] | None = None,
) -> None:
    """Segment and score every field of a dataset. If it was stopped, the same command goes on.

    Images without any ground truth are segmented and measured, and not scored.

    The exit code is 1 if a field failed; the others are done.
    """
    dataset = fields.open(wells.plate)
    with told_beside(results.as_json):
        _warn(dataset)
        setups = [prepare(name, models.device, chosen, rule.rule) for name in models.names]
        out = results.folder(dataset, setups)
        run = _measure if dataset.has_no_truth else _score
        failed = run(dataset, setups, out, models, results)
        console.print(f"Results are in {out}, the report is {out / 'report.html'}")
    if results.as_json:
        print_json(_record(setups, out, is_scored=not dataset.has_no_truth))
    if failed:
        raise typer.Exit(1)


def _score(
    dataset: Dataset,
    setups: Sequence[Setup],
    out: Path,
    models: ModelOptions,
    results: ResultOptions,
) -> bool:
    """Segment and score all fields, and tell what came out; return whether any failed."""
    from napari_nucseg.batch.dataset_run import Execution, run_models
    from napari_nucseg.batch.executor import executor_for
    from napari_nucseg.io.writers import has_parquet

    parquet = has_parquet() if results.parquet is None else results.parquet
    with (
        going_on(),
        executor_for(models.scheduler, models.device) as run_fields,
        counting() as bar,
    ):
        how = Execution(follow_with(bar, "Fields"), run_fields, parquet, _command())
        found = run_models(dataset, setups, out, how, results.worst)
    for setup, result in zip(setups, found, strict=True):
        _tell(dataset, setup, result)
    _tell_comparison(setups, found)
    return any(result.failed for result in found)


def _measure(
    dataset: Dataset,
    setups: Sequence[Setup],
    out: Path,
    models: ModelOptions,
    results: ResultOptions,
) -> bool:
    """Segment and measure images without ground truth; return whether any failed."""
    from napari_nucseg.batch.executor import cluster_for
    from napari_nucseg.batch.measured_run import describe_measured, measure_models
    from napari_nucseg.io.plates import explain_unscored, holder_of
    from napari_nucseg.io.sources import TRUTHS, part_folder

    first = dataset.fields[0].image
    assert first is not None
    root = holder_of(first)
    if any(part_folder(root, part).exists() for part in TRUTHS):  # it is meant to be scored
        raise ValueError(f"{root}: {explain_unscored(root)}")
    if results.parquet:
        warn("--parquet: tables of a run without ground truth are CSV alone")
    with (
        going_on(),
        cluster_for(models.scheduler, models.device) as cluster,
        counting() as bar,
    ):
        told = follow_with(bar, "Fields")
        found = measure_models(dataset, setups, out, told, cluster, _command())
    print_rows([("Model", *found[0].header[1:]), *(one.total for one in found)])
    for one in found:
        tell_failures(one.failed)
        tell_suspects(one.suspect, components=True)
    console.print(*describe_measured(found), sep="\n")
    console.print(f"To score them, {explain_unscored(root)}")
    return any(one.failed for one in found)


def _command() -> list[str]:
    return ["napari-nucseg", *sys.argv[1:]]


def _record(setups: Sequence[Setup], out: Path, is_scored: bool) -> dict[str, Any]:
    """Return what the run wrote of each model, its scores if it has any, and where."""
    names = [setup.model for setup in setups]
    folders = {name: out / name if len(names) > 1 else out for name in names}
    found = {
        name: json.loads((folder / "summary.json").read_text("utf-8"))
        if is_scored
        else {"measures": str(folder / "measurements.csv")}
        for name, folder in folders.items()
    }
    return {"results": str(out), "report": str(out / "report.html"), "models": found}


def _warn(fields: Dataset) -> None:
    if fields.absent:
        console.print(
            f"{counted(len(fields.absent), 'field')} without an image, the first is "
            f"{fields.absent[0]}. A list or a ground truth names them",
            style="yellow",
        )
    missing = fields.without_mask
    if missing and len(missing) < len(fields.fields):
        console.print(
            f"{counted(len(missing), 'field')} without a mask, which will fail; the first is "
            f"{missing[0].stem}",
            style="yellow",
        )


def _tell(fields: Dataset, setup: Setup, result: Benchmark) -> None:
    from napari_nucseg.report.published import (
        object_table,
        pixel_table,
        published_split,
        splits_of_bbbc039,
    )
    from napari_nucseg.report.text import summary_table

    console.print(summary_table(result.summary))
    split = published_split(fields)
    if split is not None:
        print_rows(pixel_table(setup.model, result.summary, split))
        print_rows(object_table(setup.model, list(result.scores.values()), split))
    places = ", ".join(f"{device} of {host}" for host, device in result.places)
    console.print(
        f"{fields.name}, {setup.model}: {counted(len(result.scores), 'field')}, "
        f"{result.summary.empty} of them empty, {result.seconds_per_field:.2f} s a field on "
        f"{places}"
    )
    tell_failures(result.failed)
    tell_suspects(result.suspect, any(field.components for field in fields.fields))
    caveat = catalogue.caveat(setup.model, splits_of_bbbc039(fields))
    if caveat:
        console.print(f"Note: {caveat}", style="yellow")


def _tell_comparison(setups: Sequence[Setup], results: Sequence[Benchmark]) -> None:
    from napari_nucseg.batch.run_report import comparison_table

    console.print(", ".join(f"{name} {number}" for name, number in versions().items()))
    if len(setups) > 1:
        names = [setup.model for setup in setups]
        print_rows(comparison_table(dict(zip(names, results, strict=True))))

"""One model or several on a dataset: a folder of results each, and a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path

from napari_nucseg.core.fields import Dataset
from napari_nucseg.runs.benchmark import RunFields, do_run
from napari_nucseg.runs.field_work import run_here
from napari_nucseg.runs.model_comparison import comparison_rows
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.preparing import (
    PreparedRun,
    all_have_scale,
    prepare_run,
    refuse_dataset,
)
from napari_nucseg.runs.report import ModelRun, write_report
from napari_nucseg.runs.report_page import WORST
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.results_folder import (
    COMPARISON,
    REPORT,
    ResultsFolder,
    check_for_models,
)
from napari_nucseg.runs.saving import check_parquet, write_table


def run_models(
    dataset: Dataset,
    setups: Sequence[Setup],
    out: Path,
    *,
    report: Callable[[int, int, str], None],
    run_fields: RunFields = run_here,
    parquet: bool = False,
    command: Sequence[str] = (),
    worst: int = WORST,
) -> list[Benchmark]:
    """Run models over a dataset, one after the other; see `run_benchmark`.

    Parameters
    ----------
    dataset, out, run_fields, parquet, command
        As of `run_benchmark`. Several models have a folder each in ``out``, by their names, and
        ``comparison.csv`` beside them. There is one ``report.html`` for all.
    setups : sequence of Setup
        One a model.
    report : callable
        Called with (fields done, fields in all, name of one), over all models.
    worst : int
        Fields of each model that the report pictures.

    Raises
    ------
    ValueError, OSError
        As by `run_benchmark`, or if two models have one name, one of them cannot be loaded, or
        the folder holds the run of one model and several are asked for.
    """
    if parquet:
        check_parquet()
    runs = _prepare(dataset, setups, out)
    if run_fields is run_here:
        for setup in setups:  # what is wrong with one is told before another runs
            setup.load()
    several, count = len(runs) > 1, len(dataset.fields)
    results = []
    with ResultsFolder(out.absolute()).held():
        if several:
            check_for_models(out, [setup.model for setup in setups])
        for number, run in enumerate(runs):

            def tell(done: int, total: int, name: str, before: int = number * count) -> None:
                report(before + done, count * len(runs), name)

            with run.folder.held() if several else nullcontext():
                results.append(
                    do_run(
                        run, report=tell, run_fields=run_fields, parquet=parquet, command=command
                    )
                )
        _conclude(runs, results, out, worst)
    return results


def _prepare(dataset: Dataset, setups: Sequence[Setup], out: Path) -> list[PreparedRun]:
    """Settle all runs, and refuse what cannot be one, before anything is written."""
    names = [setup.model for setup in setups]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice; name each model once")
    has_scale = cache(all_have_scale)  # the headers of all images are read once
    if len(setups) == 1:
        return [prepare_run(dataset, setups[0], out, has_scale)]
    refuse_dataset(out.absolute(), dataset)
    check_for_models(out, names)
    return [prepare_run(dataset, one, out / one.model, has_scale) for one in setups]


def _conclude(
    runs: Sequence[PreparedRun], results: Sequence[Benchmark], out: Path, worst: int
) -> None:
    """Write what is said of all models together."""
    if len(runs) > 1:
        names = [run.setup.model for run in runs]
        rows = comparison_rows(dict(zip(names, results, strict=True)))
        write_table(out / COMPARISON, rows)
    told = [
        ModelRun(run.setup, run.folder, result) for run, result in zip(runs, results, strict=True)
    ]
    write_report(out / REPORT, runs[0].dataset, told, worst)

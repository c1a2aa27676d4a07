"""One model or several on a dataset: a folder of results each, and a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_nucseg.core.fields import Dataset
from napari_nucseg.runs.benchmark import RunFields, run_benchmark
from napari_nucseg.runs.field_work import run_here
from napari_nucseg.runs.model_comparison import comparison_rows
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.report import ModelRun, write_report
from napari_nucseg.runs.report_page import WORST
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.results_folder import ResultsFolder
from napari_nucseg.runs.saving import write_table


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
        As by `run_benchmark`, or if two models have one name.
    """
    folders = _folders(setups, out)
    count = len(dataset.fields)
    results = []
    for number, (setup, folder) in enumerate(zip(setups, folders, strict=True)):

        def tell(done: int, total: int, name: str, before: int = number * count) -> None:
            report(before + done, count * len(setups), name)

        results.append(
            run_benchmark(
                dataset,
                setup,
                folder,
                report=tell,
                run_fields=run_fields,
                parquet=parquet,
                command=command,
            )
        )
    if len(setups) > 1:
        names = [setup.model for setup in setups]
        write_table(out / "comparison.csv", comparison_rows(dict(zip(names, results, strict=True))))
    runs = map(ModelRun, setups, map(ResultsFolder, folders), results)
    write_report(out / "report.html", dataset, list(runs), worst)
    return results


def _folders(setups: Sequence[Setup], out: Path) -> list[Path]:
    names = [setup.model for setup in setups]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice; name each model once")
    return [out] if len(names) == 1 else [out / name for name in names]

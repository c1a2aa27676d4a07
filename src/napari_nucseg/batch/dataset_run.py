"""Run models over a dataset, field by field, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from napari_nucseg.batch.field_task import FieldTask, Outcome, run_here
from napari_nucseg.batch.results_folder import (
    COMPARISON,
    REPORT,
    ResultsFolder,
    check_for_models,
    refuse_dataset,
    refuse_repeated,
)
from napari_nucseg.batch.run_report import comparison_rows, write_report
from napari_nucseg.batch.run_setup import (
    Plan,
    PreparedRun,
    Setup,
    all_have_scale,
    check_folder,
    prepare_run,
)
from napari_nucseg.batch.saved_results import sources_record
from napari_nucseg.batch.tables import Benchmark, Tables, write_tables
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.writers import check_parquet, write_table
from napari_nucseg.progress import Progress
from napari_nucseg.report.page import WORST
from napari_nucseg.system_info import describe_machine

RunFieldTasks = Callable[[FieldTask, Sequence[Field], Progress], Iterator[Outcome]]
"""Does fields, here or elsewhere, in any order."""


@dataclass(frozen=True)
class Execution:
    """How a run is carried out, which changes nothing of what comes out.

    Attributes
    ----------
    progress : Progress
        Called with (fields done, fields in all, name of one) now and then; may raise to stop.
    run_fields : callable
        Runs the task of each field: here, in processes or on a cluster.
    parquet : bool
        Write tables as Parquet, too.
    command : sequence of str
        Command line that began it, for ``run.json``.
    """

    progress: Progress
    run_fields: RunFieldTasks = run_here
    parquet: bool = False
    command: Sequence[str] = ()


def run_model(run: PreparedRun, how: Execution) -> Benchmark:
    """Segment every field, score it, and write labels and tables; go on with what was begun.

    Parameters
    ----------
    run : PreparedRun
        Fields, model and folder, as `prepare_run` gives them; the folder is held. Fields that
        are done there are not done again, those that failed are.
    how : Execution
        Where fields are done, and who is told.

    Raises
    ------
    ValueError
        If the folder holds something else by now, or all fields failed.
    OSError
        If results cannot be written.
    """
    dataset, setup, folder, plan = run.dataset, run.setup, run.folder, run.plan
    check_folder(folder, plan)  # another process may have begun there
    done, edited = _finished(dataset, folder)
    session = Session(folder, plan, dataset, how.command)
    work = FieldTask(setup, plan["has_scale"], folder)
    left = [field for field in dataset.fields if field.stem not in done]
    count = _follow(work, left, how, len(done))
    tables = Tables(setup.rule.empty_as_one, how.parquet, edited)
    result = write_tables(dataset, plan, folder, tables)
    session.end(count, _result_record(result), dict(_checksums(dataset, folder)))
    return result


def _follow(work: FieldTask, left: Sequence[Field], how: Execution, before: int) -> int:
    """Do what is left and tell how far it is; return how many fields that were."""
    done, total, failed = before, before + len(left), 0

    def tell(_: int, __: int, name: str = "", /) -> None:
        how.progress(done, total, f"{name}, {failed} failed" if failed else name)

    for outcome in how.run_fields(work, left, tell):
        done += 1
        failed += outcome.error is not None
    how.progress(done, total, "")
    return done - before


class Session:
    """One time that the run was at work, as ``run.json`` tells it."""

    def __init__(
        self, folder: ResultsFolder, plan: Plan, dataset: Dataset, command: Sequence[str]
    ) -> None:
        self._folder = folder
        earlier = folder.read_run()
        self._run: dict[str, Any] = {
            "plan": plan,
            "sources": sources_record(dataset),
            "sessions": [] if earlier is None else earlier["sessions"],
        }
        self._own: dict[str, Any] = {
            "command": list(command),
            "machine": describe_machine(),
            "started": _now(),
            "ended": None,
        }
        self._run["sessions"].append(self._own)
        folder.write_run(self._run)

    def end(
        self, fields: int, result: Mapping[str, Any], checksums: Mapping[str, Any] | None = None
    ) -> None:
        """Write down when how many fields were done, what came out, and sha256 of what was read."""
        self._own |= {"ended": _now(), "fields": fields}
        self._run |= {"result": dict(result), "checksums": dict(checksums or {})}
        self._folder.write_run(self._run)


def _result_record(result: Benchmark) -> dict[str, Any]:
    return {
        "fields": len(result.scores),
        "failed": len(result.failed),
        "seconds_per_field": {
            "network_and_postprocessing": round(result.seconds_per_field, 4),
            "in_all": round(result.whole_seconds_per_field, 4),
        },
        "places": [
            {"host": host, "device": device, "fields": count}
            for (host, device), count in result.places.items()
        ],
    }


def _checksums(dataset: Dataset, folder: ResultsFolder) -> Iterator[tuple[str, dict[str, str]]]:
    for field in dataset.fields:
        record = folder.read(field.stem)
        if record is not None and record.error is None:
            yield field.stem, dict(record.checksums)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finished(dataset: Dataset, folder: ResultsFolder) -> tuple[set[str], dict[str, str]]:
    """Return the stems of the fields that need not be done again, and what was edited of them."""
    done, edited = set(), dict[str, str]()
    for field in dataset.fields:
        record = folder.read(field.stem)
        if record is not None and record.error is None:
            folder.check_unchanged(field, record)
            done.add(field.stem)
            told = folder.tell_edits(record)
            if told:
                edited[field.stem] = told
    return done, edited


def run_models(
    dataset: Dataset, setups: Sequence[Setup], out: Path, how: Execution, worst: int = WORST
) -> list[Benchmark]:
    """Run models over a dataset, one after the other; see `run_model`.

    Parameters
    ----------
    dataset : Dataset
        Fields to segment; each must have a ground truth.
    setups : sequence of Setup
        Model, parameters and rule of scores, one a model.
    out : Path
        Folder of the results, see `ResultsFolder` and `write_tables`. Several models have a folder
        each in it, by their names, and ``comparison.csv`` beside them. There is one
        ``report.html`` for all.
    how : Execution
        Where fields are done, and who is told; fields are counted over all models.
    worst : int
        Fields of each model that the report pictures.

    Raises
    ------
    ValueError, OSError
        What `prepare_run` and `run_model` raise, or if one is at work there, two models have one
        name, one of them cannot be loaded, or the folder holds the run of one model and several
        are asked for.
    """
    if how.parquet:
        check_parquet()
    runs = _prepare(dataset, setups, out)
    if how.run_fields is run_here:
        for setup in setups:  # what is wrong with one is told before another runs
            setup.load()
    several, count = len(runs) > 1, len(dataset.fields)
    results = []
    with ResultsFolder(out.absolute()).held():
        if several:
            check_for_models(out, [setup.model for setup in setups])
        for number, run in enumerate(runs):

            def tell(done: int, _: int, name: str = "", /, *, before: int = number * count) -> None:
                how.progress(before + done, count * len(runs), name)

            with run.folder.held() if several else nullcontext():
                results.append(run_model(run, replace(how, progress=tell)))
        _conclude(runs, results, out, worst)
    return results


def _prepare(dataset: Dataset, setups: Sequence[Setup], out: Path) -> list[PreparedRun]:
    """Settle all runs, and refuse what cannot be one, before anything is written."""
    names = [setup.model for setup in setups]
    refuse_repeated(names)
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
    write_report(out / REPORT, runs, results, worst)

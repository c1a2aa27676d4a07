"""Segment and score a whole dataset, field by field, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.runs.field_work import FieldWork, Outcome, run_here
from napari_nucseg.runs.finished import sources_record
from napari_nucseg.runs.machines import describe_machine
from napari_nucseg.runs.plan import Plan, Setup
from napari_nucseg.runs.preparing import PreparedRun, all_have_scale, prepare_run
from napari_nucseg.runs.result_tables import Benchmark, write_tables
from napari_nucseg.runs.results_folder import ResultsFolder
from napari_nucseg.runs.saving import check_parquet
from napari_nucseg.runs.work import Tick

RunFields = Callable[[FieldWork, Sequence[Field], Tick], Iterator[Outcome]]
"""Does fields, here or elsewhere, in any order."""


def run_benchmark(
    dataset: Dataset,
    setup: Setup,
    out: Path,
    *,
    report: Callable[[int, int, str], None],
    run_fields: RunFields = run_here,
    parquet: bool = False,
    command: Sequence[str] = (),
) -> Benchmark:
    """Segment every field, score it, and write labels and tables; go on with what was begun.

    Parameters
    ----------
    dataset : Dataset
        Fields with ground truth.
    setup : Setup
        Model, parameters and rule of scores.
    out : Path
        Folder of the results, see `ResultsFolder` and `write_tables`. Fields that are done there
        are not done again, those that failed are.
    report : callable
        Called with (fields done, fields in all, name of one) now and then; may raise to stop.
    run_fields : callable
        Where fields are done.
    parquet : bool
        Write tables as Parquet, too.
    command : sequence of str
        Command line that began it, for ``run.json``.

    Raises
    ------
    ValueError
        As by `prepare_run`, or if one is at work there, or all fields failed.
    OSError
        If results cannot be written.
    """
    if parquet:
        check_parquet()
    run = prepare_run(dataset, setup, out, all_have_scale)
    with run.folder.held():
        return do_run(run, report=report, run_fields=run_fields, parquet=parquet, command=command)


def do_run(
    run: PreparedRun,
    *,
    report: Callable[[int, int, str], None],
    run_fields: RunFields,
    parquet: bool,
    command: Sequence[str],
) -> Benchmark:
    """Do a run in a folder that is held; see `run_benchmark`."""
    dataset, setup, folder, plan = run.dataset, run.setup, run.folder, run.plan
    folder.check(plan)  # another process may have begun there
    done = _finished(dataset, folder)
    session = _Session(folder, plan, dataset, command)
    work = FieldWork(setup, plan["has_scale"], folder)
    left = [field for field in dataset.fields if field.stem not in done]
    session.fields = _follow(work, left, run_fields, report, len(done))
    empty_as_one = setup.rule.empty_as_one
    result = write_tables(dataset, plan, folder, empty_as_one=empty_as_one, parquet=parquet)
    session.end(dataset, result)
    return result


def _follow(
    work: FieldWork,
    left: Sequence[Field],
    run_fields: RunFields,
    report: Callable[[int, int, str], None],
    before: int,
) -> int:
    """Do what is left and tell how far it is; return how many fields that were."""
    done, total, failed = before, before + len(left), 0

    def tick(name: str) -> None:
        report(done, total, f"{name}, {failed} failed" if failed else name)

    for outcome in run_fields(work, left, tick):
        done += 1
        failed += outcome.error is not None
    report(done, total, "")
    return done - before


class _Session:
    """One time that the run was at work, as ``run.json`` tells it."""

    def __init__(
        self, folder: ResultsFolder, plan: Plan, dataset: Dataset, command: Sequence[str]
    ) -> None:
        self.fields = 0
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

    def end(self, dataset: Dataset, result: Benchmark) -> None:
        """Write down when and where the fields were done, and what they were."""
        self._own |= {"ended": _now(), "fields": self.fields}
        self._run["result"] = {
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
        self._run["checksums"] = dict(_checksums(dataset, self._folder))
        self._folder.write_run(self._run)


def _checksums(dataset: Dataset, folder: ResultsFolder) -> Iterator[tuple[str, dict[str, str]]]:
    for field in dataset.fields:
        record = folder.read(field.stem)
        if record is not None and record.error is None:
            yield field.stem, dict(record.checksums)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finished(dataset: Dataset, folder: ResultsFolder) -> set[str]:
    """Stems of the fields that need not be done again."""
    done = set()
    for field in dataset.fields:
        record = folder.read(field.stem)
        if record is not None and record.error is None:
            folder.check_unchanged(field, record)
            done.add(field.stem)
    return done

"""Tables of a run, made from its records alone, so that an interruption leaves no trace in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from napari_nucseg.analysis.score_records import Columns, Record, field_row, join, summary_rows
from napari_nucseg.batch.image_measures import TABLE, join_tables
from napari_nucseg.batch.records import FieldRecord
from napari_nucseg.batch.results_folder import TABLES, WELLS, ResultsFolder
from napari_nucseg.batch.run_setup import Plan
from napari_nucseg.batch.wells import FoundInField, write_wells
from napari_nucseg.io.atomic import files_at_once, whole_file
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.writers import (
    as_lists,
    csv_lines,
    import_pyarrow,
    write_json,
    write_parquet,
    write_table,
    write_text,
)
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Summary, summarise
from napari_nucseg.report.text import Scored, json_record, latex_table, markdown_table

ROWS_AT_ONCE = 20_000


class ObjectTables:
    """``objects.csv`` and, if wanted, ``objects.parquet``.

    Parameters
    ----------
    folder : Path
        Folder that the tables are written to.
    parquet : bool
        Whether to write Parquet beside CSV.
    files : ExitStack
        Gives the files their names when it is closed, unless by an error.
    """

    def __init__(self, folder: Path, parquet: bool, files: ExitStack) -> None:
        self._csv = files.enter_context(whole_file(folder / "objects.csv"))
        self._names: list[str] = []
        self._parquet: _ParquetRows | None = None
        if parquet:
            file = files.enter_context(whole_file(folder / "objects.parquet"))
            self._parquet = _ParquetRows(file)
            files.callback(self._parquet.close)

    def add(self, columns: Columns, record: Path) -> None:
        """Write the rows of a field, as columns; a record of other columns is refused by name."""
        if not self._names:
            self._csv.write(csv_lines([columns]))
            self._names = list(columns)
        if list(columns) != self._names:
            raise ValueError(
                f"{record}: its columns are not those of the other fields; remove this file, and "
                "run the same command again"
            )
        self._csv.write(csv_lines(zip(*columns.values(), strict=True)))
        if self._parquet is not None:
            self._parquet.add(columns)


class _ParquetRows:
    """Gathers rows, since many small groups of rows make a large file that is slow to read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[Columns] = []
        self._rows = 0
        self._writer: Any = None

    def add(self, columns: Columns) -> None:
        self._waiting.append(columns)
        self._rows += len(columns["object"])
        if self._rows >= ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        pyarrow, parquet = import_pyarrow()
        columns = join(self._waiting)
        self._waiting, self._rows = [], 0
        if self._writer is None:
            # Named, since fields without nuclei do not tell what their columns hold
            schema = pyarrow.schema([(name, _kind(pyarrow, name)) for name in columns])
            self._writer = parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.table(as_lists(columns), schema=self._writer.schema))


def _kind(pyarrow: Any, column: str) -> Any:
    if column in ("object", "area_px", "column", "site"):
        return pyarrow.int64()
    if column in ("field", "well", "row", "side", "verdict", "preset"):
        return pyarrow.string()
    if column == "partners":
        return pyarrow.list_(pyarrow.int64())
    is_flag = column in ("beside_error", "corrected")
    return pyarrow.bool_() if is_flag else pyarrow.float64()


@dataclass(frozen=True)
class Benchmark:
    """What a run found.

    Attributes
    ----------
    scores : mapping
        Stem of a field to its score, in the dataset's order; without the fields that failed.
    summary : Summary
        Pooled scores and spread over these fields.
    failed : mapping
        Stem of a field to its error.
    seconds : tuple of float
        Two durations in seconds for each field: of network and post-processing alone, and with
        reading, scoring and writing.
    places : mapping
        Computer and device to the number of fields that were done there.
    empty_as_one : bool
        Whether the summary counts fields without nuclei as 1.
    suspect : mapping
        Stem of a field to the signs that the model does not suit it; without all others.
    corrected : int
        Number of nuclei of the ground truth that were edited by hand before they were scored.
    """

    scores: Mapping[str, Score]
    summary: Summary
    failed: Mapping[str, str]
    seconds: tuple[tuple[float, float], ...] = field(repr=False)
    places: Mapping[tuple[str, str], int]
    empty_as_one: bool = False
    suspect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    corrected: int = 0

    @property
    def seconds_per_field(self) -> float:
        """Mean time of network and post-processing."""
        return sum(made for made, _ in self.seconds) / len(self.seconds)

    @property
    def whole_seconds_per_field(self) -> float:
        """Mean time of reading, segmenting, scoring and writing."""
        return sum(whole for _, whole in self.seconds) / len(self.seconds)


@dataclass(frozen=True)
class Tables:
    """What the tables of a run hold beside its records.

    Attributes
    ----------
    empty_as_one : bool
        Whether a field without nuclei on either side counts as 1 in means, as in `summarise`.
    parquet : bool
        Whether ``fields.parquet`` and ``objects.parquet`` are written, too.
    edited : mapping
        Stem of a field whose labels are no longer those that were scored, to what is told of it.
    """

    empty_as_one: bool
    parquet: bool
    edited: Mapping[str, str] = field(default_factory=dict)


def write_tables(dataset: Dataset, plan: Plan, folder: ResultsFolder, tables: Tables) -> Benchmark:
    """Write all tables of a run whose fields are done, reading one record at a time.

    They take their places together; those of an earlier time that are not written now go.

    Parameters
    ----------
    dataset : Dataset
        The dataset, each of whose fields has a record.
    plan : Plan
        Plan that the run was begun with.
    folder : ResultsFolder
        Folder that holds the records; the tables go there, too.
    tables : Tables
        What they hold beside the records.

    Raises
    ------
    ValueError
        If all fields failed, or records cannot be of one run.
    """
    with files_at_once(folder.path, TABLES) as stage:
        gathered = _gather(dataset, folder, stage, tables)
        if not gathered.rows:
            _write_failures(folder.path, gathered.failed)
            stem, error = next(iter(gathered.failed.items()))
            count = len(gathered.failed)
            raise ValueError(f"all {count} fields failed, the first is {stem}: {error}")
        try:
            result = gathered.benchmark(tables.empty_as_one)
        except ValueError as error:
            records = folder.record_file("").parent
            raise ValueError(
                f"{records}: the records are not of one run ({error}); remove them and run the "
                "same command again"
            ) from error
        _write_failures(stage, result.failed)
        _write_fields(stage, gathered.rows, tables.parquet)
        write_wells(stage / WELLS, gathered.found)
        _write_summary(dataset, plan, result, stage)
        measured = [folder.nuclei_file(stem) for stem in result.scores]
        join_tables(stage / TABLE, [one for one in measured if one.is_file()])
    return result


def _gather(dataset: Dataset, folder: ResultsFolder, stage: Path, tables: Tables) -> _Gathered:
    """Read all records, and write the tables of objects on the way."""
    gathered = _Gathered()
    with ExitStack() as files:
        objects = ObjectTables(stage, tables.parquet, files)
        for one in dataset.fields:
            record = folder.read(one.stem)
            if record is None:
                raise ValueError(
                    f"{folder.record_file(one.stem)}: it is missing; run the same command again"
                )
            gathered.take(one, record, tables.edited.get(one.stem))
            if record.objects is not None:
                table = one.placed(record.objects) if dataset.has_wells else record.objects
                objects.add(table, folder.record_file(one.stem))
    return gathered


class _Gathered:
    """What is kept of all records: everything but the objects."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.found: list[FoundInField] = []
        self.scores: dict[str, Score] = {}
        self.failed: dict[str, str] = {}
        self.suspect: dict[str, tuple[str, ...]] = {}
        self.seconds: list[tuple[float, float]] = []
        self.places: Counter[tuple[str, str]] = Counter()
        self.corrected = 0

    def take(self, field: Field, record: FieldRecord, edited: str | None) -> None:
        if record.score is None or record.made is None:
            self.failed[field.stem] = record.error or "it has no score"
            return
        suspect = (*record.made.get("suspect", ()), *([edited] if edited else ()))
        made = {**record.made, "suspect": suspect}
        self.rows.append(field_row(field, record.score, made, record.corrected))
        if record.objects is not None:
            told = bool(record.made.get("suspect")), record.score.objects
            self.found.append(FoundInField.of(field, record.objects, *told))
        if suspect:
            self.suspect[field.stem] = suspect
        self.scores[field.stem] = record.score
        self.corrected += record.corrected
        self.seconds.append((record.made["seconds"], record.seconds))
        self.places[record.host, record.made["device"]] += 1

    def benchmark(self, empty_as_one: bool) -> Benchmark:
        summary = summarise(list(self.scores.values()), empty_as_one)
        seconds, places = tuple(self.seconds), dict(self.places)
        told = empty_as_one, self.suspect, self.corrected
        return Benchmark(self.scores, summary, self.failed, seconds, places, *told)


def _write_failures(out: Path, failed: Mapping[str, str]) -> None:
    if failed:
        rows = [{"stem": stem, "error": error} for stem, error in failed.items()]
        write_table(out / "failed.csv", rows)


def _write_fields(out: Path, rows: Sequence[Record], parquet: bool) -> None:
    write_table(out / "fields.csv", rows)
    if parquet:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        write_parquet(out / "fields.parquet", columns)


def _write_summary(dataset: Dataset, plan: Plan, result: Benchmark, out: Path) -> None:
    summary = result.summary
    write_table(out / "summary.csv", summary_rows(summary))
    write_text(out / "summary.md", markdown_table(summary, dataset.name))
    write_text(out / "summary.tex", latex_table(summary, dataset.name))
    of = Scored(dataset.name, [plan], result.corrected, dataset.absent, list(result.failed))
    write_json(out / "summary.json", json_record(summary, of))

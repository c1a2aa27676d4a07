"""The report of a run over a dataset."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.images import read_labels
from napari_nucseg.core.knobs import describe_values
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.sources import Source
from napari_nucseg.runs.model_comparison import comparison_table
from napari_nucseg.runs.pictures import picture_verdicts
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.published import (
    Table,
    object_table,
    pixel_table,
    published_split,
    splits_of_bbbc039,
)
from napari_nucseg.runs.report_page import (
    WORST,
    Page,
    Pictured,
    Section,
    as_link,
    worst_fields,
    write_page,
)
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.results_folder import ResultsFolder
from napari_nucseg.runs.tables import counted
from napari_nucseg.segmenters.catalogue import caveat


@dataclass(frozen=True)
class ModelRun:
    """A model's run that is done: how it was set up, where it is, what was found."""

    setup: Setup
    folder: ResultsFolder
    result: Benchmark


def write_report(
    path: Path, dataset: Dataset, runs: Sequence[ModelRun], worst: int = WORST
) -> None:
    """Write the report of one model's run, or of several on the same fields.

    Parameters
    ----------
    path : Path
        The HTML file.
    dataset : Dataset
        That the models ran over.
    runs : sequence of ModelRun
        One a model, each under its own name.
    worst : int
        How many fields of each are pictured, those of the lowest mean AP.
    """
    results = {run.setup.model: run.result for run in runs}
    write_page(
        path,
        Page(
            dataset.name,
            len(dataset.fields),
            [_section(dataset, run, worst) for run in runs],
            len(dataset.absent),
            comparison_table(results) if len(runs) > 1 else (),
            shlex.join(_record_of(runs[-1])["sessions"][-1]["command"]),
            str(path.parent.absolute()),
        ),
    )


def _section(dataset: Dataset, run: ModelRun, worst: int) -> Section:
    """Gather what is said of one model."""
    setup, result, record = run.setup, run.result, _record_of(run)
    split = published_split(dataset)
    fields = {field.stem: field for field in dataset.fields}
    return Section(
        setup.model,
        result.scores,
        result.summary,
        setup.rule,
        worst=[
            Pictured(fields[stem].name, result.scores[stem], _picture(fields[stem], run))
            for stem in worst_fields(result.scores, worst)
        ],
        made=[_pace(result), f"{'; '.join(describe_values(SegmentParams, asdict(setup.params)))}."],
        details=[
            *(f"{name}: sha256 {sha}" for name, sha in record["plan"]["weights_sha256"].items()),
            *map(_describe_session, record["sessions"]),
            "Every field's labels, scores and checksums are in the folder of the results.",
        ],
        failed=result.failed,
        suspect={fields[stem].name: signs for stem, signs in result.suspect.items()},
        published=list(_published(setup.model, result, split)),
        caveat=caveat(setup.model, splits_of_bbbc039(dataset)),
    )


def _pace(result: Benchmark) -> str:
    places = ", ".join(
        f"{device} of {host} ({counted(count, 'field')})"
        for (host, device), count in result.places.items()
    )
    return (
        f"{result.seconds_per_field:.2f} s a field for network and post-processing, "
        f"{result.whole_seconds_per_field:.2f} s with reading, scoring and writing, on {places}."
    )


def _describe_session(session: Mapping[str, Any]) -> str:
    machine = session["machine"]
    until = f" to {session['ended']}" if session["ended"] else ", interrupted"
    return (
        f"{session['started']}{until}: {machine['host']}, {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
        f"Python {machine['python']}"
    )


def _published(model: str, result: Benchmark, split: str | None) -> Iterator[Table]:
    if split is not None:
        tables = (
            pixel_table(model, result.summary, split),
            object_table(model, list(result.scores.values()), split),
        )
        yield from filter(None, tables)


def _picture(field: Field, run: ModelRun) -> str:
    labels = read_labels(Source(run.folder.labels_file(field.stem)))
    rule = run.setup.rule
    return as_link(
        picture_verdicts(
            field.read_image().data, field.read_truth(), labels, rule.threshold, rule.preset.strict
        )
    )


def _record_of(run: ModelRun) -> Mapping[str, Any]:
    record = run.folder.read_run()
    assert record is not None
    return record

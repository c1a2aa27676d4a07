"""The report of a run over a dataset, of one model or of several side by side."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_nucseg.analysis.drawing import picture_verdicts
from napari_nucseg.analysis.score_records import Record, defined, spread_record
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.batch.run_setup import PreparedRun
from napari_nucseg.batch.tables import Benchmark
from napari_nucseg.batch.wells import read_wells
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.metrics.ignoring import leave_out
from napari_nucseg.metrics.registry import GROUPS, metrics, shown_in
from napari_nucseg.metrics.summary import Summary, summarise
from napari_nucseg.parameter_spec import describe_values
from napari_nucseg.report.page import (
    WORST,
    Page,
    Pictured,
    Section,
    as_link,
    worst_fields,
    write_page,
)
from napari_nucseg.report.published import (
    Rows,
    object_table,
    pixel_table,
    published_split,
    splits_of_bbbc039,
)
from napari_nucseg.report.text import as_spread
from napari_nucseg.segmenters.catalogue import caveat, ignored_by, terms
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.wording import as_number, counted


def comparison_table(results: Mapping[str, Benchmark]) -> list[tuple[str, ...]]:
    """Return a column a model: mean and range of the fields that all have done; the header first.

    If they have none in common, each column is of the model's own fields, and the header says so.
    """
    rows: list[tuple[str, ...]] = [(_heading(results), *results)]
    summaries = _summaries(results).values()
    for metric in shown_in("models"):
        cells = [as_spread(summary.spread[metric.key]) for summary in summaries]
        rows.append((f"{GROUPS[metric.group]}: {metric.heading}", *cells))
    rows.append(
        ("Seconds a field", *(as_number(one.seconds_per_field) for one in results.values()))
    )
    return rows


def comparison_rows(results: Mapping[str, Benchmark]) -> list[Record]:
    """Return a row for every model and score, of the same fields as the table, without times."""
    return [
        {
            "model": model,
            "group": metric.group,
            "score": metric.name,
            "pooled": defined(metric.compute(summary.pooled)),
            **spread_record(summary.spread[metric.key]),
        }
        for model, summary in _summaries(results).items()
        for metric in metrics()
    ]


def _summaries(results: Mapping[str, Benchmark]) -> dict[str, Summary]:
    """Sum up each model over the fields that all have done, so that like stands beside like."""
    common = _common(results)
    return {
        model: result.summary
        if len(common) in (0, len(result.scores))
        else summarise([result.scores[stem] for stem in common], result.empty_as_one)
        for model, result in results.items()
    }


def _heading(results: Mapping[str, Benchmark]) -> str:
    """Say what the means are of."""
    common = _common(results)
    if not common:
        return "Mean of each model's own fields (range); no field was done by all models"
    if any(len(result.scores) > len(common) for result in results.values()):
        return f"Mean of the {counted(len(common), 'field')} that all models have done (range)"
    return "Mean of fields (range)"


def _common(results: Mapping[str, Benchmark]) -> list[str]:
    """List the fields that no model failed at."""
    first, *others = (result.scores for result in results.values())
    return [stem for stem in first if all(stem in scores for scores in others)]


def write_report(
    path: Path, runs: Sequence[PreparedRun], results: Sequence[Benchmark], worst: int = WORST
) -> None:
    """Write the report of one model's run, or of several on the same fields.

    Parameters
    ----------
    path : Path
        The HTML file to write.
    runs : sequence of PreparedRun
        One a model, each under its own name.
    results : sequence of Benchmark
        What each of them found.
    worst : int
        Number of fields of each model that are pictured, those with the lowest mean AP.
    """
    dataset, pairs = runs[0].dataset, list(zip(runs, results, strict=True))
    models = ", ".join(run.setup.model for run in runs)
    write_page(
        path,
        Page(
            f"{models} on {dataset.name}",
            len(dataset.fields),
            [_section(run, result, worst) for run, result in pairs],
            len(dataset.absent),
            comparison_table({run.setup.model: result for run, result in pairs})
            if len(runs) > 1
            else (),
            shlex.join(_record_of(runs[-1])["sessions"][-1]["command"]),
            str(path.parent.absolute()),
        ),
    )


def _section(run: PreparedRun, result: Benchmark, worst: int) -> Section:
    """Gather what is said of one model."""
    dataset, setup, record = run.dataset, run.setup, _record_of(run)
    split = published_split(dataset)
    values = describe_values(SegmentParams, asdict(setup.params), ignored_by(setup.model))
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
        made=[_pace(result), f"{'; '.join(values)}.", *_licence(setup.model)],
        details=[
            *(f"{name}: sha256 {sha}" for name, sha in record["plan"]["weights_sha256"].items()),
            *describe_sessions(run.folder),
            "Every field's labels, scores and checksums are in the folder of the results.",
        ],
        failed=result.failed,
        suspect={fields[stem].name: signs for stem, signs in result.suspect.items()},
        published=list(_published(setup.model, result, split)),
        names={stem: field.name for stem, field in fields.items()},
        caveat=caveat(setup.model, splits_of_bbbc039(dataset)),
        wells=read_wells(run.folder.path),
    )


def _licence(model: str) -> list[str]:
    """Say the terms of a model, as far as they are known."""
    known = terms(model)
    return [f"Licence of the model: {known}."] if known else []


def _pace(result: Benchmark) -> str:
    places = ", ".join(
        f"{device} of {host} ({counted(count, 'field')})"
        for (host, device), count in result.places.items()
    )
    return (
        f"{result.seconds_per_field:.2f} s a field for segmentation, "
        f"{result.whole_seconds_per_field:.2f} s with reading, scoring and writing, on {places}."
    )


def describe_sessions(folder: ResultsFolder) -> list[str]:
    """Say when, and on which machines, a run was at work."""
    run = folder.read_run()
    return [] if run is None else [_describe_session(session) for session in run["sessions"]]


def _describe_session(session: Mapping[str, Any]) -> str:
    machine = session["machine"]
    until = f" to {session['ended']}" if session["ended"] else ", interrupted"
    return (
        f"{session['started']}{until}: {machine['host']}, {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
        f"Python {machine['python']}"
    )


def _published(model: str, result: Benchmark, split: str | None) -> Iterator[Rows]:
    if split is not None:
        tables = (
            pixel_table(model, result.summary, split),
            object_table(model, list(result.scores.values()), split),
        )
        yield from filter(None, tables)


def _picture(field: Field, run: PreparedRun) -> str:
    labels = read_labels(Source(run.folder.labels_file(field.stem)))
    rule, truth = run.setup.rule, field.read_truth()
    if rule.ignored is not None:
        kept = leave_out(truth, labels, rule.ignored)
        truth, labels = kept.truth, kept.predicted
    return as_link(
        picture_verdicts(field.read_image().data, truth, labels, rule.threshold, rule.preset.strict)
    )


def _record_of(run: PreparedRun) -> Mapping[str, Any]:
    record = run.folder.read_run()
    assert record is not None
    return record

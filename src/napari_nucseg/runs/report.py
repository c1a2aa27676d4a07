"""The report of a run: one HTML file that needs no network."""

from __future__ import annotations

import base64
import io
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.images import read_labels
from napari_nucseg.core.knobs import knobs
from napari_nucseg.core.palette import VERDICT_COLOURS
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.sources import Source
from napari_nucseg.runs.model_comparison import comparison_table
from napari_nucseg.runs.papers import summary_cells
from napari_nucseg.runs.pictures import picture_verdicts
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.published import Table, object_table, pixel_table, published_split
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.runs.results_folder import ResultsFolder
from napari_nucseg.runs.saving import write_text
from napari_nucseg.runs.tables import describe_verdicts
from napari_nucseg.segmenters.catalogue import caveat

WORST = 6
"""Fields that are pictured, if not asked for others."""


_ERRORS = [verdict for verdict in VERDICT_COLOURS if not verdict.is_match]


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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from napari_nucseg.runs.report_plots import plot_errors, plot_fields, plot_thresholds

    results = {run.setup.model: run.result for run in runs}
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    text = environment.get_template("report.html.jinja").render(
        dataset=dataset,
        comparison=comparison_table(results) if len(runs) > 1 else [],
        plots=[plot_fields(results), plot_thresholds(results), plot_errors(results)],
        models=[_section(dataset, run, worst) for run in runs],
        legend={verdict.word: colour for verdict, colour in VERDICT_COLOURS.items()},
        versions=_run_of(runs[-1])["plan"]["versions"],
        command=shlex.join(_run_of(runs[-1])["sessions"][-1]["command"]),
    )
    write_text(path, text)


def _section(dataset: Dataset, run: ModelRun, worst: int) -> dict[str, Any]:
    """Gather what is said of one model."""
    setup, result = run.setup, run.result
    record = _run_of(run)
    split = published_split(dataset)
    return {
        "name": setup.model,
        "scores": summary_cells(result.summary),
        "result": result,
        "verdicts": describe_verdicts(result.summary.pooled),
        "rule": setup.rule,
        "published": list(_published(setup.model, result, split)),
        "worst": list(_worst(dataset, run, worst)),
        "caveat": caveat(setup.model, {field.split for field in dataset.fields}),
        "parameters": _parameters(setup.params),
        "weights": record["plan"]["weights_sha256"],
        "sessions": record["sessions"],
        "seconds": (result.seconds_per_field, result.whole_seconds_per_field),
    }


def _published(model: str, result: Benchmark, split: str | None) -> Iterator[Table]:
    if split is not None:
        tables = (
            pixel_table(model, result.summary, split),
            object_table(model, list(result.scores.values()), split),
        )
        yield from filter(None, tables)


def _worst(dataset: Dataset, run: ModelRun, count: int) -> Iterator[dict[str, Any]]:
    """Picture the fields of the lowest mean AP, the worst first."""
    fields = {field.stem: field for field in dataset.fields}
    scores = {s: one for s, one in run.result.scores.items() if not math.isnan(one.mean_ap)}
    for stem in sorted(scores, key=lambda stem: scores[stem].mean_ap)[:count]:
        counts = asdict(scores[stem].verdicts)
        yield {
            "name": fields[stem].name,
            "stem": stem,
            "score": scores[stem],
            "counts": {v.word: counts[v.word] for v in _ERRORS if counts[v.word]},
            "picture": _picture(fields[stem], run),
        }


def _picture(field: Field, run: ModelRun) -> str:
    labels = read_labels(Source(run.folder.labels_file(field.stem)))
    rule = run.setup.rule
    picture = picture_verdicts(
        field.read_image().data, field.read_truth(), labels, rule.threshold, rule.preset.strict
    )
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=4)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _parameters(params: SegmentParams) -> dict[str, str]:
    values = asdict(params)
    return {
        knob.label: f"{values[name]:g} {knob.unit}".strip()
        if isinstance(values[name], int | float)
        else str(values[name])
        for name, knob in knobs(SegmentParams).items()
    }


def _run_of(run: ModelRun) -> Mapping[str, Any]:
    record = run.folder.read_run()
    assert record is not None
    return record

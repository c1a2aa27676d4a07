"""Summaries as tables for terminals, for papers in Markdown and LaTeX, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nucseg.metrics.registry import GROUPS
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import LEVEL, RESAMPLES, Spread, Summary
from napari_nucseg.wording import as_interval, as_number, counted, escaped

if TYPE_CHECKING:
    from rich.table import Table

_HEADER = ("", "Score", "Pooled", f"{LEVEL} %", "Mean of fields", f"{LEVEL} %", "Range")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "<": r"\textless{}", ">": r"\textgreater{}", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "µ": r"\textmu{}",
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """What was scored, as files of scores tell it.

    Attributes
    ----------
    dataset : str
        Name of the fields, or of their ground truth.
    made : sequence of mapping
        How labels were made: a plan that holds for all, or the provenance of each field's.
    corrected_by_hand : int
        Number of nuclei, on both sides, that were edited before they were scored.
    absent, failed : sequence of str
        Stems of the fields that have no image, and of those that are in no score.
    """

    dataset: str
    made: Sequence[Mapping[str, Any]] = ()
    corrected_by_hand: int = 0
    absent: Sequence[str] = ()
    failed: Sequence[str] = ()


def json_record(summary: Summary, of: Scored) -> dict[str, Any]:
    """Return what a JSON file of scores holds, whoever writes it.

    Parameters
    ----------
    summary : Summary
        Pooled scores and spread over the fields.
    of : Scored
        What was scored.
    """
    from napari_nucseg.analysis.score_records import summary_record  # not as a panel opens

    return {
        "dataset": of.dataset,
        "absent_fields": list(of.absent),
        "failed_fields": list(of.failed),
        **summary_record(summary, of.corrected_by_hand),
        "segmentation": _segmentation(of.made),
    }


def _segmentation(made: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Say how all labels were made; None where that is not known, or not the same for all."""
    first, *others = map(_model_record, made or [{}])
    return first if first["model"] and all(one == first for one in others) else None


def _model_record(made: Mapping[str, Any]) -> dict[str, Any]:
    sha256 = made.get("weights_sha256")  # a plan names all files, a provenance the one that ran
    if isinstance(sha256, str):
        sha256 = {made.get("weights", ""): sha256} if sha256 else {}
    return {
        "model": made.get("model"),
        "weights_sha256": sha256 or {},
        "parameters": dict(made.get("parameters", {})),
        "versions": dict(made.get("versions", {})),
    }


def as_spread(spread: Spread) -> str:
    """Mean and range of fields."""
    if spread.count == 0:
        return "empty"
    return f"{spread.mean:.3f} ({spread.low:.3f}-{spread.high:.3f})"


def as_signed(count: int) -> str:
    """Write a count with its sign; 0 has none."""
    return f"{count:+d}" if count else "0"


def score_table(score: Score) -> Table:
    """Table of one score."""
    table = _table("Score")
    for metric in score.metrics:
        value = as_number(metric.compute(score))
        table.add_row(GROUPS[metric.group], metric.heading, value)
    table.caption = describe_verdicts(score)
    return table


def summary_table(summary: Summary) -> Table:
    """Table of many fields: pooled, mean and range."""
    table = _table("Pooled", "Mean of fields (range)", f"{LEVEL} % of the mean")
    for metric in summary.pooled.metrics:
        spread = summary.spread[metric.key]
        table.add_row(
            GROUPS[metric.group],
            metric.heading,
            as_number(metric.compute(summary.pooled)),
            as_spread(spread),
            as_interval(spread.interval),
        )
    table.caption = describe_verdicts(summary.pooled)
    return table


def describe_verdicts(score: Score) -> str:
    """Count the verdicts in a sentence."""
    v = score.verdicts
    return (
        f"{counted(v.matched, 'nucleus')} matched at IoU {score.threshold:g} ({v.loose} loosely), "
        f"{v.missed} missed, {v.merged} merged, {v.split} split, {v.off} off, {v.tangled} tangled; "
        f"{v.spurious} spurious; count error {as_signed(score.count_error)}"
        f"{_describe_ignored(score, '; ')}"
    )


def _describe_ignored(score: Score, before: str) -> str:
    """Say how many nuclei are counted and how many ignored; nothing where all are counted."""
    if score.ignored is None:
        return ""
    ignored, areas = score.ignored, score.areas
    nuclei = counted(areas.true + ignored.true, "nucleus")
    inside = [
        f", {n} in drawn regions" if n else ""
        for n in (ignored.true_in_region, ignored.predicted_in_region)
    ]
    return (
        f"{before}{areas.true} of {nuclei} counted, {ignored.true} ignored{inside[0]} (predicted: "
        f"{areas.predicted} of {areas.predicted + ignored.predicted} counted, "
        f"{ignored.predicted} ignored{inside[1]})"
    )


def _table(*columns: str) -> Table:
    from rich.table import Table  # not for the score panel, which has a table of its own

    table = Table("", "", caption_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def markdown_table(summary: Summary, name: str) -> str:
    """Draw a summary in Markdown.

    Parameters
    ----------
    summary : Summary
        Pooled scores and spread over the fields.
    name : str
        Name of what was scored, for the caption.
    """
    lines = [map(_markdown, line) for line in summary_cells(summary)]
    lines.insert(1, map(str, ("---", "---", *["---:"] * 5)))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_markdown(_caption(summary, name))}\n"


def latex_table(summary: Summary, name: str) -> str:
    r"""Draw a summary in LaTeX, for a document that uses the package booktabs.

    Parameters
    ----------
    summary : Summary
        Pooled scores and spread over the fields.
    name : str
        Name of what was scored, for the caption.
    """
    body = [rf"{' & '.join(map(_latex, line))} \\" for line in _rows(summary, "--")]
    lines = [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",  # as wide as an article's text
        rf"\caption{{{_latex(_caption(summary, name))}}}",
        r"\begin{tabular}{@{}llrrrrr@{}}",
        r"\toprule",
        rf"{' & '.join(map(_latex, _HEADER))} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def summary_cells(summary: Summary) -> list[tuple[str, ...]]:
    """Return the cells of the table, the header first."""
    return [_HEADER, *_rows(summary, "-")]


def _rows(summary: Summary, dash: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    before = ""
    for metric in summary.pooled.metrics:
        spread = summary.spread[metric.key]
        rows.append(
            (
                "" if metric.group == before else GROUPS[metric.group],
                metric.heading,
                as_number(metric.compute(summary.pooled)),
                as_interval(summary.intervals[metric.key], dash),
                as_number(spread.mean),
                as_interval(spread.interval, dash),
                as_interval((spread.low, spread.high), dash),
            )
        )
        before = metric.group
    return rows


def _caption(summary: Summary, name: str) -> str:
    preset, score = summary.pooled.preset, summary.pooled
    return (
        f"{name}: {counted(summary.fields, 'field')}, {summary.empty} of them without nuclei; hits "
        f"by {preset.hit} ({preset.title}), t = {score.threshold:g} where no other is named; SQ, "
        f"RQ and PQ at 0.5. {LEVEL} % intervals: bootstrap over fields, {RESAMPLES} draws. Count "
        f"error {as_signed(score.count_error)} in all, {summary.count_error.mean:.2f} a field."
        f"{_describe_ignored(score, ' ')}{'.' if score.ignored else ''}"
    )


def _markdown(text: str) -> str:
    return re.sub(r"([|\\`*_<>\[\]&])", r"\\\1", escaped(" ".join(text.split())))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in escaped(" ".join(text.split())))

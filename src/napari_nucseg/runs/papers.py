"""A summary as a table that is ready for a paper: Markdown and LaTeX."""

from __future__ import annotations

import re

from napari_nucseg.core.summaries import LEVEL, RESAMPLES, Summary
from napari_nucseg.runs.tables import GROUPS, as_interval, as_number, as_signed, title

_HEADER = ("", "Score", "Pooled", f"{LEVEL} %", "Mean of fields", f"{LEVEL} %", "Range")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "<": r"\textless{}", ">": r"\textgreater{}", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def markdown_table(summary: Summary, name: str) -> str:
    """Draw a summary in Markdown.

    Parameters
    ----------
    summary : Summary
        Of the fields.
    name : str
        What was scored, for the caption.
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
        Of the fields.
    name : str
        What was scored, for the caption.
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
    pooled = summary.pooled.ratios()
    rows: list[tuple[str, ...]] = []
    before = ""
    for (group, name), spread in summary.spread.items():
        rows.append(
            (
                "" if group == before else GROUPS[group],
                title(group, name),
                as_number(pooled[group][name]),
                as_interval(summary.intervals[group, name], dash),
                as_number(spread.mean),
                as_interval(spread.interval, dash),
                as_interval((spread.low, spread.high), dash),
            )
        )
        before = group
    return rows


def _caption(summary: Summary, name: str) -> str:
    preset, score = summary.pooled.preset, summary.pooled
    return (
        f"{name}: {summary.fields} fields, {summary.empty} of them without nuclei; hits by "
        f"{preset.hit} ({preset.title}), t = {score.threshold:g} where no other is named; SQ, RQ "
        f"and PQ at 0.5. {LEVEL} % intervals: bootstrap over fields, {RESAMPLES} draws. Count "
        f"error {as_signed(score.count_error)} in all, {summary.count_error.mean:.2f} a field."
    )


def _markdown(text: str) -> str:
    return re.sub(r"([|\\`*_<>\[\]&])", r"\\\1", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))

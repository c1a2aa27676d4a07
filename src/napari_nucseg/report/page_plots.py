"""Plots of a report: elements of a page whose dots say their names, and the same as files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.score_records import defined
from napari_nucseg.io.writers import csv_lines
from napari_nucseg.metrics.matching import AP_THRESHOLDS
from napari_nucseg.metrics.registry import Metric, shown_in
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Summary
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.report.plots import COLOURS, as_label
from napari_nucseg.wording import as_number, escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ERRORS = (Verdict.MISSED, Verdict.MERGED, Verdict.SPLIT, Verdict.OFF, Verdict.TANGLED)
_BESIDE = 0.16
_MOST_AS_SHAPES = 500
"""Fields whose dots are drawn as shapes; more are pixels."""
_DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Plot:
    """A plot as an element of a page, and as files that the page holds, too.

    Attributes
    ----------
    name : str
        Name of the files, without ending.
    svg : str
        The element.
    files : mapping
        Ending of a file, such as "csv", to an address that holds the file.
    """

    name: str
    svg: str
    files: Mapping[str, str]


class ScoredModel(Protocol):
    """A model with its scores."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def scores(self) -> Mapping[Any, Score]:
        """Score of each field."""
        ...

    @property
    def names(self) -> Mapping[Any, str]:
        """Name of each field for the screen."""
        ...

    @property
    def summary(self) -> Summary:
        """Summary of the scores."""
        ...


def plot_fields(sections: Sequence[ScoredModel]) -> Plot:
    """Draw a dot for every field and score, beside its mean, a colour a model.

    Above some hundred fields the dots are pixels, while axes and words stay shapes: an element a
    dot made 18 MB a model of a screen of 20,585 fields, which no browser shows with ease.
    """
    from matplotlib.patheffects import withStroke

    figure, axes = new_figure(7.6, 3.6)
    shown, titles = shown_in("plot"), dict[str, list[str]]()
    shift = _BESIDE * (len(sections) - 1) / 2
    for number, section in enumerate(sections):
        for place, metric in enumerate(shown):
            column = {key: metric.compute(score) for key, score in section.scores.items()}
            known = {key: value for key, value in column.items() if not math.isnan(value)}
            values = np.array(list(known.values()))
            middle = place - shift + number * _BESIDE
            # Beside one another by the golden ratio, so that a plot is the same each time
            at = middle + 0.1 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
            dots = axes.plot(at, values, ".", ms=4, alpha=0.45, color=_colour(number), zorder=2)
            dots[0].set_rasterized(len(values) > _MOST_AS_SHAPES)
            dots[0].set_gid(group := f"dots-{number}-{place}")
            titles[group] = _said_of(section, metric, known)
            axes.plot(
                [middle - 0.07, middle + 0.07],
                [values.mean()] * 2 if len(values) else [math.nan] * 2,
                color=_colour(number),
                lw=2,
                path_effects=[withStroke(linewidth=4, foreground="white")],
                label=as_label(section.name) if place == 0 else None,
                zorder=3,  # after all dots, so that these are one picture
            )
    axes.set_xticks(range(len(shown)), [metric.heading for metric in shown])
    axes.set_ylabel("Score of a field")
    axes.set_ylim(top=1.02)
    axes.legend(frameon=False, loc="lower left")
    return as_plot("scores of fields", figure, _rows_of_fields(sections, shown), titles)


def _said_of(section: ScoredModel, metric: Metric, values: Mapping[Any, float]) -> list[str]:
    return [
        f"{section.names.get(key, key)}: {metric.heading} {as_number(value)}"
        for key, value in values.items()
    ]


def _rows_of_fields(
    sections: Sequence[ScoredModel], shown: Sequence[Metric]
) -> Iterator[tuple[Any, ...]]:
    """Yield the scores of each field as numbers, the header first; None where one is undefined."""
    yield ("model", "field", *(f"{metric.group}_{metric.name}" for metric in shown))
    for section in sections:
        for key, score in section.scores.items():
            values = (defined(metric.compute(score)) for metric in shown)
            yield (section.name, section.names.get(key, key), *values)


def plot_thresholds(sections: Sequence[ScoredModel]) -> Plot:
    """Draw the mean AP of fields against the IoU threshold, a line a model."""
    figure, axes = new_figure(3.7, 3.2)
    rows: list[tuple[Any, ...]] = [("model", "iou_threshold", "mean_ap")]
    for number, section in enumerate(sections):
        means = _mean_aps(list(section.scores.values()))
        known = zip(AP_THRESHOLDS, map(defined, means), strict=True)
        rows += [(section.name, *row) for row in known]
        axes.plot(
            AP_THRESHOLDS,
            means,
            "o-",
            ms=4,
            color=_colour(number),
            label=as_label(section.name),
        )
    axes.set_xlabel("IoU threshold")
    axes.set_ylabel("AP, mean of fields")
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, loc="lower left")
    return as_plot("AP by threshold", figure, rows)


def plot_errors(sections: Sequence[ScoredModel]) -> Plot:
    """Draw how many nuclei got each verdict but matched, a bar a model."""
    figure, axes = new_figure(3.7, 3.2)
    rows: list[tuple[Any, ...]] = [("model", "verdict", "nuclei")]
    kinds = [*_ERRORS, Verdict.SPURIOUS]
    colours = [VERDICT_COLOURS[kind] for kind in kinds]
    height = 0.8 / len(sections)
    for number, section in enumerate(sections):
        counts = asdict(section.summary.pooled.verdicts)
        rows += [(section.name, kind.word, counts[kind.word]) for kind in kinds]
        bars = axes.barh(
            np.arange(len(kinds)) + height * (number - (len(sections) - 1) / 2),
            [counts[kind.word] for kind in kinds],
            height=height * 0.9,
            color=colours if len(sections) == 1 else _colour(number),
            label=as_label(section.name),
        )
        axes.bar_label(bars, padding=2, fontsize=8)
    axes.set_yticks(range(len(kinds)), [kind.word for kind in kinds])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("Nuclei")
    axes.set_xlim(0, max(1, axes.get_xlim()[1]))
    axes.locator_params(axis="x", integer=True)
    if len(sections) > 1:
        axes.legend(frameon=False, loc="lower right")
    return as_plot("errors by verdict", figure, rows)


def _mean_aps(scores: Sequence[Score]) -> list[float]:
    """Return the mean of fields at each of `AP_THRESHOLDS`, leaving out undefined ones."""
    table = np.array([[counts.ap for counts in score.by_threshold] for score in scores])
    defined = table[~np.isnan(table).any(axis=1)]
    return defined.mean(axis=0).tolist() if len(defined) else [math.nan] * len(AP_THRESHOLDS)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis="y")
    return figure, axes


def as_plot(
    name: str,
    figure: Figure,
    rows: Iterable[Sequence[Any]],
    titles: Mapping[str, Sequence[str]] | None = None,
) -> Plot:
    """Make a figure part of a page, and files of it.

    Parameters
    ----------
    name : str
        Name of the files, without ending.
    figure : Figure
        What is drawn.
    rows : iterable of sequence
        What is drawn as numbers, the header first.
    titles : mapping, optional
        Id of a line of dots to what is said of each dot under the pointer.
    """
    picture, drawing = io.BytesIO(), io.StringIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
    figure.savefig(drawing, format="svg", dpi=_DOTS_PER_INCH, metadata={"Date": None})
    text = drawing.getvalue()
    files = {
        "svg": _address("image/svg+xml", text.encode()),
        "png": _address("image/png", picture.getvalue()),
        "csv": _address("text/csv", csv_lines(rows)),
    }
    element = text[text.index("<svg") :]  # without what is for a file of its own
    for group, said in (titles or {}).items():
        element = _say_titles(element, group, said)
    return Plot(name, element, files)


def _say_titles(svg: str, group: str, titles: Sequence[str]) -> str:
    """Give each dot of a group its title; none where they are drawn as pixels."""
    before, found, after = svg.partition(f'id="{group}"')
    inside, end, rest = after.partition("</g>\n   </g>")
    dots = inside.split("<use ")
    if not found or len(dots) != len(titles) + 1:
        return svg
    told = [
        dot.replace("/>", f"><title>{escape(escaped(title))}</title></use>", 1)
        for dot, title in zip(dots[1:], titles, strict=True)
    ]
    return before + found + "<use ".join([dots[0], *told]) + end + rest


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]

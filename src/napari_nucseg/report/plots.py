"""Plots: of a report, as SVG that stands within a page, and of a comparison, drawn into axes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.objects import Objects
from napari_nucseg.analysis.threshold_curves import Curve, FieldStrip
from napari_nucseg.metrics.presets import AP_THRESHOLDS
from napari_nucseg.metrics.registry import shown_in
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.summary import Summary
from napari_nucseg.metrics.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of the models, in their order (Okabe and Ito, 2008)."""
_ERRORS = (Verdict.MISSED, Verdict.MERGED, Verdict.SPLIT, Verdict.OFF, Verdict.TANGLED)
_BESIDE = 0.16
_MOST_AS_SHAPES = 500
"""Fields whose dots are drawn as shapes; more are pixels."""
_DOTS_PER_INCH = 200
_AP_COLOUR, _F1_COLOUR = "#E69F00", "#56B4E9"
_TRUE_COLOUR, _PREDICTED_COLOUR = "#009E73", "#CC79A7"
_BINS = 40


class Scored(Protocol):
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
    def summary(self) -> Summary:
        """Summary of the scores."""
        ...


def plot_fields(sections: Sequence[Scored]) -> str:
    """Draw a dot for every field and score, beside its mean, a colour a model.

    Above some hundred fields the dots are pixels, while axes and words stay shapes: an element a
    dot made 18 MB a model of a screen of 20,585 fields, which no browser shows with ease.
    """
    from matplotlib.patheffects import withStroke

    figure, axes = _figure(7.6, 3.6)
    shown = shown_in("plot")
    shift = _BESIDE * (len(sections) - 1) / 2
    for number, section in enumerate(sections):
        for place, metric in enumerate(shown):
            column = [metric.compute(score) for score in section.scores.values()]
            values = np.array([value for value in column if not math.isnan(value)])
            middle = place - shift + number * _BESIDE
            # Beside one another by the golden ratio, so that a plot is the same each time
            at = middle + 0.1 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
            dots = axes.plot(at, values, ".", ms=4, alpha=0.45, color=_colour(number), zorder=2)
            dots[0].set_rasterized(len(values) > _MOST_AS_SHAPES)
            axes.plot(
                [middle - 0.07, middle + 0.07],
                [values.mean()] * 2 if len(values) else [math.nan] * 2,
                color=_colour(number),
                lw=2,
                path_effects=[withStroke(linewidth=4, foreground="white")],
                label=section.name if place == 0 else None,
                zorder=3,  # after all dots, so that these are one picture
            )
    axes.set_xticks(range(len(shown)), [metric.heading for metric in shown])
    axes.set_ylabel("Score of a field")
    axes.set_ylim(top=1.02)
    axes.legend(frameon=False, loc="lower left")
    return _as_svg(figure)


def plot_thresholds(sections: Sequence[Scored]) -> str:
    """Draw the mean AP of fields against the IoU threshold, a line a model."""
    figure, axes = _figure(3.7, 3.2)
    for number, section in enumerate(sections):
        axes.plot(
            AP_THRESHOLDS,
            _mean_aps(list(section.scores.values())),
            "o-",
            ms=4,
            color=_colour(number),
            label=section.name,
        )
    axes.set_xlabel("IoU threshold")
    axes.set_ylabel("AP, mean of fields")
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, loc="lower left")
    return _as_svg(figure)


def plot_errors(sections: Sequence[Scored]) -> str:
    """Draw how many nuclei got each verdict but matched, a bar a model."""
    figure, axes = _figure(3.7, 3.2)
    kinds = [*_ERRORS, Verdict.SPURIOUS]
    colours = [VERDICT_COLOURS[kind] for kind in kinds]
    height = 0.8 / len(sections)
    for number, section in enumerate(sections):
        counts = asdict(section.summary.pooled.verdicts)
        bars = axes.barh(
            np.arange(len(kinds)) + height * (number - (len(sections) - 1) / 2),
            [counts[kind.word] for kind in kinds],
            height=height * 0.9,
            color=colours if len(sections) == 1 else _colour(number),
            label=section.name,
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
    return _as_svg(figure)


def _mean_aps(scores: Sequence[Score]) -> list[float]:
    """Return the mean of fields at each of `AP_THRESHOLDS`, leaving out undefined ones."""
    table = np.array([[counts.ap for counts in score.by_threshold] for score in scores])
    defined = table[~np.isnan(table).any(axis=1)]
    return defined.mean(axis=0).tolist() if len(defined) else [math.nan] * len(AP_THRESHOLDS)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis="y")
    return figure, axes


def _as_svg(figure: Figure) -> str:
    """Return a figure as an element of a page, without what is for a file of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=_DOTS_PER_INCH, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True)
class Theme:
    """Colours of a plot.

    Attributes
    ----------
    back, text, faint : str
        Background, lines and words, and what stands behind.
    """

    back: str = "#ffffff"
    text: str = "#000000"
    faint: str = "#808080"


def dress(axes: Axes, theme: Theme) -> None:
    """Give axes the colours of a theme."""
    axes.set_facecolor(theme.back)
    axes.figure.set_facecolor(theme.back)
    axes.tick_params(which="both", colors=theme.text, labelsize=8)
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(theme.text)
        part.set_fontsize(9)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_frame().set_alpha(0)
        for text in legend.get_texts():
            text.set_color(theme.text)
            text.set_fontsize(8)


def say(axes: Axes, text: str, theme: Theme) -> None:
    """Say why there is nothing to draw."""
    axes.text(0.5, 0.5, text, color=theme.text, fontsize=9, ha="center", transform=axes.transAxes)


def draw_curves(
    axes: Axes, field: Curve | None, pooled: Curve | None, threshold: float, theme: Theme
) -> None:
    """Draw AP and F1 against the threshold, and mark the current one."""
    for curve, style, suffix in ((field, "-", ""), (pooled, "--", ", all fields")):
        if curve is None:
            continue
        axes.plot(curve.thresholds, curve.f1, style, color=_F1_COLOUR, label=f"F1{suffix}")
        axes.plot(curve.thresholds, curve.ap, style, color=_AP_COLOUR, label=f"AP{suffix}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="IoU threshold", ylabel="score (0 to 1)")
    if axes.get_lines():
        axes.legend(loc="lower left")
    else:
        say(axes, "The field shown is not in the prediction yet.", theme)
    axes.axvline(threshold, color=theme.text, linewidth=1.5)


def draw_ious(axes: Axes, objects: Objects, rows: NDArray[np.intp], theme: Theme) -> None:
    """Draw a dot an object: IoU against area, in the colour of its verdict."""
    if not len(rows):
        say(axes, "There are no nuclei here, or all are hidden.", theme)
        return
    codes = objects.code[rows]
    for verdict in Verdict:
        mine = rows[codes == verdict]
        if len(mine):
            axes.scatter(
                objects.area[mine],
                objects.iou[mine],
                s=14,
                color=VERDICT_COLOURS[verdict],
                edgecolors=theme.text,
                linewidths=0.4,
                label=verdict.word,
            )
    axes.set_xscale("log")
    axes.set(ylim=(-0.04, 1.04), xlabel="area (pixels)", ylabel="IoU (0 to 1)")


def draw_fields(
    axes: Axes, strip: FieldStrip, shown: int, names: Callable[[int], str], theme: Theme
) -> None:
    """Draw Dice and AP of each field, worst AP first, and mark the field shown."""
    from matplotlib.ticker import MaxNLocator

    order = field_order(strip)
    place = np.arange(1, len(order) + 1)
    axes.plot(place, strip.dice[order], "o", ms=4, color=_TRUE_COLOUR, label="Dice")
    axes.plot(place, strip.ap[order], "s", ms=4, color=_AP_COLOUR, label="AP")
    here = np.flatnonzero(strip.planes[order] == shown)
    if len(here):
        axes.axvline(float(here[0] + 1), color=theme.faint, linewidth=1, zorder=0)
        axes.set_title(f"Line: {names(shown)}, rank {here[0] + 1} of {len(order)}")
    axes.set(xlim=(0.5, len(order) + 0.5), ylim=(-0.04, 1.04))
    axes.set(xlabel="rank of the field (worst AP first)", ylabel="score (0 to 1)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")


def field_order(strip: FieldStrip) -> NDArray[np.intp]:
    """Return the fields in the order that they are drawn: the worst first, empty ones last."""
    return np.argsort(strip.ap, kind="stable")


def draw_areas(axes: Axes, true: Sequence[float], predicted: Sequence[float], theme: Theme) -> None:
    """Draw how the areas of true and predicted objects are distributed."""
    if not true and not predicted:
        say(axes, "There are no nuclei here.", theme)
        return
    largest = max([*true, *predicted, 2])
    least = max(min([*true, *predicted, largest]), 1)
    bins = np.geomspace(least, largest * 1.01, _BINS).tolist()
    for areas, colour, label in (
        (true, _TRUE_COLOUR, f"true ({len(true):,})"),
        (predicted, _PREDICTED_COLOUR, f"predicted ({len(predicted):,})"),
    ):
        axes.hist(areas, bins=bins, histtype="step", color=colour, linewidth=1.5, label=label)
    axes.set_xscale("log")
    axes.set(xlabel="area (pixels)", ylabel="number of nuclei")
    axes.legend(loc="upper left")

"""Plots drawn into axes, of a comparison and of measures of nuclei; and the scores they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.objects import Objects
from napari_nucseg.metrics.counts import ObjectCounts, PixelCounts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Overlap
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.wording import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of the models, in their order (Okabe and Ito, 2008)."""
_AP_COLOUR, _F1_COLOUR = "#E69F00", "#56B4E9"
_TRUE_COLOUR, _PREDICTED_COLOUR = "#009E73", "#CC79A7"
_BINS = 40
CURVE_THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
"""IoU thresholds of the curves: 0.05, 0.10 ... 0.95."""
AREA, COUNT, INTENSITY = "Area", "Nuclei in a field", "Mean intensity"
"""What is drawn of measures, by its name for the screen."""


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


@dataclass(frozen=True)
class Curve:
    """Scores by IoU threshold.

    Attributes
    ----------
    thresholds, ap, f1 : ndarray of float64, shape (k,)
        IoU thresholds, and AP and F1 of the objects at each; NaN where there is no object.
    """

    thresholds: NDArray[np.float64]
    ap: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True)
class FieldStrip:
    """Scores field by field.

    Attributes
    ----------
    planes : ndarray of intp, shape (k,)
        Number of each field in the stack.
    dice, ap : ndarray of float64, shape (k,)
        Dice of the pixels and AP of the objects at the threshold, for each field; NaN where there
        is no object.
    """

    planes: NDArray[np.intp]
    dice: NDArray[np.float64]
    ap: NDArray[np.float64]


def score_curve(overlap: Overlap, *, strict: bool) -> Curve:
    """Score at every threshold; many fields are pooled by joining their overlaps first."""
    counts = [ObjectCounts.of(match(overlap, t, strict)) for t in CURVE_THRESHOLDS]
    return Curve(
        np.array(CURVE_THRESHOLDS),
        np.array([count.ap for count in counts]),
        np.array([count.f1 for count in counts]),
    )


def score_fields(overlaps: Mapping[int, Overlap], rule: ScoreRule) -> FieldStrip:
    """Score every field by itself."""
    matches = [match(o, rule.threshold, rule.preset.strict) for o in overlaps.values()]
    return FieldStrip(
        np.array(list(overlaps), dtype=np.intp),
        np.array([PixelCounts.of(overlap).dice for overlap in overlaps.values()]),
        np.array([ObjectCounts.of(matching).ap for matching in matches]),
    )


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


def as_label(name: str) -> str:
    r"""Write a name as matplotlib shows it: it takes what is between two $ for a formula.

    Examples
    --------
    >>> as_label("$a$.pt"), as_label("_a.pt")
    ('\\$a\\$.pt', ' _a.pt')
    """
    shown = escaped(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # or legends leave it out


def say(axes: Axes, text: str, theme: Theme) -> None:
    """Say why there is nothing to draw."""
    axes.text(0.5, 0.5, text, color=theme.text, fontsize=9, ha="center", transform=axes.transAxes)


def _scale_by_logarithm(axes: Axes) -> None:
    """Scale the x-axis by logarithms, with few plain numbers that do not run into one another."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = np.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1.5 else (1.0, 3.0) if decades < 3 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


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
    _scale_by_logarithm(axes)
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
        axes.set_title(f"Line: {as_label(names(shown))}, rank {here[0] + 1} of {len(order)}")
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
    _scale_by_logarithm(axes)
    axes.set(xlabel="area (pixels)", ylabel="number of nuclei")
    axes.legend(loc="upper left")


def draw_measure(
    axes: Axes, values: Mapping[str, NDArray[np.float64]], label: str, theme: Theme
) -> None:
    """Draw how the values of a measure are distributed, a line a model.

    Parameters
    ----------
    axes : Axes
        Empty axes.
    values : mapping
        Name of a model to its values, one a nucleus or one a field.
    label : str
        What they are, with their unit.
    theme : Theme
        Colours of the plot.
    """
    from matplotlib.ticker import MaxNLocator

    everything = np.concatenate(list(values.values()))
    if not len(everything):
        say(axes, "There are no nuclei here.", theme)
        return
    is_area = label.startswith(AREA)  # which differs by orders of magnitude
    scaled = np.log10(everything) if is_area else everything
    bins = np.histogram_bin_edges(scaled, "auto" if np.ptp(scaled) else 1)
    if len(bins) > _BINS:
        bins = np.linspace(bins[0], bins[-1], _BINS + 1)
    bins = 10**bins if is_area else bins
    for number, (name, mine) in enumerate(values.items()):
        colour, told = COLOURS[number % len(COLOURS)], f"{as_label(name)} ({len(mine):,})"
        axes.hist(mine, bins=bins.tolist(), histtype="step", color=colour, lw=1.5, label=told)
    axes.set(xlabel=label, ylabel="number of fields" if label == COUNT else "number of nuclei")
    if is_area:
        _scale_by_logarithm(axes)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(  # above the axes, where it covers no bar
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        ncols=2,
        frameon=False,
        fontsize=8,
    )

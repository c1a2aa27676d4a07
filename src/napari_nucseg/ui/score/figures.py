"""Plots of a comparison, drawn into axes of matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.comparison import Curve, FieldStrip
from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.objects import Objects
from napari_nucseg.metrics.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AP_COLOUR, F1_COLOUR = "#E69F00", "#56B4E9"
TRUE_COLOUR, PREDICTED_COLOUR = "#009E73", "#CC79A7"
_BINS = 40


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
        axes.plot(curve.thresholds, curve.f1, style, color=F1_COLOUR, label=f"F1{suffix}")
        axes.plot(curve.thresholds, curve.ap, style, color=AP_COLOUR, label=f"AP{suffix}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="IoU threshold t", ylabel="score")
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
    axes.set(ylim=(-0.04, 1.04), xlabel="area (px)", ylabel="IoU")


def draw_fields(
    axes: Axes, strip: FieldStrip, shown: int, names: Callable[[int], str], theme: Theme
) -> None:
    """Draw Dice and AP of each field, worst AP first, and mark the field shown."""
    from matplotlib.ticker import MaxNLocator

    order = field_order(strip)
    place = np.arange(1, len(order) + 1)
    axes.plot(place, strip.dice[order], "o", ms=4, color=TRUE_COLOUR, label="Dice")
    axes.plot(place, strip.ap[order], "s", ms=4, color=AP_COLOUR, label="AP")
    here = np.flatnonzero(strip.planes[order] == shown)
    if len(here):
        axes.axvline(float(here[0] + 1), color=theme.faint, linewidth=1, zorder=0)
        axes.set_title(f"{names(shown)}: {here[0] + 1} of {len(order)}, worst AP first")
    axes.set(xlim=(0.5, len(order) + 0.5), ylim=(-0.04, 1.04), xlabel="field", ylabel="score")
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
        (true, TRUE_COLOUR, f"true ({len(true):,})"),
        (predicted, PREDICTED_COLOUR, f"predicted ({len(predicted):,})"),
    ):
        axes.hist(areas, bins=bins, histtype="step", color=colour, linewidth=1.5, label=label)
    axes.set_xscale("log")
    axes.set(xlabel="area (px)", ylabel="nuclei")
    axes.legend(loc="upper left")

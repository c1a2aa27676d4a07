"""What each plot of a comparison shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.io.writers import Columnlike
from napari_nucseg.metrics.overlap import Index, join_overlaps
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.report.plots import (
    CURVE_THRESHOLDS,
    Theme,
    draw_areas,
    draw_curves,
    draw_fields,
    draw_ious,
    dress,
    field_order,
    score_curve,
    score_fields,
)
from napari_nucseg.ui.score.model import Comparison

CURVES, IOUS, FIELDS, AREAS = "AP and F1 by threshold", "IoU by area", "Fields", "Areas"


class Dots(NamedTuple):
    """Dots that can be pointed at.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Where each dot lies, in the units of the axes.
    targets : ndarray of intp, shape (n,)
        What each dot is: a row of the objects, or the number of a field.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    targets: Index


class Drawn(NamedTuple):
    """What a plot shows, to be pointed at and to be saved as a table.

    Attributes
    ----------
    kind : str
        Which plot it is.
    of : Comparison
        What it shows.
    points : Dots or None
        Dots, where each is a nucleus or a field.
    columns : mapping
        Name of each column of the table of what was drawn, and its values.
    """

    kind: str
    of: Comparison
    points: Dots | None
    columns: Mapping[str, Columnlike]


_Shown = tuple[Dots | None, Mapping[str, Columnlike]]
"""The dots and the columns of a plot."""


def _draw_curves(axes: Any, now: Comparison, theme: Theme) -> _Shown:
    strict = now.rule.preset.strict
    pair = now.pairs.get(now.plane)
    field = None if pair is None else score_curve(pair.counted_overlap, strict=strict)
    pooled = None
    if now.is_stack:
        joined = join_overlaps([pair.counted_overlap for pair in now.pairs.values()])
        pooled = score_curve(joined, strict=strict)
    draw_curves(axes, field, pooled, now.rule.threshold, theme)
    columns: dict[str, Columnlike] = {"iou_threshold": np.array(CURVE_THRESHOLDS)}
    for curve, of in ((field, now.name_of(now.plane)), (pooled, "all fields")):
        if curve is not None:
            columns |= {f"f1 {of}": curve.f1, f"ap {of}": curve.ap}
    return None, columns


def _draw_ious(axes: Any, now: Comparison, theme: Theme) -> _Shown:
    objects = now.objects
    rows = np.flatnonzero(~np.isin(objects.code, [int(verdict) for verdict in now.hidden]))
    draw_ious(axes, objects, rows, theme)
    names = {plane: now.name_of(plane) for plane in now.pairs}
    columns: dict[str, Columnlike] = {
        "field": [names[plane] for plane in objects.plane[rows].tolist()],
        "side": ["true" if is_true else "predicted" for is_true in objects.is_true[rows]],
        "label": objects.label[rows],
        "verdict": [Verdict(int(code)).word for code in objects.code[rows]],
        "iou": objects.iou[rows],
        "area_px": objects.area[rows],
    }
    return Dots(objects.area[rows], objects.iou[rows], rows), columns


def _draw_fields(axes: Any, now: Comparison, theme: Theme) -> _Shown:
    overlaps = {plane: pair.counted_overlap for plane, pair in now.pairs.items()}
    strip = score_fields(overlaps, now.rule)
    draw_fields(axes, strip, now.plane, now.name_of, theme)
    order = field_order(strip)
    rank, planes = np.arange(1, len(order) + 1), strip.planes[order]
    columns: dict[str, Columnlike] = {
        "rank": rank,
        "field": [now.name_of(int(plane)) for plane in planes],
        "field_number": planes + 1,
        "ap": strip.ap[order],
        "dice": strip.dice[order],
    }
    return Dots(rank, strip.ap[order], planes), columns


def _draw_areas(axes: Any, now: Comparison, theme: Theme) -> _Shown:
    joined = join_overlaps([pair.counted_overlap for pair in now.pairs.values()])
    true, predicted = joined.truth_areas.tolist(), joined.predicted_areas.tolist()
    draw_areas(axes, true, predicted, theme)
    sides = ["true"] * len(true) + ["predicted"] * len(predicted)
    return None, {"side": sides, "area_px": true + predicted}


DRAW: dict[str, Callable[[Any, Comparison, Theme], _Shown]] = {
    CURVES: _draw_curves,
    IOUS: _draw_ious,
    FIELDS: _draw_fields,
    AREAS: _draw_areas,
}
"""Draws each plot into axes."""


def draw_figure(kind: str, now: Comparison, figure: Any, theme: Theme) -> Drawn:
    """Draw a plot into an empty figure of matplotlib; any thread may do so.

    Parameters
    ----------
    kind : str
        Which plot: a key of `DRAW`.
    now : Comparison
        What it shows; the figure is left empty before anything was compared.
    figure : Figure
        The figure, which no other thread draws meanwhile.
    theme : Theme
        Its colours.
    """
    if not now.is_there:
        return Drawn(kind, now, None, {})
    axes = figure.subplots()
    points, columns = DRAW[kind](axes, now, theme)
    dress(axes, theme)
    return Drawn(kind, now, points, columns)

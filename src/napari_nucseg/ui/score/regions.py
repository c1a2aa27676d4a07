"""Regions to ignore: fields are counted anew when they change, and files bring them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_nucseg.analysis.comparison import LocatedPair
from napari_nucseg.analysis.marks import Marks, unknown_regions
from napari_nucseg.metrics.ignoring import Regions
from napari_nucseg.ui.layer_fields import field_shape
from napari_nucseg.ui.score.controls import ScoreControls
from napari_nucseg.ui.score.model import ComparisonState
from napari_nucseg.ui.score.object_filters import IgnoreControls
from napari_nucseg.ui.score.unsaved_marks import watch_closing
from napari_nucseg.wording import counted

_MOST_AT_ONCE = 3
"""Fields that are counted anew while the window waits; more are in the background."""


def count_anew(
    state: ComparisonState,
    start: Callable[[], None],
    marks: Marks | None = None,
    regions: Regions | None = None,
) -> None:
    """Take marks or regions, and count the fields anew in which other nuclei are ignored then.

    Parameters
    ----------
    state : ComparisonState
        The comparison as it is now.
    start : callable
        Compares all fields in the background, which is asked for where many have to be read.
    marks, regions
        Other marks, other regions, or both.
    """
    now, pairs, read = state.now, dict[int, LocatedPair](), 0
    new = now if marks is None else replace(now, marks=marks)
    new = new if regions is None else replace(new, regions=regions)
    for plane in new.ignoring.differing(now.ignoring, now.pairs):
        pair, what = now.pairs[plane], new.ignored
        ignore, labels = what and what(plane, pair), None
        if ignore is not None and not ignore.is_nothing:
            read += 1
            if read > _MOST_AT_ONCE:
                break
            labels = state.copies.get(plane) or now.labels_now(plane)
        pairs[plane] = pair.ignoring(ignore, labels, outlines=True)
    if read > _MOST_AT_ONCE or not now.is_there:
        start()
    else:
        counted_anew = replace(new, pairs={**now.pairs, **pairs})
        state.take(counted_anew.classified(now.rule) if pairs else new)


def take_drawn(
    panel: QWidget, state: ComparisonState, controls: ScoreControls, start: Callable[[], None]
) -> None:
    """Take the regions that are drawn now, as `count_anew` does, and keep them from being lost."""
    labels = controls.prediction.value
    if labels is not None:
        watch_closing(panel, state)
        count_anew(state, start, regions=controls.ignore.regions_of(labels))


def draw_regions(
    regions: Regions, known: Regions, labels: Labels, ignore: IgnoreControls, name: str
) -> str:
    """Draw regions of a file that are not known yet in a new layer, and say what became of them.

    The shapes that a person has chosen stay chosen and as they are.

    Parameters
    ----------
    regions, known : Regions
        What is in the file, and what is ignored now.
    labels : Labels
        The labels in whose pixels regions are.
    ignore : IgnoreControls
        Adds the layer.
    name : str
        Name of the layer.
    """
    unknown = unknown_regions(regions, known)
    if not unknown:
        return ""
    stack = field_shape(labels)[:-2]
    shapes = [
        np.array([(*np.unravel_index(plane, stack), y, x) for y, x in polygon])
        for polygon, planes in unknown.items()
        for plane in planes
    ]
    told = counted(len(unknown), "region")
    if ignore.add_shapes(labels, name, shapes):
        return f"{told} to ignore drawn in {name}."
    return (
        f"{told} drawn in {name}, and not used: nuclei are ignored inside "
        f"{ignore.inside.current_choice}. Choose {name} there to use them."
    )

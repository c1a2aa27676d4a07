"""The demo: a drawn field segmented, scored and shown, in a window or without one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import napari
from rich.table import Table
from rich.text import Text

from napari_nucseg.analysis.drawing import (
    LINE_MEANINGS,
    VERDICT_COLOURS,
    VERDICT_MEANINGS,
    picture_verdicts,
    with_legend,
)
from napari_nucseg.batch.plan import Setup
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.io.writers import write_picture
from napari_nucseg.metrics.score import Score, score_with_boundaries
from napari_nucseg.progress import ignore
from napari_nucseg.ui.commands import show_errors_when_compared
from napari_nucseg.ui.score.panel import ScorePanel
from napari_nucseg.ui.segment.panel import SegmentPanel

PLUGIN = "napari-nucseg"
SEGMENT, SCORE = "Segment nuclei", "Score nuclei"


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run_headless(setup: Setup, out: Path) -> Score:
    """Segment and score the sample field, and write its overlay with a legend as PNG.

    Returns
    -------
    Score
        The scores of the field; the picture is in `out`.
    """
    field = draw_field()
    labels = setup.load()(field.image, setup.params, ignore).labels
    score = score_with_boundaries(field.labels, labels)
    picture = picture_verdicts(field.image, field.labels, labels)
    write_picture(out, with_legend(picture, score.verdicts))
    return score


def legend() -> Table:
    """Explain the colours and the lines of the overlay."""
    table = Table.grid(padding=(0, 1))
    for verdict, meaning in VERDICT_MEANINGS.items():
        table.add_row(Text(verdict.word, VERDICT_COLOURS[verdict]), meaning)
    table.add_row("lines", LINE_MEANINGS)
    return table


def run_window() -> None:
    """Open napari and go through the steps a user would; returns when the window is closed."""
    viewer = napari.Viewer(title="napari-nucseg demo")
    start_demo(viewer)
    napari.run()


def start_demo(viewer: napari.Viewer) -> tuple[SegmentPanel, ScorePanel]:
    """Open the sample and both panels, and press Segment; scores and overlay follow by themselves.

    Parameters
    ----------
    viewer : napari.Viewer
        An empty viewer.
    """
    viewer.open_sample(PLUGIN, "synthetic")
    _, segment = viewer.window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    _, score = viewer.window.add_plugin_dock_widget(PLUGIN, SCORE, tabify=True)
    show_errors_when_compared(score)

    def show_whole_field() -> None:
        score.compared.disconnect(show_whole_field)
        viewer.reset_view()

    score.compared.connect(show_whole_field)  # the panels have taken their places by then
    segment.start()
    return segment, score

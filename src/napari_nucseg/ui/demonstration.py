"""The demo in a window: the sample field segmented, scored and overlaid."""

from __future__ import annotations

import napari

from napari_nucseg.ui.commands import show_errors_when_compared
from napari_nucseg.ui.score.panel import ScorePanel
from napari_nucseg.ui.segment.panel import SegmentPanel

PLUGIN = "napari-nucseg"
SEGMENT, SCORE = "Segment nuclei", "Score nuclei"


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
    segment.start()
    return segment, score

"""The demo and the samples, as a user sees them in a real window."""

import numpy as np
from qtpy.QtWidgets import QDockWidget

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.cli.main import start_demo
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, PREDICTION, role_of


def roles(viewer):
    return [role_of(layer) for layer in viewer.layers]


def test_the_demo_ends_with_the_field_segmented_scored_and_overlaid(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)

    segment, score = start_demo(viewer)
    qtbot.waitUntil(lambda: ERRORS in roles(viewer), timeout=60_000)

    assert roles(viewer) == ["image", GROUND_TRUTH, PREDICTION, ERRORS]
    field = viewer.layers[0]
    shown = np.array(viewer.canvas.size) / viewer.scene.camera.zoom
    assert (shown >= np.multiply(field.data.shape, field.scale)).all(), "cut off by the canvas"
    assert "nuclei in" in segment.status.value
    assert "matched" in score.status.value
    picture = viewer.screenshot(canvas_only=False)
    for verdict in (Verdict.MATCHED, Verdict.MISSED):  # from the legend at least
        colour = [int(VERDICT_COLOURS[verdict][at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(picture[..., :3].astype(int) - colour).sum(axis=-1) < 12).any()
    qtbot.waitUntil(lambda: not (segment.running or score.running))


def test_everything_in_the_panels_can_be_seen(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)

    for panel in start_demo(viewer):
        panel.native.parent().raise_()
        qtbot.waitUntil(lambda panel=panel: not panel.running, timeout=60_000)
        qtbot.waitUntil(lambda panel=panel: panel.native.isVisible())
        area = panel.native.rect()
        for label in panel.native.findChildren(type(panel.status.native)):
            if label.text() and not label.visibleRegion().isEmpty():
                corner = label.mapTo(panel.native, label.rect().bottomRight())
                assert area.contains(corner), f"{label.text()} is cut off"


def test_the_synthetic_sample_opens_with_its_truth(viewer):
    viewer.open_sample("napari-nucseg", "synthetic")

    field = draw_field()
    assert np.array_equal(viewer.layers[0].data, field.image)
    assert np.array_equal(viewer.layers[1].data, field.labels)
    assert roles(viewer) == ["image", GROUND_TRUTH]


def test_a_second_panel_leaves_the_window_on_the_screen(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1280, 800)
    for name in ("Segment nuclei", "Score nuclei"):
        viewer.window.add_plugin_dock_widget("napari-nucseg", name)
    qtbot.waitUntil(lambda: any(map(window.tabifiedDockWidgets, window.findChildren(QDockWidget))))
    qtbot.waitUntil(lambda: window.height() <= window.screen().availableSize().height())

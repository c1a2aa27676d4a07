"""Plots in the panel: drawn when in sight, and where they are clicked is gone to."""

import numpy as np
import pytest

from napari_nucseg.metrics.score import score
from napari_nucseg.ui.score.panel import PLOTS
from napari_nucseg.ui.score.plots import AREAS, CURVES, FIELDS, IOUS, KINDS
from tests.ui.scored import add_stacks, open_panel, settled, spoil, turn_wheel


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields])


@pytest.fixture
def panel(qtbot, make_napari_viewer, truths):
    viewer = make_napari_viewer(show=True)
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(PLOTS)
    qtbot.waitUntil(lambda: panel.plots.canvas is not None)
    return panel


def axes_of(panel, kind: str):
    panel.plots.kind.setCurrentText(kind)
    panel.plots.canvas.draw()
    (axes,) = panel.plots.canvas.figure.axes
    return axes


def mouse(panel, name: str, axes, x: float, y: float) -> None:
    """Let the mouse do something at a place of the plot."""
    from matplotlib.backend_bases import MouseButton, MouseEvent

    place = axes.transData.transform((x, y))
    event = MouseEvent(name, panel.plots.canvas, *place, button=MouseButton.LEFT)
    panel.plots.canvas.callbacks.process(name, event)


def test_the_curves_are_the_scores_by_threshold(panel, truths):
    axes = axes_of(panel, CURVES)

    lines = {line.get_label(): line for line in axes.get_lines()}
    plane = panel.state.plane
    for threshold in (0.5, 0.9):
        at = np.isclose(lines["F1"].get_xdata(), threshold)
        fields = [
            score(truth, found, threshold)
            for truth, found in zip(truths, spoil(truths), strict=True)
        ]
        pooled = sum(fields[1:], start=fields[0]).objects
        assert lines["F1"].get_ydata()[at] == pytest.approx(fields[plane].objects.f1, nan_ok=True)
        assert lines["AP"].get_ydata()[at] == pytest.approx(fields[plane].objects.ap, nan_ok=True)
        assert lines["F1, all fields"].get_ydata()[at] == pytest.approx(pooled.f1)
        assert lines["AP, all fields"].get_ydata()[at] == pytest.approx(pooled.ap)


def test_dragging_the_line_changes_the_threshold(qtbot, panel):
    axes = axes_of(panel, CURVES)

    mouse(panel, "button_press_event", axes, 0.5, 0.5)
    mouse(panel, "motion_notify_event", axes, 0.81, 0.5)
    mouse(panel, "button_release_event", axes, 0.81, 0.5)
    mouse(panel, "motion_notify_event", axes, 0.3, 0.5)

    assert panel.threshold.value == pytest.approx(0.8)
    assert panel.state.rule.threshold == pytest.approx(0.8)
    settled(qtbot, panel)


def test_a_click_on_a_dot_goes_to_its_nucleus(panel):
    axes = axes_of(panel, IOUS)
    objects = panel.state.objects
    row = objects.find(1, 2, is_true=True)

    mouse(panel, "button_press_event", axes, objects.area[row], objects.iou[row])

    assert panel.state.plane == 1
    assert panel.state.truth.selected_label == 2
    assert "missed - true 2" in panel.status.value


def test_a_click_beside_all_dots_goes_nowhere(panel):
    axes = axes_of(panel, IOUS)
    before = panel.status.value

    mouse(panel, "button_press_event", axes, axes.get_xlim()[0], 0.5)

    assert panel.status.value == before


def test_a_click_where_all_dots_are_hidden_does_nothing(panel):
    for button in panel.legend.buttons.values():
        button.click()
    axes = axes_of(panel, IOUS)

    panel.plots.canvas.callbacks.exception_handler = None  # let errors out
    mouse(panel, "button_press_event", axes, 1, 0.5)


def test_a_click_on_a_field_goes_there(panel):
    axes = axes_of(panel, FIELDS)
    aps = [panel.state.score_of(plane).objects.ap for plane in (0, 1)]

    mouse(panel, "button_press_event", axes, 1.1, 0.5)
    assert panel.state.plane == int(np.argmin(aps))
    mouse(panel, "button_press_event", axes_of(panel, FIELDS), 2.1, 0.5)
    assert panel.state.plane == int(np.argmax(aps))


def test_the_areas_count_all_nuclei(panel, truths):
    axes = axes_of(panel, AREAS)

    nuclei = sum(len(np.unique(truth)) - 1 for truth in truths)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [f"true ({nuclei})", f"predicted ({nuclei - 2})"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_plot_is_saved(tmp_path, panel, kind, ending):
    axes_of(panel, kind)

    panel.plots.save_to(tmp_path / f"plot.{ending}")

    assert str(tmp_path / f"plot.{ending}") in panel.status.value
    head = (tmp_path / f"plot.{ending}").read_bytes()[:200]
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending] in head


def test_the_plot_has_the_themes_colours(qtbot, panel):
    viewer = panel.model.viewer
    colours = {}
    for theme in ("light", "dark"):
        viewer.theme = theme
        qtbot.waitUntil(lambda: not panel.plots._soon.isActive())
        colours[theme] = sum(panel.plots.canvas.figure.get_facecolor()[:3])

    assert colours["light"] > 2.5 > 0.8 > colours["dark"]


def test_without_a_comparison_the_plot_is_blank(qtbot, make_napari_viewer):
    panel = make_napari_viewer(show=True).window.add_plugin_dock_widget(
        "napari-nucseg", "Score nuclei"
    )[1]
    panel.tabs.setCurrentIndex(PLOTS)
    qtbot.waitUntil(lambda: panel.plots.canvas is not None)

    assert not panel.plots.canvas.figure.axes


def test_a_plot_without_anything_to_draw_says_so(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    blank = np.zeros((2, 20, 20), np.int32)
    add_stacks(viewer, blank, blank.copy())
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(PLOTS)
    qtbot.waitUntil(lambda: panel.plots.canvas is not None)

    for kind in (IOUS, AREAS):
        (text,) = axes_of(panel, kind).texts
        assert "There are no nuclei here" in text.get_text()


def test_the_wheel_changes_no_plot_that_has_no_focus(panel):
    turn_wheel(panel.plots.kind, -1)

    assert panel.plots.kind.currentText() == next(iter(KINDS))

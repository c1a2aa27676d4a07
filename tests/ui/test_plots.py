"""Plots in the panel: drawn when in sight, and where they are clicked is gone to."""

import csv
import sys

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QToolTip

from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.score.panel import PLOTS
from napari_nucseg.ui.score.plots import AREAS, CURVES, FIELDS, IOUS, PLOT_TIPS
from tests.ui.scored import add_stacks, axes_drawn, open_panel, settled, spoil, turn_wheel


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields])


@pytest.fixture
def panel(qtbot, make_napari_viewer, truths):
    viewer = make_napari_viewer(show=True)
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(PLOTS)
    axes_drawn(qtbot, panel.plots.view)
    return panel


def axes_of(qtbot, panel, kind: str):
    panel.plots.kind.setCurrentText(kind)
    axes = axes_drawn(qtbot, panel.plots.view)
    assert panel.plots.view.picture.figure.axes == [axes]
    return axes


def test_the_curves_are_the_scores_by_threshold(qtbot, panel, truths):
    axes = axes_of(qtbot, panel, CURVES)

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
    axes = axes_of(qtbot, panel, CURVES)

    draw_around(qtbot, panel, axes, [(0.5, 0.5), (0.81, 0.5)])
    qtbot.mouseMove(panel.plots.view, place_of(panel, axes, 0.3, 0.5))

    assert panel.threshold.value == pytest.approx(0.8)
    assert panel.state.rule.threshold == pytest.approx(0.8)
    settled(qtbot, panel)


def place_of(panel, axes, x: float, y: float) -> QPoint:
    """Where a place of the plot is seen in the widget."""
    across, up = axes.transData.transform((x, y))
    return QPoint(round(across), round(axes.figure.bbox.height - up))


def click(qtbot, panel, axes, x: float, y: float) -> None:
    place = place_of(panel, axes, x, y)
    qtbot.mouseClick(panel.plots.view, Qt.MouseButton.LeftButton, pos=place)


def draw_around(qtbot, panel, axes, corners: list[tuple[float, float]]) -> None:
    """Draw a line through places of the plot, with the mouse pressed."""
    view, places = panel.plots.view, [place_of(panel, axes, *corner) for corner in corners]
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places:
        qtbot.mouseMove(view, place)
        QApplication.processEvents()
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=places[-1])


def listed(panel) -> list[str]:
    model = panel.objects.model
    return [model.data(model.index(row, 0)) for row in range(model.rowCount())]


def test_a_click_on_a_dot_goes_to_its_nucleus(qtbot, panel):
    axes = axes_of(qtbot, panel, IOUS)
    objects = panel.state.objects
    row = objects.find(1, 2, is_true=True)

    click(qtbot, panel, axes, objects.area[row], objects.iou[row])

    assert panel.state.plane == 1
    assert panel.state.truth.selected_label == 2
    assert "missed - true 2" in panel.status.value


def test_a_line_around_dots_lists_their_nuclei_of_all_fields(qtbot, panel):
    axes = axes_of(qtbot, panel, IOUS)
    (left, right), this_field = axes.get_xlim(), panel.objects.filters.this_field
    left, right = left * 1.02, right / 1.02
    assert this_field.isChecked()

    corners = [(left, -0.03), (right, -0.03), (right, 0.2), (left, 0.2), (left, -0.03)]
    draw_around(qtbot, panel, axes, corners)

    assert listed(panel) == ["missed", "missed"]
    assert {
        int(plane) for plane in panel.objects.model.objects.plane[panel.objects.model.order]
    } == {0, 1}
    assert panel.status.value.startswith("2 nuclei are listed")
    panel.tabs.setCurrentWidget(panel.objects)
    assert panel.objects.filters.selected.isVisible()
    panel.buttons.next.native.click()
    panel.buttons.next.native.click()
    assert panel.state.objects.code[panel.objects.current] == Verdict.MISSED
    panel.objects.filters.selected.click()
    assert "matched" in listed(panel)
    assert not panel.objects.filters.selected.isVisible()


def test_a_line_around_nothing_lists_all_again(qtbot, panel):
    axes = axes_of(qtbot, panel, IOUS)
    left, right = axes.get_xlim()
    low = [(left * 1.02, -0.03), (right / 1.02, -0.03), (right / 1.02, 0.2), (left * 1.02, 0.2)]
    draw_around(qtbot, panel, axes, low)
    assert len(listed(panel)) == 2

    draw_around(qtbot, panel, axes_of(qtbot, panel, IOUS), [(x, y + 0.35) for x, y in low])

    assert len(listed(panel)) > 2
    assert panel.status.value == "No dot is within the line. The table lists all nuclei again."


def test_a_line_around_fields_lists_their_nuclei(qtbot, panel, truths):
    axes = axes_of(qtbot, panel, FIELDS)
    worst = int(np.argmin([panel.state.score_of(plane).objects.ap for plane in (0, 1)]))

    corners = [(0.6, 0), (1.4, 0), (1.4, 1.02), (0.6, 1.02)]
    draw_around(qtbot, panel, axes, corners)

    assert len(listed(panel)) == len(np.unique(truths[worst])) - 1


def test_the_pointer_over_a_dot_names_its_nucleus(qtbot, panel):
    axes = axes_of(qtbot, panel, IOUS)
    objects = panel.state.objects
    row = objects.find(1, 2, is_true=True)
    place = place_of(panel, axes, objects.area[row], objects.iou[row])

    qtbot.mouseMove(panel.plots.view, QPoint(1, 1))  # the first move only enters the widget
    qtbot.mouseMove(panel.plots.view, place)
    qtbot.waitUntil(lambda: QToolTip.text() != "")

    told = QToolTip.text()
    assert told == f"2: missed - true 2 - IoU 0.00 - area {objects.area[row]} px"
    qtbot.mouseMove(panel.plots.view, place_of(panel, axes, axes.get_xlim()[0] * 1.05, 0.5))
    qtbot.waitUntil(lambda: QToolTip.text() != told)


def test_the_pointer_over_a_field_names_it_and_tells_rank_from_number(qtbot, panel):
    axes = axes_of(qtbot, panel, FIELDS)
    aps = [panel.state.score_of(plane).objects.ap for plane in (0, 1)]
    best = int(np.argmax(aps))

    qtbot.mouseMove(panel.plots.view, QPoint(1, 1))
    qtbot.mouseMove(panel.plots.view, place_of(panel, axes, 2.0, 0.5))
    qtbot.waitUntil(lambda: QToolTip.text() != "")

    assert QToolTip.text() == f"{best + 1} (field {best + 1} of 3): AP {aps[best]:.3f}, rank 2"
    assert axes.get_xlabel() == "rank of the field (worst AP first)"


@pytest.mark.parametrize("kind", list(PLOT_TIPS))
def test_every_axis_has_a_title_with_its_unit(qtbot, panel, kind):
    axes = axes_of(qtbot, panel, kind)

    units = ("0 to 1", "pixels", "number", "rank", "threshold")
    for label in (axes.get_xlabel(), axes.get_ylabel()):
        assert any(unit in label for unit in units)


def test_the_numbers_of_a_plot_are_saved_as_csv(qtbot, tmp_path, panel):
    rows = {}
    for kind in PLOT_TIPS:
        axes_of(qtbot, panel, kind)
        panel.plots.save_to(tmp_path / f"{kind}.csv")
        settled(qtbot, panel)
        with (tmp_path / f"{kind}.csv").open(newline="") as file:
            rows[kind] = list(csv.DictReader(file))

    objects = panel.state.objects
    assert len(rows[IOUS]) == len(objects)
    word = Verdict(int(objects.code[0])).word
    first = {"field": "1", "side": "true", "label": "1", "verdict": word}
    assert first.items() <= rows[IOUS][0].items()
    assert float(rows[IOUS][0]["iou"]) == pytest.approx(objects.iou[0])
    assert [row["rank"] for row in rows[FIELDS]] == ["1", "2", "3"]
    assert sorted(row["field_number"] for row in rows[FIELDS]) == ["1", "2", "3"]
    assert {row["side"] for row in rows[AREAS]} == {"true", "predicted"}
    half = next(row for row in rows[CURVES] if float(row["iou_threshold"]) == 0.5)
    name = panel.state.name_of(panel.state.plane)
    assert float(half[f"f1 {name}"]) == pytest.approx(panel.state.score.objects.f1)


def test_a_click_beside_all_dots_goes_nowhere(qtbot, panel):
    axes = axes_of(qtbot, panel, IOUS)
    before = panel.status.value

    click(qtbot, panel, axes, axes.get_xlim()[0] * 1.02, 0.5)

    assert panel.status.value == before


def test_a_click_where_all_dots_are_hidden_does_nothing(qtbot, panel):
    for button in panel.legend.buttons.values():
        button.click()
    axes = axes_of(qtbot, panel, IOUS)

    click(qtbot, panel, axes, 1, 0.5)


def test_a_click_on_a_field_goes_there(qtbot, panel):
    axes = axes_of(qtbot, panel, FIELDS)
    aps = [panel.state.score_of(plane).objects.ap for plane in (0, 1)]

    click(qtbot, panel, axes, 1.1, 0.5)
    assert panel.state.plane == int(np.argmin(aps))
    click(qtbot, panel, axes_of(qtbot, panel, FIELDS), 2.1, 0.5)
    assert panel.state.plane == int(np.argmax(aps))


def test_the_areas_count_all_nuclei(qtbot, panel, truths):
    axes = axes_of(qtbot, panel, AREAS)

    nuclei = sum(len(np.unique(truth)) - 1 for truth in truths)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [f"true ({nuclei})", f"predicted ({nuclei - 2})"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize("kind", list(PLOT_TIPS))
def test_every_plot_is_saved(qtbot, tmp_path, panel, kind, ending):
    axes_of(qtbot, panel, kind)

    panel.plots.save_to(tmp_path / f"plot.{ending}")
    settled(qtbot, panel)

    head = (tmp_path / f"plot.{ending}").read_bytes()[:200]
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending] in head


def test_a_plot_is_saved_as_it_was_though_another_is_chosen(qtbot, tmp_path, panel):
    axes_of(qtbot, panel, IOUS)
    panel.plots.save_to(tmp_path / "plot.csv")
    axes_of(qtbot, panel, FIELDS)
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    assert (tmp_path / "plot.csv").read_text().startswith("field,side,label")
    assert panel.plots.view.picture.axes.get_xlabel().startswith("rank")


def test_the_plot_has_the_themes_colours(qtbot, panel):
    viewer = panel.model.viewer
    colours = {}
    for theme in ("light", "dark"):
        viewer.theme = theme
        axes_drawn(qtbot, panel.plots.view)
        colours[theme] = panel.plots.view.grab().toImage().pixelColor(2, 2).lightness()

    assert colours["light"] > 210 > 70 > colours["dark"]


def test_without_a_comparison_the_plot_is_blank(qtbot, make_napari_viewer):
    panel = make_napari_viewer(show=True).window.add_plugin_dock_widget(
        "napari-nucseg", "Score nuclei"
    )[1]
    panel.tabs.setCurrentIndex(PLOTS)
    assert axes_drawn(qtbot, panel.plots.view) is None


def test_a_plot_without_anything_to_draw_says_so(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    blank = np.zeros((2, 20, 20), np.int32)
    add_stacks(viewer, blank, blank.copy())
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(PLOTS)

    for kind in (IOUS, AREAS):
        (text,) = axes_of(qtbot, panel, kind).texts
        assert "There are no nuclei here" in text.get_text()


def test_the_wheel_changes_no_plot_that_has_no_focus(panel):
    turn_wheel(panel.plots.kind, -1)

    assert panel.plots.kind.currentText() == next(iter(PLOT_TIPS))


def test_plots_that_fail_to_load_say_why_and_are_tried_again(
    qtbot, make_napari_viewer, truths, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "matplotlib.figure", None)
        panel.tabs.setCurrentIndex(PLOTS)
        view = panel.plots.view
        qtbot.waitUntil(view.again.isVisible)
        assert "The plot cannot be drawn" in view.waiting.text()
        assert "matplotlib.figure" in view.waiting.text()
        assert "matplotlib.figure" in notification_manager.records[-1].message
        told = len(notification_manager.records)
        panel.threshold.value = 0.7  # asks for another plot, but not for another try
        settled(qtbot, panel)
        assert len(notification_manager.records) == told

    qtbot.mouseClick(view.again, Qt.MouseButton.LeftButton)
    axes_drawn(qtbot, view)

    assert not view.waiting.isVisible()
    assert not view.again.isVisible()
    assert axes_of(qtbot, panel, CURVES).get_lines()


def test_another_plot_is_drawn_though_the_one_before_failed(
    qtbot, make_napari_viewer, truths, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    add_stacks(viewer, truths, spoil(truths))
    panel = open_panel(qtbot, viewer)
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "matplotlib.figure", None)
        panel.tabs.setCurrentIndex(PLOTS)
        qtbot.waitUntil(panel.plots.view.again.isVisible)

    panel.plots.kind.setCurrentText(AREAS)
    axes_drawn(qtbot, panel.plots.view)

    assert not panel.plots.view.waiting.isVisible()

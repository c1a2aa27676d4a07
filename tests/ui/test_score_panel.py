"""Scoring in the viewer: two layers in, a table and overlays out."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.metrics.verdicts import Agreement, Verdict
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    GROUND_TRUTH,
    PREDICTION,
    LayerRecord,
    role_of,
    tag,
)
from napari_nucseg.ui.score.panel import ScorePanel
from tests.ui.scored import open_panel


@pytest.fixture
def truth(drawn_fields):
    return drawn_fields[0].labels


@pytest.fixture
def predicted(truth):
    """The truth, moved a little and without its first nucleus."""
    moved = np.roll(truth, 2, axis=0)
    moved[moved == 1] = 0
    return moved


@pytest.fixture
def layers(viewer, truth, predicted):
    """A prediction and its ground truth."""
    placed = {"scale": (0.645, 0.645)}
    return (
        viewer.add_labels(
            predicted, name="A01 fluo-nuclei", metadata=tag(LayerRecord(PREDICTION)), **placed
        ),
        viewer.add_labels(
            truth, name="A01 truth", metadata=tag(LayerRecord(GROUND_TRUTH)), **placed
        ),
    )


@pytest.fixture
def panel(qtbot, viewer):
    return viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]


def cell(panel: ScorePanel, title: str, column: int = 0, nth: int = 0) -> str:
    """Text of a table's cell by its row title; the pixels' rows come before the nuclei's."""
    table = panel.table
    titles = [table.verticalHeaderItem(row).text() for row in range(table.rowCount())]
    rows = [row for row, text in enumerate(titles) if text.partition(" at ")[0] == title]
    return table.item(rows[nth], column).text()


def settled(qtbot, panel: ScorePanel) -> None:
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)


def overlays(viewer, role):
    return [layer for layer in viewer.layers if role_of(layer) == role]


def test_the_truth_is_found_and_scored_by_itself(qtbot, layers, panel, truth, predicted):
    settled(qtbot, panel)

    expected = score(truth, predicted)
    assert (panel.prediction.value, panel.truth.value) == layers
    assert cell(panel, "Dice (= F1)") == f"{expected.pixels.dice:.3f}"
    assert cell(panel, "F1") == f"{expected.objects.f1:.3f}"
    assert cell(panel, "AP .50:.95") == f"{expected.mean_ap:.3f}"
    assert panel.table.isColumnHidden(2)


@pytest.mark.parametrize("is_open", [True, False], ids=["panel open", "panel opened later"])
def test_labels_of_ones_own_are_the_truth_of_what_was_made_here(
    qtbot, viewer, truth, predicted, is_open
):
    def open_panel():
        return viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]

    panel = open_panel() if is_open else None
    mine = viewer.add_labels(predicted, metadata=tag(LayerRecord(PREDICTION)))
    drawn = viewer.add_labels(truth, name="drawn")
    viewer.add_labels(truth[:50], name="of another size")
    panel = panel or open_panel()
    assert (panel.prediction.value, panel.truth.value) == (mine, drawn)
    settled(qtbot, panel)
    assert float(cell(panel, "F1")) == pytest.approx(score(truth, predicted).objects.f1, abs=1e-3)


def test_a_new_prediction_is_chosen_and_scored(qtbot, viewer, layers, panel, truth):
    perfect = viewer.add_labels(truth, name="perfect", metadata=tag(LayerRecord(PREDICTION)))

    settled(qtbot, panel)

    assert panel.prediction.value is perfect
    assert cell(panel, "F1") == "1.000"


def test_the_threshold_slider_changes_the_scores(qtbot, layers, panel, truth, predicted):
    settled(qtbot, panel)

    panel.threshold.value = 0.9
    settled(qtbot, panel)

    assert cell(panel, "F1") == f"{score(truth, predicted, 0.9).objects.f1:.3f}"


def test_the_legend_counts_the_verdicts(qtbot, layers, panel, truth, predicted):
    settled(qtbot, panel)

    counts = score(truth, predicted).verdicts
    assert f"missed {counts.missed}" in panel.legend.text(Verdict.MISSED)
    assert f"matched {counts.matched}" in panel.legend.text(Verdict.MATCHED)


def test_the_errors_are_outlined_in_one_layer(qtbot, viewer, layers, panel):
    settled(qtbot, panel)
    for _ in range(3):
        panel.buttons.errors.native.click()

    (errors,) = overlays(viewer, ERRORS)
    drawn = np.asarray(errors.data)
    assert set(np.unique(drawn)) <= {0, *(int(verdict) for verdict in Verdict)}
    assert (drawn == Verdict.MISSED).any()
    assert np.array_equal(errors.scale, layers[0].scale)
    assert not layers[0].visible


def test_the_outlines_follow_the_threshold(qtbot, viewer, layers, panel):
    settled(qtbot, panel)
    panel.buttons.errors.native.click()
    (errors,) = overlays(viewer, ERRORS)
    before = np.asarray(errors.data)

    panel.threshold.value = 0.95
    settled(qtbot, panel)

    assert not np.array_equal(np.asarray(errors.data), before)
    assert overlays(viewer, ERRORS) == [errors]


def test_the_pixels_are_coloured_by_agreement(qtbot, viewer, layers, panel, truth, predicted):
    settled(qtbot, panel)
    panel.buttons.agreement.native.click()

    drawn = np.asarray(overlays(viewer, AGREEMENT)[0].data)
    counts = score(truth, predicted).pixels
    assert (drawn == Agreement.TRUE_POSITIVE).sum() == counts.tp
    assert (drawn == Agreement.FALSE_NEGATIVE).sum() == counts.fn
    assert (drawn == Agreement.FALSE_POSITIVE).sum() == counts.fp


def test_overlays_are_not_offered_for_scoring(qtbot, viewer, layers, panel):
    settled(qtbot, panel)
    panel.buttons.errors.native.click()

    assert set(panel.prediction.choices) == {layers[0]}
    assert set(panel.truth.choices) == {None, *layers}


def test_layers_of_different_size_are_refused_in_words(qtbot, viewer, layers, panel):
    viewer.add_labels(np.ones((5, 5), int), name="small", metadata=tag(LayerRecord(PREDICTION)))
    panel.truth.value = layers[1]
    settled(qtbot, panel)

    assert "choose two layers of the same fields" in panel.status.value


def test_without_layers_the_panel_says_what_it_needs(panel):
    panel.score.native.click()

    assert "There is no prediction yet" in panel.status.value


def test_an_empty_field_reads_empty(qtbot, viewer, panel):
    blank = np.zeros((20, 20), int)
    viewer.add_labels(blank, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    viewer.add_labels(blank, name="prediction", metadata=tag(LayerRecord(PREDICTION)))
    settled(qtbot, panel)

    assert cell(panel, "F1") == "empty"
    assert cell(panel, "Accuracy") == "1.000"


def test_removing_a_scored_layer_is_safe(qtbot, viewer, layers, panel):
    settled(qtbot, panel)
    panel.buttons.errors.native.click()

    viewer.layers.remove(layers[0])
    settled(qtbot, panel)
    viewer.layers.clear()
    settled(qtbot, panel)

    panel.buttons.errors.native.click()
    panel.threshold.value = 0.6


def test_removing_an_overlay_is_safe(qtbot, viewer, layers, panel):
    settled(qtbot, panel)
    panel.buttons.errors.native.click()
    viewer.layers.remove(overlays(viewer, ERRORS)[0])

    panel.threshold.value = 0.8
    settled(qtbot, panel)

    assert not overlays(viewer, ERRORS)


@pytest.fixture
def stacks(viewer, drawn_fields, predicted):
    """Three fields, of which the first two were segmented; the third has no nucleus."""
    truths = np.stack([field.labels for field in drawn_fields])
    found = truths.copy()
    found[0] = predicted
    record = LayerRecord(PREDICTION, fields=(0, 1))
    return (
        viewer.add_labels(found, name="stack fluo-nuclei", metadata=tag(record)),
        viewer.add_labels(truths, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH))),
    )


def test_a_stack_has_columns_for_all_fields(qtbot, viewer, stacks, panel):
    viewer.dims.set_current_step(0, 0)
    settled(qtbot, panel)

    assert not panel.table.isColumnHidden(1)
    low = float(cell(panel, "F1"))
    assert cell(panel, "F1", 1) == f"{(low + 1) / 2:.3f}"
    assert cell(panel, "F1", 2) == f"{low:.3f}-1.00".removeprefix("0")
    assert low < float(cell(panel, "F1", 3)) < 1


def test_tooltips_tell_the_range_of_fields_and_the_interval_of_the_pooled_score(
    qtbot, viewer, stacks, panel
):
    settled(qtbot, panel)

    summary = summarise([panel.state.score_of(plane) for plane in panel.state.pairs])
    titles = [panel.table.verticalHeaderItem(row).text() for row in range(panel.table.rowCount())]
    row = titles.index("F1 at 0.50")
    spread, (low, high) = summary.spread["objects", "f1"], summary.intervals["objects", "f1"]
    told = panel.table.item(row, 1).toolTip()
    assert f"Fields range from {spread.low:.3f} to {spread.high:.3f}." in told
    assert f"pooled score: {low:.3f} to {high:.3f}." in panel.table.item(row, 3).toolTip()


def test_the_names_of_rows_carry_the_threshold(qtbot, layers, panel):
    panel.threshold.value = 0.75
    settled(qtbot, panel)

    titles = [panel.table.verticalHeaderItem(row).text() for row in range(panel.table.rowCount())]
    assert {"F1 at 0.75", "AP at 0.75", "PQ at 0.50", "AP .50:.95", "HD95 (px)"} < set(titles)
    assert cell(panel, "Outlines") == "lengths are of matches at 0.75"


def test_swap_exchanges_prediction_and_ground_truth(qtbot, layers, panel):
    settled(qtbot, panel)
    predicted, true = layers
    recall = cell(panel, "Recall", nth=1)
    qtbot.mouseClick(panel.controls.swapping, Qt.MouseButton.LeftButton)
    settled(qtbot, panel)

    assert (panel.prediction.value, panel.truth.value) == (true, predicted)
    assert cell(panel, "Precision", nth=1) == recall
    assert f"{true.name} looks like the ground truth of {predicted.name}" in panel.status.value
    qtbot.mouseClick(panel.controls.swapping, Qt.MouseButton.LeftButton)
    settled(qtbot, panel)
    assert (panel.prediction.value, panel.truth.value) == (predicted, true)
    assert cell(panel, "Recall", nth=1) == recall
    assert "looks like" not in panel.status.value


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("manual_gt", "cellpose"), True),
        (("cellpose", "manual_gt"), False),
        (("masks true", "masks predicted"), False),
        (("A01", "GT"), False),
        (("widgets", "other"), False),
    ],
)
def test_the_names_of_layers_tell_if_they_are_the_wrong_way_round(
    qtbot, viewer, panel, truth, predicted, names, told
):
    first, second = (
        viewer.add_labels(labels, name=name)
        for labels, name in zip((predicted, truth), names, strict=True)
    )
    panel.prediction.value, panel.truth.value = first, second
    settled(qtbot, panel)

    assert (f"{names[0]} looks like the ground truth" in panel.status.value) == told


def test_moving_the_field_slider_changes_the_field_shown(qtbot, viewer, stacks, panel):
    viewer.dims.set_current_step(0, 0)
    settled(qtbot, panel)
    before = cell(panel, "F1")

    viewer.dims.set_current_step(0, 1)

    assert before != "1.000"
    assert cell(panel, "F1") == "1.000"


def test_a_field_that_was_not_segmented_has_no_scores(qtbot, viewer, stacks, panel):
    settled(qtbot, panel)

    viewer.dims.set_current_step(0, 2)

    assert cell(panel, "F1") == ""
    assert "not in the prediction yet" in panel.status.value


def test_the_errors_of_a_stack_are_drawn_field_by_field(qtbot, viewer, stacks, panel):
    settled(qtbot, panel)
    panel.buttons.errors.native.click()

    (errors,) = overlays(viewer, ERRORS)
    assert errors.data.shape == stacks[0].data.shape
    assert np.asarray(errors.data[0]).any()
    assert not np.asarray(errors.data[2]).any()


def test_new_labels_in_a_scored_layer_are_scored_again(qtbot, layers, panel, truth):
    settled(qtbot, panel)

    layers[0].data = truth.copy()
    settled(qtbot, panel)

    assert cell(panel, "F1") == "1.000"


def test_a_single_layer_is_not_scored_against_itself(qtbot, viewer, truth, panel):
    viewer.add_labels(truth, name="mine")
    settled(qtbot, panel)

    assert cell(panel, "F1") == ""
    assert "Choose the ground truth of mine" in panel.status.value


def test_the_truth_of_another_field_is_not_taken(qtbot, viewer, truth, panel):
    other = LayerRecord(GROUND_TRUTH, stems=("A01",))
    viewer.add_labels(truth, name="A01 truth", metadata=tag(other))
    found = LayerRecord(PREDICTION, stems=("B07",))
    viewer.add_labels(truth, name="B07 fluo-nuclei", metadata=tag(found))
    settled(qtbot, panel)

    assert panel.truth.value is None


def test_painting_is_scored_again(qtbot, layers, panel, truth):
    settled(qtbot, panel)
    before = cell(panel, "Dice (= F1)")

    layers[0].paint((80, 100), 5000)

    dice = score(truth, layers[0].data).pixels.dice
    qtbot.waitUntil(lambda: cell(panel, "Dice (= F1)") == f"{dice:.3f}")
    assert before != f"{dice:.3f}"


def test_a_failed_comparison_leaves_no_old_scores(qtbot, layers, panel):
    settled(qtbot, panel)

    layers[0].data = np.ones((4, 4), int)
    settled(qtbot, panel)

    assert cell(panel, "F1") == ""
    assert "choose two layers of the same fields" in panel.status.value


def test_the_field_shown_is_found_in_layers_that_were_moved(qtbot, viewer, stacks, panel):
    for layer in stacks:
        layer.translate = (5, 0, 0)
        layer.scale = (2, 1, 1)
    settled(qtbot, panel)

    viewer.dims.set_point(0, 7)

    assert cell(panel, "F1") == "1.000"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_tab_fits_into_a_narrow_dock(qtbot, viewer, stacks, panel, theme):
    viewer.theme = theme
    settled(qtbot, panel)

    for tab in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(tab)
        panel.native.ensurePolished()
        assert panel.native.minimumSizeHint().width() <= 340, panel.tabs.tabText(tab)
        assert panel.native.minimumSizeHint().height() <= 700, panel.tabs.tabText(tab)


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        ({}, ""),
        ({"scale": (1, 1)}, "A01 truth has pixels of 1 pixel, A01 fluo-nuclei of 0.645 pixel"),
        ({"translate": (30, 0)}, "A01 truth lies elsewhere than A01 fluo-nuclei"),
        ({"rotate": 30}, "A01 truth lies elsewhere than A01 fluo-nuclei"),
    ],
    ids=str,
)
def test_layers_that_do_not_lie_on_each_other_are_named_before_they_are_scored(
    qtbot, layers, panel, placed, said
):
    for name, value in placed.items():
        setattr(layers[1], name, value)

    panel.score.native.click()

    before = panel.status.value
    settled(qtbot, panel)
    for status in (before, panel.status.value):
        assert status.startswith(f"{said}. They are compared pixel by pixel" if said else "")
        assert bool(said) == ("pixel by pixel" in status)


def test_a_field_is_numbered_among_all_though_few_are_predicted(qtbot, viewer, drawn_fields):
    truths = np.stack([field.labels for field in (*drawn_fields, *drawn_fields)])
    record = LayerRecord(PREDICTION, fields=(0, 4))
    viewer.add_labels(truths.copy(), name="found", metadata=tag(record))
    viewer.add_labels(truths, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    viewer.dims.set_current_step(0, 4)

    panel = open_panel(qtbot, viewer)

    assert panel.status.value.startswith("Field 5 of 6: ")


def test_regions_to_ignore_ask_for_a_prediction_first(qtbot, viewer, monkeypatch):
    told = []
    monkeypatch.setattr("napari_nucseg.ui.score.regions.show_warning", told.append)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]

    qtbot.mouseClick(panel.controls.ignore.adding, Qt.MouseButton.LeftButton)

    assert told == ["Choose a prediction first: regions are drawn in its fields."]
    assert not viewer.layers

"""Predictions side by side, saved runs, and what is exported, in a real window."""

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.io.writers import write_labels
from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.summary import compare_fields
from napari_nucseg.ui.layer_fields import choose_axes
from napari_nucseg.ui.layers import (
    DIFFERENCE,
    GROUND_TRUTH,
    PREDICTION,
    LayerRecord,
    record_of,
    tag,
)
from napari_nucseg.ui.score.export_kinds import EXPORTS
from napari_nucseg.ui.score.overlay_drawing import FIRST, SECOND
from napari_nucseg.ui.score.panel import COMPARE
from tests.ui.scored import add_stacks, open_panel, overlays, settled, spoil

STEMS = ("A01", "A02", "A03")


@pytest.fixture
def truths(drawn_fields):
    return np.stack([field.labels for field in drawn_fields])


@pytest.fixture
def other(truths):
    """A prediction that misses another nucleus of the first field."""
    other = truths.copy()
    other[0][other[0] == 7] = 0
    return other


@pytest.fixture
def panel(qtbot, viewer, truths, other):
    layer = viewer.add_labels(other, name="other", metadata=tag(LayerRecord(PREDICTION)))
    found, _ = add_stacks(viewer, truths, spoil(truths), STEMS)
    panel = open_panel(qtbot, viewer)
    panel.prediction.value = found
    settled(qtbot, panel)
    assert layer in viewer.layers
    return panel


def export(qtbot, panel, kind, path) -> None:
    panel.export.write(kind, path)
    qtbot.waitUntil(lambda: "Written" in panel.status.value, timeout=20_000)


def press(qtbot, panel, button) -> None:
    button.click()
    settled(qtbot, panel)


def test_predictions_are_listed_with_differences_and_the_best_in_bold(qtbot, panel, truths, other):
    press(qtbot, panel, panel.comparison.start)

    ours = [score(truth, found) for truth, found in zip(truths, spoil(truths), strict=True)]
    theirs = [score(truth, found) for truth, found in zip(truths, other, strict=True)]
    difference = compare_fields(theirs, ours)["objects", "mean_ap"]
    first, second = panel.comparison.model.rows
    assert first[0] == "found"
    assert second[0] == "other"
    assert first[2:] == ("", "")
    assert second[2] == f"{difference.mean:+.3f}"
    assert second[3] == "{:+.3f} to {:+.3f}".format(*difference.interval)
    assert panel.comparison.model._bold == 1
    assert "Best by AP .50:.95: other" in panel.status.value


def test_the_tooltip_tells_how_a_prediction_was_made(qtbot, panel):
    press(qtbot, panel, panel.comparison.start)

    assert panel.comparison.model._tips[0] == "found: fluo-nuclei; Diameter 30 px"
    assert "not known" in panel.comparison.model._tips[1]


def test_where_two_predictions_differ_is_outlined_and_listed(qtbot, viewer, panel, truths):
    press(qtbot, panel, panel.comparison.start)
    panel.comparison.differ.click()

    rows = {(row[0], row[1], row[2]) for row in panel.comparison.listed.rows}
    assert rows == {("second", "A01", "3"), ("first", "A01", "7"), ("second", "A02", "2")}
    (layer,) = overlays(viewer, DIFFERENCE)
    drawn = np.asarray(layer.data)
    assert set(np.unique(drawn[0][truths[0] == 7])) == {0, FIRST}
    assert set(np.unique(drawn[1][truths[1] == 2])) == {0, SECOND}
    assert layer not in panel.prediction.choices


def test_a_click_on_a_difference_goes_there(qtbot, panel):
    press(qtbot, panel, panel.comparison.start)
    panel.comparison.differ.click()
    row = [line[1] for line in panel.comparison.listed.rows].index("A02")

    panel.tabs.setCurrentIndex(COMPARE)
    view, index = panel.comparison.list, panel.comparison.listed.index(row, 0)
    view.scrollTo(index)
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center()
    )

    assert panel.state.plane == 1
    assert panel.state.truth.selected_label == 2


def test_one_prediction_alone_is_not_compared(qtbot, viewer, panel):
    viewer.layers.remove("other")

    panel.comparison.start.click()

    assert "There is only one prediction" in panel.status.value


def test_another_threshold_empties_tables_and_overlay(qtbot, viewer, panel):
    press(qtbot, panel, panel.comparison.start)
    panel.comparison.differ.click()

    panel.threshold.value = 0.8

    assert not panel.comparison.model.rows
    assert not panel.comparison.listed.rows
    (layer,) = overlays(viewer, DIFFERENCE)
    assert not np.asarray(layer.data).any()
    settled(qtbot, panel)


def test_after_an_edit_the_predictions_are_scored_again(qtbot, viewer, panel, truths, other):
    press(qtbot, panel, panel.comparison.start)
    panel.comparison.differ.click()
    viewer.dims.set_current_step(0, 0)
    overlays(viewer, DIFFERENCE)[0].visible = False
    panel.objects.show_row(panel.state.objects.find(0, 3, is_true=True))

    panel.corrections.truth.native.click()
    found = panel.state.prediction.data
    ours = [score(t, f) for t, f in zip(truths, found, strict=True)]
    theirs = [score(t, f) for t, f in zip(truths, other, strict=True)]
    difference = compare_fields(theirs, ours)["objects", "mean_ap"]
    qtbot.waitUntil(
        lambda: panel.comparison.model.rows[1][2] == f"{difference.mean:+.3f}", timeout=20_000
    )

    rows = {(row[0], row[1], row[2]) for row in panel.comparison.listed.rows}
    assert rows == {("first", "A01", "7"), ("second", "A02", "2")}
    (layer,) = overlays(viewer, DIFFERENCE)
    assert not layer.visible
    assert set(np.unique(layer.data[0])) == {0, FIRST}
    settled(qtbot, panel)


def test_an_edit_while_predictions_are_scored_is_counted(qtbot, viewer, panel, truths, other):
    viewer.dims.set_current_step(0, 0)
    panel.objects.show_row(panel.state.objects.find(0, 3, is_true=True))
    panel.comparison.start.click()
    panel.corrections.truth.native.click()
    qtbot.waitUntil(lambda: bool(panel.comparison.model.rows) and not panel.running, timeout=20_000)

    theirs = [score(t, f) for t, f in zip(truths, other, strict=True)]
    ours = [score(t, f) for t, f in zip(truths, panel.state.prediction.data, strict=True)]
    difference = compare_fields(theirs, ours)["objects", "mean_ap"]
    assert panel.comparison.model.rows[1][2] == f"{difference.mean:+.3f}"


def test_deleting_prediction_and_difference_together_is_safe(qtbot, viewer, panel):
    press(qtbot, panel, panel.comparison.start)
    panel.comparison.differ.click()
    viewer.layers.selection = {panel.prediction.value, overlays(viewer, DIFFERENCE)[0]}

    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    assert not overlays(viewer, DIFFERENCE)


def test_a_difference_cannot_be_painted_and_takes_no_selection(qtbot, viewer, panel):
    press(qtbot, panel, panel.comparison.start)
    selected = set(viewer.layers.selection)
    panel.comparison.differ.click()

    (layer,) = overlays(viewer, DIFFERENCE)
    assert not layer.editable
    assert set(viewer.layers.selection) == selected


def test_all_scores_of_all_predictions_are_saved(qtbot, tmp_path, panel):
    press(qtbot, panel, panel.comparison.start)

    panel.comparison.save_to(tmp_path / "table")
    settled(qtbot, panel)

    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    (ap,) = [r for r in rows if (r["prediction"], r["score"]) == ("other", "mean_ap")]
    assert f"{float(ap['mean_of_fields']):.3f}" == panel.comparison.model.rows[1][1]
    assert f"{float(ap['difference']):+.3f}" == panel.comparison.model.rows[1][2]
    assert {row["made"] for row in rows} == {
        "fluo-nuclei; Diameter 30 px",
        "not known how it was made",
    }
    assert str(tmp_path / "table.csv") in panel.status.value


def test_a_saved_run_leaves_the_chosen_prediction_first(qtbot, viewer, tmp_path, panel, other):
    chosen, pairs = panel.prediction.value, panel.state.pairs
    for stem, labels in zip(STEMS, other, strict=True):
        write_labels(tmp_path / "monday" / f"{stem}.tif", labels, {"model": "fluo-nuclei"})

    panel.comparison.add_saved(tmp_path / "monday", panel.truth.value)
    qtbot.waitUntil(lambda: "monday" in viewer.layers, timeout=20_000)

    assert panel.prediction.value is chosen
    assert panel.state.pairs is pairs
    assert viewer.layers["monday"] in panel.prediction.choices


def test_the_menu_of_exports_lists_all_of_them_each_time(panel):
    menu = panel.files.menu()
    for _ in range(2):
        menu.popup(QPoint(0, 0))
        assert [action.text() for action in menu.actions()] == list(EXPORTS)
        menu.close()


def test_an_export_whose_completed_name_is_taken_is_refused(tmp_path, panel):
    taken = tmp_path / "scores t0.5.csv"
    taken.write_text("mine")

    panel.export.write("Nuclei as CSV...", tmp_path / "scores t0.5")

    assert "already exists" in panel.status.value
    assert taken.read_text() == "mine"


def test_a_saved_run_becomes_a_prediction(qtbot, viewer, tmp_path, panel, other):
    folder = tmp_path / "monday"
    for stem, labels in zip(STEMS, other, strict=True):
        write_labels(folder / f"{stem}.tif", labels, {"model": "fluo-nuclei"})

    panel.comparison.add_saved(folder, panel.truth.value)
    qtbot.waitUntil(lambda: "monday" in viewer.layers, timeout=20_000)
    settled(qtbot, panel)

    assert np.array_equal(viewer.layers["monday"].data, other)
    assert record_of(viewer.layers["monday"]).provenance == {"model": "fluo-nuclei"}


def test_a_folder_of_results_is_a_saved_run_as_far_as_it_is_done(
    qtbot, viewer, tmp_path, panel, other
):
    folder = ResultsFolder(tmp_path / "monday")
    rule = {"threshold": 0.5, "preset": "stardist", "empty_as_one": False}
    plan = {"model": "otsu", "dataset": "drawn", "absent": [], "rule": rule, "splits": {}}
    plan |= {"weights_sha256": {}, "parameters": {}, "versions": {}}
    source = {"image": None, "mask": None, "split": None}
    folder.write_run({"plan": plan, "sources": dict.fromkeys(STEMS, source), "sessions": []})
    write_labels(folder.labels_file("A02"), other[1], {"model": "otsu"})

    panel.comparison.add_saved(folder.path, panel.truth.value)
    qtbot.waitUntil(lambda: "monday otsu" in viewer.layers, timeout=20_000)
    settled(qtbot, panel)

    layer = viewer.layers["monday otsu"]
    assert np.array_equal(layer.data[1], other[1])
    assert record_of(layer).fields == (1,)
    assert not layer.data[[0, 2]].any()


def test_labels_of_another_program_are_a_saved_run(qtbot, viewer, tmp_path, panel, other):
    for stem, labels in zip(STEMS, other, strict=True):
        tifffile.imwrite(tmp_path / f"{stem}.tif", labels.astype(np.uint16))

    panel.comparison.add_saved(tmp_path, panel.truth.value)
    qtbot.waitUntil(lambda: tmp_path.name in viewer.layers, timeout=20_000)
    settled(qtbot, panel)

    assert np.array_equal(viewer.layers[tmp_path.name].data, other)
    assert record_of(viewer.layers[tmp_path.name]).provenance is None


def test_a_folder_of_other_fields_is_refused_in_words(qtbot, tmp_path, panel):
    panel.comparison.add_saved(tmp_path, panel.truth.value)

    assert "it holds none of the 3 fields, for example no A01.tif" in panel.status.value


def test_an_export_is_written_though_the_threshold_moves(qtbot, tmp_path, panel):
    panel.export.write("Report as HTML...", tmp_path / "report.html")
    panel.threshold.value = 0.8
    settled(qtbot, panel)

    assert (tmp_path / "report.html").is_file()
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "t = 0.5" in text
    assert "<title>found by fluo-nuclei against truth</title>" in text


def test_a_comparison_by_a_rule_that_is_past_is_not_shown(qtbot, panel):
    panel.comparison.start.click()
    panel.threshold.value = 0.8
    settled(qtbot, panel)

    assert not panel.comparison.model.rows


@pytest.mark.parametrize("kind", list(EXPORTS))
def test_everything_on_the_menu_is_written(qtbot, tmp_path, panel, kind):
    path = tmp_path / f"out{EXPORTS[kind][0]}"

    export(qtbot, panel, kind, path)

    assert path.stat().st_size > 100


def test_the_exported_nuclei_are_those_of_both_sides(qtbot, tmp_path, panel, truths):
    export(qtbot, panel, "Nuclei as CSV...", tmp_path / "nuclei.csv")

    with (tmp_path / "nuclei.csv").open() as file:
        rows = list(csv.DictReader(file))
    nuclei = sum(len(np.unique(truth)) - 1 for truth in truths)
    assert [row["side"] for row in rows].count("truth") == nuclei
    assert {row["field"] for row in rows} == {"A01", "A02"}


def test_what_is_painted_during_an_export_is_not_in_it(qtbot, tmp_path, panel, truths):
    nuclei = sum(len(np.unique(plane)) - 1 for plane in truths)
    panel.export.write("Nuclei as CSV...", tmp_path / "nuclei.csv")
    panel.state.truth.data[:] = 0
    settled(qtbot, panel)

    with (tmp_path / "nuclei.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["side"] == "truth"]
    assert len(rows) == nuclei


def test_the_exported_scores_are_those_of_the_table(qtbot, tmp_path, panel):
    export(qtbot, panel, "Scores as JSON...", tmp_path / "scores.json")

    pooled = json.loads((tmp_path / "scores.json").read_text())["pooled"]
    texts = [panel.table.verticalHeaderItem(r).text() for r in range(panel.table.rowCount())]
    assert panel.table.item(texts.index("F1 at 0.50"), 3).text() == f"{pooled['objects']['f1']:.3f}"


def test_scores_of_panel_and_command_line_are_one_file(qtbot, tmp_path, panel, truths, run):
    export(qtbot, panel, "Scores as JSON...", tmp_path / "scores.json")

    predicted = np.asarray(panel.prediction.value.data)
    made = record_of(panel.prediction.value).provenance
    truth = panel.truth.value.name
    for name, planes, note in (("predicted", predicted, made), (truth, truths, {})):
        for stem, plane in zip(STEMS, planes, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            write_labels(tmp_path / name / f"{stem}.tif", plane, note)
    told = run("score", tmp_path / "predicted", tmp_path / truth, "--json").out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert json.loads(told) == scores
    assert scores["segmentation"]["model"] == made["model"]


def test_files_are_named_by_what_they_hold(panel, monkeypatch):
    asked = []

    def ask(parent, title, suggestion, kinds):
        asked.append(suggestion)
        return "", ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    for kind in EXPORTS:
        panel.export.ask(kind)

    name = panel.prediction.value.name
    assert asked == [
        *(f"{name} nuclei.csv", f"{name} nuclei.parquet", f"{name} fields.csv"),
        *(f"{name} scores.{ending}" for ending in ("json", "tex", "md")),
        f"{name} report.html",
    ]


def test_the_exported_fields_are_a_row_each(qtbot, tmp_path, panel):
    panel.truth.value.metadata["splits"] = ["test"] * 3
    export(qtbot, panel, "Fields as CSV...", tmp_path / "fields.csv")

    with (tmp_path / "fields.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["stem", "well", "row", "column", "site", "split"]
    assert [row["stem"] for row in rows] == list(STEMS)
    assert {row["well"] for row in rows} == {""}  # such names tell no well
    assert {row["split"] for row in rows} == {"test"}
    assert list(rows[0])[-3:] == ["diameter_px", "suspect", "corrected_by_hand"]
    assert "hausdorff_um" not in rows[0]  # the layers have no unit
    tp = [panel.state.score_of(plane).objects.tp for plane in range(3)]
    assert [int(row["object_tp"]) for row in rows] == tp


def test_distances_and_areas_are_in_micrometres_too_where_the_layer_is(qtbot, tmp_path, panel):
    panel.truth.value.scale = (1, 0.5, 0.5)
    panel.truth.value.units = ("pixel", "um", "um")
    for kind, name in (("Fields as CSV...", "fields.csv"), ("Nuclei as CSV...", "nuclei.csv")):
        panel.status.value = ""
        export(qtbot, panel, kind, tmp_path / name)

    field, nucleus = (
        next(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("fields.csv", "nuclei.csv")
    )
    assert float(field["hausdorff_um"]) == float(field["hausdorff_px"]) / 2 > 0
    assert float(nucleus["area_um2"]) == int(nucleus["area_px"]) / 4


def test_the_report_has_plots_scores_settings_and_the_worst_fields(
    qtbot, viewer, tmp_path, panel, drawn_fields
):
    viewer.add_image(np.stack([field.image for field in drawn_fields]))
    export(qtbot, panel, "Report as HTML...", tmp_path / "report.html")

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    pictures = re.findall(r"<img[^>]* src=\"data:image/png;base64,([^\"]+)", text)
    assert len(pictures) == 2  # a field without nuclei has no mean AP
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))))
    assert picture.shape == (*drawn_fields[0].image.shape, 3)
    assert len(np.unique(picture[..., 0])) > 50  # the image is under the outlines
    assert "Model: fluo-nuclei; Diameter 30 px." in text
    assert "against truth" in " ".join(text.split())
    for link in re.findall(r"(?:src|href)=\"([^\"]+)", text):
        assert link.startswith(("data:", "#"))


def test_a_report_is_made_without_an_image_too(qtbot, tmp_path, panel):
    export(qtbot, panel, "Report as HTML...", tmp_path / "report.html")

    assert "data:image/png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def pictures_of(page: Path) -> list[np.ndarray]:
    """Return the grey values of the pictures of a report, without colours of verdicts."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"<img[^>]* src=\"data:image/png;base64,([^\"]+)", text)
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(link)))) for link in links]
    return [
        one[..., 0][(one[..., 0] == one[..., 1]) & (one[..., 1] == one[..., 2])] for one in found
    ]


@pytest.mark.parametrize("kind", ["channels first", "channels second", "colour"])
def test_a_report_pictures_the_image_whatever_its_axes(qtbot, tmp_path, viewer, truths, kind):
    grey = np.where(truths > 0, np.uint8(200), np.uint8(40))
    blank = np.zeros_like(grey)
    data = {
        "channels first": np.stack([blank, grey]),
        "channels second": np.stack([blank, grey], axis=1),
        "colour": np.stack([grey, grey, grey], axis=-1),
    }[kind]
    image = viewer.add_image(data, name="cells", rgb=kind == "colour")
    channel = "Red"
    if kind != "colour":
        axes = ("channel", "field") if kind == "channels first" else ("field", "channel")
        choose_axes(image, axes)
        channel = "2"
    record = LayerRecord(
        PREDICTION, source=str(image.unique_id), provenance={"model": "otsu", "channel": channel}
    )
    labels = truths[:, None] if kind == "channels second" else truths
    found = labels.copy()
    found[labels == 3] = 0
    viewer.add_labels(found, name="found", metadata=tag(record))
    viewer.add_labels(labels, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    panel = open_panel(qtbot, viewer)

    export(qtbot, panel, "Report as HTML...", tmp_path / "report.html")

    worst = pictures_of(tmp_path / "report.html")[0]
    assert (worst > 100).sum() > 500  # the nuclei
    assert (worst == 0).sum() > 500

"""Teaching a model in the window, on small drawn fields and for a few batches."""

from __future__ import annotations

import csv
import json
import threading

import numpy as np
import pytest
import tifffile
from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from superqt import QCollapsible

from napari_nucseg.batch.train_log import LogRow
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.training import params as training_params
from napari_nucseg.segmenters.training.loop import Diverged, Training
from napari_nucseg.segmenters.training.params import FINE_TUNING
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, tag
from napari_nucseg.ui.segment.model_list import ModelFiles
from napari_nucseg.ui.segment.panel import SegmentPanel
from napari_nucseg.ui.train.fields import BEFORE
from napari_nucseg.ui.train.panel import TrainPanel
from tests.segmenters.random_nets import write_small_sam
from tests.ui.scored import add_stacks, open_panel, spoil
from tests.ui.test_nothing_cut_off import cut_off

TRAINED = 240_000
SHORT = {"batches": 2, "batch_size": 2, "crop": 64, "validate_every": 1}


@pytest.fixture(scope="module")
def fields():
    return [draw_field(seed, shape=(96, 112), nuclei=8) for seed in range(3)]


@pytest.fixture
def panel(viewer, tmp_path):
    """The panel, which will train for two batches and save in a folder of the test."""
    return docked(viewer, tmp_path)


def docked(viewer, folder):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Train on labels")[1]
    panel.form.out.value = folder / "mine.safetensors"
    panel.form.device.value = "cpu"
    for name, value in SHORT.items():
        panel.form.values[name].value = value
    return panel


def add_images(viewer, fields, count=2):
    """Add images and their labels, as a person has painted them."""
    for number, field in enumerate(fields[:count]):
        viewer.add_image(field.image, name=f"A0{number + 1}")
        viewer.add_labels(field.labels, name=f"A0{number + 1} painted")


def train(qtbot, panel):
    panel.form.train.native.click()
    assert panel.running, panel.status.value
    qtbot.waitUntil(lambda: not panel.running, timeout=TRAINED)


def tick(panel, name, on=True):
    (row,) = [
        n
        for n in range(panel.form.pairs.count())
        if panel.form.pairs.item(n).text().startswith(name)
    ]
    state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
    panel.form.pairs.item(row).setCheckState(state)


def listed(panel):
    items = (panel.form.pairs.item(n) for n in range(panel.form.pairs.count()))
    return {one.text(): one.checkState() == Qt.CheckState.Checked for one in items}


def taught(viewer, role):
    return [layer for layer in viewer.layers if layer.name.endswith(role)]


@pytest.mark.slow
def test_a_model_is_taught_shown_saved_and_used(qtbot, viewer, panel, fields, tmp_path):
    add_images(viewer, fields)
    before = [layer.data.copy() for layer in viewer.layers]
    assert panel.form.held.value == "1 of 2 fields will be held out."

    train(qtbot, panel)

    path = tmp_path / "mine.safetensors"
    told = ("F1 at 0.5: ", "It became no better than fluo-nuclei", "What it learned raised")
    assert panel.status.value.startswith(told)
    assert panel.status.value.endswith(f"Saved as {path}.")
    assert panel.form.held.value.startswith("Held out, and never learned from: A0")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["batches"] == 2
    assert [row.batch for row in panel.plot.rows] == [0, 1, 2]
    assert panel.form.out.value == tmp_path / "my-nuclei.safetensors"
    (layer,) = taught(viewer, BEFORE)
    assert layer.contour == 2
    assert not layer.editable
    for one, data in zip(viewer.layers, before, strict=False):
        np.testing.assert_array_equal(one.data, data)

    panel.form.use.native.click()

    (segment,) = [p for p in viewer.window.dock_widgets.values() if isinstance(p, SegmentPanel)]
    assert segment.form.model.value == str(path)
    assert "learned from 1 field" in segment.form.about.value


def test_the_curves_so_far_are_saved(qtbot, panel, tmp_path):
    panel.plot.ask()
    assert panel.status.value == "There are no curves yet. Press Train first."
    for batch in range(3):
        panel.plot.add(LogRow(batch, 1e-3, None if batch == 0 else 1 / batch, 0.5, 0.2, 0.4, 0.6))
    for ending in ("csv", "png"):
        path = tmp_path / f"curves.{ending}"
        panel.plot.save_to(path)
        qtbot.waitUntil(lambda path=path: panel.status.value == f"Written: {path}", timeout=60_000)

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["batch"], row["loss"]) for row in rows] == [("0", ""), ("1", "1.0"), ("2", "0.5")]


@pytest.mark.slow
def test_what_is_found_is_outlined_on_the_held_out_field_of_a_stack(
    qtbot, viewer, panel, fields, monkeypatch
):
    images = np.stack([field.image for field in fields])
    viewer.add_image(images, name="plate", scale=(2, 0.5, 0.5))
    viewer.add_labels(np.stack([f.labels for f in fields]), name="plate truth", scale=(2, 0.5, 0.5))
    assert list(listed(panel)) == ["plate truth: 3 labelled fields"]
    active = viewer.layers.selection.active

    train(qtbot, panel)

    plane = int(panel.form.held.value.partition("field ")[2][0]) - 1
    (layer,) = taught(viewer, BEFORE)
    assert viewer.dims.point[0] == layer.translate[0] == 2 * plane
    assert layer.data.shape == (1, 96, 112)
    np.testing.assert_array_equal(layer.scale, (2, 0.5, 0.5))
    np.testing.assert_allclose(layer.colormap.map(3), layer.colormap.map(1))
    assert viewer.layers.selection.active == active
    # Once more: the same layer, unless it was removed
    count = len(viewer.layers)
    train(qtbot, panel)
    assert len(taught(viewer, BEFORE)) == 1
    assert len(viewer.layers) <= count + 1
    viewer.layers.remove(layer)
    assert not panel.running


@pytest.mark.slow
def test_a_layer_that_is_removed_stays_away_and_nothing_breaks(
    qtbot, viewer, panel, fields, monkeypatch
):
    add_images(viewer, fields)
    reached, go_on = hold(monkeypatch)
    panel.form.train.native.click()
    qtbot.waitUntil(lambda: bool(taught(viewer, BEFORE)), timeout=TRAINED)
    viewer.layers.remove(taught(viewer, BEFORE)[0])
    viewer.layers.remove(viewer.layers["A01 painted"])
    assert reached.wait(60)
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=TRAINED)

    assert "Saved as" in panel.status.value
    assert not taught(viewer, BEFORE)


@pytest.mark.slow
def test_cancel_keeps_the_best_and_train_goes_on_with_it(
    qtbot, viewer, panel, fields, monkeypatch, tmp_path
):
    add_images(viewer, fields)
    reached, go_on = hold(monkeypatch)
    panel.form.train.native.click()
    assert not panel.form.train.enabled
    qtbot.waitUntil(reached.is_set, timeout=TRAINED)
    panel.form.cancel.native.click()
    assert panel.status.value == "Stopping..."
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=TRAINED)

    path = tmp_path / "mine.safetensors"
    assert panel.status.value.startswith("Stopped. The best so far is kept.")
    assert panel.status.value.endswith("leave Resume ticked and press Train.")
    assert path.is_file()
    assert panel.form.use.enabled
    assert panel.form.out.value == path
    assert panel.form.resume.value

    train(qtbot, panel)

    assert not path.with_name("mine.safetensors.checkpoint").exists()
    assert json.loads(path.with_suffix(".json").read_text())["batches"] == 2


def hold(monkeypatch):
    """Hold a training before its first batch until it is let go."""
    reached, go_on = threading.Event(), threading.Event()
    learn = Training.learn

    def held(self, batch):
        reached.set()
        go_on.wait(60)
        return learn(self, batch)

    monkeypatch.setattr(Training, "learn", held)
    return reached, go_on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Diverged(1, float("nan")), "the loss of batch 1 is nan; lower the learning rate"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("CPU does not have enough memory for a crop of 64 px; lower the crop"), "memory"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line_and_the_best_is_kept(
    qtbot, viewer, panel, fields, monkeypatch, tmp_path, error, told
):
    def fail(self, batch):
        raise error

    monkeypatch.setattr(Training, "learn", fail)
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", lambda text: None)
    add_images(viewer, fields)
    train(qtbot, panel)

    assert panel.status.value.startswith("Failed: ")
    assert told in panel.status.value
    assert "the best weights so far" in panel.status.value
    assert (tmp_path / "mine.safetensors").is_file()
    assert panel.form.use.enabled
    assert panel.form.train.enabled


@pytest.mark.slow
def test_one_field_is_learned_from_on_request_alone(qtbot, viewer, panel, fields):
    add_images(viewer, fields, 1)
    panel.form.train.native.click()
    assert not panel.running
    assert "There is one field only" in panel.status.value
    assert panel.form.held.value == panel.status.value

    panel.form.hold_out.native.setCurrentText("0 fields")
    assert panel.form.held.value.startswith("Nothing is held out")
    train(qtbot, panel)

    assert panel.status.value.startswith("Nothing was held out, so nothing tells")


@pytest.mark.slow
def test_a_dataset_folder_is_learned_from(qtbot, viewer, panel, fields, tmp_path):
    folder = tmp_path / "drawn"
    folder.mkdir()
    for name, field in zip("abc", fields, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", field.image)
        tifffile.imwrite(folder / f"{name}_masks.tif", field.labels.astype(np.uint16))
    panel.form.source.native.setCurrentText("a dataset folder")
    panel.form.train.native.click()
    assert "folder" in panel.status.value
    panel.form.folder.value = folder
    train(qtbot, panel)

    assert "Saved as" in panel.status.value
    held = panel.form.held.value.partition("from: ")[2][0]
    assert [layer.name for layer in viewer.layers][:2] == [held, f"{held} {BEFORE}"]


def test_labels_without_nuclei_are_refused_in_a_line(qtbot, viewer, panel, fields, monkeypatch):
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", lambda text: None)
    for number, field in enumerate(fields[:2]):
        viewer.add_image(field.image, name=f"A0{number}")
        viewer.add_labels(np.zeros_like(field.labels), name=f"A0{number} empty")
    train(qtbot, panel)

    assert panel.status.value.startswith("Failed: ")
    assert "no field has nuclei, so there is nothing to learn; label some" in panel.status.value


def test_labels_of_another_size_are_named_and_not_offered(viewer, panel, fields):
    add_images(viewer, fields)
    viewer.add_labels(np.ones((7, 9), int), name="small")

    assert len(listed(panel)) == 2
    assert panel.form.alone.value == "No image of the same size is there for small."


# Cellpose-SAM


def offered(panel):
    """The models to start from that can be chosen."""
    box = panel.form.start.native
    rows = [row for row in range(box.count()) if box.model().item(row).isEnabled()]
    return [box.itemData(row) for row in rows if box.itemData(row)]


def test_cellpose_sam_is_grey_with_the_reason_where_there_is_no_large_gpu(panel):
    box = panel.form.start.native
    for name in ("cpsam", "cpsam_v2"):
        row = box.findData(name)
        assert row > 0
        assert name not in offered(panel)
        told = box.itemData(row, Qt.ItemDataRole.AccessibleTextRole)
        assert told.endswith("needs a GPU with 12 GB")
        assert "at least 12 GB of memory; CPU, " in box.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert panel.form.start.value == "fluo-nuclei"
    assert {"fluo-nuclei", "nuclei", "cyto3"} <= set(offered(panel))
    assert box.findData("otsu") == box.findData("cpdino") == -1


def test_where_there_is_one_cellpose_sam_comes_with_its_values_and_its_kind_of_file(
    panel, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_params, "gpu_memory", lambda device: 16 * 10**9)
    form = panel.form
    form.propose_name()
    form.device.value = "auto"
    form.values["batches"].value = 77

    assert "cpsam" in offered(panel)
    form.start.value = "cpsam"

    values = form.values.params
    assert (values.learning_rate, values.weight_decay) == (1e-5, 0.1)
    assert values.batches == 77  # as it was chosen
    assert form.out.value == tmp_path / "my-nuclei.pt"
    form.out.value = tmp_path / "as I like it.pt"
    form.start.value = "fluo-nuclei"
    assert form.values.params.learning_rate == FINE_TUNING.learning_rate
    assert form.out.value == tmp_path / "as I like it.pt"


def test_a_file_of_cellpose_sam_is_refused_on_a_cpu_in_a_line(
    qtbot, viewer, panel, fields, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", lambda text: None)
    add_images(viewer, fields)
    path = write_small_sam(tmp_path / "cells.pt")
    ModelFiles().add(path)
    panel.form.start.reset_choices()
    panel.form.start.value = str(path)
    panel.form.out.value = tmp_path / "mine.pt"
    train(qtbot, panel)

    assert "cells.pt: Cellpose-SAM learns on a GPU with at least 12 GB" in panel.status.value
    assert panel.status.value.endswith("is none; start from fluo-nuclei instead")
    assert not (tmp_path / "mine.pt").exists()


def test_nothing_to_learn_from_says_what_to_do(viewer, panel):
    panel.form.train.native.click()
    assert panel.status.value.startswith("There are no labels to learn from. Open an image")


def test_no_file_is_replaced(viewer, panel, fields, tmp_path):
    add_images(viewer, fields)
    (tmp_path / "mine.json").write_text("mine")
    panel.form.train.native.click()

    assert not panel.running
    assert panel.status.value == (
        f"{tmp_path / 'mine.json'} is there already. Choose another name under Save as."
    )
    assert (tmp_path / "mine.json").read_text() == "mine"


def test_corrected_fields_of_a_prediction_are_proposed_and_others_are_not(
    qtbot, viewer, panel, fields
):
    stack = np.stack([field.labels for field in fields])
    image = viewer.add_image(np.stack([field.image for field in fields]), name="plate")
    made = LayerRecord(PREDICTION, source=str(image.unique_id), provenance={"model": "fluo-nuclei"})
    layer = viewer.add_labels(stack, name="plate fluo-nuclei", metadata=tag(made))
    assert listed(panel) == {"plate fluo-nuclei: 3 fields, none corrected": False}

    from napari_nucseg.analysis.corrections import PackedLabels
    from napari_nucseg.ui.edits import keep_made

    keep_made(layer, {plane: PackedLabels.of(labels) for plane, labels in enumerate(stack)})
    layer.mode = "paint"
    layer.paint((1, 50, 50), 99)

    wanted = {"plate fluo-nuclei: 1 corrected field": True}
    qtbot.waitUntil(lambda: listed(panel) == wanted, timeout=5000)


def test_an_image_is_learned_from_with_one_layer_of_labels(viewer, panel, fields):
    add_images(viewer, fields)
    truth = tag(LayerRecord(GROUND_TRUTH))
    viewer.add_labels(fields[0].labels, name="A01 other", metadata=truth)
    ticked = [name for name, on in listed(panel).items() if on]
    assert len(ticked) == 2

    tick(panel, "A01 painted")
    tick(panel, "A01 other")
    panel.form.train.native.click()
    assert panel.status.value == "A01 is ticked with two layers of labels. Tick one."


def test_what_is_ticked_by_hand_stays_so(viewer, panel, fields):
    add_images(viewer, fields)
    tick(panel, "A01 painted", on=False)
    viewer.add_image(fields[2].image, name="A03")

    assert listed(panel)["A01 painted: 1 field"] is False


def test_what_has_no_shape_is_not_counted(qtbot, viewer, panel, fields):
    add_images(viewer, fields)
    shapes = viewer.add_shapes([np.array([(5, 5), (60, 60)])], shape_type="line", name="complete")
    assert panel.form.held.value == "1 of 2 fields will be held out."
    panel.form.inside.native.setCurrentText("complete")
    assert panel.form.held.value.startswith("Nothing is labelled, or lies in a shape")
    panel.form.train.native.click()
    assert panel.status.value == "No area is drawn in complete. Draw around what is complete."

    shapes.add_rectangles([np.array([(5, 5), (60, 60)])])
    told = "1 of 2 fields will be held out."  # as 2-D shapes lie on both images
    qtbot.waitUntil(lambda: panel.form.held.value == told)


def test_the_menu_opens_the_panel_with_the_selected_labels_ticked(viewer, fields):
    add_images(viewer, fields, 3)
    viewer.layers.selection = {viewer.layers["A01 painted"], viewer.layers["A03 painted"]}
    get_app_model().commands.execute_command("napari-nucseg.train_selected").result()

    (panel,) = [p for p in viewer.window.dock_widgets.values() if isinstance(p, TrainPanel)]
    assert [name[:3] for name, on in listed(panel).items() if on] == ["A03", "A01"]
    assert panel.form.held.value == "1 of 2 fields will be held out."


def test_the_score_panel_leads_here_once_something_was_corrected(qtbot, viewer, drawn_fields):
    truths = np.stack([field.labels for field in drawn_fields])
    viewer.add_image(np.stack([field.image for field in drawn_fields]), name="plate")
    add_stacks(viewer, truths, spoil(truths))
    viewer.dims.set_current_step(0, 0)
    score = open_panel(qtbot, viewer)
    score.tabs.setCurrentIndex(1)
    assert score.corrections.teach.native.isHidden()
    score.objects.step(1)
    score.corrections.truth.native.click()
    qtbot.waitUntil(lambda: not score.corrections.teach.native.isHidden(), timeout=10_000)
    score.corrections.teach.native.click()

    (panel,) = [p for p in viewer.window.dock_widgets.values() if isinstance(p, TrainPanel)]
    assert "found of plate: 1 corrected field" in listed(panel)


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_text_is_cut_off(qtbot, make_napari_viewer, fields, tmp_path, theme):
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    viewer.window._qt_window.resize(1280, 800)
    panel = docked(viewer, tmp_path)
    add_images(viewer, fields, 1)
    viewer.add_labels(np.ones((7, 9), int), name="small")
    laid_out(qtbot, panel)
    viewer.add_image(fields[1].image, name="A02")
    viewer.add_labels(fields[1].labels, name="A02 painted")
    laid_out(qtbot, panel)
    panel.form.source.native.setCurrentText("a dataset folder")
    laid_out(qtbot, panel)
    for fold in panel.native.findChildren(QCollapsible):
        fold.expand(animate=False)
    laid_out(qtbot, panel)
    assert panel.form.values["patience"].native.isVisible()
    assert not panel.form.values["fine_tune"].native.isVisible()

    for button in (panel.form.train, panel.form.cancel):
        native = button.native
        assert native.visibleRegion().boundingRect() == native.rect()


def laid_out(qtbot, panel):
    """Wait until every text has its room, but for the path, whose end is seen."""
    path = str(panel.form.out.value)
    qtbot.waitUntil(lambda: not [one for one in cut_off(panel.native, "") if path not in one])

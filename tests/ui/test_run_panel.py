"""Running models over a dataset from the window."""

import csv
import json
import threading

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QDesktopServices, QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_nucseg.batch import executor, run_setup
from napari_nucseg.io.bbbc039 import dataset_folder
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.plates import PlateOptions
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.segmenters import catalogue, otsu
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, IMAGE, PREDICTION, record_of, role_of
from napari_nucseg.ui.run.worker import RunProgress
from tests.drawn_plates import write_plate
from tests.segmenters.random_nets import write_residual_unet
from tests.ui.scored import axes_drawn


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def panel(viewer, stand_in, drawn_dataset, out, monkeypatch):
    """The panel, with a dataset and a folder for results chosen."""
    monkeypatch.setattr(run_setup, "sha256", lambda path: "0" * 64)
    dock = viewer.window.add_plugin_dock_widget("napari-nucseg", "Run on dataset")[1]
    dock.form.dataset.value = drawn_dataset
    dock.form.out.value = out
    dock.form.device.value = "cpu"
    return dock


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(qtbot, panel):
    panel.start()
    assert panel.running, panel.status.value
    qtbot.waitUntil(lambda: not panel.running, timeout=30_000)


def test_a_dataset_is_run_scored_and_reported(qtbot, panel, out, drawn_dataset, stand_in):
    run(qtbot, panel)

    assert panel.status.value.startswith("fluo-nuclei: 3 fields, Dice ")
    assert len(stand_in.calls) == 3
    assert {"fields.csv", "objects.csv", "report.html"} <= {path.name for path in out.iterdir()}
    command = json.loads((out / "run.json").read_text())["sessions"][0]["command"]
    assert command[:5] == [*("napari-nucseg", "benchmark", str(drawn_dataset), "--out", str(out))]
    assert panel.form.run.enabled
    assert not panel.form.cancel.enabled


def test_the_results_are_shown_as_stacks(qtbot, viewer, panel):
    assert not panel.form.show_results.enabled
    run(qtbot, panel)
    assert panel.form.show_results.enabled
    told = panel.status.value
    panel.form.show_results.native.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20_000)
    assert [role_of(layer) for layer in viewer.layers] == [IMAGE, GROUND_TRUTH, PREDICTION, ERRORS]
    assert panel.status.value == told


def test_results_that_are_there_can_be_shown_without_a_run(qtbot, panel, tmp_path, out):
    run(qtbot, panel)
    panel.form.out.value = tmp_path / "elsewhere"
    assert not panel.form.show_results.enabled

    panel.form.out.value = out
    panel.form.threshold.value = 0.9
    run(qtbot, panel)
    assert panel.status.value.startswith("Failed: ")

    assert panel.form.show_results.enabled
    assert panel.form.show_report.enabled
    panel.form.threshold.value = 0.5
    assert panel.status.value == ""


def test_progress_tells_model_field_and_time():
    told, now = [], iter((0.0, 1.0, 4.0))
    models = ["fluo-nuclei", "otsu"]
    progress = RunProgress(lambda *one: told.append(one), models, lambda: next(now))

    progress.report(2, 12, "A03_s1")
    progress.report(3, 12, "A04_s1, 1 failed")
    progress.report(6, 12, "A01_s1")
    progress.report(12, 12, "")

    assert told == [
        (2, 12, "fluo-nuclei: A03_s1, field 3 of 6"),
        (3, 12, "fluo-nuclei: A04_s1, 1 failed, field 4 of 6, 9 s left"),
        (6, 12, "otsu: A01_s1, field 1 of 6, 6 s left"),
        (12, 12, "Writing the tables..."),
    ]


def test_the_report_opens_in_the_browser(qtbot, panel, out, monkeypatch):
    run(qtbot, panel)
    urls = []
    monkeypatch.setattr(QDesktopServices, "openUrl", urls.append)
    panel.form.show_report.native.click()

    assert [url.toLocalFile() for url in urls] == [str(out / "report.html")]


def test_cancel_keeps_what_is_done_and_run_goes_on(qtbot, panel, out, stand_in):
    reached, go_on = threading.Event(), threading.Event()

    def wait(report):
        if len(stand_in.calls) == 2:
            reached.set()
            assert go_on.wait(20)

    stand_in.before = wait
    panel.start()
    qtbot.waitUntil(reached.is_set, timeout=20_000)
    assert panel.form.cancel.enabled
    assert not panel.form.run.enabled
    panel.form.cancel.native.click()
    go_on.set()
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)
    assert panel.status.value.startswith("Stopped with ")
    assert panel.status.value.endswith("Press Run to go on from there.")
    assert not (out / "fields.csv").exists()

    stand_in.before = lambda report: None
    done = len(list((out / "records").iterdir()))
    assert done >= 1
    stand_in.calls.clear()
    run(qtbot, panel)
    assert len(stand_in.calls) == 3 - done
    assert (out / "fields.csv").exists()


def test_other_values_in_the_same_folder_are_refused_with_what_differs(qtbot, panel):
    run(qtbot, panel)
    panel.form.params["min_size"].value = 40
    run(qtbot, panel)

    assert "parameters min_size: 15 before, 40 now" in panel.status.value
    assert panel.status.value.startswith("Failed: ")


def test_the_fields_of_a_split_are_run(qtbot, panel, drawn_dataset, stand_in):
    panel.form.split.value = "training"
    run(qtbot, panel)

    assert len(stand_in.calls) == len(open_dataset(drawn_dataset, "training").fields) == 2


def test_lists_of_the_dataset_are_offered(qtbot, panel, drawn_dataset, stand_in):
    training = (drawn_dataset / "metadata" / "training.txt").read_text().splitlines()
    (drawn_dataset / "metadata" / "mine.txt").write_text(training[0])
    panel.form.dataset.value = drawn_dataset / "images"
    panel.form.dataset.value = drawn_dataset

    assert set(panel.form.split.choices) == {"all fields", "mine", "test", "training"}
    panel.form.split.value = "mine"
    run(qtbot, panel)

    assert len(stand_in.calls) == 1


def test_the_rule_is_chosen_and_parquet_is_written(qtbot, panel, out):
    panel.form.preset.value = "dsb2018"
    panel.form.threshold.value = 0.75
    panel.form.empty_as_one.value = True
    panel.form.ignore_border.value = True
    run(qtbot, panel)

    told = json.loads((out / "run.json").read_text())
    assert told["plan"]["rule"] == {
        **{"threshold": 0.75, "preset": "dsb2018"},
        **{"empty_as_one": True, "ignore_border": True},
    }
    line = told["sessions"][0]["command"]
    assert line[line.index("--preset") + 1] == "dsb2018"
    assert {"--empty-as-one", "--ignore-border"} <= set(line)
    assert (out / "objects.parquet").is_file()


def test_a_switch_stands_in_the_command_without_a_value(panel):
    panel.form.params["invert"].value = True
    panel.form.params["min_size"].value = 33
    line = panel._request().command
    assert line[line.index("--min-size") :] == ["--min-size", "33", "--invert"]


def test_what_has_to_be_chosen_of_a_plate_is_asked_for_in_its_row(
    qtbot, viewer, panel, drawn_fields, tmp_path
):
    fields = [drawn_fields[number % 3] for number in range(4)]
    panel.form.dataset.value = write_plate(tmp_path / "plate.zarr", fields)
    assert not panel.form.channel.native.isVisibleTo(panel.native)
    run(qtbot, panel)

    told = panel.status.value
    assert "say which shows the nuclei: " in told
    assert told.endswith(". Write it above: More, Channel.")
    assert panel.form.channel.native.isVisibleTo(panel.native)


def test_what_is_taken_of_a_plate_stands_in_the_command(panel):
    panel.form.channel.value, panel.form.truth_labels.value = " DAPI ", "nuclei"
    panel.form.acquisition.value = "1"
    request = panel._request()
    assert request.plate == PlateOptions("DAPI", "nuclei", acquisition="1")
    line = request.command
    assert line[line.index("--channel") :][:4] == ["--channel", "DAPI", "--truth-labels", "nuclei"]
    assert line[line.index("--acquisition") + 1] == "1"
    assert "--pattern" not in line


def test_a_model_file_is_added_and_chosen(qtbot, panel, tmp_path, monkeypatch):
    path = write_residual_unet(tmp_path / "mine.pt")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *asked: (str(path), ""))
    panel.form.models.value = []

    panel.form.add_model.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    assert panel.form.models.value == [str(path)]
    assert panel.form.params["min_size"].enabled
    line = panel._request().command
    assert line[line.index("--model") + 1] == str(path)


def test_the_published_dataset_is_downloaded_and_chosen(qtbot, panel, published):
    panel.form.download.native.click()

    assert panel.form.dataset.value == dataset_folder()
    assert set(panel.form.split.choices) == {"all fields", "test", "training"}


def test_a_scheduler_that_does_not_answer_is_told(qtbot, panel, monkeypatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    panel.form.scheduler.value = "tcp://127.0.0.1:1"
    run(qtbot, panel)

    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in panel.status.value


def test_several_models_are_compared_each_with_its_own_values(
    qtbot, panel, out, stand_in, monkeypatch
):
    load = {"fluo-nuclei": stand_in, "otsu": otsu.segment}
    monkeypatch.setattr(catalogue, "load", lambda model, device: load[model.name])
    panel.form.models.value = ["fluo-nuclei", "otsu"]
    assert not panel.form.params["min_size"].enabled
    run(qtbot, panel)

    assert [line.split(":")[0] for line in panel.status.value.splitlines()] == [
        "fluo-nuclei",
        "otsu",
    ]
    assert (out / "comparison.csv").is_file()
    plan = json.loads((out / "fluo-nuclei" / "run.json").read_text())["plan"]
    assert plan["parameters"] == vars(catalogue.find("fluo-nuclei").defaults)


def test_what_is_missing_is_told(viewer):
    dock = viewer.window.add_plugin_dock_widget("napari-nucseg", "Run on dataset")[1]
    dock.form.run.native.click()

    assert not dock.running
    assert dock.status.value.startswith("Choose the folder of a dataset")


def test_a_folder_without_a_dataset_is_told(qtbot, panel, tmp_path):
    (tmp_path / "empty").mkdir()
    panel.form.dataset.value = tmp_path / "empty"
    run(qtbot, panel)

    assert "no images here" in panel.status.value


def test_a_folder_that_is_not_there_is_told_at_its_field(qtbot, panel, tmp_path, drawn_dataset):
    dataset, truths = panel.form.notes
    panel.form.dataset.value = tmp_path / "gone"
    assert dataset.value == f"{tmp_path / 'gone'} does not exist."
    panel.form.run.native.click()
    assert not panel.running
    assert panel.status.value == "Choose a folder that exists, see above."

    panel.form.dataset.value = drawn_dataset
    assert dataset.native.text() == ""
    panel.form.truths.value = tmp_path / "lost"
    assert truths.value == f"{tmp_path / 'lost'} does not exist."


def test_two_folders_are_a_dataset(qtbot, panel, out, tmp_path, drawn_dataset):
    (drawn_dataset / "images").rename(tmp_path / "pictures")
    (drawn_dataset / "masks").rename(tmp_path / "drawn by hand")
    panel.form.dataset.value = tmp_path / "pictures"
    panel.form.truths.value = tmp_path / "drawn by hand"
    run(qtbot, panel)

    assert panel.status.value.startswith("fluo-nuclei: 3 fields, Dice ")
    command = json.loads((out / "run.json").read_text())["sessions"][0]["command"]
    assert command[2:4] == [str(tmp_path / "pictures"), str(tmp_path / "drawn by hand")]


def test_the_pieces_of_binary_masks_are_nuclei_if_it_is_said(qtbot, panel, out, tmp_path):
    truth = np.zeros((60, 60), np.uint8)
    truth[4:20, 4:20] = truth[30:50, 30:50] = 255
    folder = tmp_path / "binary"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", truth.astype(np.uint16))
    tifffile.imwrite(folder / "a_masks.tif", truth)
    panel.form.dataset.value = folder
    panel.form.components.value = True
    run(qtbot, panel)

    assert panel.status.value.startswith("fluo-nuclei: 1 field, "), panel.status.value
    rows = (out / "objects.csv").read_text().splitlines()
    assert len([row for row in rows if ",truth," in row]) == 2
    assert "--components" in json.loads((out / "run.json").read_text())["sessions"][0]["command"]


def test_images_without_ground_truth_are_segmented_and_measured(
    qtbot, panel, out, tmp_path, drawn_fields, monkeypatch
):
    monkeypatch.setattr(catalogue, "load", lambda model, device: otsu.segment)
    folder = tmp_path / "plain"
    folder.mkdir()
    for name, field in zip("abc", drawn_fields, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", field.image)
    (folder / "b.tif").write_bytes((folder / "b.tif").read_bytes()[:200])
    panel.form.dataset.value = folder
    panel.form.models.value = ["otsu"]
    run(qtbot, panel)

    first, second = panel.status.value.splitlines()
    assert first == "There is no ground truth, so nuclei were measured, and nothing was scored."
    assert second.startswith("otsu: 2 fields, ")
    assert second.endswith(" nuclei. 1 failed, see failed.csv.")
    count = read_labels(Source(out / "labels" / "a.tif")).max()
    rows = read_csv(out / "measurements.csv")
    assert len([row for row in rows if row["field"] == "a"]) == count > 5
    assert all(float(row["area_px"]) > 0 for row in rows)
    fields = read_csv(out / "fields.csv")
    assert [row["stem"] for row in fields] == ["a", "c"]
    assert int(fields[0]["nuclei"]) == count
    assert read_csv(out / "failed.csv")[0]["error"].startswith(str(folder / "b.tif"))


@pytest.fixture
def measured(qtbot, panel, tmp_path, drawn_fields, monkeypatch):
    """The panel after a run of otsu on a folder of images alone."""
    monkeypatch.setattr(catalogue, "load", lambda model, device: otsu.segment)
    folder = tmp_path / "plain"
    folder.mkdir()
    for name, field in zip("abc", drawn_fields, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", field.image)
    panel.form.dataset.value = folder
    panel.form.models.value = ["otsu"]
    run(qtbot, panel)
    return panel


def test_measures_stand_in_the_panel_by_field_and_as_a_plot(qtbot, measured, out):
    shown = measured.measures
    assert shown.isVisibleTo(measured.native)
    model = shown.table.model()
    count = int(read_labels(Source(out / "labels" / "a.tif")).max())
    assert model.rows[0][:2] == ("a", str(count))
    assert [row[0] for row in model.rows] == ["a", "b", "c"]
    for kind, label in (("Area", "Area (px)"), ("Nuclei in a field", "Nuclei in a field")):
        shown.kind.setCurrentText(kind)
        assert axes_drawn(qtbot, shown.view).get_xlabel() == label
    measured.form.params["min_size"].value = 33
    measured.start()
    assert not shown.isVisibleTo(measured.native)  # it would be of the run before


def click_well(qtbot, panel, well):
    """Point at a well of the map and click; return what the map says of it before."""
    view = panel.plate.view
    view.resize(320, view.height())  # as wide as in a window, of which there is none
    axes = axes_drawn(qtbot, view)
    right, up = axes.transData.transform((int(well[1:]) - 1, ord(well[0]) - ord("A")))
    there = right, view.height() - up
    send(view, QEvent.Type.MouseMove, there)
    told = panel.plate.hint.text()
    send(view, QEvent.Type.MouseButtonPress, there)
    send(view, QEvent.Type.MouseButtonRelease, there)
    return told


def send(view, kind, there):
    at, none = QPointF(*there), Qt.KeyboardModifier.NoModifier
    moves = kind == QEvent.Type.MouseMove
    button = Qt.MouseButton.NoButton if moves else Qt.MouseButton.LeftButton
    event = QMouseEvent(kind, at, QPointF(view.mapToGlobal(at.toPoint())), button, button, none)
    QApplication.sendEvent(view, event)


def test_a_plate_is_mapped_and_a_click_on_a_well_shows_its_fields(qtbot, viewer, panel, out):
    run(qtbot, panel)
    shown = panel.plate
    assert shown.isVisibleTo(panel.native)
    kinds = [shown.kind.itemText(n) for n in range(shown.kind.count())]
    assert {"Nuclei found in a well", "Median area (px)", "F1 of a well"} <= set(kinds)
    wells = read_csv(out / "wells.csv")
    stems = {row["well"]: row["stem"] for row in read_csv(out / "fields.csv")}
    assert len(wells) == 3

    told = click_well(qtbot, panel, wells[1]["well"])

    assert told == f"{wells[1]['well']}: {wells[1]['predicted']}, 1 field"
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20_000)
    record = record_of(viewer.layers[-1])
    qtbot.waitUntil(
        lambda: record.stems[viewer.dims.current_step[0]] == stems[wells[1]["well"]], timeout=20_000
    )
    click_well(qtbot, panel, wells[2]["well"])
    assert record.stems[viewer.dims.current_step[0]] == stems[wells[2]["well"]]
    assert len(viewer.layers) == 4
    assert shown.hint.text().endswith(", field 1 of 1")


def test_a_click_after_a_run_has_gone_on_shows_what_it_made(qtbot, viewer, panel, out):
    run(qtbot, panel)
    well = read_csv(out / "wells.csv")[1]["well"]
    stem = next(row["stem"] for row in read_csv(out / "fields.csv") if row["well"] == well)
    (out / "labels" / f"{stem}.tif").unlink()
    click_well(qtbot, panel, well)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20_000)

    run(qtbot, panel)
    click_well(qtbot, panel, well)

    qtbot.waitUntil(lambda: len(viewer.layers) == 8, timeout=20_000)
    (labels,) = (one for one in viewer.layers[4:] if role_of(one) == PREDICTION)
    assert np.asarray(labels.data[record_of(labels).stems.index(stem)]).any()


def test_a_plate_of_results_that_are_chosen_is_mapped(qtbot, panel, out, tmp_path):
    run(qtbot, panel)
    panel.form.out.value = tmp_path / "others"
    assert not panel.plate.isVisibleTo(panel.native)
    panel.form.out.value = out
    qtbot.waitUntil(lambda: panel.plate.isVisibleTo(panel.native), timeout=20_000)
    path = tmp_path / "plate.csv"
    panel.plate.kind.setCurrentText("F1 of a well")
    panel.plate.save_to(path)
    qtbot.waitUntil(lambda: panel.status.value == f"Written: {path}", timeout=20_000)
    wells = read_csv(out / "wells.csv")
    assert [row["well"] for row in read_csv(path)] == [row["well"] for row in wells]


def test_images_without_wells_have_no_map(measured, out):
    assert not measured.plate.isVisibleTo(measured.native)
    assert not (out / "wells.csv").exists()


@pytest.mark.parametrize("ending", ["png", "svg", "csv"])
def test_a_plot_of_measures_is_saved(qtbot, measured, out, tmp_path, ending):
    measured.measures.kind.setCurrentText("Area")
    path = tmp_path / f"areas.{ending}"
    measured.measures.save_to(path)
    qtbot.waitUntil(lambda: measured.status.value == f"Written: {path}", timeout=20_000)

    if ending == "csv":
        areas = [float(row["area_px"]) for row in read_csv(out / "measurements.csv")]
        rows = read_csv(path)
        assert [float(row["Area (px)"]) for row in rows] == areas
        assert {row["model"] for row in rows} == {"otsu"}
    else:
        assert path.read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")


def test_measured_images_are_shown_with_their_labels(qtbot, viewer, measured, out):
    assert measured.form.show_results.enabled
    measured.form.show_results.native.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    assert [role_of(layer) for layer in viewer.layers] == [IMAGE, PREDICTION]
    assert all(layer.visible for layer in viewer.layers)
    assert viewer.layers[1].contour == 2  # else the nuclei would cover their image
    expected = read_labels(Source(out / "labels" / "a.tif"))
    assert np.array_equal(np.asarray(viewer.layers[1].data)[0], expected)


def test_the_report_of_measures_tells_all_and_no_flows(measured, out):
    assert measured.form.show_report.enabled
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<title>otsu on plain</title>" in text
    for told in ("Median area (px)", "Mean intensity", "nothing was scored", "Minimum size 15 px"):
        assert told in text
    for absent in ("Flow", "flow", "network", "Dice", "score of"):
        assert absent not in text.split("</style>")[1].replace("overflow", ""), absent


def test_a_folder_of_measures_takes_no_other_run(qtbot, measured, drawn_dataset, out):
    before = {path: path.read_bytes() for path in (out / "labels").iterdir()}
    measured.form.dataset.value = drawn_dataset
    run(qtbot, measured)

    assert "this folder holds another run" in measured.status.value
    assert {path: path.read_bytes() for path in (out / "labels").iterdir()} == before


def test_a_run_of_measures_goes_on_and_keeps_edited_labels(qtbot, measured, out):
    path = out / "labels" / "a.tif"
    labels, made = tifffile.imread(path), read_provenance(path)
    write_labels(path, labels * (labels != 1), {**made, "corrected_by_hand": 1})
    before = path.read_bytes()
    run(qtbot, measured)

    assert path.read_bytes() == before
    row, *others = read_csv(out / "fields.csv")
    assert row["corrected_by_hand"] == "1"
    assert int(row["nuclei"]) == len(np.unique(labels)) - 2
    assert "its labels were edited since" in row["suspect"]
    assert {one["corrected_by_hand"] for one in others} == {"0"}


def test_only_values_that_the_model_uses_are_shown(panel):
    rows = panel.form.params
    shown = [row.name for row in rows.rows if row.native.isVisibleTo(panel.form.values())]
    assert "flow_threshold" in shown
    panel.form.models.value = ["otsu"]

    shown = [row.name for row in rows.rows if row.native.isVisibleTo(panel.form.values())]
    assert shown == ["min_size", "exclude_on_edges", "invert"]


def test_a_closed_panel_stops_its_run(qtbot, viewer, panel, out, stand_in):
    reached, go_on = threading.Event(), threading.Event()

    def wait(report):
        reached.set()
        assert go_on.wait(20)

    stand_in.before = wait
    panel.start()
    job = panel.job
    qtbot.waitUntil(reached.is_set, timeout=20_000)
    viewer.window.remove_dock_widget(panel.native)
    go_on.set()
    qtbot.waitUntil(lambda: job.is_over, timeout=20_000)
    assert len(stand_in.calls) <= 1
    assert not (out / "fields.csv").exists()

"""Opening a folder of results in napari."""

from dataclasses import replace

import npe2
import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.batch.dataset_run import Execution, run_models
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.matching import PRESETS
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.files.results_reader import find_results, get_reader
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, IMAGE, PREDICTION, record_of
from tests.oracle import Oracle, oracle_setup
from tests.ui.scored import open_panel, overlays, settled


@pytest.fixture
def setups(oracle_of, drawn_fields):
    """A model that misses a nucleus of the first field, and one that finds nothing."""
    labels = [field.labels.copy() for field in drawn_fields]
    labels[0][labels[0] == 1] = 0
    nothing = [np.zeros_like(one) for one in labels]
    blind = replace(oracle_setup(oracle_of(drawn_fields, *nothing)), model="blind")
    return [oracle_setup(oracle_of(drawn_fields, *labels)), blind]


@pytest.fixture
def results(setups, drawn_dataset, tmp_path):
    """Make a folder of results."""

    def make(count=1):
        out = tmp_path / "out"
        run_models(open_dataset(drawn_dataset), setups[:count], out, Execution(lambda *step: None))
        return out

    return make


def opened(viewer, path):
    viewer.open(str(path), plugin="napari-nucseg")
    return {(record_of(layer).role, layer.name): layer for layer in viewer.layers}


def test_images_truth_prediction_and_verdicts_are_stacks(viewer, results, drawn_fields):
    layers = opened(viewer, results())

    assert [role for role, _ in layers] == [IMAGE, GROUND_TRUTH, PREDICTION, ERRORS]
    image, _, prediction, errors = layers.values()
    assert {layer.data.shape for layer in layers.values()} == {(3, 160, 200)}
    assert np.array_equal(np.asarray(image.data[0]), drawn_fields[0].image)
    lost = drawn_fields[0].labels == 1
    assert np.array_equal(np.asarray(prediction.data[0]), np.where(lost, 0, drawn_fields[0].labels))
    assert np.count_nonzero(np.asarray(errors.data[0]) == Verdict.MISSED) > 0
    assert np.count_nonzero(np.asarray(errors.data[1]) == Verdict.MISSED) == 0
    assert [layer.visible for layer in layers.values()] == [True, False, False, True]
    assert record_of(prediction).provenance["model"] == "oracle"


def test_the_score_panel_is_filled(qtbot, viewer, results, drawn_fields):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    layers = opened(viewer, results())

    _, truth, prediction, _ = layers.values()
    assert (panel.prediction.value, panel.truth.value) == (prediction, truth)
    viewer.dims.set_current_step(0, 0)
    nuclei = int(drawn_fields[0].labels.max())
    told = f"A01_s1 (1 of 3): {nuclei} nuclei, {nuclei - 1} predicted, {nuclei - 1} matched."
    qtbot.waitUntil(lambda: panel.status.value == told, timeout=20_000)


def test_the_panel_takes_the_place_of_the_verdicts_of_a_folder(qtbot, viewer, results):
    layers = list(opened(viewer, results(2)).values())
    panel = open_panel(qtbot, viewer)

    (errors,) = overlays(viewer, ERRORS)
    assert errors not in layers
    assert errors.visible
    assert panel.buttons.errors.native.isChecked()
    panel.threshold.value = 0.99
    panel.prediction.value = next(one for one in layers if one.name == "drawn blind")
    settled(qtbot, panel)
    (errors,) = overlays(viewer, ERRORS)
    assert set(np.unique(np.asarray(errors.data[1]))) == {0, Verdict.MISSED}
    panel.buttons.errors.native.click()
    assert not errors.visible


def test_verdicts_of_a_folder_stay_without_a_comparison(viewer, results):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    opened(viewer, results())
    panel.controls.truth.value = None

    viewer.window.remove_dock_widget(panel.native)

    assert len(overlays(viewer, ERRORS)) == 1


def test_several_models_share_images_and_truth(viewer, results):
    layers = opened(viewer, results(2))

    assert [role for role, _ in layers] == [
        *(IMAGE, GROUND_TRUTH, PREDICTION, ERRORS, PREDICTION, ERRORS)
    ]
    assert {name for role, name in layers if role == PREDICTION} == {"drawn blind", "drawn oracle"}


def test_fields_of_several_sizes_have_stacks_of_their_own(viewer, drawn_dataset, tmp_path):
    """Each plane holds its own field, and the panel gets the size that most fields have."""
    shapes = [(40, 50), (30, 30), (40, 50)]
    fields = [draw_field(seed, shape=shape, nuclei=2) for seed, shape in enumerate(shapes)]
    root = tmp_path / "uneven"
    for number, field in enumerate(fields):
        for part, data in (("images", field.image), ("labels", field.labels)):
            (root / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(root / part / f"f{number}.tif", data.astype(np.uint16))
    oracle = Oracle({field.image.tobytes(): field.labels for field in fields})
    out = tmp_path / "out"
    run_models(open_dataset(root), [oracle_setup(oracle)], out, Execution(lambda *step: None))
    (out / "labels" / "f2.tif").unlink()

    layers = opened(viewer, out)

    small, large = list(layers.values())[:4], list(layers.values())[4:]
    assert [role for role, _ in layers] == 2 * [IMAGE, GROUND_TRUTH, PREDICTION, ERRORS]
    assert {layer.data.shape for layer in small} == {(1, 30, 30)}
    assert {layer.data.shape for layer in large} == {(2, 40, 50)}
    assert [layer.visible for layer in layers.values()] == [
        *(4 * [False]),
        True,
        *(2 * [False]),
        True,
    ]
    assert [record_of(stack[2]).fields for stack in (small, large)] == [(0,), (0,)]
    assert np.array_equal(np.asarray(small[2].data[0]), fields[1].labels)
    assert np.array_equal(np.asarray(large[2].data[0]), fields[0].labels)
    assert np.array_equal(np.asarray(large[1].data[1]), fields[2].labels)
    assert not np.asarray(large[2].data[1]).any()


def test_run_json_alone_opens_the_same(viewer, results):
    assert len(opened(viewer, results() / "run.json")) == 4


def test_a_run_that_is_not_finished_is_blank_where_it_has_yet_to_come(viewer, results):
    out = results()
    sorted((out / "labels").iterdir())[1].unlink()
    layers = opened(viewer, out)

    prediction = next(layer for (role, _), layer in layers.items() if role == PREDICTION)
    assert record_of(prediction).fields == (0, 2)
    assert not np.asarray(prediction.data[1]).any()


def test_images_that_have_gone_are_told(results, drawn_dataset, monkeypatch):
    out = results()
    (drawn_dataset / "images").rename(drawn_dataset / "elsewhere")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: "")
    with pytest.raises(ValueError, match="this file is missing since the run"):
        get_reader(str(out))(str(out))


def test_truth_that_is_a_folder_of_masks_has_not_gone(setups, tmp_path, drawn_fields):
    for name, field in zip("abc", drawn_fields, strict=True):
        for part in ("images", "masks"):
            (tmp_path / "data" / name / part).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "data" / name / "images" / f"{name}.tif", field.image)
        for nucleus in range(1, int(field.labels.max()) + 1):
            mask = np.uint8(255) * (field.labels == nucleus)
            tifffile.imwrite(tmp_path / "data" / name / "masks" / f"{nucleus}.tif", mask)
    dataset = open_dataset(tmp_path / "data")
    run_models(dataset, setups[:1], tmp_path / "out", Execution(lambda *step: None))
    assert find_results(tmp_path / "out").gone is None


def test_a_dataset_that_lies_elsewhere_is_asked_for(viewer, results, drawn_dataset, monkeypatch):
    out = results()
    moved = drawn_dataset.rename(drawn_dataset.with_name("another name"))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: str(moved))

    image, truth, *_ = opened(viewer, out).values()

    assert np.asarray(image.data[0]).any()
    assert np.asarray(truth.data[0]).any()


def test_another_dataset_than_the_run_was_on_is_refused(results, drawn_dataset, monkeypatch):
    out = results()
    moved = drawn_dataset.rename(drawn_dataset.with_name("another name"))
    first = sorted((moved / "images").iterdir())[0]
    tifffile.imwrite(first, tifffile.imread(first) + 1)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: str(moved))

    with pytest.raises(ValueError, match=r"the image is not the one that was scored"):
        get_reader(str(out))(str(out))


def test_a_field_that_failed_is_blank_and_the_others_are_shown(
    viewer, results, drawn_dataset, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_nucseg.ui.files.opening.show_warning", told.append)
    damaged = sorted((drawn_dataset / "images").iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:100])

    image, truth, prediction, errors = opened(viewer, results()).values()

    assert told[0].startswith("1 field cannot be read and is blank. The first: ")
    assert damaged.name in told[0]
    assert record_of(prediction).fields == (0, 2)
    for layer in (image, truth, prediction, errors):
        assert not np.asarray(layer.data[1]).any()
        assert np.asarray(layer.data[0]).any()


def test_a_run_on_damaged_images_alone_is_told(results, drawn_dataset):
    out = results()
    for path in (drawn_dataset / "images").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    for path in (out / "labels").iterdir():
        path.unlink()

    with pytest.raises(ValueError, match="none of its fields can be read; check the images"):
        get_reader(str(out))(str(out))


def test_the_errors_that_are_shown_are_those_of_the_prediction_that_is_scored(
    qtbot, viewer, results
):
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    opened(viewer, results(2))
    settled(qtbot, panel)

    (shown,) = [layer for layer in overlays(viewer, ERRORS) if layer.visible]
    assert panel.prediction.value.name == "drawn oracle"
    assert set(np.unique(np.asarray(shown.data[1]))) == {0, Verdict.MATCHED}


def test_the_score_panel_takes_over_the_rule_of_the_run(qtbot, viewer, setups, results):
    setups[0] = replace(setups[0], rule=ScoreRule(0.97, PRESETS["dsb2018"]))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    opened(viewer, results())
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)

    assert panel.state.rule == setups[0].rule


def test_other_folders_and_files_are_left_to_other_readers(tmp_path, drawn_dataset):
    (tmp_path / "run.json").write_text("{}")
    assert get_reader(str(drawn_dataset)) is None
    assert get_reader(str(drawn_dataset / "images")) is None
    manager = npe2.PluginManager()
    manager.discover()
    other = tmp_path / "walk.json"
    other.touch()
    assert "napari-nucseg.read_results" not in {
        reader.command for reader in manager.iter_compatible_readers([str(other)])
    }

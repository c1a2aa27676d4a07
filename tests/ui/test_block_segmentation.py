"""Layers that are larger than memory: segmented in blocks, which are seen as they are done."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.batch.block_run import segment_in_blocks
from napari_nucseg.batch.image_task import Choice, ImageTask
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.large_images import read_made
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import Depth
from napari_nucseg.ui.files.writer import save_labels
from napari_nucseg.ui.layers import FILE, record_of
from napari_nucseg.ui.segment import block_segmentation
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.segment.live_update import IN_BLOCKS
from tests.ui.heartbeat import heartbeat
from tests.ui.segment_actions import RUN, move, predictions, run

zarr = pytest.importorskip("zarr")
SIZE = 256
LARGE = draw_field(5, shape=(600, 830), nuclei=70).image


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch):
    """Let images of more than 2^16 pixels count as large."""
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", str(2**16))
    monkeypatch.setattr(block_segmentation, "BLOCK", SIZE)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the command line makes of the image."""
    folder = tmp_path_factory.mktemp("command")
    tifffile.imwrite(folder / "slide.tif", LARGE)
    setup = set_up(catalogue.find("fluo-nuclei"), "auto", {}, DEFAULT_RULE)
    work = ImageTask(setup, folder / "out", Choice(takes_spacing=True))
    found = segment_in_blocks(Source(folder / "slide.tif"), work, SIZE, ignore)
    return read_labels(Source(found.path))


@pytest.fixture
def slide(viewer, tmp_path):
    """A lazy pyramid that is opened from a file."""
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, LARGE)
    lazy = da.from_array(LARGE, chunks=(200, 200))
    layer = viewer.add_image(
        [lazy, lazy[::2, ::2]], multiscale=True, name="slide", scale=(0.5, 0.5), units=("um", "um")
    )
    layer._source = layer.source.model_copy(update={"path": str(path)})
    return layer


def the_result(viewer) -> Labels:
    (labels,) = predictions(viewer)
    return labels


def test_a_large_layer_gets_the_labels_of_the_command_line(
    qtbot, viewer, slide, panel, expected, tmp_path
):
    run(qtbot, panel)

    labels, path = the_result(viewer), tmp_path / "slide fluo-nuclei.ome.zarr"
    assert labels.multiscale
    np.testing.assert_array_equal(np.asarray(labels.data[0]), expected)
    np.testing.assert_array_equal(zarr.open_group(str(path), mode="r")["0"][:], expected)
    np.testing.assert_array_equal(labels.scale, slide.scale)
    assert f"{expected.max()} nuclei segmented in 12 blocks" in panel.status.value
    assert str(path) in panel.status.value
    made = record_of(labels).provenance
    assert made["parameters"] == read_made(path)["parameters"]
    assert made["blocks"]["count"] == 12
    assert "In 12 blocks of 256 x 256 px" in panel.provenance.text.value
    assert not list(tmp_path.glob("*.blocks"))


def stop_after(panel, viewer, qtbot, blocks):
    """Press Segment, and Cancel once so many blocks are there."""
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: f"Block {blocks + 1} of 12" in panel.status.value, timeout=RUN)
    panel.form.cancel.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)


def test_a_run_that_is_stopped_keeps_its_blocks_and_goes_on(
    qtbot, viewer, slide, panel, expected, tmp_path
):
    stop_after(panel, viewer, qtbot, 4)
    (folder,) = tmp_path.glob("*.blocks")
    done = {path: path.stat().st_mtime_ns for path in folder.glob("block-*.npz")}
    assert len(done) >= 4
    assert "Press Segment with the same values to go on" in panel.status.value
    seen = np.asarray(the_result(viewer).data[0])
    np.testing.assert_array_equal(seen[:SIZE, :SIZE] > 0, expected[:SIZE, :SIZE] > 0)
    assert not seen[-100:, -100:].any()

    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: "of 12" in panel.status.value, timeout=RUN)
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert f"Block {len(done) + 1} of 12" in panel.status.value
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
    np.testing.assert_array_equal(np.asarray(the_result(viewer).data[0]), expected)


def test_the_window_answers_while_blocks_are_made(qtbot, viewer, slide, panel):
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: "Block 3 of 12" in panel.status.value, timeout=RUN)
    with heartbeat() as heart:  # once napari has added the layer
        qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
    assert heart.longest < 0.1, heart.places


def test_labels_of_other_values_lie_beside_those_that_are_there(
    qtbot, viewer, slide, panel, tmp_path
):
    run(qtbot, panel)
    first = the_result(viewer)
    before = np.asarray(first.data[0])
    run(qtbot, panel)
    assert "are there already" in panel.status.value
    assert predictions(viewer) == [first]

    move(qtbot, panel, {"min_size": 400})
    assert panel.status.value == IN_BLOCKS
    run(qtbot, panel)
    other = next(one for one in predictions(viewer) if one is not first)
    np.testing.assert_array_equal(np.asarray(first.data[0]), before)
    assert 0 < np.asarray(other.data[0]).max() < before.max()
    names = sorted(path.name for path in tmp_path.glob("*.ome.zarr"))
    assert names == ["slide fluo-nuclei 2.ome.zarr", "slide fluo-nuclei.ome.zarr"]


def test_a_layer_of_no_file_asks_for_a_folder(
    qtbot, viewer, panel, expected, tmp_path, monkeypatch
):
    chosen = [""]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: chosen[0])
    viewer.add_image(da.from_array(LARGE[None], chunks=(1, 200, 200)), name="lazy: one")
    run(qtbot, panel)
    assert panel.status.value == "Nothing was changed."
    assert not predictions(viewer)

    chosen[0] = str(tmp_path)
    run(qtbot, panel)
    labels = the_result(viewer)
    assert labels.data[0].shape == (1, 600, 830)
    np.testing.assert_array_equal(np.asarray(labels.data[0])[0], expected)
    assert (tmp_path / "lazy- one fluo-nuclei.ome.zarr").is_dir()


def test_a_volume_gets_the_labels_of_the_command_line(qtbot, viewer, panel, tmp_path):
    planes = [np.roll(LARGE[:330, :580], shift, (0, 1)) for shift in range(4)]
    volume, path = np.stack(planes), tmp_path / "volume.tif"
    tifffile.imwrite(path, volume, photometric="minisblack", metadata={"axes": "ZYX"})
    setup = set_up(catalogue.find("fluo-nuclei"), "auto", {}, DEFAULT_RULE)
    work = ImageTask(setup, tmp_path / "out", Choice(depth=Depth.STITCHED))
    expected = segment_in_blocks(Source(path), work, SIZE, ignore)

    layer = viewer.add_image(da.from_array(volume, chunks=(1, 200, 200)), name="volume")
    layer._source = layer.source.model_copy(update={"path": str(path)})
    panel.form.scope.value = Scope.STITCHED
    run(qtbot, panel)

    labels = the_result(viewer)
    assert labels.data[0].shape == volume.shape
    np.testing.assert_array_equal(np.asarray(labels.data[0]), tifffile.imread(expected.path))
    assert f"{expected.count} nuclei segmented in" in panel.status.value
    assert record_of(labels).provenance["depth"]["method"] == Depth.STITCHED


class Unread:
    """Labels on the disk, which are drawn, but not to be read into memory."""

    shape, ndim, dtype, size = (600, 830), 2, np.dtype(np.uint32), 600 * 830

    def __getitem__(self, index):
        return np.zeros(self.shape, self.dtype)[index]

    def __array__(self, *_, **__):
        raise AssertionError("all of it was read")


def test_large_labels_are_scored_without_being_read_into_memory(qtbot, viewer):
    for name in ("one", "other"):
        data = [Unread(), np.zeros((300, 415), np.uint32)]
        viewer.add_labels(data, multiscale=True, name=name)
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    panel.prediction.value, panel.truth.value = viewer.layers[1], viewer.layers[0]
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)
    assert panel.status.value.startswith("0 nuclei, 0 predicted, 0 matched. ")


def test_large_labels_are_not_saved_anew(viewer, tmp_path):
    data = [Unread(), np.zeros((300, 415), np.uint32)]
    labels = viewer.add_labels(data, multiscale=True, metadata={FILE: "a.ome.zarr"})
    with pytest.raises(OSError, match="too large to be saved anew; copy a"):
        save_labels(str(tmp_path / "a.tif"), *labels.as_layer_data_tuple()[:2])


def test_several_large_planes_are_refused(viewer, panel):
    viewer.add_image(da.from_array(np.stack([LARGE, LARGE]), chunks=(1, 200, 200)), name="two")
    panel.form.segment.native.click()
    assert "Open one plane as a layer of its own" in panel.status.value


def test_a_part_whose_labels_would_fill_the_memory_is_refused(viewer, slide, panel):
    corners = np.array([(10, 10), (10, 60), (60, 60), (60, 10)]) * 0.5
    viewer.add_shapes([corners], shape_type="rectangle")
    panel.form.image.value = slide
    panel.form.scope.value = Scope.BOX
    panel.form.segment.native.click()
    assert "open the part as a layer of its own" in panel.status.value
    assert not predictions(viewer)


def test_a_model_without_a_network_says_which_to_choose(qtbot, viewer, slide, panel):
    panel.form.model.value = "otsu"
    run(qtbot, panel)
    assert "choose a model with a network" in panel.status.value
    assert not predictions(viewer)

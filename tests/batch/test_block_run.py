"""Images in blocks: the labels of the image in one piece, in bounded memory, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster
from PIL import Image

from napari_nucseg.batch import block_run
from napari_nucseg.batch.block_run import needs_blocks, segment_in_blocks, with_free_name
from napari_nucseg.batch.executor import connected
from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.large_images import LargeImage, OpenImage, read_made
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.io.writers import checksum, read_provenance, write_labels
from napari_nucseg.metrics.score import DEFAULT_RULE, score
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.parameters import Depth, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume

SIZE = 256


@pytest.fixture(scope="module")
def field():
    """A drawn field of several blocks."""
    return draw_field(5, shape=(600, 830), nuclei=70).image


@pytest.fixture(scope="module")
def slide(field, tmp_path_factory):
    """The field as a tiled TIFF."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    tifffile.imwrite(path, field, tile=(128, 128), compression="zlib")
    return path


@pytest.fixture(scope="module")
def setup():
    """The bundled network, on this computer."""
    return set_up(catalogue.find("fluo-nuclei"), "cpu", {}, DEFAULT_RULE)


@pytest.fixture(scope="module")
def whole(field, setup):
    """Labels of the field in one piece."""
    return setup.load()(field, setup.params, ignore).labels


def segment(path, setup, out, *, progress=ignore, **how):
    work = ImageTask(setup, out, Choice(takes_spacing=True), **how)  # as the command line has it
    return segment_in_blocks(Source(path), work, SIZE, progress)


def blocks_in(out):
    return sorted(path.name for path in out.glob("*.blocks/block-*.npz"))


def assert_alike(labels, whole):
    """As many nuclei, and all of them alike to 95 %."""
    found = score(whole, labels.astype(np.int32), 0.95).objects
    assert (found.fp, found.fn) == (0, 0)


@pytest.fixture(scope="module")
def done(slide, setup, tmp_path_factory):
    """Labels that were made in blocks without any disturbance."""
    found = segment(slide, setup, tmp_path_factory.mktemp("done"))
    assert isinstance(found, Saved), found
    return found


def test_labels_of_blocks_are_those_of_the_image_in_one_piece(done, whole):
    labels = read_labels(Source(done.path))
    assert done.count == labels.max() == whole.max()
    assert_alike(labels, whole)


def test_the_file_says_how_its_labels_were_made(done, slide):
    made = read_provenance(done.path)
    assert made["model"] == "fluo-nuclei"
    assert made["image_sha256"] == Source(slide).sha256()
    assert made["labels_sha256"] == checksum(read_labels(Source(done.path)))
    assert made["blocks"]["count"] == 12
    assert done.read_as == ("segmented in 12 blocks",)
    assert not list(done.path.parent.glob("*.blocks"))


def test_labels_that_are_up_to_date_are_kept(done, slide, setup):
    before = done.path.stat().st_mtime_ns
    again = segment(slide, setup, done.path.parent)
    assert isinstance(again, Saved)
    assert again.is_old
    assert done.path.stat().st_mtime_ns == before


def test_labels_that_were_edited_are_kept_and_told_of(done, slide, setup, tmp_path):
    labels, made = tifffile.imread(done.path), read_provenance(done.path)
    write_labels(tmp_path / "slide.tif", np.where(labels == 1, 0, labels), made)
    before = (tmp_path / "slide.tif").read_bytes()
    found = segment(slide, setup, tmp_path)
    assert isinstance(found, Saved)
    assert found.count == done.count - 1
    assert "its labels were edited since, and are kept" in found.read_as[0]
    assert (tmp_path / "slide.tif").read_bytes() == before
    again = segment(slide, setup, tmp_path, overwrite=True)
    assert (again.count, again.is_old) == (done.count, False)


def test_nuclei_of_blocks_are_not_measured_which_is_told_first(slide, tmp_path, run):
    line = ("segment", slide, "-o", tmp_path / "out", "--device", "cpu", "--measures")
    told = run(*line, "--blocks", SIZE)
    assert told.code == 2
    assert "whose nuclei are not measured; segment it without --measures" in told.said
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_segmented_in_blocks_leaves_nothing_behind(field, setup, tmp_path):
    out = tmp_path / "out"
    Image.fromarray(field).save(tmp_path / "a.png")
    found = segment(tmp_path / "a.png", setup, out)
    assert "PNG and JPEG are not read in blocks; save it as TIFF" in found.error
    tifffile.imwrite(tmp_path / "b.tif", np.full((300, 300), np.nan, np.float32))
    assert "NaN or infinite" in segment(tmp_path / "b.tif", setup, out).error
    assert not out.exists() or not list(out.iterdir())


def test_a_file_of_others_is_kept_unless_it_is_asked(slide, setup, tmp_path):
    tifffile.imwrite(tmp_path / "slide.tif", np.zeros((600, 830), np.uint16))
    found = segment(slide, setup, tmp_path)
    assert isinstance(found, Failed)
    assert "it is kept" in found.error
    assert isinstance(segment(slide, setup, tmp_path, overwrite=True), Saved)


def test_a_run_that_is_stopped_goes_on_where_it_was(done, slide, setup, tmp_path):
    def stop(done, total, name="", /):
        if total > 1 and done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        segment(slide, setup, tmp_path, progress=stop)
    [folder] = tmp_path.glob("*.blocks")
    times = {name: (folder / name).stat().st_mtime_ns for name in blocks_in(tmp_path)}
    assert len(times) == 5
    told = []
    found = segment(slide, setup, tmp_path, progress=lambda *one: told.append(one))
    assert isinstance(found, Saved)
    assert told[0][:2] == (5, 12)
    assert found.path.read_bytes() == done.path.read_bytes() or np.array_equal(
        read_labels(Source(found.path)), read_labels(Source(done.path))
    )


def test_blocks_of_other_parameters_are_made_anew(slide, setup, tmp_path):
    (tmp_path / "slide.tif.blocks").mkdir()
    (tmp_path / "slide.tif.blocks" / "plan.json").write_text(json.dumps({"plan": {}}))
    (tmp_path / "slide.tif.blocks" / "block-0000-0000.npz").write_text("of another run")
    assert isinstance(segment(slide, setup, tmp_path), Saved)


@pytest.fixture
def open_image(field):
    """The field as an image that is no file."""
    image = LargeImage(field.shape, field.dtype, field.__getitem__)
    return OpenImage(
        Path("layer.png"), image=image, fingerprint="as drawn", labels="layer labels.ome.zarr"
    )


def test_an_open_image_gets_the_labels_of_its_file(open_image, done, setup, tmp_path):
    zarr = pytest.importorskip("zarr")
    work = ImageTask(setup, tmp_path, Choice(takes_spacing=True))
    found = segment_in_blocks(open_image, work, SIZE, ignore)
    assert isinstance(found, Saved)
    assert found.path == tmp_path / "layer labels.ome.zarr"
    labels = zarr.open_group(str(found.path), mode="r")["0"][:]
    np.testing.assert_array_equal(labels, read_labels(Source(done.path)))
    assert read_made(found.path)["image"] == "layer.png"

    assert with_free_name(open_image, work) == open_image  # which is up to date
    changed = replace(open_image, fingerprint="drawn anew")
    assert with_free_name(changed, work).labels == "layer labels 2.ome.zarr"


def test_a_block_that_is_stopped_in_its_middle_is_not_written(open_image, setup, tmp_path):
    pytest.importorskip("zarr")
    reports = []

    def stop(done, total, name="", /):
        reports.append(done)
        if len(reports) > 3:
            raise Stopped

    work = ImageTask(setup, tmp_path, Choice(takes_spacing=True), progress=stop)
    with pytest.raises(Stopped):
        segment_in_blocks(open_image, work, SIZE, ignore)
    assert len(blocks_in(tmp_path)) < 3


@pytest.mark.slow
def test_a_run_that_is_killed_five_times_ends_with_the_same_labels(done, slide, tmp_path):
    command = [sys.executable, "-m", "napari_nucseg", "segment", str(slide), "-o", str(tmp_path)]
    command += ["--device", "cpu", "--blocks", str(SIZE)]
    for count in (1, 3, 5, 8, 10):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 300
            while len(blocks_in(tmp_path)) < count:
                assert process.poll() is None
                assert time.monotonic() < deadline
                os.sched_yield()
            process.send_signal(signal.SIGKILL)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    labels = read_labels(Source(tmp_path / "slide.tif"))
    np.testing.assert_array_equal(labels, read_labels(Source(done.path)))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_gets_labels_with_a_pyramid_of_its_own_version(
    field, whole, setup, tmp_path, version, run
):
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "slide.ome.zarr"
    write_ome_zarr(zarr, path, field, version)
    found = segment(path, setup, tmp_path / "out")
    assert isinstance(found, Saved), found
    assert found.path == tmp_path / "out" / "slide.ome.zarr"
    group = zarr.open_group(str(found.path), mode="r")
    told = dict(group.attrs) if version == "0.4" else group.attrs["ome"]
    assert "image-label" in told
    scales = told["multiscales"][0]
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.5, 0.5]
    assert_alike(group[scales["datasets"][0]["path"]][:], whole)
    assert read_made(found.path)["nuclei"] == found.count
    again = run("segment", path, "-o", tmp_path / "out", "--device", "cpu")
    assert again.code == 0, again.said
    assert "(already exists)" in again.said


def write_ome_zarr(zarr, path, image, version):
    """Write an image as others do, with a channel and a time of length 1."""
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *axes]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    told = {"multiscales": [{"axes": axes, "datasets": datasets, "version": version}]}
    if version != "0.4":
        told = {"ome": {"version": version, **told}}
    group = zarr.create_group(str(path), zarr_format=2 if version == "0.4" else 3, attributes=told)
    data = image[None, None, None]
    chunks = (1, 1, 1, 200, 200)
    array = group.create_array("0", shape=data.shape, chunks=chunks, dtype=data.dtype)
    array[:] = data


@pytest.mark.parametrize("options", [(), ("--blocks", SIZE)])
def test_a_model_that_takes_an_image_as_a_whole_is_refused(
    slide, tmp_path, run, monkeypatch, options
):
    if not options:
        monkeypatch.setenv("NUCSEG_MAX_PIXELS", "100000")  # fewer than it has
    told = run("segment", slide, "-o", tmp_path / "out", "-m", "otsu", *options)
    assert told.code == 2
    assert "slide.tif: otsu takes an image as a whole" in told.said
    assert "choose a model with a network, such as fluo-nuclei" in told.said
    assert not list((tmp_path / "out").glob("*"))


def test_images_of_a_plate_are_segmented_in_blocks_each_by_its_name(field, setup, tmp_path, run):
    plate = tmp_path / "plate"
    plate.mkdir()
    wells = {"run_A01_s1_w1": field, "run_B12_s1_w1": field[::-1, ::-1]}
    for name, image in wells.items():
        tifffile.imwrite(plate / f"{name}.TIF", image)
    line = ("segment", plate, "-o", tmp_path / "out", "--device", "cpu", "--blocks", SIZE)
    told = run(*line)
    assert told.code == 0, told.said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.tif" for name in wells
    ]
    for name, image in wells.items():
        labels = read_labels(Source(tmp_path / "out" / f"{name}.tif"))
        assert_alike(labels, setup.load()(image, setup.params, ignore).labels)
    assert run(*line).said.count("already exists") == len(wells)


def test_the_command_line_segments_in_blocks_what_memory_does_not_hold(
    slide, tmp_path, run, monkeypatch
):
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "100000")
    told = run("segment", slide, "-o", tmp_path, "--device", "cpu")
    assert told.code == 0, told.said
    assert "segmented in" in told.said
    assert (tmp_path / "slide.tif").is_file()


def test_small_images_need_no_blocks(slide):
    assert not needs_blocks(Source(slide), None)


def test_a_plane_of_colours_is_as_large_as_one_of_grey(slide, field, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([field] * 3, -1), photometric="rgb")
    monkeypatch.setattr(block_run, "MAX_PIXELS", field.size - 1)
    assert needs_blocks(Source(slide), None)
    assert needs_blocks(Source(tmp_path / "a.tif"), None)


def test_moments_that_are_taken_for_depth_stay_moments_and_are_told_of(field, setup, tmp_path):
    stack = np.stack([field[:256, :330]] * 2)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TYX"})
    work = ImageTask(setup, tmp_path / "out", Choice(depth=Depth.STITCHED))
    found = segment_in_blocks(Source(tmp_path / "a.tif"), work, SIZE, ignore)
    assert isinstance(found, Saved), found
    assert "its file says that its planes are times" in found.read_as[0]
    with tifffile.TiffFile(found.path) as file:
        assert file.series[0].axes == "TYX"


def test_a_folder_of_others_is_never_replaced(field, setup, tmp_path):
    zarr = pytest.importorskip("zarr")
    write_ome_zarr(zarr, tmp_path / "slide.zarr", field, "0.5")
    mine = tmp_path / "out" / "slide.ome.zarr" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    found = segment(tmp_path / "slide.zarr", setup, tmp_path / "out", overwrite=True)
    assert isinstance(found, Failed)
    assert "it is no folder of Zarr; choose another --out" in found.error
    assert mine.read_text() == "mine"


def test_nuclei_on_the_border_of_the_image_alone_are_excluded(slide, setup, field, tmp_path):
    params = replace(setup.params, exclude_on_edges=True)
    found = segment(slide, replace(setup, params=params), tmp_path)
    assert isinstance(found, Saved)
    assert_alike(read_labels(Source(found.path)), setup.load()(field, params, ignore).labels)


def test_dark_nuclei_are_found_in_blocks(field, setup, tmp_path):
    dark = (int(field.max()) - field.astype(np.int32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "dark.tif", dark)
    params = replace(setup.params, invert=True)
    found = segment(tmp_path / "dark.tif", replace(setup, params=params), tmp_path / "out")
    assert isinstance(found, Saved), found
    labels = read_labels(Source(found.path))
    assert_alike(labels, setup.load()(dark, params, ignore).labels)


@pytest.mark.slow
def test_seams_of_real_fields_are_no_worse_than_elsewhere(bbbc039, setup, tmp_path):
    images = sorted((bbbc039 / "images").glob("*.tif"))[:6]
    fields = [tifffile.imread(path) for path in images]
    mosaic = np.vstack([np.hstack(fields[:3]), np.hstack(fields[3:])])
    tifffile.imwrite(tmp_path / "mosaic.tif", mosaic, tile=(256, 256), compression="zlib")
    found = segment(tmp_path / "mosaic.tif", setup, tmp_path / "out")
    assert isinstance(found, Saved), found
    whole = setup.load()(mosaic, setup.params, ignore).labels
    labels = read_labels(Source(found.path)).astype(np.int32)
    assert found.count == whole.max()
    apart = score(whole, labels, 0.95).objects  # positions are rounded by the size of what is seen
    assert max(apart.fp, apart.fn) < 0.005 * whole.max()


def test_cli_lists_blocks(run):
    told = run("segment", "--help")
    assert "--blocks" in told.said


@pytest.mark.slow
def test_blocks_spread_over_workers_and_one_that_is_killed_loses_nothing(
    done, slide, setup, tmp_path
):
    killed = []
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        connected(local.scheduler_address) as cluster,
        Client(local) as client,
    ):

        def kill(count, total, name="", /):
            if total > 1 and count >= 3 and not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        work = ImageTask(setup, tmp_path, Choice())
        found = segment_in_blocks(Source(slide), work, SIZE, kill, cluster)
    assert killed
    assert isinstance(found, Saved), found
    labels = read_labels(Source(found.path))
    np.testing.assert_array_equal(labels, read_labels(Source(done.path)))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [Depth.STITCHED, Depth.IN_3D])
def test_volumes_are_segmented_in_blocks(field, setup, tmp_path, depth):
    if depth is Depth.IN_3D:  # each row and column is run as a plane, too
        field = draw_field(5, shape=(140, 330), nuclei=32).image
    planes = [np.roll(field[:330, :580], shift, (0, 1)) for shift in range(5)]
    dimmer = [plane // 2 + plane.min() // 2 for plane in (planes[0], planes[-1])]
    volume = np.stack([dimmer[0], *planes[1:-1], dimmer[1]])
    tifffile.imwrite(tmp_path / "volume.tif", volume, metadata={"axes": "ZYX"})
    work = ImageTask(setup, tmp_path / "out", Choice(depth=depth))
    found = segment_in_blocks(Source(tmp_path / "volume.tif"), work, SIZE, ignore)
    assert isinstance(found, Saved), found
    whole = segment_volume(setup.load(), volume, setup.params, depth, VolumeParams(), ignore).labels
    labels = read_labels(Source(found.path)).astype(np.int32)
    alike = score(whole, labels, 0.9).objects
    assert alike.tp > 20
    assert alike.fp + alike.fn <= 1


def test_a_stack_of_which_it_is_not_known_how_to_take_it_is_refused(setup, tmp_path, field):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([field] * 5), metadata={"axes": "ZYX"})
    found = segment(tmp_path / "a.tif", setup, tmp_path / "out")
    assert isinstance(found, Failed)
    assert "stitched or 3d (--volume)" in found.error

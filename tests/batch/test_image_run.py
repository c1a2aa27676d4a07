from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.batch.image_run import describe, find_clashes, find_images, segment_images
from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
from napari_nucseg.io.channels import Channel
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import SyntheticField
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.parameters import Depth
from tests.oracle import PARAMS, oracle_setup


@pytest.fixture
def folder(tmp_path, drawn_fields):
    """A folder with a TIFF, a PNG, and files that are no images."""
    path = tmp_path / "images"
    path.mkdir()
    tifffile.imwrite(path / "b.tif", drawn_fields[0].image)
    Image.fromarray(drawn_fields[1].image).save(path / "a.PNG")
    (path / "notes.txt").write_text("x")
    (path / ".hidden.tif").write_text("x")
    return path


def segment(source, segmenter, out, choice=Choice()):  # noqa: B008
    """Segment one image; return what was saved, or the error."""
    work = ImageTask(oracle_setup(segmenter), out, choice)
    [found] = segment_images([source], work, ignore)
    return found


def test_images_of_a_folder_are_found_in_the_order_of_their_names(folder):
    found, refused = find_images([folder])
    assert [source.name for source in found] == ["a.PNG", "b.tif"]
    assert refused == {}


def test_files_and_folders_can_be_mixed(folder, tmp_path, drawn_fields):
    tifffile.imwrite(tmp_path / "z.tif", drawn_fields[2].image)
    found, _ = find_images([tmp_path / "z.tif", folder])
    assert [source.name for source in found] == ["z.tif", "a.PNG", "b.tif"]


def test_inputs_without_an_image_are_named_beside_those_of_the_others(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    found, refused = find_images([tmp_path / "nowhere", folder, empty])

    assert [source.name for source in found] == ["a.PNG", "b.tif"]
    told = {path.name: str(error) for path, error in refused.items()}
    assert told["nowhere"].endswith("nowhere: there is no such file or folder")
    assert "empty: no TIFF, PNG or JPEG image here" in told["empty"]


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\xff"])
def test_damaged_files_of_a_folder_are_found_as_the_others_are(folder, content):
    (folder / "c.tif").write_bytes(content)
    found, _ = find_images([folder])
    assert [source.name for source in found] == ["a.PNG", "b.tif", "c.tif"]


def test_a_link_to_itself_clashes_with_nothing(folder, tmp_path):
    (folder / "c.tif").symlink_to("c.tif")
    found, _ = find_images([folder])
    assert [source.name for source in found] == ["a.PNG", "b.tif", "c.tif"]
    assert find_clashes(found, tmp_path / "out") == {}


def test_an_image_that_may_not_be_read_does_not_stop_the_others(folder, tmp_path, run):
    shut = folder / "b.tif"
    shut.chmod(0)
    if os.access(shut, os.R_OK):
        pytest.skip("this user may read all files")
    done = run("segment", shut, folder / "a.PNG", "-o", tmp_path / "out", "-m", "otsu")
    assert done.code == 1
    assert f"{shut}: you may not read this file; ask for it" in done.said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


@pytest.mark.parametrize(("name", "number"), [("b.tif", 0), ("a.PNG", 1)])
def test_labels_are_saved_under_the_images_name(
    folder, tmp_path, drawn_fields, oracle_of, name, number
):
    source = Source(folder / name)
    saved = segment(source, oracle_of(drawn_fields), tmp_path / "out")
    assert saved.path == tmp_path / "out" / f"{source.stem}.tif"
    assert saved.count == drawn_fields[number].labels.max()
    assert saved.channel == ""
    with tifffile.TiffFile(saved.path) as tiff:
        assert np.array_equal(tiff.asarray(), drawn_fields[number].labels)
    made = read_provenance(saved.path)
    assert made["image"] == name
    assert made["parameters"]["min_size"] == PARAMS.min_size


def test_a_stack_is_refused_with_its_name(tmp_path, oracle_of):
    stack = np.zeros((3, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    error = segment(Source(tmp_path / "stack.tif"), oracle_of([]), tmp_path / "out")
    assert "stack.tif: a stack of 3 planes" in error.error


@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
def test_a_channel_of_a_colour_image_is_segmented_and_told(
    tmp_path, drawn_fields, oracle_of, first
):
    grey = drawn_fields[0].image
    colours = np.stack([grey // 2, grey, grey // 3], axis=0 if first else 2)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="minisblack")
    source = Source(tmp_path / "a.tif")
    choice = Choice(Channel("green"))
    saved = segment(source, oracle_of(drawn_fields), tmp_path / "out", choice)
    assert saved.channel == "channel green of 3"
    assert saved.count == drawn_fields[0].labels.max()
    assert read_provenance(saved.path)["channel"] == "channel green of 3"


def test_planes_of_a_stack_are_labelled_each_by_itself(tmp_path, drawn_fields, oracle_of):
    stack = np.stack([field.image for field in drawn_fields])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    choice = Choice(depth=Depth.PLANES)
    source = Source(tmp_path / "stack.tif")
    saved = segment(source, oracle_of(drawn_fields), tmp_path / "out", choice)
    expected = np.stack([field.labels for field in drawn_fields])
    assert np.array_equal(tifffile.imread(saved.path), expected)
    assert read_provenance(saved.path)["depth"]["method"] == "planes"


def test_a_volume_of_several_axes_is_refused(tmp_path, oracle_of):
    stack = np.zeros((2, 3, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    choice = Choice(depth=Depth.STITCHED)
    error = segment(Source(tmp_path / "a.tif"), oracle_of([]), tmp_path / "out", choice)
    assert "a.tif: several axes, TZ before" in error.error


@pytest.mark.parametrize(("axis", "held"), [("T", "times"), ("C", "channels"), ("Z", "")])
def test_planes_that_are_no_depths_by_their_file_are_told(tmp_path, oracle_of, axis, held):
    stack = np.zeros((5, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": f"{axis}YX"})
    source = Source(tmp_path / "a.tif")
    blank = SyntheticField(stack[0], stack[0].astype(np.int32))
    for depth in (Depth.STITCHED, Depth.PLANES):
        out = tmp_path / f"{depth}"
        saved = segment(source, oracle_of([blank]), out, Choice(depth=depth))
        with tifffile.TiffFile(saved.path) as file:
            assert file.series[0].axes == ("TYX" if axis == "T" else "ZYX")
        notes = [note for note in saved.read_as if f"its planes are {held};" in note]
        assert len(notes) == (1 if held and depth is Depth.STITCHED else 0)


def test_the_diameter_that_was_found_and_doubts_are_saved(
    folder, tmp_path, drawn_fields, oracle_of
):
    oracle = oracle_of(drawn_fields)
    oracle.estimate, oracle.suspect = 112.4, ("38 bright objects, 1 nucleus",)
    source = Source(folder / "b.tif")
    made = segment(source, oracle, tmp_path / "out")
    for saved in (made, Saved.of(made.path, read_provenance(made.path))):
        assert saved.estimate == 112.4
        assert saved.suspect == ("38 bright objects, 1 nucleus",)
        assert ", diameter 112 px (estimated), " in describe(saved)


def test_a_diameter_that_was_set_is_no_estimate(folder, tmp_path, drawn_fields, oracle_of):
    saved = segment(Source(folder / "b.tif"), oracle_of(drawn_fields), tmp_path / "out")
    assert (saved.estimate, saved.suspect) == (None, ())
    assert "(estimated)" not in describe(saved)


def test_an_image_that_breaks_the_model_fails_by_its_name(folder, tmp_path):
    def breaks(image, params, report):
        raise RuntimeError("out of memory")

    failed = segment(Source(folder / "b.tif"), breaks, tmp_path / "out")
    assert failed == Failed("b.tif", f"{folder / 'b.tif'}: RuntimeError: out of memory")


def test_labels_by_other_weights_than_the_run_was_begun_with_are_refused(
    folder, tmp_path, drawn_fields, oracle_of
):
    setup = replace(oracle_setup(oracle_of(drawn_fields)), weights={"oracle.pt": "cd" * 32})
    work = ImageTask(setup, tmp_path / "out", Choice())
    [failed] = segment_images([Source(folder / "b.tif")], work, ignore)
    assert f"{folder / 'b.tif'}: " in failed.error
    assert "other weights of oracle than the run was begun with" in failed.error
    assert not (tmp_path / "out").exists()


def zarr_at(path):
    """Make a folder that looks like an array of Zarr."""
    path.mkdir()
    (path / "zarr.json").write_text("{}")
    return path


def test_images_of_zarr_clash_by_the_names_of_their_labels(folder, tmp_path):
    zarrs = [Source(zarr_at(folder / name)) for name in ("b.zarr", "b.ome.zarr")]
    found, _ = find_images([folder])
    clashes = find_clashes(found, tmp_path / "out")
    assert set(clashes) == set(zarrs)  # b.tif becomes a TIFF
    assert all("both would be saved as b.ome.zarr" in told for told in clashes.values())


def test_hidden_folders_of_zarr_are_no_images(folder):
    zarr_at(folder / ".b.ome.zarr.partial")
    found, _ = find_images([folder])
    assert [source.name for source in found] == ["a.PNG", "b.tif"]

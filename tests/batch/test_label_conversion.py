"""Label files are converted one after the other, and nothing of others is replaced."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi, roiwrite

from napari_nucseg.batch.image_task import Failed
from napari_nucseg.batch.label_conversion import (
    Conversion,
    Converted,
    convert_files,
    find_label_files,
)
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.images import read_labels, read_labels_header
from napari_nucseg.io.label_formats import FORMATS, find_format
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.io.zarr_labels import write_zarr
from napari_nucseg.progress import ignore

NEEDS_ZARR = pytest.mark.skipif(find_spec("zarr") is None, reason="zarr is not installed")
MADE = {"model": "fluo-nuclei", "image": "a.tif"}


@pytest.fixture
def labels(drawn_fields, tmp_path):
    """A label TIFF with provenance and pixel size, in a folder of its own."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.tif"
    write_labels(path, drawn_fields[0].labels, MADE, Calibration(0.5))
    return path


def convert(path, to, out, **options):
    how = Conversion(find_format(to), out, **options)
    return convert_files(find_label_files([path]), how, ignore)


def reason(found):
    (one,) = found
    assert isinstance(one, Failed)
    return one.error


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(one, marks=NEEDS_ZARR if one.name == "ome-zarr" else (), id=one.name)
        for one in FORMATS
    ],
)
def test_labels_go_to_every_format_and_back(form, labels, tmp_path, drawn_fields):
    (there,) = convert(labels, form.name, tmp_path / "there")
    (back,) = convert(there.path, "tiff", tmp_path / "back")

    assert isinstance(there, Converted)
    assert there.path == tmp_path / "there" / f"a{form.endings[0]}"
    assert there.count == back.count == drawn_fields[0].labels.max()
    assert back.path == tmp_path / "back" / "a.tif"
    assert np.array_equal(read_labels(Source(back.path)) > 0, drawn_fields[0].labels > 0)
    if form.name not in ("png", "bbbc039"):  # which say nothing of it
        assert read_labels_header(Source(back.path)).pixel_size == pytest.approx(0.5)
        assert read_provenance(back.path)["model"] == "fluo-nuclei"


def test_a_file_that_exists_is_replaced_only_when_asked_for(labels, tmp_path):
    (tmp_path / "a.geojson").write_text("mine")

    told = reason(convert(labels, "qupath", tmp_path))

    assert "already exists; choose another --out, or replace it by --overwrite" in told
    assert (tmp_path / "a.geojson").read_text() == "mine"
    convert(labels, "qupath", tmp_path, overwrite=True)
    assert json.loads((tmp_path / "a.geojson").read_text())["features"]


def test_the_file_that_is_read_is_never_replaced(labels):
    before = labels.read_bytes()

    told = reason(convert(labels, "tiff", labels.parent, overwrite=True))

    assert "it would replace a file that is read" in told
    assert labels.read_bytes() == before


def test_the_ground_truth_of_a_dataset_is_never_replaced(drawn_dataset, tmp_path, labels):
    mask = next((drawn_dataset / "masks").iterdir())
    labels = labels.rename(labels.with_name(f"{mask.stem}.tif"))
    before = mask.read_bytes()

    told = reason(convert(labels, "png", mask.parent, overwrite=True))

    assert "belongs to a dataset" in told
    assert mask.read_bytes() == before


def test_of_a_folder_all_label_files_are_converted_and_failures_named(labels, tmp_path):
    (labels.parent / "b.geojson").write_text("{")
    (labels.parent / "notes.txt").write_text("no labels")

    found = convert(labels.parent, "cellpose", tmp_path / "out")

    assert [type(one) for one in found] == [Converted, Failed]
    assert found[1].error.startswith(f"{labels.parent / 'b.geojson'}: ")


def test_two_files_of_one_stem_are_not_written_over_one_another(labels, tmp_path):
    convert(labels, "cellpose", labels.parent)

    found = convert(labels.parent, "qupath", tmp_path / "out")

    assert [type(one) for one in found] == [Converted, Failed]
    assert f"a.geojson was made of {labels} already" in found[1].error


def test_several_fields_become_one_file_of_coco_and_come_apart_again(labels, tmp_path):
    write_labels(labels.with_name("b.tif"), np.array([[0, 3], [3, 0]]), {"image": "b.tif"})

    found = convert(labels.parent, "coco", tmp_path / "out")

    assert {one.path for one in found} == {tmp_path / "out" / "instances.json"}
    back = convert(tmp_path / "out" / "instances.json", "tiff", tmp_path / "back")
    assert [one.path.name for one in back] == ["a.tif", "b.tif"]
    assert read_labels(Source(back[1].path)).tolist() == [[0, 3], [3, 0]]


def test_labels_of_one_image_in_two_formats_are_once_in_a_file_of_coco(labels, tmp_path):
    convert(labels, "cellpose", labels.parent)

    found = convert(labels.parent, "coco", tmp_path)

    assert [type(one) for one in found] == [Converted, Failed]
    assert f"the nuclei of a are those of {labels} already" in found[1].error
    assert len(json.loads((tmp_path / "instances.json").read_text())["images"]) == 1


@pytest.mark.parametrize("in_folder", [False, True])
def test_outlines_of_others_get_the_shape_of_their_image(in_folder, tmp_path):
    roiwrite(tmp_path / "a.zip", [ImagejRoi.frompoints([[1, 1], [3, 1], [3, 3], [1, 3]])])
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a.tif"
    tifffile.imwrite(image, np.zeros((7, 9), np.uint8))
    out = tmp_path / "out"

    assert "--image IMAGE" in reason(convert(tmp_path / "a.zip", "tiff", out))
    convert(tmp_path / "a.zip", "tiff", out, images=image.parent if in_folder else image)

    assert read_labels(Source(out / "a.tif")).shape == (7, 9)
    assert read_labels(Source(out / "a.tif")).sum() == 4


@pytest.mark.parametrize("form", ["ome-tiff", pytest.param("ome-zarr", marks=NEEDS_ZARR)])
def test_moments_stay_moments(form, tmp_path):
    write_labels(tmp_path / "a.tif", np.ones((2, 5, 6), np.uint16), {}, stack="T")

    (there,) = convert(tmp_path / "a.tif", form, tmp_path / "there")
    (back,) = convert(there.path, "tiff", tmp_path / "back")

    with tifffile.TiffFile(back.path) as file:
        assert file.series[0].axes == "TYX"


@NEEDS_ZARR
@pytest.mark.parametrize("in_folder", [False, True])
def test_outlines_get_the_shape_of_an_image_of_ome_zarr(in_folder, tmp_path):
    roiwrite(tmp_path / "a.zip", [ImagejRoi.frompoints([[1, 1], [3, 1], [3, 3], [1, 3]])])
    image = tmp_path / "images" / "a.ome.zarr"
    write_zarr(image, Labelled(np.zeros((7, 9), np.uint16)))

    images = image.parent if in_folder else image
    (found,) = convert(tmp_path / "a.zip", "tiff", tmp_path / "out", images=images)

    assert read_labels(Source(found.path)).shape == (7, 9)


@NEEDS_ZARR
def test_labels_within_an_image_of_ome_zarr_are_converted_by_their_own_folder(tmp_path):
    folder = tmp_path / "image.ome.zarr" / "labels" / "nuclei"
    write_zarr(folder, Labelled(np.array([[0, 3]])))

    (found,) = convert(folder, "tiff", tmp_path / "out")

    assert (found.path.name, found.count) == ("nuclei.tif", 1)


@NEEDS_ZARR
def test_an_image_of_ome_zarr_is_no_label_image(drawn_fields, tmp_path):
    write_zarr(tmp_path / "a.zarr", Labelled(drawn_fields[0].image))

    assert "not a label image" in reason(convert(tmp_path / "a.zarr", "tiff", tmp_path / "out"))


def test_a_binary_mask_is_told_and_can_be_taken_apart(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[255, 0, 255]], np.uint8))

    (one,) = convert(tmp_path / "a.tif", "qupath", tmp_path / "one")
    (two,) = convert(tmp_path / "a.tif", "qupath", tmp_path / "two", components=True)

    assert (one.count, two.count) == (1, 2)
    assert "it looks like a binary mask" in one.notes[0]


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no label files here"):
        find_label_files([tmp_path])
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        find_label_files([Path("nowhere.tif")])

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.sources import Source
from napari_nucseg.runs.segmenting import find_images, segment_image


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


def test_images_of_a_folder_are_found_in_the_order_of_their_names(folder):
    assert [source.name for source in find_images([folder])] == ["a.PNG", "b.tif"]


def test_files_and_folders_can_be_mixed(folder, tmp_path, drawn_fields):
    tifffile.imwrite(tmp_path / "z.tif", drawn_fields[2].image)
    found = find_images([tmp_path / "z.tif", folder])
    assert [source.name for source in found] == ["z.tif", "a.PNG", "b.tif"]


def test_two_images_of_one_name_are_refused(folder, tmp_path, drawn_fields):
    tifffile.imwrite(tmp_path / "a.tif", drawn_fields[2].image)
    with pytest.raises(ValueError, match=r"both would be saved as a\.tif") as failure:
        find_images([folder, tmp_path / "a.tif"])
    assert str(folder / "a.PNG") in str(failure.value)
    assert str(tmp_path / "a.tif") in str(failure.value)


def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file or folder"):
        find_images([folder, tmp_path / "nowhere"])


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ValueError, match="no TIFF or PNG image here"):
        find_images([tmp_path])


@pytest.mark.parametrize(("name", "number"), [("b.tif", 0), ("a.PNG", 1)])
def test_labels_are_saved_under_the_images_name(
    folder, tmp_path, drawn_fields, oracle_of, name, number
):
    params = SegmentParams(min_size=5)
    source = Source(folder / name)
    count, path = segment_image(source, oracle_of(drawn_fields), params, tmp_path / "out")
    assert path == tmp_path / "out" / f"{source.stem}.tif"
    assert count == drawn_fields[number].labels.max()
    with tifffile.TiffFile(path) as tiff:
        assert np.array_equal(tiff.asarray(), drawn_fields[number].labels)
        made = json.loads(tiff.pages[0].description)["nucseg"]
    assert made["image"] == name
    assert made["parameters"]["min_size"] == 5


def test_a_stack_is_refused_with_its_name(tmp_path, oracle_of):
    stack = np.zeros((3, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    with pytest.raises(ValueError, match=r"stack\.tif: a stack of 3 planes"):
        segment_image(Source(tmp_path / "stack.tif"), oracle_of([]), SegmentParams(), tmp_path)

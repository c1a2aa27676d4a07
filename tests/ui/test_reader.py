"""Opening BBBC039 in napari."""

import shutil
import time
import tracemalloc
import zipfile
from pathlib import Path

import npe2
import numpy as np
import pytest
import tifffile

from napari_nucseg.core.images import read_mask
from napari_nucseg.core.sources import Source
from napari_nucseg.ui.files.reader import get_reader
from napari_nucseg.ui.layers import GROUND_TRUTH, full_data, role_of


def read(path: Path):
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


@pytest.fixture(scope="module")
def readers_of():
    manager = npe2.PluginManager()
    manager.discover()
    return lambda path: {r.plugin_name for r in manager.iter_compatible_readers([str(path)])}


@pytest.fixture
def one_image(drawn_dataset: Path) -> Path:
    return sorted((drawn_dataset / "images").iterdir())[0]


@pytest.mark.parametrize("part", ["images", "masks"])
def test_files_of_the_dataset_are_offered_to_the_reader(readers_of, drawn_dataset, part):
    assert "napari-nucseg" in readers_of(sorted((drawn_dataset / part).iterdir())[0])


@pytest.mark.parametrize("name", ["photo.png", "cells.tif", "A01_s1.TIF", "mask.png", "data.zip"])
def test_other_peoples_files_never_raise_a_reader_question(readers_of, tmp_path, name):
    path = tmp_path / name
    path.touch()

    assert "napari-nucseg" not in readers_of(path)


def test_other_peoples_folders_are_left_to_other_readers(tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", np.zeros((4, 4), np.uint8))

    assert get_reader(str(tmp_path)) is None


def test_an_image_brings_its_ground_truth(one_image, drawn_fields):
    (image, about, kind), (truth, _, truth_kind) = read(one_image)

    assert (kind, truth_kind) == ("image", "labels")
    assert np.array_equal(image, drawn_fields[0].image)
    assert np.array_equal(truth > 0, drawn_fields[0].labels > 0)
    assert truth.max() == drawn_fields[0].labels.max()
    assert about["name"] == "A01_s1"


def test_a_mask_alone_gives_labels(drawn_dataset):
    path = sorted((drawn_dataset / "masks").iterdir())[0]

    ((labels, about, kind),) = read(path)

    assert kind == "labels"
    assert np.array_equal(labels, read_mask(Source(path)))
    assert about["name"] == f"A01_s1 {GROUND_TRUTH}"


def test_several_chosen_images_open_one_by_one(drawn_dataset):
    paths = [str(path) for path in sorted((drawn_dataset / "images").iterdir())[:2]]

    layers = get_reader(paths)(paths)

    assert [about["name"] for _, about, _ in layers][::2] == ["A01_s1", "A02_s1"]


@pytest.mark.parametrize("inside", [".", "images", "masks", "metadata"])
def test_a_folder_opens_as_two_stacks(drawn_dataset, drawn_fields, inside):
    (images, about, _), (truths, _, _) = read(drawn_dataset / inside)

    assert images.shape == truths.shape == (3, 160, 200)
    assert np.array_equal(images[1].compute(), drawn_fields[1].image)
    assert truths[1].compute().max() == drawn_fields[1].labels.max()
    assert about["metadata"]["wells"] == ["A01", "A02", "A03"]
    assert about["metadata"]["names"][2] == "A03_s1"
    assert len(about["metadata"]["nucseg"]["stems"]) == 3


def test_a_split_file_opens_its_fields_alone(drawn_dataset):
    (images, about, _), _ = read(drawn_dataset / "metadata" / "training.txt")

    assert len(images) == 2
    assert about["metadata"]["splits"] == ["training", "training"]


def test_the_published_archives_open_without_unpacking(drawn_dataset, tmp_path, drawn_fields):
    folder = tmp_path / "published"
    folder.mkdir()
    for part in ("images", "masks"):
        shutil.make_archive(str(folder / part), "zip", drawn_dataset, part)

    (images, _, _), (truths, _, _) = read(folder / "images.zip")

    assert np.array_equal(images[1].compute(), drawn_fields[1].image)
    assert truths[1].compute().max() == drawn_fields[1].labels.max()
    assert sorted(path.name for path in folder.iterdir()) == ["images.zip", "masks.zip"]


def test_a_field_is_read_only_when_it_is_shown(drawn_dataset):
    (images, _, _), _ = read(drawn_dataset)
    for path in (drawn_dataset / "images").iterdir():
        path.unlink()

    with pytest.raises(OSError, match="IXMtest"):
        images[0].compute()


def test_a_truncated_image_is_refused_before_anything_is_shown(drawn_dataset, one_image):
    one_image.write_bytes(one_image.read_bytes()[:20_000])

    with pytest.raises(ValueError, match=one_image.name):
        read(drawn_dataset)


def test_a_mask_of_another_shape_is_refused_before_anything_is_shown(drawn_dataset):
    from tests.conftest import write_mask

    mask = sorted((drawn_dataset / "masks").iterdir())[1]
    write_mask(mask, np.ones((10, 12), np.int32))

    with pytest.raises(ValueError, match=r"10 x 12 px but its image .* 160 x 200"):
        read(drawn_dataset)


def test_fields_of_two_pixel_types_are_stacked_by_themselves(drawn_dataset, one_image):
    tifffile.imwrite(one_image, np.zeros((160, 200), np.uint8))

    layers = read(drawn_dataset)

    assert [(data.shape[0], data.dtype) for data, _, kind in layers if kind == "image"] == [
        (1, np.uint8),
        (2, np.uint16),
    ]
    assert [about["name"] for _, about, _ in layers[::2]] == ["drawn uint8", "drawn uint16"]


def test_a_field_of_another_size_in_an_archive_is_refused_when_shown(drawn_dataset, tmp_path):
    odd = sorted((drawn_dataset / "images").iterdir())[1]
    tifffile.imwrite(odd, np.zeros((6, 5), np.uint16))
    shutil.make_archive(str(tmp_path / "images"), "zip", drawn_dataset, "images")

    ((images, _, _),) = read(tmp_path / "images.zip")

    with pytest.raises(ValueError, match=odd.name):
        images[1].compute()


def test_an_empty_folder_says_what_to_open(tmp_path):
    with pytest.raises(ValueError, match="open the folder that holds images/"):
        read(tmp_path)


def test_an_archive_that_leads_outside_itself_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("../IXMtest.tif", b"")

    with pytest.raises(ValueError, match="leads outside the archive"):
        read(tmp_path / "images.zip")


def test_masks_that_are_missing_in_part_are_told(drawn_dataset, monkeypatch):
    sorted((drawn_dataset / "masks").iterdir())[0].unlink()
    told = []
    monkeypatch.setattr("napari_nucseg.ui.files.reader.show_warning", told.append)

    layers = read(drawn_dataset)

    assert len(layers) == 1
    assert "1 of 3 fields have no mask" in told[0]


def test_real_fields_carry_their_pixel_size(bbbc039):
    (_, about, _), (_, truth_about, _) = read(sorted((bbbc039 / "images").iterdir())[0])

    assert about["scale"] == truth_about["scale"] == (0.645, 0.645)
    assert about["units"] == ("um", "um")
    assert about["name"] == "A02_s1"


def test_the_whole_dataset_opens_in_a_second_and_little_memory(bbbc039):
    start = time.perf_counter()
    (images, _, _), (truths, _, _) = read(bbbc039)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    read(bbbc039)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert images.shape == truths.shape == (150, 520, 696)
    assert peak < 100e6
    assert seconds < 1


def test_napari_opens_a_dataset_as_stacks(viewer, drawn_dataset):
    viewer.open(str(drawn_dataset), plugin="napari-nucseg")

    assert [role_of(layer) for layer in viewer.layers] == ["image", GROUND_TRUTH]
    assert all(full_data(layer).shape == (3, 160, 200) for layer in viewer.layers)


def test_bad_input_leaves_no_layer(viewer, drawn_dataset, one_image):
    one_image.write_bytes(one_image.read_bytes()[:100])

    with pytest.raises(ValueError, match=one_image.name):
        viewer.open(str(drawn_dataset), plugin="napari-nucseg")
    assert not viewer.layers


def test_nuclei_are_seen_beside_a_bright_speck(viewer, drawn_dataset):
    path = sorted((drawn_dataset / "images").iterdir())[0]
    image = tifffile.imread(path)
    image[0, 0] = 4095
    tifffile.imwrite(path, image)

    for opened in (path, drawn_dataset):
        viewer.open(str(opened), plugin="napari-nucseg")
        assert viewer.layers[-2].contrast_limits[1] < 0.8 * 4095

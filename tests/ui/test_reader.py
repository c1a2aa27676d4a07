"""Opening datasets in napari."""

import shutil
import time
import tracemalloc
import zipfile
from importlib.metadata import version
from pathlib import Path

import npe2
import numpy as np
import pytest
import tifffile
from napari.plugins._npe2 import get_readers
from napari.utils.notifications import notification_manager
from PIL import Image as PillowImage

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.ui.files import results_reader
from napari_nucseg.ui.files.field_groups import MAX_GROUPS
from napari_nucseg.ui.files.reader import get_reader, read_dataset, stack_lazily
from napari_nucseg.ui.layer_fields import full_data
from napari_nucseg.ui.layers import GROUND_TRUTH, record_of, role_of


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


@pytest.mark.parametrize("name", ["photo.png", "cells.tif", "A01_s1.TIF", "mask.png", "a.npy"])
def test_other_peoples_files_never_raise_a_reader_question(readers_of, tmp_path, name):
    path = tmp_path / name
    path.touch()

    assert "napari-nucseg" not in readers_of(path)


def make_others(folder: Path, kind: str) -> Path:
    """Make a folder that is no dataset."""
    folder.mkdir()
    if kind == "texts":
        (folder / "training.txt").write_text("one\ntwo\n")
    elif kind == "images":
        for name in "ab":
            tifffile.imwrite(folder / f"{name}.tif", np.full((4, 5), 7, np.uint8))
    elif kind == "zarr":
        (folder / "labels" / "0").mkdir(parents=True)
        (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    elif kind == "site":
        (folder / "images").mkdir()
        (folder / "metadata").mkdir()
        (folder / "images" / "logo.svg").write_text("<svg/>")
    return folder


@pytest.mark.parametrize("kind", ["empty", "texts", "images", "zarr", "site"])
def test_other_peoples_folders_are_left_to_other_readers(viewer, tmp_path, kind):
    folder = str(make_others(tmp_path / "made", kind))

    assert get_reader(folder) is None
    assert get_reader([folder, folder]) is None
    assert results_reader.get_reader(folder) is None
    if version("napari") not in ("0.9.1", "0.10.0rc1"):  # which name readers of plugins first
        offered = get_readers(folder)
        assert next(iter(offered)) == "napari"  # which napari's question has chosen already


def test_a_folder_of_images_goes_to_naparis_reader(tmp_path):
    folder = make_others(tmp_path / "plain", "images")

    layers, reader = npe2.io_utils.read_get_reader([str(folder)], stack=False)

    assert reader.plugin_name == "napari"
    assert layers[0][0].shape == (2, 4, 5)


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
    assert np.array_equal(labels, read_labels(Source(path)))
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


@pytest.fixture
def told(monkeypatch):
    """What napari says of several stacks."""
    said = []
    monkeypatch.setattr("napari_nucseg.ui.files.opening.show_warning", said.append)
    return said


@pytest.fixture
def uneven(tmp_path):
    """Six fields of three sizes in the layout of DSB2018; the value of each is its number."""
    root = tmp_path / "uneven"
    for number, shape in enumerate([(8, 9), (6, 7), (8, 9), (5, 5), (6, 7), (8, 9)], start=1):
        for part in ("images", "labels"):
            (root / part).mkdir(parents=True, exist_ok=True)
            data = np.zeros(shape, np.uint16)
            data[1, 1] = number
            tifffile.imwrite(root / part / f"f{number}.tif", data)
    return root


def test_fields_of_several_sizes_are_stacked_by_size_and_most_are_shown(viewer, uneven, told):
    viewer.open(str(uneven), plugin="napari-nucseg")

    assert [(layer.name, layer.data.shape, layer.visible) for layer in viewer.layers] == [
        ("uneven 5 x 5", (1, 5, 5), False),
        (f"uneven 5 x 5 {GROUND_TRUTH}", (1, 5, 5), False),
        ("uneven 6 x 7", (2, 6, 7), False),
        (f"uneven 6 x 7 {GROUND_TRUTH}", (2, 6, 7), False),
        ("uneven 8 x 9", (3, 8, 9), True),
        (f"uneven 8 x 9 {GROUND_TRUTH}", (3, 8, 9), True),
    ]
    for layer in viewer.layers:
        stems = record_of(layer).stems
        assert [int(np.max(plane)) for plane in layer.data] == [int(stem[1:]) for stem in stems]
    assert told[0].startswith("uneven: fields of 3 sizes or pixel types")
    assert "The 3 of 8 x 9 are shown" in told[0]


def test_a_split_of_one_size_is_one_stack(uneven, told):
    (uneven / "validation.txt").write_text("f2.tif\nf5.tif\n")

    (images, about, _), (truths, _, _) = read(uneven / "validation.txt")

    assert images.shape == truths.shape == (2, 6, 7)
    assert about["name"] == "uneven validation"
    assert told == []


def test_fields_of_too_many_sizes_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "images").mkdir()
    for edge in range(4, 4 + MAX_GROUPS + 1):
        tifffile.imwrite(tmp_path / "images" / f"{edge}.tif", np.zeros((edge, edge), np.uint8))

    with pytest.raises(ValueError, match=r"have 13 different sizes .* open single fields"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_folder_of_cellposes_layout_opens_as_two_stacks(tmp_path, drawn_fields, suffix):
    folder = tmp_path / "train"
    folder.mkdir()
    for number, field in enumerate(drawn_fields):
        tifffile.imwrite(folder / f"{number}.tif", field.image)
        labels = field.labels.astype(np.uint16)
        if suffix == ".tif":
            tifffile.imwrite(folder / f"{number}_masks.tif", labels)
        else:
            PillowImage.fromarray(labels).save(folder / f"{number}_masks.png")

    (images, about, _), (truths, _, _) = read(folder)

    assert images.shape == truths.shape == (3, 160, 200)
    assert np.array_equal(truths[1].compute(), drawn_fields[1].labels)
    assert about["metadata"]["names"] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["labels/f1.tif", "masks/f1.tif", "f1_masks.tif"])
def test_a_truth_by_itself_opens_as_labels(uneven, name):
    path = uneven / name
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, np.eye(4, dtype=np.uint16))

    ((labels, about, kind),) = read(path)

    assert kind == "labels"
    assert np.array_equal(labels, np.eye(4))
    assert about["name"] == f"f1 {GROUND_TRUTH}"
    assert about["metadata"]["nucseg"]["stems"] == ("f1",)


def test_a_truth_that_is_a_binary_mask_brings_its_components(uneven):
    path = uneven / "masks" / "f1.tif"
    path.parent.mkdir()
    mask = np.zeros((9, 9), np.uint8)
    mask[1:3, 1:3] = mask[5:7, 5:7] = 255
    options = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "micron"}}
    tifffile.imwrite(path, mask, **options)

    (parts, about_parts, _), (labels, about, _) = read(path)

    assert np.array_equal(labels, mask)
    assert np.unique(parts).tolist() == [0, 1, 2]
    assert not about_parts["visible"]
    assert about["scale"] == about_parts["scale"] == (0.5, 0.5)
    assert "in 2 pieces" in notification_manager.records[-1].message


def test_of_a_stack_of_binary_masks_it_is_said_that_they_are(uneven):
    mask = np.zeros((8, 9), np.uint8)
    mask[1:3, 1:3] = mask[5:7, 5:7] = 255
    for number in (1, 3, 6):
        tifffile.imwrite(uneven / "labels" / f"f{number}.tif", mask)

    read(uneven)

    told = [one.message for one in notification_manager.records if "Other fields" in one.message]
    assert len(told) == 1
    assert "f1.tif" in told[0]
    assert "in 2 pieces" in told[0]


def test_a_stack_that_states_the_distance_of_its_planes_lies_so(tmp_path):
    (tmp_path / "images").mkdir()
    data = np.zeros((3, 8, 9), np.uint16)
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 1.5}
    path = tmp_path / "images" / "a.tif"
    tifffile.imwrite(path, data, imagej=True, resolution=(2, 2), metadata=metadata)

    ((_, one, _),) = read(path)
    ((_, all_of_them, _),) = read(tmp_path)

    assert (one["scale"], one["units"]) == ((1.5, 0.5, 0.5), ("um", "um", "um"))
    assert all_of_them["scale"] == (1, 1.5, 0.5, 0.5)


def test_an_image_and_truth_of_a_stack_open_with_an_axis_for_depth(viewer, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for name in ("a", "b"):
            data = np.zeros((3, 8, 9), np.uint16)
            tifffile.imwrite(tmp_path / part / f"{name}.tif", data, photometric="minisblack")

    viewer.open(str(tmp_path), plugin="napari-nucseg")

    assert [layer.data.shape for layer in viewer.layers] == [(2, 3, 8, 9)] * 2
    assert viewer.layers[0].axis_labels == ("field", "z", "y", "x")


def test_the_real_dsb2018_opens_by_size(dsb2018, told):
    layers = read(dsb2018)

    shapes = [data.shape for data, _, kind in layers if kind == "image"]
    assert shapes == [(9, 512, 640), (38, 520, 696), (77, 360, 360), (274, 256, 256)]
    assert [data.shape for data, _, kind in layers if kind == "labels"] == shapes
    assert "4 sizes" in told[0]


def test_a_field_of_another_size_in_an_archive_is_refused_when_shown(drawn_dataset, tmp_path):
    odd = sorted((drawn_dataset / "images").iterdir())[1]
    tifffile.imwrite(odd, np.zeros((6, 5), np.uint16))
    shutil.make_archive(str(tmp_path / "images"), "zip", drawn_dataset, "images")

    ((images, _, _),) = read(tmp_path / "images.zip")

    with pytest.raises(ValueError, match=odd.name):
        images[1].compute()


def test_an_archive_that_leads_outside_itself_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("../IXMtest.tif", b"")

    with pytest.raises(ValueError, match="leads outside the archive"):
        read(tmp_path / "images.zip")


def test_masks_that_are_missing_in_part_are_told(drawn_dataset, monkeypatch):
    sorted((drawn_dataset / "masks").iterdir())[0].unlink()
    told = []
    monkeypatch.setattr("napari_nucseg.ui.files.opening.show_warning", told.append)

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
    (images, _, _), (truths, _, _) = read_dataset(open_dataset(bbbc039)).layers
    seconds = time.perf_counter() - start
    tracemalloc.start()
    read_dataset(open_dataset(bbbc039))
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


def test_a_stack_gives_the_type_that_it_declares():
    readers = [lambda: np.full((2, 2), 300, np.uint16), lambda: np.zeros((2, 2), np.uint8)]

    stack = stack_lazily(readers, (2, 2), np.dtype(np.int32))

    assert {np.asarray(stack[0]).dtype, np.asarray(stack[1]).dtype} == {stack.dtype}
    assert stack.max().compute() == 300

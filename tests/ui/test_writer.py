"""Saving labels from napari."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from roifile import roiread

from napari_nucseg.io.images import read_labels, read_labels_header
from napari_nucseg.io.label_formats import FORMATS
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.ui.files.writer import FILTERS, chosen_format, file_in
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, tag

MADE = {"model": "fluo-nuclei", "parameters": {"diameter": 0.0}}
STEMS = ("one", "two", "three")


@pytest.fixture
def layers(viewer):
    """The layer list, which saves as the window's menu does."""
    return viewer.layers


@pytest.fixture
def labels(viewer, drawn_fields):
    """Predicted labels of a field."""
    record = LayerRecord(PREDICTION, provenance=MADE)
    data = drawn_fields[0].labels.copy()
    return viewer.add_labels(data, name="A01 fluo-nuclei", metadata=tag(record)).data


@pytest.fixture
def stack(viewer, drawn_fields):
    """Lazy labels of three fields that know their names."""
    data = da.stack([da.from_array(field.labels) for field in drawn_fields])
    record = LayerRecord(PREDICTION, STEMS, provenance=MADE, by_field={0: MADE, 2: MADE})
    viewer.add_labels(data, metadata=tag(record))
    return data.compute()


def save(layers, path):
    return layers.save(str(path), plugin="napari-nucseg")


def test_labels_are_saved_as_a_mask(layers, labels, tmp_path):
    assert save(layers, tmp_path / "mask.png") == [str(tmp_path / "mask.png")]

    assert np.array_equal(read_labels(Source(tmp_path / "mask.png")) > 0, labels > 0)
    assert read_labels(Source(tmp_path / "mask.png")).max() == labels.max()


def test_a_stack_is_saved_as_a_folder_of_masks(layers, stack, tmp_path):
    written = save(layers, tmp_path / "mine.png")

    assert written == [str(tmp_path / "mine" / f"{stem}.png") for stem in STEMS]
    for path, plane in zip(written, stack, strict=True):
        assert read_labels(Source(tmp_path / path)).max() == plane.max()


def test_masks_of_a_stack_are_not_replaced(layers, stack, tmp_path):
    save(layers, tmp_path / "mine.png")
    (tmp_path / "mine" / "one.png").unlink()

    with pytest.raises(FileExistsError, match=r"two\.png already exists"):
        save(layers, tmp_path / "mine.png")
    assert not (tmp_path / "mine" / "one.png").exists()


def test_no_mask_of_a_stack_is_written_if_one_cannot_be(layers, stack, tmp_path):
    stack[-1, 0, 0] = stack[-1, -1, -1] = stack.max() + 1
    layers[0].data = stack

    with pytest.raises(OSError, match=r"save a TIFF"):
        save(layers, tmp_path / "mine.png")
    assert not list(tmp_path.iterdir())


def test_labels_too_large_for_a_file_are_told(layers, labels, tmp_path):
    layers[0].data = labels.astype(np.int64) * 2**31

    with pytest.raises(OSError, match="does not fit into 32 bits"):
        save(layers, tmp_path / "labels.tif")


@pytest.mark.parametrize("ending", ["tif", "tiff"])
def test_a_label_image_says_how_it_was_made(layers, labels, tmp_path, ending):
    path = tmp_path / f"labels.{ending}"

    assert save(layers, path) == [str(path)]

    assert np.array_equal(tifffile.imread(path), labels)
    assert tifffile.imread(path).dtype == np.uint16
    assert read_provenance(path) == MADE


def test_a_label_image_keeps_the_size_of_its_pixels(viewer, drawn_fields, tmp_path):
    data = np.stack([drawn_fields[0].labels] * 2)
    viewer.add_labels(data, scale=(1.5, 500, 500), units=("um", "nm", "nm"))

    save(viewer.layers, tmp_path / "labels.tif")

    header = read_labels_header(Source(tmp_path / "labels.tif"))
    assert (header.pixel_size, header.z_spacing) == (pytest.approx(0.5), 1.5)


@pytest.mark.parametrize(
    ("names", "chosen", "expected"),
    [
        (("t", "y", "x"), (), "TYX"),
        (("z", "y", "x"), (), "ZYX"),
        (("-3", "y", "x"), ("channel", "time"), "TYX"),
        (("-3", "y", "x"), ("field",), "ZYX"),
        (("z", "y", "x"), ("time",), "ZYX"),
    ],
)
@pytest.mark.parametrize("largest", [9, 70_000], ids=["ImageJ", "OME"])
def test_planes_that_are_moments_are_saved_as_such(
    viewer, tmp_path, names, chosen, expected, largest
):
    made = {"model": "otsu", "axes": list(chosen)}
    data = np.zeros((3, 20, 30), np.int32)
    data[1, 4:9, 4:9] = largest
    metadata = tag(LayerRecord(PREDICTION, provenance=made))
    placed = {"axis_labels": names, "scale": (1.5, 0.5, 0.5), "units": ("um", "um", "um")}
    viewer.add_labels(data, metadata=metadata, **placed)

    save(viewer.layers, tmp_path / "labels.tif")

    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert file.series[0].axes == expected
    header = read_labels_header(Source(tmp_path / "labels.tif"))
    assert header.z_spacing == (1.5 if expected == "ZYX" else None)
    assert np.array_equal(read_labels(Source(tmp_path / "labels.tif")), data)


def test_a_layer_in_pixels_has_no_size_of_pixels(layers, labels, tmp_path):
    save(layers, tmp_path / "labels.tif")

    assert read_labels_header(Source(tmp_path / "labels.tif")).pixel_size is None


@pytest.mark.parametrize(
    ("name", "shape", "is_told"),
    [
        ("labels.ome.zarr", (2, 3, 20, 30), True),
        ("a_seg.npy", (2, 3, 20, 30), True),
        ("labels.tif", (2, 3, 20, 30), False),
        ("a_seg.npy", (1, 3, 20, 30), False),
        ("a_seg.npy", (3, 20, 30), False),
        ("a_seg.npy", (20, 30), False),
    ],
)
def test_volumes_that_a_format_puts_in_a_row_are_told(viewer, tmp_path, name, shape, is_told):
    if name.endswith("zarr"):
        pytest.importorskip("zarr")
    viewer.add_labels(np.ones(shape, np.int32))

    with notification_manager:
        notification_manager.records.clear()
        save(viewer.layers, tmp_path / name)

    told = [one.message for one in notification_manager.records]
    words = "the 2 x 3 planes are written in a row, as if they were one volume"
    assert any(words in one for one in told) == is_told


def test_labels_that_a_format_cannot_hold_name_their_file_once(viewer, tmp_path):
    viewer.add_labels(np.ones((2, 20, 30), np.int32))

    with pytest.raises(OSError, match="was not written: COCO instances") as refused:
        save(viewer.layers, tmp_path / "labels.json")

    assert str(refused.value).count("labels.json") == 1


def test_negative_labels_have_no_outline_and_that_is_said(viewer, tmp_path):
    viewer.add_labels(np.array([[-1, 0, 3], [-1, 0, 3]]))

    with notification_manager:
        save(viewer.layers, tmp_path / "rois.zip")

    assert [roi.name for roi in roiread(tmp_path / "rois.zip")] == ["3"]
    assert "negative labels, such as -1, have no outlines" in (
        notification_manager.records[-1].message
    )


def test_a_label_image_of_a_stack_says_how_each_field_was_made(layers, stack, tmp_path):
    save(layers, tmp_path / "labels.tif")

    assert np.array_equal(tifffile.imread(tmp_path / "labels.tif"), stack)
    made = read_provenance(tmp_path / "labels.tif")
    assert made["model"] == "fluo-nuclei"
    assert list(made["by_field"]) == ["0", "2"]


def test_outlines_are_saved_for_imagej(layers, labels, tmp_path):
    save(layers, tmp_path / "rois.zip")

    assert len(roiread(tmp_path / "rois.zip")) == labels.max()


def test_multiscale_labels_are_saved_at_full_resolution(viewer, drawn_fields, tmp_path):
    data = drawn_fields[0].labels
    viewer.add_labels([data, data[::2, ::2]], multiscale=True)

    save(viewer.layers, tmp_path / "mask.png")

    assert read_labels(Source(tmp_path / "mask.png")).shape == data.shape


@pytest.mark.parametrize("ending", ["png", "tif", "zip"])
def test_the_ground_truth_of_a_dataset_is_not_replaced(layers, labels, drawn_dataset, ending):
    path = sorted((drawn_dataset / "masks").iterdir())[0].with_suffix(f".{ending}")
    path.touch()
    before = path.read_bytes()

    with pytest.raises(FileExistsError, match="belongs to a dataset"):
        save(layers, path)
    assert path.read_bytes() == before


def test_a_torn_nucleus_is_told_with_what_to_do(layers, labels, tmp_path):
    labels[0, 0] = labels[-1, -1] = labels.max() + 1

    with pytest.raises(OSError, match=r"mask\.png was not written: .* save a TIFF"):
        save(layers, tmp_path / "mask.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.geojson", "a.geojson"),
        ("a.json", "a.json"),
        ("a.npy", "a_seg.npy"),
        ("a.ome.tif", "a.ome.tif"),
    ],
)
def test_labels_are_saved_for_other_programs(layers, labels, tmp_path, name, written):
    assert save(layers, tmp_path / name) == [str(tmp_path / written)]

    assert np.array_equal(read_labels(Source(tmp_path / written)), labels)


@pytest.mark.parametrize(
    ("name", "pattern", "form"),
    [
        ("a", "QuPath GeoJSON (*.geojson)", "qupath"),
        ("a.zip", "", "imagej"),
        ("a.zip", "QuPath GeoJSON (*.geojson)", "imagej"),
        ("a.png", "BBBC039 mask (*.png)", "bbbc039"),
        ("a", "", "tiff"),
        ("a.npy", "Cellpose _seg.npy (*_seg.npy)", "cellpose"),
        ("a.tif", "OME-TIFF (*.ome.tif *.ome.tiff)", "ome-tiff"),
    ],
)
def test_a_dialogs_filter_decides_where_the_ending_does_not(name, pattern, form):
    assert pattern in ("", *FILTERS)
    assert chosen_format(name, pattern).name == form


@pytest.mark.parametrize(
    ("name", "form", "named"),
    [
        ("a.npy", "cellpose", "a_seg.npy"),
        ("a_seg.npy", "cellpose", "a_seg.npy"),
        ("a", "cellpose", "a_seg.npy"),
        ("a.tif", "ome-tiff", "a.ome.tif"),
        ("a.b", "tiff", "a.b.tif"),
        ("a.tiff", "tiff", "a.tiff"),
    ],
)
def test_a_file_gets_the_whole_ending_of_its_format(name, form, named):
    (chosen,) = [one for one in FORMATS if one.name == form]
    assert file_in(chosen, Path(name)) == Path(named)

"""Labels of other programs that are dropped onto napari's window."""

from __future__ import annotations

import json
import zipfile

import npe2
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from roifile import ImagejRoi

from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.coco import write_coco
from napari_nucseg.io.label_formats import find_format
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.ui.files.labels_reader import get_reader
from napari_nucseg.ui.layers import PREDICTION, find_source, find_truth, role_of

MADE = {"model": "fluo-nuclei", "parameters": {"diameter": 0.0}}
SQUARE = [[2, 2], [12, 2], [12, 12], [2, 12], [2, 2]]


def read(path):
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


def write_others(path):
    """Write what QuPath or ImageJ would: an outline that does not say how large its image is."""
    if path.suffix == ".geojson":
        shape = {"type": "Polygon", "coordinates": [SQUARE]}
        feature = {"type": "Feature", "geometry": shape, "properties": {"objectType": "detection"}}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            roi = ImagejRoi.frompoints(np.array(SQUARE[:4], np.float32), name="0001")
            archive.writestr("0001.roi", roi.tobytes())
    return path


@pytest.fixture
def offered():
    manager = npe2.PluginManager()
    manager.discover()
    return lambda path: [
        reader.command
        for reader in manager.iter_compatible_readers([str(path)])
        if reader.plugin_name == "napari-nucseg"
    ]


@pytest.mark.parametrize("name", ["cellpose", "imagej", "qupath", "coco"])
def test_labels_that_were_saved_for_another_program_open_over_their_image(
    offered, viewer, image, field, tmp_path, name
):
    form = find_format(name)
    path = form.file_of(tmp_path, "A01")
    form.save(path, Labelled(field.labels, "A01.tif", MADE))
    assert offered(path) == ["napari-nucseg.read_labels"]

    (layer,) = viewer.open(str(path), plugin="napari-nucseg")

    assert np.array_equal(layer.data, field.labels)
    assert layer.name == "A01 fluo-nuclei"
    assert role_of(layer) == PREDICTION
    assert np.array_equal(layer.scale, image.scale)
    assert np.array_equal(layer.translate, image.translate)
    assert find_source(viewer.layers, layer) is image


def test_labels_over_an_image_of_another_name_say_so(viewer, image, field, tmp_path):
    for stem in ("A01", "B07"):
        path = tmp_path / f"{stem}.geojson"
        find_format("qupath").save(path, Labelled(field.labels, f"{stem}.tif", MADE))
        viewer.open(str(path), plugin="napari-nucseg")

    (told,) = (one.message for one in notification_manager.records if "B07" in one.message)
    assert "its labels are of B07.tif." in told
    assert "they lie over A01, which is as large." in told
    assert not any("labels are of A01" in one.message for one in notification_manager.records)


@pytest.mark.parametrize("name", ["A01.geojson", "RoiSet.zip"])
def test_outlines_of_others_get_their_size_from_the_image_that_is_open(
    viewer, image, tmp_path, name
):
    (layer,) = viewer.open(str(write_others(tmp_path / name)), plugin="napari-nucseg")

    assert layer.data.shape == image.data.shape
    assert np.argwhere(layer.data).tolist() == [[y, x] for y in range(2, 12) for x in range(2, 12)]
    assert layer.name == "A01 labels"
    assert role_of(layer) is None
    predicted = viewer.add_labels(layer.data, metadata={"nucseg": {"role": PREDICTION}})
    assert find_truth(viewer.layers, predicted) is layer


def test_without_an_image_outlines_say_what_to_open_first(tmp_path):
    path = write_others(tmp_path / "A01.geojson")

    with pytest.raises(ValueError, match=r"A01\.geojson: .* open the image first, then this file"):
        read(path)


def test_labels_lie_by_the_sizes_of_their_file_where_no_image_is_open(tmp_path):
    stack = np.zeros((3, 20, 30), np.int32)
    stack[1, 5:9, 5:9] = 7
    form = find_format("cellpose")
    form.save(tmp_path / "a_seg.npy", Labelled(stack, "a.tif", MADE, Calibration(0.5, 2.0)))

    ((labels, about, kind),) = read(tmp_path / "a_seg.npy")

    assert kind == "labels"
    assert np.array_equal(labels, stack)
    assert (about["scale"], about["units"]) == ((2.0, 0.5, 0.5), ("um", "um", "um"))
    assert about["axis_labels"] == ("z", "y", "x")


def test_of_a_file_with_several_images_those_that_are_open_are_taken(
    viewer, image, field, tmp_path
):
    path = tmp_path / "all.json"
    write_coco(path, [Labelled(np.roll(field.labels, n, 0), f"A0{n + 1}.tif") for n in range(2)])

    (layer,) = viewer.open(str(path), plugin="napari-nucseg")

    assert np.array_equal(layer.data, field.labels)
    viewer.layers.clear()
    with pytest.raises(ValueError, match=r"nuclei of 2 images; open one .* such as A01\.tif"):
        viewer.open(str(path), plugin="napari-nucseg")


def test_other_files_of_these_endings_are_left_to_other_readers(tmp_path):
    (tmp_path / "run.json").write_text('{"images": []}')
    (tmp_path / "settings.json").write_text('{"zoom": 1}')
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.tif", b"")

    assert [get_reader(str(path)) for path in sorted(tmp_path.iterdir())] == [None] * 4

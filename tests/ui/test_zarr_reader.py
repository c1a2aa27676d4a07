"""Labels of OME-Zarr that are dropped onto napari's window."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.zarr_labels import write_zarr, write_zarr_into
from napari_nucseg.ui.files.zarr_reader import get_reader
from napari_nucseg.ui.layers import PREDICTION, find_image, record_of, role_of

zarr = pytest.importorskip("zarr")
MADE = {"model": "fluo-nuclei", "parameters": {"diameter": 0.0}}
SIZES = Calibration(0.5)


@pytest.fixture
def labelled(field):
    return Labelled(field.labels, "A01.tif", MADE, SIZES)


@pytest.fixture(params=["0.4", "0.5"])
def image(request, field, labelled, tmp_path):
    """An image of two channels that holds labels of ours, and some of another program."""
    path, is_old = tmp_path / "cells.ome.zarr", request.param == "0.4"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if is_old else 3)
    group.create_array("0", data=np.stack([field.image, field.image // 2])[None])
    space = {"type": "space", "unit": "micrometer"}
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": "y", **space}, {"name": "x", **space}]
    scale = [{"type": "scale", "scale": [1, 1, 0.5, 0.5]}]
    scales = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    if is_old:
        group.attrs["multiscales"] = [{"version": "0.4", **scales}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}
    write_zarr_into(path, "nuclei", labelled, overwrite=False)
    others = Labelled(np.where(field.labels > 3, field.labels, 0), sizes=SIZES)
    write_zarr_into(path, "others", others, overwrite=False)
    return path


def open_in(viewer, path):
    return viewer.open(str(path), plugin="napari-nucseg")


def test_an_image_opens_with_its_labels_over_it(viewer, image, field):
    first, second, nuclei, others = open_in(viewer, image)

    assert [layer.name for layer in viewer.layers] == [
        "cells 1", "cells 2", "cells nuclei", "cells others",
    ]  # fmt: skip
    assert isinstance(first, Image)
    np.testing.assert_array_equal(first.data, field.image)
    np.testing.assert_array_equal(second.data, field.image // 2)
    assert isinstance(nuclei, Labels)
    np.testing.assert_array_equal(nuclei.data, field.labels)
    assert [list(layer.scale) for layer in viewer.layers] == [[0.5, 0.5]] * 4
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"micrometer"}
    assert record_of(nuclei).provenance["model"] == "fluo-nuclei"
    assert role_of(others) is None
    assert find_image(viewer.layers, nuclei) is first


@pytest.mark.parametrize("part", ["labels", "labels/nuclei"])
def test_labels_in_an_image_open_by_themselves(viewer, image, field, part):
    layers = open_in(viewer, image / part)

    assert [layer.name for layer in layers] == ["cells nuclei", "cells others"][: len(layers)]
    assert len(layers) == (2 if part == "labels" else 1)
    np.testing.assert_array_equal(layers[0].data, field.labels)
    assert role_of(layers[0]) == PREDICTION


def test_labels_that_we_saved_open_as_labels(viewer, labelled, field, tmp_path):
    path = tmp_path / "A01.ome.zarr"
    write_zarr(path, labelled)
    manager = npe2.PluginManager.instance()
    offered = [one.command for one in manager.iter_compatible_readers([str(path)])]
    assert "napari-nucseg.read_zarr" in offered

    (layer,) = open_in(viewer, path)

    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, field.labels)
    assert (layer.name, list(layer.scale)) == ("A01 fluo-nuclei", [0.5, 0.5])
    assert record_of(layer).provenance["model"] == "fluo-nuclei"


def test_labels_larger_than_memory_stay_on_the_disk(viewer, labelled, tmp_path, monkeypatch):
    path = tmp_path / "A01.ome.zarr"
    write_zarr(path, labelled)
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "1000")

    (layer,) = open_in(viewer, path)

    assert layer.multiscale
    assert not isinstance(layer.data[0], np.ndarray)
    np.testing.assert_array_equal(layer.data[0], labelled.labels)
    assert record_of(layer).provenance["model"] == "fluo-nuclei"


def test_an_image_without_labels_is_left_to_others(image):
    assert get_reader(str(image)) is not None
    (image / "labels" / ("zarr.json" if (image / "zarr.json").exists() else ".zgroup")).unlink()
    assert get_reader(str(image)) is None
    assert get_reader(str(image / "0")) is None
    assert get_reader(str(image.parent)) is None


@pytest.mark.parametrize("harm", ["cut off", "of fractions"])
def test_damaged_labels_leave_the_others_of_an_image_alone(viewer, image, field, capsys, harm):
    damaged = image / "labels" / "nuclei"
    if harm == "cut off":
        for file in (damaged / "0").rglob("[0-9]*"):
            if file.is_file():
                file.write_bytes(b"no chunk")
    else:
        group = zarr.open_group(str(damaged), mode="r+")
        group.create_array("0", data=field.labels + 0.5, overwrite=True)

    layers = open_in(viewer, image)

    assert [one.name for one in layers] == ["cells 1", "cells 2", "cells others"]
    assert f"{damaged}: it holds no label image" in capsys.readouterr().out


def test_labels_that_are_all_damaged_are_refused(viewer, image, field):
    group = zarr.open_group(str(image / "labels" / "nuclei"), mode="r+")
    group.create_array("0", data=field.labels + 0.5, overwrite=True)

    with pytest.raises(ValueError, match="it holds no label image of OME-Zarr"):
        open_in(viewer, image / "labels" / "nuclei")


def test_labels_of_another_size_than_their_image_are_told(viewer, image, field, capsys):
    open_in(viewer, image)
    assert "not scored" not in capsys.readouterr().out
    write_zarr_into(image, "half", Labelled(field.labels[::2, ::2], sizes=SIZES), overwrite=False)

    open_in(viewer, image)

    told = capsys.readouterr().out
    height, width = field.labels.shape
    assert f"half: the labels have {-(-height // 2)} x {-(-width // 2)} px, and their" in told
    assert f"image has {height} x {width}. They are not scored" in told
    assert told.count("not scored") == 1

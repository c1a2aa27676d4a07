"""Opening a folder of images that is no dataset, from the menu."""

import numpy as np
import pytest
import tifffile
from napari._app_model import get_app_model
from PIL import Image
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton

from napari_nucseg.ui.files import opening
from napari_nucseg.ui.files.opening import OpeningDialog
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import GROUND_TRUTH, record_of, role_of

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
COLOUR = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def told(monkeypatch):
    """What the user is told."""
    told: list[str] = []
    monkeypatch.setattr("napari_nucseg.ui.files.opening.show_warning", told.append)
    monkeypatch.setattr("napari_nucseg.ui.jobs.show_warning", told.append)
    return told


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "plain"
    made.mkdir()
    return made


@pytest.fixture
def choose(viewer, folder, monkeypatch):
    """Choose the folder by the menu's command."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))

    def choose():
        command = "napari-nucseg.open_folder_of_images"
        get_app_model().commands.execute_command(command).result()

    return choose


@pytest.fixture
def open_folder(qtbot, choose):
    """Choose the folder, and wait until it is open."""

    def open_folder():
        choose()
        qtbot.waitUntil(lambda: not Job._running and not opening._turns, timeout=20_000)

    return open_folder


def test_images_of_one_size_open_as_one_stack(viewer, folder, open_folder, told):
    tifffile.imwrite(folder / "a.tif", GREY)
    Image.fromarray(GREY + 1).save(folder / "b.png")

    open_folder()

    (layer,) = viewer.layers
    assert layer.name == "plain"
    np.testing.assert_array_equal(layer.data, [GREY, GREY + 1])
    assert record_of(layer).stems == ("a", "b")
    assert told == []


def test_each_image_keeps_its_size_and_colours(viewer, folder, open_folder, told):
    for name in "abc":
        tifffile.imwrite(folder / f"{name}.tif", GREY)
    tifffile.imwrite(folder / "small.tif", GREY[:9, :8])
    Image.fromarray(COLOUR).save(folder / "colour.png")

    open_folder()

    shapes = {layer.name: (layer.data.shape, layer.rgb, layer.visible) for layer in viewer.layers}
    assert shapes == {
        "plain 9 x 8 uint16": ((1, 9, 8), False, False),
        "plain 20 x 30 x 3 uint8": ((1, 20, 30, 3), True, False),
        "plain 20 x 30 uint16": ((3, 20, 30), False, True),
    }
    np.testing.assert_array_equal(viewer.layers["plain 20 x 30 x 3 uint8"].data[0], COLOUR)
    assert told == [
        "plain: fields of 3 sizes or pixel types, so there is a stack for each. The 3 of 20 x 30 "
        "uint16 are shown. Click the eyes of the other layers to see the others."
    ]


def test_what_cannot_be_read_is_named_and_the_rest_opened(viewer, folder, open_folder, told):
    tifffile.imwrite(folder / "good.tif", GREY)
    whole = (folder / "good.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[:300])
    (folder / "empty.png").touch()
    (folder / "other.czi").touch()
    (folder / "notes.txt").write_text("not of an image")

    open_folder()

    (layer,) = viewer.layers
    assert layer.data.shape == (1, 20, 30)
    (words,) = told
    assert "3 files could not be opened: cut.tif, empty.png, other.czi. The first: " in words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "no images here; it is empty"),
        ("a.czi", "no images here; it holds .czi files, which are not read"),
        ("a.tif", "no image could be read. The first: "),
    ],
)
def test_a_folder_without_images_is_told(viewer, folder, open_folder, told, name, words):
    if name is not None:
        (folder / name).touch()

    open_folder()

    assert not viewer.layers
    (said,) = told
    assert words in said


def test_a_dataset_brings_its_ground_truth(viewer, folder, open_folder, told):
    labels = np.zeros(GREY.shape, np.uint8)
    labels[2:9, 3:9] = 1
    labels[12:19, 3:9] = 2
    tifffile.imwrite(folder / "a.tif", GREY)
    tifffile.imwrite(folder / "a_masks.tif", labels)

    open_folder()

    assert [layer.data.shape for layer in viewer.layers] == [(1, 20, 30)] * 2
    assert role_of(viewer.layers[1]) == GROUND_TRUTH


def test_cancel_opens_nothing(qtbot, viewer, folder, choose):
    for number in range(40):
        tifffile.imwrite(folder / f"{number}.tif", GREY)

    choose()
    (dialog,) = (one for one in QApplication.topLevelWidgets() if isinstance(one, OpeningDialog))
    dialog.findChild(QPushButton).click()
    qtbot.waitUntil(lambda: not Job._running, timeout=20_000)

    assert not viewer.layers

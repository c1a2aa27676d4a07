"""napari finds what the plugin offers."""

from importlib import import_module
from pathlib import Path

import npe2
import pytest
from napari._app_model import get_app_model
from napari._app_model.constants._menus import is_menu_contributable

from napari_nucseg.io.label_formats import FORMATS

ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "src" / "napari_nucseg" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_file(PACKAGED)


def test_the_manifest_at_the_root_is_the_packaged_one():
    assert (ROOT / "napari.yaml").resolve() == PACKAGED.resolve()


def test_napari_discovers_the_plugin():
    found = npe2.PluginManifest.from_distribution("napari-nucseg")

    assert found.name == "napari-nucseg"


def test_every_command_can_be_called(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_every_format_of_labels_can_be_saved_from_napari(manifest):
    offered = {writer.display_name for writer in manifest.contributions.writers}

    # A file that ends in .ome.tif is written by the writer of .tif
    assert offered == {one.title for one in FORMATS if one.name != "ome-tiff"}


def test_napari_shows_every_menu_that_is_filled(manifest):
    for menu in manifest.contributions.menus:
        assert is_menu_contributable(menu), menu


@pytest.mark.parametrize(
    ("menu", "title"),
    [
        ("napari/layers/segment", "Segment nuclei..."),
        ("napari/layers/segment", "Train on these labels..."),
        ("napari/layers/measure", "Score against ground truth..."),
        ("napari/layers/visualize", "Show segmentation errors"),
        ("napari/file/io_utilities", "Open dataset..."),
        ("napari/file/io_utilities", "Open folder of images..."),
        ("napari/file/io_utilities", "Run on dataset..."),
    ],
)
def test_the_menus_have_the_words_of_the_documentation(viewer, menu, title):
    shown = [item.command.title for item in get_app_model().menus.get_menu(menu) if item.command]

    assert f"{title} (Nuclei segmentation)" in shown

"""napari finds what the plugin offers."""

from importlib import import_module
from pathlib import Path

import npe2
import pytest

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


def test_both_panels_are_in_the_layers_menu(manifest):
    menus = manifest.contributions.menus

    assert [item.command for item in menus["napari/layers/segment"]] == ["napari-nucseg.segment"]
    assert [item.command for item in menus["napari/layers/measure"]] == ["napari-nucseg.score"]

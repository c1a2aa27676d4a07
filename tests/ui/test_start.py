"""What is imported before anything is segmented: little, because the user waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HEAVY = {"torch", "cellpose", "matplotlib", "pandas", "numba", "onnxruntime"}
"""Packages that take long to import, and that neither panel nor reader needs."""
NAPARI_IS_UP = """
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show=False)
QApplication.processEvents()
"""
# napari imports pandas by itself with the first layer
NAPARI_HAS_LAYERS = f"""{NAPARI_IS_UP}
viewer.add_image(np.zeros((2, 8, 8), dtype=np.uint16))
viewer.add_labels(np.zeros((2, 8, 8), dtype=np.int32))
QApplication.processEvents()
"""


@pytest.fixture
def imported_by(tmp_path):
    """Name the packages of which a step imports modules in a new interpreter, after others."""

    def run(step: str, after: str = "") -> set[str]:
        # At its end PyQt may crash in a script that leaves a viewer open
        code = f"""
import os
import sys
{after}
known = set(sys.modules)
{step}
print("imported", *{{name.partition(".")[0] for name in sys.modules.keys() - known}}, flush=True)
os._exit(0)
"""
        environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return set(done.stdout.splitlines()[-1].split()[1:])

    return run


def test_the_package_imports_no_other(imported_by):
    imported = imported_by("import napari_nucseg")
    assert "napari_nucseg" in imported
    assert not imported & (HEAVY | {"numpy", "scipy", "skimage", "napari", "qtpy"})


def test_the_manifest_is_read_without_the_plugins_code(imported_by):
    step = "npe2.PluginManifest.from_distribution('napari-nucseg')"
    imported = imported_by(step, after="import npe2")
    assert not imported & (HEAVY | {"numpy", "scipy", "skimage", "napari", "qtpy"})


@pytest.mark.parametrize("panel", ["Segment nuclei", "Score nuclei"])
def test_a_panel_opens_without_what_only_segmenting_needs(imported_by, panel):
    step = f"viewer.window.add_plugin_dock_widget('napari-nucseg', {panel!r})"
    step += "\nQApplication.processEvents()"
    imported = imported_by(step, after=NAPARI_IS_UP)
    assert "napari_nucseg" in imported
    assert not imported & HEAVY


def test_the_score_panel_opens_without_what_only_scoring_needs(imported_by):
    step = "viewer.window.add_plugin_dock_widget('napari-nucseg', 'Score nuclei')"
    imported = imported_by(step + "\nQApplication.processEvents()", after=NAPARI_IS_UP)
    assert "napari_nucseg" in imported
    assert "scipy" not in imported


@pytest.mark.parametrize("part", ["field", "dataset"])
def test_a_field_opens_without_what_only_segmenting_needs(imported_by, drawn_dataset, part):
    field = next((drawn_dataset / "images").glob("*.tif"))
    imported = imported_by(
        open_in_viewer(field if part == "field" else drawn_dataset), after=NAPARI_HAS_LAYERS
    )
    assert "napari_nucseg" in imported
    # numba colours labels in napari, and is loaded in a thread while files are read
    assert not imported & HEAVY - {"numba"}


def open_in_viewer(path: Path) -> str:
    """Code that opens a path as a drop on the window does, and sees the layers in."""
    return f"""
layers = viewer.open({str(path)!r}, plugin="napari-nucseg")
assert len(layers) == 2
QApplication.processEvents()
"""

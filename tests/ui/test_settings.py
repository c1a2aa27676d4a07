"""What is remembered, and what becomes of a settings file that is damaged or of another version."""

from __future__ import annotations

import json
import math

import napari.settings
import pytest
from napari.plugins import _initialize_plugins

from napari_nucseg.segmenters.catalogue import BUNDLED
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.segment import model_selector as preferences
from napari_nucseg.ui.segment.model_list import load_model_files, save_model_files
from napari_nucseg.ui.segment.result_cache import memory_limit

DEFAULT_MEMORY = 500 * 10**6


@pytest.fixture(autouse=True)
def _plugins():
    """Let napari know the plugin's settings without a window."""
    _initialize_plugins()


@pytest.fixture
def restart():
    """Forget what is in memory, as a new start of napari does."""
    return napari.settings._PLUGIN_SETTINGS.clear


@pytest.fixture
def settings(tmp_path):
    """The file that an earlier start left."""

    def write(text: str) -> None:
        (tmp_path / "napari-nucseg.yaml").write_text(text)

    return write


@pytest.fixture
def remembered(settings):
    """Parameters that an earlier start left, as text or by model."""

    def write(known) -> None:
        text = known if isinstance(known, str) else json.dumps(known)
        settings(f"segment:\n  parameters: {json.dumps(text)}\n")

    return write


def test_at_the_first_start_there_are_defaults():
    assert preferences.load_model_name() == BUNDLED
    assert preferences.load_params(BUNDLED) is None
    assert load_model_files() == ()
    assert memory_limit() == DEFAULT_MEMORY


def test_values_of_each_model_are_there_after_a_restart(restart):
    small, large = SegmentParams(min_size=5), SegmentParams(diameter=40.5, flow_threshold=0.7)
    preferences.save_params("fluo-nuclei", small)
    preferences.save_params("otsu", large)
    preferences.save_model_name("otsu")
    restart()
    assert preferences.load_model_name() == "otsu"
    assert preferences.load_params("fluo-nuclei") == small
    assert preferences.load_params("otsu") == large


def test_values_can_be_forgotten(restart):
    preferences.save_params("fluo-nuclei", SegmentParams(min_size=5))
    preferences.save_params("otsu", SegmentParams())
    preferences.save_params("fluo-nuclei", None)
    preferences.save_params("never used", None)
    restart()
    assert preferences.load_params("fluo-nuclei") is None
    assert preferences.load_params("otsu") == SegmentParams()


def test_model_files_that_are_gone_stay_remembered(tmp_path, restart):
    paths = [tmp_path / name for name in ("größer.pt", "gone.pt", "with space.pt")]
    for path in paths:
        path.touch()
    save_model_files([*paths, paths[0]])
    paths[1].unlink()
    restart()
    assert load_model_files() == tuple(paths)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "segment: 4\n",
        "::: no yaml [",
        "segment:\n  model: 3\n  memory_mb: lots\n",
        "segment:\n  memory_mb: -5\n",
        "panel:\n  of_an_older_version: 1\nsegment:\n  gone: 2\n",
    ],
)
def test_a_damaged_settings_file_gives_defaults(settings, text):
    settings(text)
    test_at_the_first_start_there_are_defaults()


@pytest.mark.parametrize("text", ["{", "[1, 2]", "3", '"x"', "null"])
def test_damaged_parameters_are_ignored_and_can_be_saved_again(remembered, text):
    remembered(text)
    assert preferences.load_params("fluo-nuclei") is None
    preferences.save_params("fluo-nuclei", SegmentParams(min_size=7))
    assert preferences.load_params("fluo-nuclei") == SegmentParams(min_size=7)


@pytest.mark.parametrize(
    "values",
    [
        3,
        [1],
        {"min_size": "large"},
        {"min_size": None},
        {"min_size": -4},
        {"flow_threshold": 1e9},
        {"cellprob_threshold": math.nan},
        {"of_a_newer_version": 1},
    ],
)
def test_parameters_that_cannot_be_used_are_ignored_and_logged(remembered, caplog, values):
    remembered({"fluo-nuclei": values, "otsu": {"min_size": 20}})
    assert preferences.load_params("fluo-nuclei") is None
    assert "remembered parameters of fluo-nuclei are not used" in caplog.text
    assert preferences.load_params("otsu") == SegmentParams(min_size=20)


def test_parameters_of_an_older_version_that_had_fewer_are_completed(remembered):
    remembered({"fluo-nuclei": {"diameter": 25.0}})
    assert preferences.load_params("fluo-nuclei") == SegmentParams(diameter=25.0)

"""A viewer with leak checks, and fields in it."""

from __future__ import annotations

import gc
from dataclasses import asdict, replace

import numpy as np
import pytest
from napari.settings import NapariSettings
from npe2 import PluginManifest

from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Flows, Provenance, Segmentation
from tests.ui.segment_actions import Held


@pytest.fixture(autouse=True, scope="module")
def _old_garbage():
    """Let go of what the tests of a module kept from being collected."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _young_garbage(_old_garbage):
    """Keep napari, which collects garbage whenever layers go, from all that is older than a test.

    That is more with each test of a module, since packages are imported where they are used.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _manifests():
    """Read the manifests of plugins once, and not for each viewer."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(autouse=True, scope="session")
def _user_settings():
    """Leave the user's settings of napari as they are; each dock would write them anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariSettings, "_maybe_save", lambda self: None)
        yield


@pytest.fixture(autouse=True)
def _strict(monkeypatch):
    """Fail a test whose viewer leaks a widget."""
    monkeypatch.setenv("NAPARI_STRICT_QT", "raise")


@pytest.fixture(autouse=True)
def _own_preferences(monkeypatch, tmp_path):
    """Keep what a panel remembers out of the user's settings, and from the next test."""
    import napari.settings

    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    monkeypatch.setattr(napari.settings, "_CFG_PATH", tmp_path / "settings.yaml")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


class StandInSegmenter:
    """A segmenter that thresholds; it tells what it was called with, and waits where asked to.

    It has the concerns, and finds the diameter, that it is told to.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[np.ndarray, object]] = []
        self.before = lambda report: None
        self.concerns = lambda image, params: ()
        self.estimate: float | None = None

    def __call__(self, image, params, report) -> Segmentation:
        from skimage.measure import label

        self.before(report)
        report(0, 1)
        self.calls.append((image, params))
        labels = label(image > 250).astype(np.int32)
        flows = Flows(np.zeros((2, *image.shape), np.float32), np.zeros(image.shape, np.float32))
        made = Provenance("fluo-nuclei", "0" * 64, asdict(params), "CPU, test", "float32", {}, 0.01)
        found = replace(made, diameter=self.estimate, is_estimated=self.estimate is not None)
        concerns = self.concerns(image, params)
        report(1, 1)
        return Segmentation(labels, flows, found, lambda params: labels, concerns=concerns)


@pytest.fixture
def stand_in(monkeypatch) -> StandInSegmenter:
    """Stands in for every model, so that a test of the panel does not wait for a network."""
    segmenter = StandInSegmenter()
    monkeypatch.setattr(catalogue, "load", lambda model, device: segmenter)
    return segmenter


@pytest.fixture
def field(drawn_fields):
    return drawn_fields[0]


@pytest.fixture
def image(viewer, field):
    return viewer.add_image(
        field.image.copy(), name="A01", scale=(0.645, 0.645), translate=(3, 4), units=("um", "um")
    )


@pytest.fixture
def stack(viewer, drawn_fields):
    return viewer.add_image(np.stack([field.image for field in drawn_fields]), name="stack")


@pytest.fixture
def panel(viewer):
    return viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]


@pytest.fixture
def held(stand_in):
    return Held(stand_in)

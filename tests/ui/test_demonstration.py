"""The demo and the samples, as a user sees them in a real window."""

import hashlib
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_nucseg.core.synthetic import draw_field
from napari_nucseg.runs import download
from napari_nucseg.ui.demonstration import start_demo
from napari_nucseg.ui.layers import ERRORS, GROUND_TRUTH, PREDICTION, role_of
from tests.core.file_server import FileServer


def roles(viewer):
    return [role_of(layer) for layer in viewer.layers]


def test_the_demo_ends_with_the_field_segmented_scored_and_overlaid(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)

    segment, score = start_demo(viewer)
    qtbot.waitUntil(lambda: ERRORS in roles(viewer), timeout=60_000)

    assert roles(viewer) == ["image", GROUND_TRUTH, PREDICTION, ERRORS]
    assert "nuclei in" in segment.status.value
    assert "matched" in score.status.value
    picture = viewer.screenshot(canvas_only=False)
    for colour in ((0, 158, 115), (213, 94, 0)):  # matched and missed, from the legend at least
        assert (np.abs(picture[..., :3].astype(int) - colour).sum(axis=-1) < 12).any()
    qtbot.waitUntil(lambda: not (segment.running or score.running))


def test_everything_in_the_panels_can_be_seen(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)

    for panel in start_demo(viewer):
        panel.native.parent().raise_()
        qtbot.waitUntil(lambda panel=panel: not panel.running, timeout=60_000)
        qtbot.waitUntil(lambda panel=panel: panel.native.isVisible())
        area = panel.native.rect()
        for label in panel.native.findChildren(type(panel.status.native)):
            if label.text() and not label.visibleRegion().isEmpty():
                corner = label.mapTo(panel.native, label.rect().bottomRight())
                assert area.contains(corner), f"{label.text()} is cut off"


def test_the_synthetic_sample_opens_with_its_truth(viewer):
    viewer.open_sample("napari-nucseg", "synthetic")

    field = draw_field()
    assert np.array_equal(viewer.layers[0].data, field.image)
    assert np.array_equal(viewer.layers[1].data, field.labels)
    assert roles(viewer) == ["image", GROUND_TRUTH]


@pytest.fixture
def published(monkeypatch, tmp_path, drawn_dataset):
    """Folder for downloads; servers on this computer have the drawn dataset's archives."""
    folder = tmp_path / "downloads"
    with ExitStack() as servers:
        archives = []
        for archive in download.ARCHIVES:
            part = archive.name.removesuffix(".zip")
            path = shutil.make_archive(str(tmp_path / part), "zip", drawn_dataset, part)
            content = Path(path).read_bytes()
            url = servers.enter_context(FileServer(content)).url()
            sha256 = hashlib.sha256(content).hexdigest()
            archives.append(replace(archive, url=url, size=len(content), sha256=sha256))
        monkeypatch.setattr(download, "ARCHIVES", tuple(archives))
        monkeypatch.setattr(download, "dataset_folder", lambda: folder)
        yield folder


def test_the_dataset_is_downloaded_and_opens_with_the_window_alive(viewer, published):
    beats = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(len(viewer.layers)))
    timer.start(1)

    viewer.open_sample("napari-nucseg", "bbbc039")

    timer.stop()
    assert 0 in beats
    assert roles(viewer) == ["image", GROUND_TRUTH]
    assert viewer.layers[0].data.shape == (3, 160, 200)
    assert sorted(path.name for path in published.iterdir()) == ["images.zip", "masks.zip"]


def test_without_a_connection_the_sample_says_what_to_do(viewer, published, monkeypatch):
    gone = replace(download.ARCHIVES[0], url="http://127.0.0.1:9/images.zip")
    monkeypatch.setattr(download, "ARCHIVES", (gone,))

    with pytest.raises(OSError, match=r"refused.*Download .* put it at .*images\.zip"):
        viewer.open_sample("napari-nucseg", "bbbc039")
    assert not viewer.layers


def test_a_dataset_that_is_here_is_not_downloaded_again(qtbot, viewer, published, monkeypatch):
    download.download_dataset(published, lambda done, total: None)
    monkeypatch.setattr(download, "fetch", None)

    viewer.open_sample("napari-nucseg", "bbbc039")

    assert roles(viewer) == ["image", GROUND_TRUTH]

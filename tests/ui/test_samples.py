"""The downloaded sample, as a user meets it: progress, Cancel, and no connection."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QPushButton

from napari_nucseg.io import bbbc039, download
from napari_nucseg.io.download import DownloadError
from napari_nucseg.ui.files.samples import DownloadDialog
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import GROUND_TRUTH, role_of
from tests.io.file_server import Cut, Stall


def open_sample(viewer):
    viewer.open_sample("napari-nucseg", "bbbc039")


def roles(viewer):
    return [role_of(layer) for layer in viewer.layers]


def dialogs():
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, DownloadDialog)]


def names_in_cache():
    return sorted(path.name for path in bbbc039.dataset_folder().iterdir())


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    """Receive the small archives in many steps, as the large ones are."""
    monkeypatch.setattr(download, "CHUNK", 1000)


@pytest.fixture
def when():
    """Do something once, as soon as something is so, while the window lives."""
    timers = []

    def when(condition, do):
        timer = QTimer()

        def look():
            if condition():
                timer.stop()
                do()

        timer.timeout.connect(look)
        timer.start(5)
        timers.append(timer)

    yield when
    assert not any(timer.isActive() for timer in timers)


def test_the_dataset_is_downloaded_and_opens_with_the_window_alive(viewer, published):
    seen = []
    timer = QTimer()
    timer.timeout.connect(lambda: seen.extend(dialog.labelText() for dialog in dialogs()))
    timer.start(1)

    open_sample(viewer)

    timer.stop()
    assert any("Downloading BBBC039" in text and "MB" in text for text in seen)
    assert any(str(bbbc039.dataset_folder()) in text for text in seen)
    assert roles(viewer) == ["image", GROUND_TRUTH]
    assert viewer.layers[0].data.shape == (3, 160, 200)
    assert viewer.layers[0].metadata["splits"] == ["training", "training", "test"]
    assert names_in_cache() == ["images.zip", "masks.zip", "metadata.zip"]


@pytest.mark.parametrize("way", ["button", "closing"])
def test_cancel_ends_even_a_download_that_stalls_and_the_next_goes_on(
    qtbot, viewer, published, when, way
):
    published["images.zip"].faults = [Stall(20_000)]

    def cancel():
        if way == "button":
            qtbot.mouseClick(dialogs()[0].findChild(QPushButton), Qt.MouseButton.LeftButton)
        else:
            dialogs()[0].close()

    when(lambda: dialogs() and dialogs()[0].value() > 0, cancel)
    with pytest.raises(DownloadError, match=r"cancelled.*Open the sample again to go on"):
        open_sample(viewer)

    assert not viewer.layers
    assert "images.zip" not in names_in_cache()
    qtbot.waitUntil(lambda: not dialogs())
    published["images.zip"].closing.set()  # the silent server hangs up, and the worker ends
    qtbot.waitUntil(lambda: not Job._running, timeout=20_000)
    open_sample(viewer)
    assert published["images.zip"].ranges[-1].startswith("bytes=")  # not from the beginning
    assert roles(viewer) == ["image", GROUND_TRUTH]


def test_a_second_start_is_refused_and_the_first_goes_on(viewer, published, when):
    published["images.zip"].faults = [Stall(20_000)]

    def start_again():
        with pytest.raises(DownloadError, match="being downloaded already"):
            open_sample(viewer)
        published["images.zip"].closing.set()

    when(lambda: dialogs() and dialogs()[0].value() > 0, start_again)
    open_sample(viewer)

    assert roles(viewer) == ["image", GROUND_TRUTH]
    assert published["images.zip"].ranges == [None, "bytes=20000-"]


def test_closing_the_window_ends_the_download(qtbot, make_napari_viewer, published, when):
    viewer = make_napari_viewer(show=True)
    published["images.zip"].faults = [Stall(20_000)]

    when(lambda: dialogs() and dialogs()[0].value() > 0, viewer.close)
    with pytest.raises(DownloadError, match="cancelled"):
        open_sample(viewer)

    assert not dialogs()
    assert not viewer.layers
    published["images.zip"].closing.set()
    qtbot.waitUntil(lambda: not Job._running, timeout=20_000)


def test_without_a_connection_the_sample_says_what_to_do(viewer, published, monkeypatch):
    gone = replace(bbbc039.ARCHIVES[0], url="http://127.0.0.1:9/images.zip")
    monkeypatch.setattr(bbbc039, "ARCHIVES", (gone,))

    with pytest.raises(OSError, match=r"refused.*Download .* put it at .*images\.zip"):
        open_sample(viewer)
    assert not viewer.layers


def test_a_connection_that_is_cut_once_is_not_noticed(viewer, published):
    published["images.zip"].faults = [Cut(5000)]

    open_sample(viewer)

    assert published["images.zip"].ranges == [None, "bytes=5000-"]
    assert roles(viewer) == ["image", GROUND_TRUTH]


def test_a_dataset_that_is_here_is_not_downloaded_again(viewer, published, monkeypatch):
    bbbc039.download_dataset(bbbc039.dataset_folder(), lambda done, total: None)
    monkeypatch.setattr(bbbc039, "fetch", None)

    open_sample(viewer)

    assert roles(viewer) == ["image", GROUND_TRUTH]

"""Weights that are fetched when Segment is pressed."""

from dataclasses import replace
from functools import partial

import pytest

from napari_nucseg.io.download import RemoteFile
from napari_nucseg.segmenters import catalogue
from tests.io.file_server import FileServer, Stall
from tests.ui.segment_actions import RUN, predictions, run

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """Return what lets a server on this computer publish cpsam_v2; the folder is empty."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    find = catalogue.find

    def publish(server):
        def found(name):
            model = find(name)
            if model.name != "cpsam_v2":
                return model
            return replace(model, remote=RemoteFile("cpsam_v2", server.url(), len(CONTENT)))

        monkeypatch.setattr(catalogue, "find", found)
        return tmp_path / "cpsam_v2"

    return publish


def test_segment_fetches_what_is_missing_and_says_how_far_it_is(
    qtbot, viewer, image, panel, publish, stand_in
):
    with FileServer(CONTENT) as server:
        weights = publish(server)
        panel.form.model.value = "cpsam_v2"
        panel.form.segment.native.click()
        told = []
        panel.job.progressed.connect(lambda *_: told.append(panel.status.value))
        qtbot.waitUntil(lambda: not panel.running, timeout=RUN)

    assert weights.read_bytes() == CONTENT
    assert any(line.startswith("Downloading cpsam_v2: ") for line in told)
    assert len(predictions(viewer)) == 1
    assert "weights installed" in panel.form.place.value


def test_cancel_ends_a_download_and_the_next_run_goes_on(
    qtbot, viewer, image, panel, publish, stand_in, monkeypatch
):
    half = len(CONTENT) // 2
    patience = partial(catalogue.fetch, timeout=1.0)  # else a stall takes as long as it may
    monkeypatch.setattr(catalogue, "fetch", patience)
    with FileServer(CONTENT, faults=[Stall(half)]) as server:
        weights = publish(server)
        panel.form.model.value = "cpsam_v2"
        panel.form.segment.native.click()
        qtbot.waitUntil(lambda: "Downloading" in panel.status.value, timeout=RUN)

        panel.form.cancel.native.click()
        qtbot.waitUntil(lambda: not panel.running, timeout=5000)

        assert not weights.exists()
        assert panel.status.value == "Stopped. No layer was added or changed."
        run(qtbot, panel)

    assert weights.read_bytes() == CONTENT
    assert len(predictions(viewer)) == 1

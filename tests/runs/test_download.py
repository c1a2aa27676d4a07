from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from napari_nucseg.core.bbbc039 import open_dataset
from napari_nucseg.core.fetching import DownloadError
from napari_nucseg.core.segmenting import Stopped
from napari_nucseg.runs import download
from napari_nucseg.runs.download import dataset_folder, download_dataset, missing_archives
from tests.core.file_server import Cut, FileServer

PUBLISHED = download.ARCHIVES
CONTENT = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps the names that were asked for."""

    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        self.asked.append(self.path)


@contextmanager
def serving(folder: Path):
    Quiet.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def describe(archive, content, url):
    digest = hashlib.sha256(content).hexdigest()
    return replace(archive, url=url, size=len(content), sha256=digest)


@pytest.fixture
def published(drawn_dataset, tmp_path, monkeypatch):
    """A folder with the drawn dataset's archives, served as the published ones."""
    folder = tmp_path / "published"
    folder.mkdir()
    for part in ("images", "masks"):
        with ZipFile(folder / f"{part}.zip", "w", ZIP_DEFLATED) as archive:
            for path in sorted((drawn_dataset / part).iterdir()):
                archive.write(path, f"{part}/{path.name}")
    with serving(folder) as address:
        archives = (
            describe(archive, (folder / archive.name).read_bytes(), address + archive.name)
            for archive in PUBLISHED
        )
        monkeypatch.setattr(download, "ARCHIVES", tuple(archives))
        yield folder


@pytest.fixture
def unreliable(monkeypatch):
    """A server that fails as it is told to, and has the only archive that there is."""
    with FileServer(CONTENT) as server:
        archive = describe(PUBLISHED[0], CONTENT, server.url())
        monkeypatch.setattr(download, "ARCHIVES", (archive,))
        yield server


def ignore(done, total):
    """Take no notice of progress."""


def test_the_published_archives_are_told_with_size_and_fingerprint():
    assert [archive.name for archive in PUBLISHED] == ["images.zip", "masks.zip"]
    for archive in PUBLISHED:
        assert archive.url.startswith("https://data.broadinstitute.org/bbbc/BBBC039/")
        assert archive.size > 1e6
        assert len(bytes.fromhex(archive.sha256)) == 32


def test_a_download_can_be_opened_as_a_dataset(published, tmp_path):
    folder = tmp_path / "made" / "for it"
    assert download_dataset(folder, ignore) == folder
    assert sorted(path.name for path in folder.iterdir()) == ["images.zip", "masks.zip"]
    dataset = open_dataset(folder)
    assert len(dataset.fields) == 3
    assert dataset.has_images
    assert not dataset.without_mask
    assert dataset.fields[0].read_image().data.shape == (160, 200)
    assert dataset.fields[0].read_truth().any()


def test_progress_goes_from_nothing_to_the_sum_of_the_archives(published, tmp_path):
    steps = []
    download_dataset(tmp_path / "new", lambda *step: steps.append(step))
    total = sum(archive.size for archive in download.ARCHIVES)
    assert steps[0] == (0, total)
    assert steps[-1] == (total, total)
    assert {of for _, of in steps} == {total}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_what_is_there_is_not_fetched_again(published, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "images.zip").write_bytes((published / "images.zip").read_bytes())
    assert [archive.name for archive in missing_archives(folder)] == ["masks.zip"]
    steps = []
    for _ in range(2):
        download_dataset(folder, lambda *step: steps.append(step))
        assert Quiet.asked == ["/masks.zip"]
    assert steps[-1] == ((published / "masks.zip").stat().st_size,) * 2
    assert missing_archives(folder) == ()


def test_an_archive_that_is_cut_off_counts_as_missing_and_is_replaced(published, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "images.zip").write_bytes((published / "images.zip").read_bytes()[:-1])
    assert len(missing_archives(folder)) == 2
    download_dataset(folder, ignore)
    assert (folder / "images.zip").read_bytes() == (published / "images.zip").read_bytes()


def test_an_archive_that_was_altered_is_not_kept(published, tmp_path):
    content = bytearray((published / "masks.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (published / "masks.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="SHA-256"):
        download_dataset(tmp_path / "new", ignore)
    assert [archive.name for archive in missing_archives(tmp_path / "new")] == ["masks.zip"]


def test_an_archive_that_is_not_published_any_more_is_an_error_with_what_to_do(published, tmp_path):
    (published / "masks.zip").unlink()
    with pytest.raises(DownloadError, match="404") as failure:
        download_dataset(tmp_path / "new", ignore)
    assert f"put it at {tmp_path / 'new' / 'masks.zip'}" in str(failure.value)


def test_a_cut_connection_is_taken_up_where_it_was_cut(unreliable, tmp_path):
    unreliable.faults = [Cut(600_000)]
    steps = []
    download_dataset(tmp_path / "new", lambda *step: steps.append(step))
    first, second = unreliable.ranges
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 600_000
    assert (tmp_path / "new" / "images.zip").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_a_connection_that_is_cut_again_and_again_is_an_error(unreliable, tmp_path):
    unreliable.faults = [Cut(None)] * 9
    with pytest.raises(DownloadError, match="the connection was cut"):
        download_dataset(tmp_path / "new", ignore)
    assert len(missing_archives(tmp_path / "new")) == 1


def test_a_download_can_be_stopped_and_taken_up_later(unreliable, tmp_path):
    def stop(done, total):
        if done > 0:
            raise Stopped

    with pytest.raises(Stopped):
        download_dataset(tmp_path / "new", stop)
    assert len(missing_archives(tmp_path / "new")) == 1
    download_dataset(tmp_path / "new", ignore)
    assert unreliable.ranges[-1] is not None  # not from the beginning
    assert (tmp_path / "new" / "images.zip").read_bytes() == CONTENT


def test_the_folder_is_the_packages_own():
    assert dataset_folder().name == "BBBC039"
    assert "napari-nucseg" in str(dataset_folder())

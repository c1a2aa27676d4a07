from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from napari_nucseg.io import bbbc039
from napari_nucseg.io.bbbc039 import dataset_folder, download_dataset, missing_archives
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.download import DownloadError
from napari_nucseg.segmenters.api import Stopped
from tests.io.file_server import Cut, FileServer, Stall

PUBLISHED = bbbc039.ARCHIVES
NAMES = ["images.zip", "masks.zip", "metadata.zip"]
CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def unreliable(monkeypatch):
    """A server that fails as it is told to, and has the only archive that there is."""
    monkeypatch.setenv("NO_PROXY", "*")
    with FileServer(CONTENT) as server:
        digest = hashlib.sha256(CONTENT).hexdigest()
        archive = replace(PUBLISHED[0], url=server.url(), size=len(CONTENT), sha256=digest)
        monkeypatch.setattr(bbbc039, "ARCHIVES", (archive,))
        yield server


def ignore(done, total):
    """Take no notice of progress."""


def names_of(archives):
    return [archive.name for archive in archives]


def asked_for(published):
    return [name for name, server in published.items() if server.ranges]


def test_the_published_archives_are_told_with_size_and_fingerprint():
    assert names_of(PUBLISHED) == NAMES
    for archive in PUBLISHED:
        assert archive.url == f"https://data.broadinstitute.org/bbbc/BBBC039/{archive.name}"
        assert archive.size > 1e4
        assert len(bytes.fromhex(archive.sha256)) == 32


def test_a_download_can_be_opened_as_a_dataset_with_its_splits(published, tmp_path):
    folder = tmp_path / "made" / "for it"
    assert download_dataset(folder, ignore) == folder
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    dataset = open_dataset(folder)
    assert [field.split for field in dataset.fields] == ["training", "training", "test"]
    assert not dataset.without_mask
    assert dataset.fields[0].read_image().data.shape == (160, 200)
    assert dataset.fields[0].read_truth().any()
    assert len(open_dataset(folder, "training").fields) == 2


def test_progress_goes_from_nothing_to_the_sum_of_the_archives(published, tmp_path):
    steps = []
    download_dataset(tmp_path / "new", lambda *step: steps.append(step))
    total = sum(archive.size for archive in bbbc039.ARCHIVES)
    assert steps[0] == (0, total)
    assert steps[-1] == (total, total)
    assert {of for _, of in steps} == {total}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_what_is_there_is_not_fetched_again(published, tmp_path):
    (tmp_path / "images.zip").write_bytes(published["images.zip"].content)
    (tmp_path / "metadata.zip").write_bytes(published["metadata.zip"].content)
    assert names_of(missing_archives(tmp_path)) == ["masks.zip"]
    for _ in range(2):
        download_dataset(tmp_path, ignore)
        assert asked_for(published) == ["masks.zip"]
    assert published["masks.zip"].ranges == [None]
    assert missing_archives(tmp_path) == ()


def test_an_archive_that_is_cut_off_counts_as_missing_and_is_replaced(published, tmp_path):
    (tmp_path / "images.zip").write_bytes(published["images.zip"].content[:-1])
    assert names_of(missing_archives(tmp_path)) == NAMES
    download_dataset(tmp_path, ignore)
    assert (tmp_path / "images.zip").read_bytes() == published["images.zip"].content


def test_an_archive_that_was_altered_is_not_kept(published, tmp_path):
    content = bytearray(published["masks.zip"].content)
    content[len(content) // 2] ^= 1
    published["masks.zip"].content = bytes(content)
    with pytest.raises(DownloadError, match=r"masks\.zip .* not kept because its SHA-256 is"):
        download_dataset(tmp_path / "new", ignore)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["images.zip"]


def test_another_file_under_that_address_is_noticed_before_it_is_fetched(published, tmp_path):
    published["images.zip"].content = CONTENT
    steps = []
    with pytest.raises(DownloadError, match=r"has 1,048,576 bytes where [\d,]+ are expected"):
        download_dataset(tmp_path / "new", lambda *step: steps.append(step))
    assert steps == []
    assert list((tmp_path / "new").iterdir()) == []


def test_an_archive_that_is_not_published_any_more_is_an_error_with_what_to_do(
    published, tmp_path, monkeypatch
):
    images, masks, _ = bbbc039.ARCHIVES
    moved = replace(masks, url=published["masks.zip"].url("elsewhere"))
    monkeypatch.setattr(bbbc039, "ARCHIVES", (images, moved))
    with pytest.raises(DownloadError, match="404") as failure:
        download_dataset(tmp_path / "new", ignore)
    assert f"put it at {tmp_path / 'new' / 'masks.zip'}" in str(failure.value)


@pytest.mark.parametrize("fault", [Cut(600_000), Stall(600_000)])
def test_a_broken_connection_is_taken_up_where_it_broke(unreliable, tmp_path, fault):
    unreliable.faults = [fault]
    steps = []
    download_dataset(tmp_path / "new", lambda *step: steps.append(step), timeout=0.2)
    first, second = unreliable.ranges
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 600_000
    assert (tmp_path / "new" / "images.zip").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("fault", [Cut(150_000), Stall(150_000)])
def test_a_connection_that_breaks_again_and_again_gets_there_if_it_brings_progress(
    unreliable, tmp_path, fault
):
    unreliable.faults = [fault] * 6
    download_dataset(tmp_path / "new", ignore, timeout=0.2)
    assert (tmp_path / "new" / "images.zip").read_bytes() == CONTENT
    assert len(unreliable.ranges) == 7


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Cut(None), "the connection was cut"), (Stall(None), "the connection stalled")],
)
def test_a_connection_that_breaks_again_and_again_is_an_error(unreliable, tmp_path, fault, reason):
    unreliable.faults = [fault] * 9
    with pytest.raises(DownloadError, match=reason):
        download_dataset(tmp_path / "new", ignore, timeout=0.2)
    assert len(missing_archives(tmp_path / "new")) == 1


def test_a_download_can_be_stopped_and_taken_up_later(unreliable, tmp_path):
    def stop(done, total):
        if done > 0:
            raise Stopped

    with pytest.raises(Stopped):
        download_dataset(tmp_path / "new", stop)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["images.zip.part"]
    download_dataset(tmp_path / "new", ignore)
    assert unreliable.ranges[-1] is not None  # not from the beginning
    assert (tmp_path / "new" / "images.zip").read_bytes() == CONTENT


def test_a_second_download_to_the_same_folder_is_refused_while_the_first_runs(unreliable, tmp_path):
    refused = []

    def start_another(done, total):
        with pytest.raises(OSError, match=r"images\.zip.*: it is being written already") as no:
            download_dataset(tmp_path, ignore)
        refused.append(no)

    download_dataset(tmp_path, start_another)
    assert refused
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]
    assert (tmp_path / "images.zip").read_bytes() == CONTENT


def test_the_folder_is_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path))
    assert dataset_folder() == tmp_path / "BBBC039"
    monkeypatch.delenv("NUCSEG_CACHE")
    assert "napari-nucseg" in str(dataset_folder())

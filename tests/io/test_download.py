from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from napari_nucseg.io.download import DownloadError, RemoteFile, fetch, is_complete
from napari_nucseg.segmenters.api import Stopped
from tests.io.file_server import CERTIFICATE, Crawl, Cut, FileServer, Stall

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * (2 * MIB // 256)
OTHER_CONTENT = CONTENT[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER_SHA256 = hashlib.sha256(OTHER_CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as running:
        yield running


def published(
    server: FileServer, *, size: int | None = len(CONTENT), sha256: str | None = SHA256
) -> RemoteFile:
    return RemoteFile("weights", server.url(), size, sha256)


def message_of_failed_fetch(file: RemoteFile, folder: Path, timeout: float = 2.0) -> str:
    with pytest.raises(DownloadError) as failure:
        fetch(file, folder, timeout=timeout)
    return str(failure.value)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave_partial(folder: Path, content: bytes) -> None:
    (folder / "weights.part").write_bytes(content)


# What is there and what is not


def test_a_fetched_file_is_whole_and_alone_in_a_folder_made_for_it(
    server: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "for it"
    path = fetch(published(server), folder)
    assert path == folder / "weights"
    assert path.read_bytes() == CONTENT
    assert names_in(folder) == ["weights"]


def test_a_file_already_there_is_not_asked_for(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT)
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


def test_a_file_cut_off_by_another_program_is_replaced(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT[:MIB])
    assert not is_complete(published(server), tmp_path)
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "size", "complete"),
    [
        (None, 3, False),
        (b"ab", 3, False),
        (b"abc", 3, True),
        (b"abc", None, True),
        (b"", None, False),
        (None, None, False),
    ],
)
def test_a_file_is_complete_if_it_has_its_size(
    content: bytes | None, size: int | None, complete: bool, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "weights").write_bytes(content)
    assert is_complete(RemoteFile("weights", "http://x", size), tmp_path) == complete


def test_a_folder_of_that_name_is_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    assert not is_complete(RemoteFile("weights", "http://x"), tmp_path)


# Connections that break


@pytest.mark.parametrize("fault", [Cut(after=MIB), Stall(after=MIB)])
@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_broken_transfer_goes_on_where_it_broke(
    fault: Cut | Stall, sha256: str | None, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [fault]
    path = fetch(published(server, sha256=sha256), tmp_path, timeout=0.2)
    assert path.read_bytes() == CONTENT
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= MIB


@pytest.mark.parametrize("fault", [Cut(after=None), Stall(after=None)])
def test_a_connection_broken_before_any_answer_is_tried_again(
    fault: Cut | Stall, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [fault, fault]
    assert fetch(published(server), tmp_path, timeout=0.2).read_bytes() == CONTENT


def test_a_broken_transfer_starts_anew_where_the_server_sends_no_parts(
    server: FileServer, tmp_path: Path
) -> None:
    server.honours_range = False
    server.faults = [Cut(after=MIB)]
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_a_cut_is_noticed_where_the_server_states_no_size(
    server: FileServer, tmp_path: Path
) -> None:
    server.states_size = False
    server.faults = [Cut(after=MIB)]
    assert fetch(published(server, sha256=None), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={MIB}-"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Cut(after=1000), "was cut"), (Stall(after=1000), "stalled"), (Stall(after=None), "stalled")],
)
def test_three_broken_connections_are_an_error(
    fault: Cut | Stall, reason: str, server: FileServer, tmp_path: Path
) -> None:
    server.faults = [fault] * 3
    message = message_of_failed_fetch(published(server), tmp_path, timeout=0.1)
    assert f"the connection {reason}" in message
    assert "after 3 tries" in message
    assert len(server.ranges) == 3
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("broken", [Cut, Stall])
@pytest.mark.parametrize("piece", [200_000, 700_000])
def test_connections_may_break_as_often_as_they_bring_progress(
    broken: type[Cut | Stall], piece: int, server: FileServer, tmp_path: Path
) -> None:
    server.content = CONTENT + CONTENT[:MIB]
    server.faults = [broken(after=piece)] * (len(server.content) // piece)
    file = RemoteFile("weights", server.url(), len(server.content))
    assert fetch(file, tmp_path, timeout=0.2).read_bytes() == server.content
    starts = range(piece, len(server.content), piece)
    assert server.ranges == [None, *(f"bytes={start}-" for start in starts)]


def test_three_fruitless_tries_after_progress_are_an_error(
    server: FileServer, tmp_path: Path
) -> None:
    server.faults = [Cut(after=None), Cut(after=700_000), *[Cut(after=None)] * 3]
    message = message_of_failed_fetch(published(server), tmp_path)
    assert "after 3 tries without progress" in message
    assert len(server.ranges) == 5


def test_a_server_that_sends_no_parts_and_is_always_cut_brings_no_progress(
    server: FileServer, tmp_path: Path
) -> None:
    server.honours_range = False
    server.faults = [Cut(after=MIB)] * 9
    assert "without progress" in message_of_failed_fetch(published(server), tmp_path)
    assert len(server.ranges) == 4


def test_an_error_says_that_the_same_command_goes_on_where_it_stopped(
    server: FileServer, tmp_path: Path
) -> None:
    server.faults = [Cut(after=700_000), *[Cut(after=None)] * 3]
    message = message_of_failed_fetch(published(server), tmp_path)
    assert "What has arrived is kept: the same command or click goes on" in message
    assert f"Download {server.url()} in a browser" in message
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=700000-"


def test_what_cannot_be_checked_is_not_said_to_go_on(server: FileServer, tmp_path: Path) -> None:
    server.faults = [Cut(after=700_000), *[Cut(after=None)] * 3]
    message = message_of_failed_fetch(published(server, sha256=None), tmp_path)
    assert "goes on" not in message


def test_a_crawling_connection_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.faults = [Crawl(0.01)] * 3
    message = message_of_failed_fetch(published(server), tmp_path, timeout=0.2)
    assert "the connection is too slow, after 3 tries" in message


def test_a_connection_with_tls_is_not_left_for_one_without(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(ssl.DER_cert_to_PEM_cert(base64.b64decode(CERTIFICATE)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    with FileServer(CONTENT, secure=True) as secure:
        assert fetch(published(secure), tmp_path / "trusted").read_bytes() == CONTENT
        secure.moved_headers = {"Location": server.url()}
        file = RemoteFile("weights", secure.url("moved"), len(CONTENT), SHA256)
        assert "an address without TLS" in message_of_failed_fetch(file, tmp_path / "fallen")
    assert server.ranges == []


# Content that is not the expected one


def test_a_wrong_hash_is_an_error_that_names_both_and_leaves_no_file(
    server: FileServer, tmp_path: Path
) -> None:
    message = message_of_failed_fetch(published(server, sha256=OTHER_SHA256), tmp_path)
    assert "SHA-256" in message
    assert SHA256 in message
    assert OTHER_SHA256 in message
    assert server.url() in message
    assert names_in(tmp_path) == []


def test_a_hash_may_be_written_in_capitals(server: FileServer, tmp_path: Path) -> None:
    assert fetch(published(server, sha256=SHA256.upper()), tmp_path).exists()


@pytest.mark.parametrize("states_size", [True, False])
@pytest.mark.parametrize("surplus", [-1, 1])
def test_a_wrong_size_is_an_error_that_leaves_no_file(
    surplus: int, states_size: bool, server: FileServer, tmp_path: Path
) -> None:
    server.states_size = states_size
    message = message_of_failed_fetch(published(server, size=len(CONTENT) - surplus), tmp_path)
    assert "bytes" in message
    assert not (tmp_path / "weights").exists()


def test_a_wrong_size_that_the_server_states_is_refused_before_anything_is_received(
    server: FileServer, tmp_path: Path
) -> None:
    message_of_failed_fetch(published(server, size=len(CONTENT) + 1), tmp_path)
    assert names_in(tmp_path) == []


def test_an_answer_without_end_is_not_received_to_its_end(
    server: FileServer, tmp_path: Path
) -> None:
    server.states_size = False
    reports: list[int] = []
    file = published(server, size=1000)
    with pytest.raises(DownloadError, match="bytes where 1,000 are expected"):
        fetch(file, tmp_path, report=lambda done, _: reports.append(done))
    assert max(reports) < len(CONTENT) / 2


def test_an_answer_without_end_is_not_received_to_its_end_where_the_size_is_known_roughly(
    server: FileServer, tmp_path: Path
) -> None:
    server.states_size = False
    reports: list[int] = []
    file = RemoteFile("weights", server.url(), rough_size=MIB // 4)
    with pytest.raises(DownloadError, match="bytes where 131,072 to 524,288 are expected"):
        fetch(file, tmp_path, report=lambda done, _: reports.append(done))
    assert max(reports) < len(CONTENT) / 2
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("states_size", [True, False])
def test_a_few_bytes_are_not_taken_for_a_large_file(
    states_size: bool, server: FileServer, tmp_path: Path
) -> None:
    server.content, server.states_size = b"try again tomorrow", states_size
    file = RemoteFile("weights", server.url(), rough_size=len(CONTENT))
    assert "it has 18 bytes where 1,048,576 to" in message_of_failed_fetch(file, tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_kept(content_type: str, server: FileServer, tmp_path: Path) -> None:
    server.content = b"\n<!DOCTYPE html><title>Log in</title>"
    server.file_headers = {"Content-Type": content_type}
    file = RemoteFile("weights", server.url())
    assert "answered with a web page" in message_of_failed_fetch(file, tmp_path)
    assert names_in(tmp_path) == []


def test_a_file_that_has_changed_at_the_server_is_told_before_it_is_received(
    server: FileServer, tmp_path: Path
) -> None:
    server.file_headers = {"ETag": f'"{OTHER_SHA256}"'}
    message = message_of_failed_fetch(published(server), tmp_path)
    assert f"the file at {server.url()} has changed: its SHA-256 is {OTHER_SHA256}" in message
    assert names_in(tmp_path) == []


def test_a_larger_file_of_that_name_may_be_the_users_and_is_spared(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(CONTENT + b"mine")
    message = message_of_failed_fetch(published(server), tmp_path)
    assert f"{tmp_path / 'weights'} has {len(CONTENT) + 4:,} bytes" in message
    assert (tmp_path / "weights").read_bytes() == CONTENT + b"mine"
    assert server.ranges == []


def test_an_empty_answer_is_an_error(server: FileServer, tmp_path: Path) -> None:
    server.content = b""
    message = message_of_failed_fetch(published(server, size=None, sha256=None), tmp_path)
    assert "it has 0 bytes" in message
    assert not (tmp_path / "weights").exists()


def test_a_file_of_which_nothing_is_known_is_taken_as_it_comes(
    server: FileServer, tmp_path: Path
) -> None:
    file = published(server, size=None, sha256=None)
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("tag", [SHA256, f'"{SHA256}"'])
def test_the_hash_that_a_redirect_states_is_checked(
    tag: str, server: FileServer, tmp_path: Path
) -> None:
    server.moved_headers = {"X-Linked-ETag": tag}
    server.file_headers = {"ETag": f'"{OTHER_SHA256}"'}
    file = RemoteFile("weights", server.url("moved"), len(CONTENT))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["file", "moved"])
def test_a_file_that_belies_the_stated_hash_is_an_error(
    path: str, server: FileServer, tmp_path: Path
) -> None:
    server.moved_headers = {"X-Linked-ETag": f'"{OTHER_SHA256}"'}
    server.file_headers = {"ETag": f'"{OTHER_SHA256}"'}
    message = message_of_failed_fetch(RemoteFile("weights", server.url(path)), tmp_path)
    assert OTHER_SHA256 in message
    assert names_in(tmp_path) == []


def test_a_hash_that_only_the_target_of_a_redirect_states_is_ignored(
    server: FileServer, tmp_path: Path
) -> None:
    server.file_headers = {"ETag": f'"{OTHER_SHA256}"'}
    file = RemoteFile("weights", server.url("moved"), len(CONTENT))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_tag_that_is_no_sha256_is_ignored(server: FileServer, tmp_path: Path) -> None:
    server.file_headers = {"ETag": '"5e8a-61b2c"'}
    assert fetch(published(server, sha256=None), tmp_path).read_bytes() == CONTENT


def test_a_server_that_compresses_is_asked_not_to(server: FileServer, tmp_path: Path) -> None:
    server.compresses = True
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT


# What an earlier run left


def test_the_start_of_the_file_left_by_an_earlier_run_is_completed(
    server: FileServer, tmp_path: Path
) -> None:
    leave_partial(tmp_path, CONTENT[:MIB])
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={MIB}-"]
    assert names_in(tmp_path) == ["weights"]


def test_a_leftover_is_completed_where_only_the_server_states_the_hash(
    server: FileServer, tmp_path: Path
) -> None:
    server.file_headers = {"ETag": f'"{SHA256}"'}
    leave_partial(tmp_path, CONTENT[:MIB])
    assert fetch(published(server, sha256=None), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={MIB}-"]


def test_a_whole_leftover_needs_no_connection(server: FileServer, tmp_path: Path) -> None:
    leave_partial(tmp_path, CONTENT)
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


@pytest.mark.parametrize(
    "leftover",
    [OTHER_CONTENT[:MIB], OTHER_CONTENT, CONTENT + b"more"],
    ids=["other start", "other file", "too long"],
)
@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_leftover_of_something_else_is_replaced(
    leftover: bytes, sha256: str | None, server: FileServer, tmp_path: Path
) -> None:
    leave_partial(tmp_path, leftover)
    assert fetch(published(server, sha256=sha256), tmp_path).read_bytes() == CONTENT
    assert names_in(tmp_path) == ["weights"]


# Progress and stopping


def test_progress_goes_from_nothing_to_all_in_small_steps(
    server: FileServer, tmp_path: Path
) -> None:
    reports: list[tuple[int, int | None]] = []
    fetch(published(server), tmp_path, report=lambda done, total: reports.append((done, total)))
    done = [bytes_done for bytes_done, _ in reports]
    assert done[0] == 0
    assert done[-1] == len(CONTENT)
    assert all(0 < after - before <= 256 * 1024 for before, after in pairwise(done))
    assert {total for _, total in reports} == {len(CONTENT)}


def test_progress_has_no_total_where_nobody_knows_it(server: FileServer, tmp_path: Path) -> None:
    server.states_size = False
    totals: set[int | None] = set()
    file = published(server, size=None)
    fetch(file, tmp_path, report=lambda _, total: totals.add(total))
    assert totals == {None}


@pytest.mark.parametrize("request_to_stop", [Stopped(), OSError("as raised"), KeyError(1)])
def test_whatever_a_report_raises_ends_the_download_and_is_passed_on(
    request_to_stop: Exception, server: FileServer, tmp_path: Path
) -> None:
    def stop_half_way(done: int, _total: int | None) -> None:
        if done >= MIB:
            raise request_to_stop

    with pytest.raises(type(request_to_stop)) as stopped:
        fetch(published(server), tmp_path, report=stop_half_way)
    assert stopped.value is request_to_stop
    assert not (tmp_path / "weights").exists()


def test_a_stopped_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    def stop_half_way(done: int, _total: int | None) -> None:
        if done >= MIB:
            raise Stopped

    with pytest.raises(Stopped):
        fetch(published(server), tmp_path, report=stop_half_way)
    reports: list[int] = []
    path = fetch(published(server), tmp_path, report=lambda done, _: reports.append(done))
    assert path.read_bytes() == CONTENT
    assert reports[0] >= MIB
    assert server.ranges == [None, f"bytes={reports[0]}-"]


# Files that cannot be had


def test_an_error_says_what_failed_and_what_to_do(server: FileServer, tmp_path: Path) -> None:
    url = server.url("missing")
    message = message_of_failed_fetch(RemoteFile("weights", url), tmp_path)
    host = url.split("/")[2]
    assert message == (
        f"weights could not be fetched from {host}: HTTP status 404 Not Found. "
        f"Download {url} in a browser and put it at {tmp_path / 'weights'}."
    )


def test_a_refused_connection_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
    assert "refused" in message_of_failed_fetch(RemoteFile("weights", url), tmp_path)


def test_an_unknown_host_is_named(tmp_path: Path) -> None:
    file = RemoteFile("weights", "http://nowhere.invalid/file")
    assert "host was not found" in message_of_failed_fetch(file, tmp_path)


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    file = RemoteFile("weights", "nowhere")
    assert "nowhere" in message_of_failed_fetch(file, tmp_path)


def test_a_proxy_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    file = RemoteFile("weights", "http://nowhere.invalid/file")
    assert "proxy" in message_of_failed_fetch(file, tmp_path)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with FileServer(CONTENT, secure=True) as server:
        message = message_of_failed_fetch(published(server), tmp_path)
    assert "TLS" in message
    assert "certificate" in message
    assert server.ranges == []


def test_a_file_larger_than_the_disk_is_not_begun(server: FileServer, tmp_path: Path) -> None:
    message = message_of_failed_fetch(published(server, size=sys.maxsize), tmp_path)
    assert "Free some space" in message
    assert server.ranges == []


def test_a_file_that_the_server_states_to_be_larger_than_the_disk_is_not_begun(
    server: FileServer, tmp_path: Path
) -> None:
    server.states_size = False
    server.file_headers = {"Content-Length": str(sys.maxsize)}
    file = RemoteFile("weights", server.url(), rough_size=sys.maxsize)
    message = message_of_failed_fetch(file, tmp_path)
    assert "Free some space" in message
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(OSError, match="taken: a file is where a folder should be"):
        fetch(published(server), tmp_path / "taken")


def test_a_partial_file_that_cannot_be_written_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "weights.part").mkdir()
    with pytest.raises(OSError, match=r"weights\.part: a folder has this name"):
        fetch(published(server), tmp_path)

from __future__ import annotations

import json
import logging
import threading

import pytest

from napari_nucseg.segmenters.timing import Measurements, of_this_machine


class Stopwatch:
    """A measurement that tells how often it was made."""

    def __init__(self, number=1.5):
        self.number = number
        self.runs = 0

    def __call__(self):
        self.runs += 1
        return self.number


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "measurements.json"


@pytest.fixture
def watch():
    return Stopwatch()


def test_it_is_measured_once(path, watch):
    measurements = Measurements(path)
    assert [measurements.remember("speed", watch) for _ in range(2)] == [1.5, 1.5]
    assert watch.runs == 1


def test_the_next_process_finds_it(path, watch):
    Measurements(path).remember("speed", watch)
    assert Measurements(path).remember("speed", Stopwatch(7)) == 1.5
    assert json.loads(path.read_text()) == {"speed": 1.5}


def test_another_key_is_measured_anew(path, watch):
    measurements = Measurements(path)
    measurements.remember("torch 1", watch)
    assert measurements.remember("torch 2", Stopwatch(2.5)) == 2.5
    assert json.loads(path.read_text()) == {"torch 1": 1.5, "torch 2": 2.5}


def test_what_another_process_measured_meanwhile_is_kept(path, watch):
    ours = Measurements(path)
    ours.remember("ours", watch)
    Measurements(path).remember("theirs", watch)
    ours.remember("ours, too", watch)
    assert set(json.loads(path.read_text())) == {"ours", "theirs", "ours, too"}


def test_two_threads_measure_once(path, watch):
    measurements = Measurements(path)
    together = threading.Barrier(2)

    def ask():
        together.wait()
        measurements.remember("speed", watch)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.runs == 1


@pytest.mark.parametrize(
    "content",
    [
        *[b"", b"{", b"[1, 2]", b"7", b"\xff\xfe", b"[" * 10**5],
        *[b'{"speed": %s}' % what for what in (b'"fast"', b"null", b"NaN", b"1" + b"0" * 400)],
    ],
    ids=repr,
)
def test_a_damaged_file_is_told_and_replaced(path, watch, content, caplog):
    path.parent.mkdir()
    path.write_bytes(content)
    assert Measurements(path).remember("speed", watch) == 1.5
    assert watch.runs == 1
    assert str(path) in caplog.text
    assert json.loads(path.read_text()) == {"speed": 1.5}


def test_where_nothing_can_be_written_it_is_told_and_known_until_exit(tmp_path, watch, caplog):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "cache" / "measurements.json"
    measurements = Measurements(path)
    assert [measurements.remember("speed", watch) for _ in range(2)] == [1.5, 1.5]
    assert watch.runs == 1
    assert f"{path}: cannot be written" in caplog.text


def test_an_ordinary_run_warns_of_nothing_and_leaves_one_file(path, watch, caplog):
    with caplog.at_level(logging.WARNING):
        Measurements(path).remember("speed", watch)
    assert not caplog.records
    assert list(path.parent.iterdir()) == [path]


def test_a_measurement_that_fails_is_not_remembered(path, watch):
    def fail():
        raise RuntimeError("out of memory")

    measurements = Measurements(path)
    with pytest.raises(RuntimeError, match="out of memory"):
        measurements.remember("speed", fail)
    assert measurements.remember("speed", watch) == 1.5


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch, watch):
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path))
    of_this_machine().remember("speed", watch)
    of_this_machine().remember("speed", watch)
    assert watch.runs == 1
    assert (tmp_path / "measurements.json").is_file()

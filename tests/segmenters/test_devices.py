from __future__ import annotations

import json
import sys
from importlib.metadata import version
from itertools import combinations

import pytest
import torch

from napari_nucseg.segmenters import devices
from napari_nucseg.segmenters.devices import (
    CHOICES,
    Device,
    choose,
    computes_bfloat16,
    give_back_in_time,
    memory_kept,
    select,
    visible_gpus,
)
from napari_nucseg.system_info import cores

NAMES = {"cuda": "NVIDIA card", "mps": "Apple arm64", "cpu": "2 of 8 threads, a processor"}
KINDS = tuple(NAMES)


def machine(kinds):
    return {kind: NAMES[kind] for kind in kinds}


@pytest.fixture
def pretend(monkeypatch):
    """Make torch say that it has some accelerators."""

    def apply(*kinds):
        monkeypatch.setattr(devices, "_may_have_accelerator", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: NAMES["cuda"])
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return apply


def test_one_can_ask_for_each_kind_or_leave_the_choice():
    assert ("auto", *KINDS) == CHOICES


@pytest.mark.parametrize(
    ("accelerators", "taken"),
    [(("cuda", "mps"), "cuda"), (("cuda",), "cuda"), (("mps",), "mps"), ((), "cpu")],
    ids=str,
)
def test_auto_prefers_cuda_then_mps_then_the_processor(pretend, accelerators, taken):
    pretend(*accelerators)
    assert choose().kind == choose("auto").kind == taken


def test_auto_takes_the_first_of_the_list():
    assert select("auto", machine(("mps", "cpu"))) == Device("mps", "Apple arm64")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_is_there_is_taken_with_its_name(kind):
    assert select(kind, NAMES) == Device(kind, NAMES[kind])


@pytest.mark.parametrize(
    ("wanted", "present"),
    [
        (wanted, present)
        for count in (1, 2)
        for present in combinations(KINDS, count)
        for wanted in (*KINDS, "tpu", "CUDA", "")
        if wanted not in present
    ],
    ids=str,
)
def test_a_device_that_is_absent_is_an_error_that_names_the_others(wanted, present):
    with pytest.raises(ValueError, match="is not on this machine") as failure:
        select(wanted, machine(present))
    message = str(failure.value)
    assert repr(wanted) in message
    assert message.endswith(f"choose auto or one of {', '.join(present)}")


def test_an_absent_accelerator_is_never_replaced_silently(pretend):
    pretend()
    for kind in ("cuda", "mps"):
        with pytest.raises(ValueError, match=r"choose auto or one of cpu$"):
            choose(kind)


def test_the_processor_is_always_there_and_has_a_name():
    device = choose("cpu")
    assert device.kind == "cpu"
    assert device.name.startswith(f"{cores()} of ")
    assert str(device) == f"CPU, {device.name}"
    assert not device.name.rstrip().endswith(",")


@pytest.mark.skipif(sys.platform != "linux", reason="a driver is looked for otherwise")
def test_without_a_driver_torch_is_not_even_asked(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    monkeypatch.setattr(devices.Path, "exists", lambda path: False)
    assert choose("auto").kind == "cpu"


# bfloat16


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder that is not the user's."""
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def gains(cache):
    return json.loads((cache / "measurements.json").read_text())


def test_whether_the_processor_computes_in_bfloat16_is_a_yes_or_a_no():
    assert isinstance(computes_bfloat16(choose("cpu")), bool)


def test_the_measurement_tells_the_processor_its_threads_and_torch(cache):
    device = choose("cpu")
    computes_bfloat16(device)
    ((key, gain),) = gains(cache).items()
    assert device.name in key
    assert version("torch") in key
    assert gain > 0


def test_another_processor_is_measured_anew(cache):
    for name in ("one", "one", "another"):
        computes_bfloat16(Device("cpu", name))
    assert len(gains(cache)) == 2


@pytest.mark.parametrize(("gain", "taken"), [(0.4, False), (1.1, False), (1.3, True), (3, True)])
def test_a_gain_that_is_known_decides(cache, monkeypatch, gain, taken):
    device = choose("cpu")
    computes_bfloat16(device)
    (key,) = gains(cache)
    later = cache / "later"
    later.mkdir()
    (later / "measurements.json").write_text(json.dumps({key: gain}))
    monkeypatch.setenv("NUCSEG_CACHE", str(later))
    assert computes_bfloat16(device) is taken


def test_mps_stays_in_float32_and_nothing_is_measured(cache):
    assert computes_bfloat16(Device("mps", NAMES["mps"])) is False
    assert not cache.exists()


@pytest.mark.parametrize(("named", "found"), [("", []), ("0", ["0"]), ("1, 3", ["1", "3"])])
def test_the_gpus_are_those_that_cuda_may_use(monkeypatch, named, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == found


def test_memory_that_is_kept_is_given_back_once_at_the_end_also_after_an_error():
    given_back = []

    def give_back():
        given_back.append("memory")

    def work():
        with memory_kept():
            for _ in range(2):
                with memory_kept():
                    give_back_in_time(give_back)
            assert not given_back
            raise ValueError("the run is stopped")

    with pytest.raises(ValueError, match="stopped"):
        work()
    assert given_back == ["memory"]
    give_back_in_time(give_back)
    assert given_back == ["memory"] * 2

"""How long a field will take is told from runs of about its size alone."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from napari_nucseg.segmenters import timing
from napari_nucseg.segmenters.api import Provenance
from napari_nucseg.segmenters.parameters import SegmentParams

FIELD = 520 * 696


def made(seconds: float, device: str = "CPU, test") -> Provenance:
    return Provenance("net", "", asdict(SegmentParams()), device, "float32", {}, seconds)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch, tmp_path):
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path))


def test_a_field_takes_as_long_as_the_last_one():
    timing.remember("net", made(4.0), FIELD)
    timing.remember("net", made(2.0), FIELD)
    assert timing.expected("net", "CPU, test", FIELD) == pytest.approx(2.0)


def test_a_small_crop_says_nothing_of_a_field():
    timing.remember("net", made(0.1), 50 * 50)
    assert timing.expected("net", "CPU, test", FIELD) is None


def test_a_small_crop_leaves_what_is_known_of_a_field():
    timing.remember("net", made(2.0), FIELD)
    timing.remember("net", made(0.1), 50 * 50)
    assert timing.expected("net", "CPU, test", FIELD) == pytest.approx(2.0)


def test_half_a_field_takes_half_as_long():
    timing.remember("net", made(2.0), FIELD)
    assert timing.expected("net", "CPU, test", FIELD // 2) == pytest.approx(1.0)


def test_models_and_devices_have_paces_of_their_own():
    timing.remember("net", made(2.0), FIELD)
    assert timing.expected("other", "CPU, test", FIELD) is None
    assert timing.expected("net", "CUDA, test", FIELD) is None


def test_a_run_that_had_to_wait_counts_until_there_is_another():
    timing.remember("net", made(9.0), FIELD, warm=False)
    assert timing.expected("net", "CPU, test", FIELD) == pytest.approx(9.0)
    timing.remember("net", made(2.0), FIELD)
    timing.remember("net", made(9.0), FIELD, warm=False)
    assert timing.expected("net", "CPU, test", FIELD) == pytest.approx(2.0)

"""How far work is, in words: what is done, and how long the rest will take."""

from __future__ import annotations

import pytest

from napari_nucseg.ui.jobs import RemainingTime, as_duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


def listener(told):
    return lambda done, total, what: told.append((done, total, what))


def test_nothing_is_foretold_before_anything_is_done(clock, told):
    countdown = RemainingTime(listener(told), 1, clock)
    clock.now += 5

    countdown.report(0, 9)

    assert told == [(0, 9, "tile 1 of 9")]


def test_the_rest_takes_as_long_as_what_is_done(clock, told):
    countdown = RemainingTime(listener(told), 50, clock)
    countdown.begin(2)
    clock.now += 10

    countdown.report(4, 9)

    assert told == [(22, 450, "tile 5 of 9, field 3 of 50, 3 min left")]


def test_the_last_tile_leaves_nothing_to_foretell(clock, told):
    countdown = RemainingTime(listener(told), 1, clock)
    clock.now += 10

    countdown.report(9, 9)

    assert told == [(9, 9, "tile 9 of 9")]


def test_of_a_download_what_was_here_before_took_no_time(clock, told):
    follow = RemainingTime(listener(told), 1, clock).follow_download("net", 1200)
    follow(600_000_000, 1_200_000_000)
    clock.now += 10
    follow(900_000_000, 1_200_000_000)

    assert [what for _, _, what in told] == [
        "Downloading net: 600 of 1,200 MB",
        "Downloading net: 900 of 1,200 MB, 10 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.042, "0.04 s"), (12.4, "12 s"), (150, "2 min"), (9000, "2.5 h")]
)
def test_times_are_said_as_one_does(seconds, words):
    assert as_duration(seconds) == words

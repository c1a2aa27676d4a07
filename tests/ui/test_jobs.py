"""A job runs in a thread, tells its progress, stops when asked, and never speaks too late."""

import threading

import pytest

from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.ui.jobs import Job, LongSteps


@pytest.fixture
def heard():
    return []


def listen(job: Job, heard: list) -> Job:
    job.progressed.connect(lambda *values: heard.append(values))
    job.returned.connect(lambda value: heard.append(("returned", value)))
    job.failed.connect(lambda error: heard.append(("failed", str(error))))
    job.finished.connect(lambda: heard.append("finished"))
    return job


def test_the_result_arrives_on_the_main_thread_after_the_progress(qtbot, heard):
    def work(report):
        report(1, 2, "half")
        return threading.current_thread() is threading.main_thread()

    job = listen(Job(work), heard)
    where = []
    job.returned.connect(lambda _: where.append(threading.current_thread()))
    with qtbot.waitSignal(job.finished):
        job.start()

    assert heard == [(1, 2, "half"), ("returned", False), "finished"]
    assert where == [threading.main_thread()]


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, MemoryError])
def test_an_error_is_told_and_the_job_still_finishes(qtbot, heard, kind):
    def work(report):
        raise kind("no memory left")

    job = listen(Job(work), heard)
    with qtbot.waitSignal(job.finished):
        job.start()

    assert heard == [("failed", "no memory left"), "finished"]


def test_a_stopped_job_gives_no_result(qtbot, heard):
    reached, go_on = threading.Event(), threading.Event()

    def work(report):
        reached.set()
        go_on.wait(10)
        report(1, 1, "")
        return "too late"

    job = listen(Job(work), heard)
    job.start()
    assert reached.wait(10)
    with qtbot.waitSignal(job.finished):
        job.stop()
        go_on.set()

    assert heard == ["finished"]


def test_nothing_of_an_abandoned_job_arrives(qtbot, heard):
    go_on, done = threading.Event(), threading.Event()

    def work(report):
        go_on.wait(10)
        done.set()
        return "too late"

    job = listen(Job(work), heard)
    job.start()
    job.abandon()
    go_on.set()
    assert done.wait(10)
    qtbot.waitUntil(lambda: job.is_over)

    assert heard == []


def test_a_stop_that_nobody_asked_for_is_told(qtbot, heard):
    def work(report):
        raise Stopped

    job = listen(Job(work), heard)
    with qtbot.waitSignal(job.finished):
        job.start()

    assert heard == [("failed", ""), "finished"]


def test_a_step_that_does_not_end_is_left_behind(qtbot, heard):
    reached, go_on = threading.Event(), threading.Event()

    def step():
        reached.set()
        go_on.wait(30)

    job = listen(Job(lambda report: LongSteps(report).do(step)), heard)
    job.start()
    assert reached.wait(10)

    with qtbot.waitSignal(job.finished, timeout=1000):
        job.stop()
    go_on.set()

    assert heard[-1] == "finished"
    assert not [one for one in heard if one[0] in ("returned", "failed")]


def test_what_a_long_step_makes_or_raises_arrives(qtbot, heard):
    for step in (lambda: 7, lambda: 1 / 0):
        job = listen(Job(lambda report, step=step: LongSteps(report).do(step)), heard)
        with qtbot.waitSignal(job.finished):
            job.start()

    told = [one for one in heard if one[0] in ("returned", "failed")]
    assert told == [("returned", 7), ("failed", "division by zero")]

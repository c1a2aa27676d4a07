"""Runs on a Dask cluster of two real processes."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import dask
import pytest
import tifffile
from distributed import Client, LocalCluster

from napari_nucseg.batch import executor
from napari_nucseg.batch.executor import connected, one_worker_a_gpu
from napari_nucseg.batch.image_run import segment_images
from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.cli.main import main
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import cores
from tests.batch import cluster_stand_ins
from tests.batch.cluster_stand_ins import WEIGHTS, CountCores, Thing
from tests.conftest import write_mask
from tests.oracle import run_benchmark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals"),
    # of sockets that a killed process leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TABLES = ("fields.csv", "objects.csv", "summary.json", "summary.csv")
FIELDS = 12


def tables_of(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve fields; the last has the most nuclei."""
    root = tmp_path_factory.mktemp("many")
    for part in ("images", "masks"):
        (root / part).mkdir()
    for seed in range(FIELDS):
        nuclei = 30 if seed == FIELDS - 1 else 4
        field = draw_field(seed, shape=(160, 200), nuclei=nuclei)
        tifffile.imwrite(root / "images" / f"f{seed:02}.tif", field.image)
        write_mask(root / "masks" / f"f{seed:02}.png", field.labels)
    return open_dataset(root)


@pytest.fixture
def two_workers():
    """The address of a cluster of two processes, which are started again when they die."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
    ):
        yield local.scheduler_address


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def setup_of(notes):
    """Set up a run of the stand-in."""

    def make(trouble=""):
        load = partial(cluster_stand_ins.load, trouble, str(notes))
        return Setup("stand-in", WEIGHTS, load, SegmentParams())

    return make


@pytest.fixture(scope="module")
def expected(dataset, tmp_path_factory):
    """The tables of a run in this process."""
    notes, out = tmp_path_factory.mktemp("notes"), tmp_path_factory.mktemp("here")
    load = partial(cluster_stand_ins.load, "", str(notes))
    run_benchmark(dataset, Setup("stand-in", WEIGHTS, load, SegmentParams()), out, progress=ignore)
    return tables_of(out)


def test_a_worker_that_is_killed_loses_its_field_alone_and_the_tables_are_the_same(
    dataset, setup_of, notes, two_workers, tmp_path, expected
):
    steps = []
    with connected(two_workers) as run_fields:
        result = run_benchmark(
            dataset,
            setup_of("once"),
            tmp_path / "out",
            progress=lambda *step: steps.append(step),
            run_fields=run_fields,
        )
    assert (notes / "killed").exists()
    assert result.failed == {}
    assert tables_of(tmp_path / "out") == expected
    assert steps[-1] == (FIELDS, FIELDS, "")
    # One made by each process that ever worked: two, and the one in place of the killed one
    assert len(list(notes.glob("loaded by *"))) in (2, 3)


def test_a_field_that_kills_every_worker_fails_and_the_others_go_on(
    dataset, setup_of, two_workers, tmp_path
):
    with connected(two_workers) as run_fields:
        result = run_benchmark(
            dataset, setup_of("always"), tmp_path / "out", progress=ignore, run_fields=run_fields
        )
    assert list(result.failed) == [f"f{FIELDS - 1}"]
    assert "every worker that took it died" in result.failed[f"f{FIELDS - 1}"]
    assert len(result.scores) == FIELDS - 1


def test_few_fields_are_with_the_scheduler_at_a_time(
    dataset, setup_of, two_workers, tmp_path, monkeypatch
):
    submit = Client.submit
    futures, pending = [], []

    def counting(self, work, field, **options):
        future = submit(self, work, field, **options)
        futures.append(future)
        pending.append(sum(one.status == "pending" for one in futures))
        return future

    monkeypatch.setattr(Client, "submit", counting)
    with connected(two_workers) as run_fields:
        run_benchmark(dataset, setup_of(), tmp_path / "out", progress=ignore, run_fields=run_fields)
    assert 2 <= max(pending) <= 2 * executor.AHEAD


def test_a_stopped_run_takes_its_tasks_back_and_goes_on_here(
    dataset, setup_of, two_workers, tmp_path, expected
):
    def stop(done, total, name):
        if done >= 3:
            raise Stopped

    with connected(two_workers) as run_fields:
        with pytest.raises(Stopped):
            run_benchmark(
                dataset, setup_of(), tmp_path / "out", progress=stop, run_fields=run_fields
            )
        with Client(two_workers) as client:
            assert client.run_on_scheduler(_waiting) == 0
    run_benchmark(dataset, setup_of(), tmp_path / "out", progress=ignore)
    assert tables_of(tmp_path / "out") == expected


def _waiting(dask_scheduler):
    return sum(task.state in ("queued", "no-worker") for task in dask_scheduler.tasks.values())


def test_the_command_uses_a_cluster_and_loads_a_model_once_a_worker(
    dataset, two_workers, tmp_path, monkeypatch, capsys
):
    folder = dataset.fields[0].image.path.parents[1]
    line = ["benchmark", folder, "-o", tmp_path / "out", "--scheduler", two_workers]
    monkeypatch.setattr(sys, "argv", ["napari-nucseg", *map(str, line)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "12 fields" in " ".join(capsys.readouterr().out.split())
    with Client(two_workers) as client:
        loaded = client.run(_loads)
    assert list(loaded.values()) == [1, 1]
    assert (tmp_path / "out" / "report.html").is_file()


def _loads():
    from napari_nucseg.segmenters.catalogue import load_once

    return load_once.cache_info().misses


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(OSError, match=r"tcp://127\.0\.0\.1:1: no Dask scheduler answers there"),
        connected("tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "why"),
    [(b"", "no answer in 1 s"), (b"SSH-2.0-OpenSSH_9.9\r\n", "something else does")],
    ids=["silent", "another protocol"],
)
def test_a_server_that_is_no_scheduler_is_told_in_one_line(words, why, monkeypatch, capfd):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as calls:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def greet():
            calls.enter_context(server.accept()[0]).sendall(words)

        greeting = threading.Thread(target=greet)
        greeting.start()
        with pytest.raises(OSError, match="no Dask scheduler") as failure, connected(address):
            pass
        greeting.join()
    assert str(failure.value) == f"{address}: no Dask scheduler answers there ({why})"
    assert capfd.readouterr().err == ""


def test_a_worker_is_not_taken_for_the_scheduler():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local,
        pytest.raises(OSError, match=r"no Dask scheduler answers there \(a Worker does\)"),
        connected(local.workers[0].worker_address),
    ):
        pass


@pytest.fixture
def own_scheduler(tmp_path, notes):
    """The address of a scheduler and a worker, each a process that the test may end."""
    where = tmp_path / "scheduler.json"
    program = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    told = open(tmp_path / "log", "w")  # noqa: SIM115 - as long as the processes
    options = ["--port", "0", "--no-dashboard", "--scheduler-file", str(where)]
    scheduler = subprocess.Popen([*program, *options], stderr=told)
    program = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(where)]
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker = subprocess.Popen([*program, *options], stderr=told, cwd=Path.cwd())
    with Client(scheduler_file=str(where), timeout=60) as client:
        client.wait_for_workers(1)
    (notes / "scheduler").write_text(str(scheduler.pid))
    yield json.loads(where.read_text())["address"]
    for process in (worker, scheduler):
        process.kill()
        process.wait()
    told.close()


@pytest.mark.parametrize("killed_by", ["worker", "client"])
def test_a_scheduler_that_is_lost_is_told_in_words_and_the_run_goes_on_without(
    dataset, setup_of, notes, own_scheduler, tmp_path, expected, killed_by
):
    def kill(done, total, name):
        if killed_by == "client" and done >= 4:
            os.kill(int((notes / "scheduler").read_text()), signal.SIGKILL)

    setup, told = setup_of("scheduler" if killed_by == "worker" else ""), _Kept()
    logging.getLogger("distributed.client").addHandler(told)
    with (
        pytest.raises(OSError, match="the scheduler does not answer") as failure,
        connected(own_scheduler) as run_fields,
    ):
        run_benchmark(dataset, setup, tmp_path / "out", progress=kill, run_fields=run_fields)
    logging.getLogger("distributed.client").removeHandler(told)
    assert str(failure.value) == (
        f"{own_scheduler}: the scheduler does not answer any more; start it and run the same "
        "command to go on"
    )
    assert told.records == []
    assert len(list((tmp_path / "out" / "records").iterdir())) >= 4
    run_benchmark(dataset, setup_of(), tmp_path / "out", progress=ignore)
    assert tables_of(tmp_path / "out") == expected


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def no_workers():
    """A cluster that has no workers yet."""
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as local:
        yield local


def test_a_cluster_without_workers_is_told_once_and_in_the_end_given_up(
    dataset, setup_of, no_workers, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(executor, "WAIT_SECONDS", 1)
    address, steps = no_workers.scheduler_address, []
    with (
        connected(address) as run_fields,
        pytest.raises(OSError, match="no workers for 1 s; start some and run the same command"),
    ):
        run_benchmark(
            dataset,
            setup_of(),
            tmp_path / "out",
            progress=lambda *step: steps.append(step),
            run_fields=run_fields,
        )
    waiting = f"waiting for workers of {address}"
    assert set(steps) == {(0, FIELDS, waiting)}
    assert caplog.messages.count(waiting) == 1


def test_workers_that_come_late_are_waited_for(dataset, setup_of, no_workers, tmp_path, expected):
    def start_workers(done, total, name):
        if name.startswith("waiting for workers"):
            no_workers.scale(1)

    with connected(no_workers.scheduler_address) as run_fields:
        run_benchmark(
            dataset, setup_of(), tmp_path / "out", progress=start_workers, run_fields=run_fields
        )
    assert tables_of(tmp_path / "out") == expected


def images_of(dataset):
    return [field.image for field in dataset.fields]


def segment(dataset, setup, out, run=None):
    """Segment a dataset's images; return what became of each by its name."""
    work = ImageTask(setup, out, Choice())
    return {one.name: one for one in segment_images(images_of(dataset), work, ignore, run)}


def labels_in(out):
    return {path.name: tifffile.imread(path).tolist() for path in out.glob("*.tif")}


def test_images_are_segmented_by_the_workers_and_one_that_is_killed_loses_nothing(
    dataset, setup_of, notes, two_workers, tmp_path
):
    with connected(two_workers) as run:
        found = segment(dataset, setup_of("once"), tmp_path / "out", run)
    assert (notes / "killed").exists()
    made_by = {int(path.name.split()[-1]) for path in notes.glob("loaded by *")}
    assert os.getpid() not in made_by
    segment(dataset, setup_of(), tmp_path / "here")
    assert labels_in(tmp_path / "out") == labels_in(tmp_path / "here")
    assert set(found) == {source.name for source in images_of(dataset)}
    assert all(isinstance(one, Saved) and one.count > 0 for one in found.values())


def test_images_that_fail_or_kill_workers_do_not_stop_the_others(
    dataset, setup_of, two_workers, tmp_path
):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"not a TIFF")
    with connected(two_workers) as run:
        work = ImageTask(setup_of("always"), tmp_path / "out", Choice())
        sources = [*images_of(dataset), Source(broken)]
        found = list(segment_images(sources, work, ignore, run))
    failed = {one.name: one.error for one in found if isinstance(one, Failed)}
    killer = dataset.fields[-1].image
    assert set(failed) == {"broken.tif", killer.name}
    assert failed[killer.name].startswith(f"{killer}: every worker that took it died")
    assert str(broken) in failed["broken.tif"]
    assert len(labels_in(tmp_path / "out")) == FIELDS - 1


def test_labels_that_are_there_are_not_sent_again(
    dataset, setup_of, two_workers, tmp_path, monkeypatch
):
    submit, sent = Client.submit, []

    def noting(self, work, item, **options):
        sent.append(item.name)
        return submit(self, work, item, **options)

    monkeypatch.setattr(Client, "submit", noting)
    segment(dataset, setup_of(), tmp_path / "out")
    (tmp_path / "out" / "f03.tif").unlink()
    with connected(two_workers) as run:
        found = segment(dataset, setup_of(), tmp_path / "out", run)
    assert sent == ["f03.tif"]
    assert sum(one.is_old for one in found.values()) == FIELDS - 1
    assert (tmp_path / "out" / "f03.tif").is_file()


def test_segment_uses_a_cluster_whose_workers_are_in_another_folder(
    dataset, two_workers, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folder = os.path.relpath(images_of(dataset)[0].path.parent)
    line = ["segment", folder, "-o", "labels", "-m", "otsu", "--scheduler", two_workers]
    monkeypatch.setattr(sys, "argv", ["napari-nucseg", *line])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    assert not end.value.code, told.err
    assert len(labels_in(Path("labels"))) == FIELDS
    assert told.out.count(" nuclei, ") == FIELDS


def test_a_cluster_of_our_own_says_nothing_of_its_workings():
    code = (
        "from napari_nucseg.batch.executor import one_worker_a_gpu\n"
        "with one_worker_a_gpu(['0', '1']): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_cluster_of_our_own_ends_in_silence_while_a_worker_is_at_work():
    code = (
        "import time\n"
        "from distributed import Client\n"
        "from napari_nucseg.batch.executor import one_worker_a_gpu\n"
        "with one_worker_a_gpu(['0']):\n"
        "    client = Client.current()\n"
        "    future = client.submit(time.sleep, 60)\n"
        "    while not any(client.processing().values()): time.sleep(0.1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_every_gpu_has_a_process_of_its_own(dataset, setup_of, tmp_path, expected):
    with one_worker_a_gpu(["3", "GPU-5"]) as run_fields:
        run_benchmark(dataset, setup_of(), tmp_path / "out", progress=ignore, run_fields=run_fields)
        client = Client.current()
        seen = sorted(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values())
    assert seen == ["3", "GPU-5"]
    assert tables_of(tmp_path / "out") == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_workers_of_one_machine_share_its_cores_or_use_the_threads_they_were_given(threads):
    with (
        LocalCluster(n_workers=2, threads_per_worker=threads, dashboard_address=None) as local,
        connected(local.scheduler_address) as run_all,
    ):
        seen = set(run_all(CountCores(), [Thing(str(n)) for n in range(8)], ignore))
    share = math.ceil(os.cpu_count() / 2) if threads == 1 else threads
    assert seen == {min(cores(), share)}

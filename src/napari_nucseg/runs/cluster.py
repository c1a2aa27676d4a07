"""Fields done by the workers of a Dask cluster, of this machine or of many.

A task is the name of a field: workers read the image and write labels and record themselves, so
that neither passes through the scheduler. Few tasks are with the scheduler at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucseg.core.fields import Field
from napari_nucseg.runs.benchmark import RunFields
from napari_nucseg.runs.field_records import FieldRecord, write_record
from napari_nucseg.runs.field_work import FieldWork, Outcome, Tick

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2
"""Tasks with the scheduler for each thread of a worker: one is done, the next one waits."""
RETRIES = 2
"""Times that a field is tried again after an error of the results folder or the model."""
POLL = 0.5
"""Seconds between two looks at whether the run was asked to stop."""
CONNECT_SECONDS = 20
_LOCAL = "127.0.0.1"
_NVIDIA = Path("/proc/driver/nvidia/gpus")


@contextmanager
def connected(address: str) -> Iterator[RunFields]:
    """Use a cluster that there is.

    Parameters
    ----------
    address : str
        Of its scheduler, such as ``tcp://10.0.0.1:8786``. All workers need this package, the
        weights, and the folders of images and of results under the same names.

    Raises
    ------
    ValueError
        If distributed is not installed.
    OSError
        If the scheduler does not answer.
    """
    distributed = _import_distributed()
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise OSError(f"{address}: no Dask scheduler answers there ({error})") from error
    with client:
        yield _on(client)


@contextmanager
def one_worker_a_gpu(gpus: Sequence[str]) -> Iterator[RunFields]:
    """Start a process for each of several GPUs of this machine.

    Parameters
    ----------
    gpus : sequence of str
        Their numbers or names, as CUDA has them.
    """
    distributed = _import_distributed()
    workers = {
        number: {
            "cls": distributed.Nanny,
            "options": {
                "nthreads": 1,
                "host": _LOCAL,
                "dashboard": False,
                "env": {"CUDA_VISIBLE_DEVICES": gpu},
            },
        }
        for number, gpu in enumerate(gpus)
    }
    options = {"host": _LOCAL, "dashboard": False, "dashboard_address": f"{_LOCAL}:0"}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield _on(client)


def visible_gpus() -> list[str]:
    """List the GPUs that CUDA may use, without loading what would use them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    found = sorted(_NVIDIA.iterdir()) if _NVIDIA.is_dir() else []
    return [str(number) for number in range(len(found))]


def _on(client: Client) -> RunFields:
    def run(work: FieldWork, fields: Sequence[Field], tick: Tick) -> Iterator[Outcome]:
        return _run(client, work, fields, tick)

    return run


def _run(client: Client, work: FieldWork, fields: Sequence[Field], tick: Tick) -> Iterator[Outcome]:
    """Do fields; those that were with workers that died are then done one by one.

    Dask blames all that a dead worker was given, also what only waited there.
    """
    from distributed import KilledWorker

    suspects = []
    for future, field in _done(client, work, fields, tick):
        try:
            yield future.result()
        except KilledWorker:
            suspects.append(field)
    for suspect in suspects:
        for future, field in _done(client, work, [suspect], tick):
            try:
                yield future.result()
            except KilledWorker as error:
                yield _blame(field, work, error)


def _done(
    client: Client, work: FieldWork, fields: Sequence[Field], tick: Tick
) -> Iterator[tuple[Any, Field]]:
    """Submit fields, few at a time, and yield them as they are done."""
    from distributed import wait

    left, pending = iter(fields), dict[Any, Field]()
    try:
        while True:
            for field in islice(left, max(0, _room(client) - len(pending))):
                pending[client.submit(work, field, pure=False, retries=RETRIES)] = field
            if not pending:
                return
            tick(next(iter(pending.values())).name)
            try:
                done = wait(list(pending), timeout=POLL, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in done:
                yield future, pending.pop(future)
    finally:
        client.cancel(list(pending), force=True)


def _room(client: Client) -> int:
    """Tasks that the workers of the moment, which come and go, are kept busy by."""
    threads: dict[str, int] = client.nthreads()
    return AHEAD * max(1, sum(threads.values()))


def _blame(field: Field, work: FieldWork, error: Exception) -> Outcome:
    """Record a field that kills workers."""
    reason = f"worker after worker died of this field, perhaps for want of memory ({error})"
    write_record(work.folder.record_file(field.stem), FieldRecord(field.stem, "", 0.0, {}, reason))
    return Outcome(field.stem, reason)


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ValueError(
            "a cluster needs Dask's scheduler, which is not installed; "
            "pip install 'napari-nucseg[cluster]'"
        ) from error
    return distributed

"""Where the tasks of a run are done: this process, a process a GPU, or a Dask cluster.

A task is the name of a field or image: workers read the image and write what they make themselves,
so that neither passes through the scheduler. Few tasks are with the scheduler at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_nucseg.batch.dataset_run import RunFieldTasks
from napari_nucseg.batch.field_task import Executor, Item, Result, Task, run_here
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.devices import visible_gpus
from napari_nucseg.system_info import share_cores

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2
"""Tasks with the scheduler for each thread of a worker: one is done, the next one waits."""
RETRIES = 2
"""Times that a task is tried again after an error that is not its own, such as a full disk."""
POLL = 0.5
"""Seconds between two looks at whether the run was asked to stop."""
CONNECT_SECONDS = 20
WAIT_SECONDS = 300
"""How long a run waits when there are no workers, none yet or none any more."""
_LOCAL = "127.0.0.1"
_QUIET = logging.ERROR
"""What Dask tells of our own cluster: not that a worker was busy at the end and was killed."""
_logger = logging.getLogger(__name__)


@contextmanager
def connected(address: str) -> Iterator[Executor]:
    """Use a cluster that there is.

    Parameters
    ----------
    address : str
        Address of the cluster's scheduler, such as ``tcp://10.0.0.1:8786``. All workers need this
        package, the weights, and the folders of images and of results under the same names.

    Raises
    ------
    ValueError
        If distributed is not installed.
    OSError
        If the scheduler does not answer, here or at work, or has no workers for `WAIT_SECONDS`.
    """
    distributed = _import_distributed()
    try:
        with _silenced("distributed"):
            _require_scheduler(address)
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise OSError(f"{address}: no Dask scheduler answers there ({error})") from error
    with _silenced("distributed.client"), client:
        yield _Cluster(client, address)


def _require_scheduler(address: str) -> None:
    """Refuse an address where nothing answers in time, or something else.

    Dask's client waits without end for the first words of a server that is no scheduler, or takes
    them for the size of a message, which raises many kinds of errors.
    """
    from distributed import rpc

    async def kind() -> Any:
        async with asyncio.timeout(CONNECT_SECONDS), rpc(address, timeout=CONNECT_SECONDS) as there:
            return (await there.identity())["type"]

    with ThreadPoolExecutor(1) as pool:  # as a notebook's thread has a loop of its own
        found = pool.submit(asyncio.run, kind())
        error = found.exception()
    if isinstance(error, TimeoutError):
        raise OSError(f"no answer in {CONNECT_SECONDS} s") from error
    if error is not None:
        is_of_address = isinstance(error, ValueError | TypeError)
        raise OSError(str(error) if is_of_address else "something else does") from error
    if found.result() != "Scheduler":
        raise OSError(f"a {found.result()} does")


@contextmanager
def one_worker_a_gpu(gpus: Sequence[str]) -> Iterator[Executor]:
    """Start a process for each of several GPUs of this machine.

    Parameters
    ----------
    gpus : sequence of str
        Their numbers or names, as CUDA has them.
    """
    distributed = _import_distributed()
    quiet = {"nthreads": 1, "host": _LOCAL, "dashboard": False, "silence_logs": _QUIET}
    seen = [quiet | {"env": {"CUDA_VISIBLE_DEVICES": gpu}} for gpu in gpus]
    workers = dict(enumerate({"cls": distributed.Nanny, "options": one} for one in seen))
    options = {"host": _LOCAL, "dashboard": False, "dashboard_address": f"{_LOCAL}:0"}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with (
        distributed.SpecCluster(
            workers=workers, scheduler=scheduler, silence_logs=_QUIET
        ) as cluster,
        _silenced("distributed.client"),
        distributed.Client(cluster) as client,
    ):
        yield _Cluster(client, cluster.scheduler_address)


def _on_its_share(work: Task[Any, Any], workers: Mapping[str | None, int], item: Any) -> Any:
    """Do work on a worker that leaves the others on its machine their share of the cores."""
    from distributed import get_worker

    here = get_worker()
    share_cores(workers.get(urlsplit(here.address).hostname, 1), here.state.nthreads)
    return work(item)


class _Cluster:
    """Does work with the workers of the moment, which come and go."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._alone_since: float | None = None
        self._workers: Mapping[str | None, int] = {}

    def __call__(
        self, work: Task[Item, Result], items: Sequence[Item], progress: Progress, /
    ) -> Iterator[Result]:
        """Do work; what was with workers that died is then done one by one.

        Dask blames all that a dead worker was given, also what only waited there.
        """
        from distributed import KilledWorker

        suspects: list[Item] = []
        for future, item in self._done(work, items, progress):
            try:
                yield self._result(future)
            except KilledWorker:
                suspects.append(item)
        for number, suspect in enumerate(suspects, len(items) - len(suspects)):

            def alone(_: int, __: int, name: str = "", /, *, before: int = number) -> None:
                progress(before, len(items), name)

            for future, _ in self._done(work, [suspect], alone):
                try:
                    yield self._result(future)
                except KilledWorker as error:
                    why = "every worker that took it died, perhaps because memory ran out"
                    yield work.blame(suspect, f"{why} ({error})")

    def _done(
        self, work: Task[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[tuple[Any, Item]]:
        """Submit items, few at a time, and yield them as they are done."""
        left, pending, done = iter(items), dict[Any, Item](), 0
        try:
            while True:
                threads = self._threads()
                # Where there are no workers, what waits for them makes some clusters start them
                for item in islice(left, max(0, AHEAD * max(1, threads) - len(pending))):
                    task = partial(_on_its_share, work, self._workers)
                    pending[self._client.submit(task, item, pure=False, retries=RETRIES)] = item
                if not pending:
                    return
                name = next(iter(pending.values())).name if threads else self._waiting()
                progress(done, len(items), name)
                for future in self._ended(pending):
                    done += 1
                    yield future, pending.pop(future)
        finally:
            if self._client.status == "running":
                self._client.cancel(list(pending), force=True)

    def _ended(self, pending: Iterable[Any]) -> set[Any]:
        from distributed import wait

        try:
            return set(wait(list(pending), timeout=POLL, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return set()
        except CancelledError as error:
            raise self._gone() from error

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except (CancelledError, OSError) as error:
            if future.status == "error":  # of the work itself
                raise
            raise self._gone() from error

    def _threads(self) -> int:
        """Count the threads of all workers, and the workers of each machine."""
        if self._client.status != "running":  # it lost the scheduler while nothing was asked of it
            raise self._gone()
        try:
            threads: dict[str, int] = self._client.nthreads()
        except OSError as error:
            raise self._gone() from error
        if threads:
            self._alone_since = None
        self._workers = Counter(urlsplit(address).hostname for address in threads)
        return sum(threads.values())

    def _waiting(self) -> str:
        """Say that there are no workers, also where nobody looks at the progress."""
        waiting = f"waiting for workers of {self._address}"
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
            _logger.warning(waiting)
        if now - self._alone_since > WAIT_SECONDS:
            raise OSError(
                f"{self._address}: the scheduler has had no workers for {WAIT_SECONDS} s; start "
                "some and run the same command to go on"
            )
        return waiting

    def _gone(self) -> OSError:
        return OSError(
            f"{self._address}: the scheduler does not answer any more; start it and run the same "
            "command to go on"
        )


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    """Keep a part of Dask from telling of lost connections by tracebacks: we tell it ourselves."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ValueError(
            "a cluster needs Dask's scheduler, which is not installed; "
            "pip install 'napari-nucseg[cluster]'"
        ) from error
    return distributed


@contextmanager
def executor_for(scheduler: str | None, device: str) -> Iterator[RunFieldTasks]:
    """Choose who does the fields of a benchmark, as `cluster_for` does."""
    with cluster_for(scheduler, device) as cluster:
        yield run_here if cluster is None else cluster


@contextmanager
def cluster_for(scheduler: str | None, device: str) -> Iterator[Executor | None]:
    """Choose who does the work, and let go of them at the end.

    Parameters
    ----------
    scheduler : str or None
        Address of a Dask scheduler.
    device : str
        auto, cuda, mps or cpu. Without a scheduler each of several GPUs gets a process, where
        Dask's scheduler is installed; otherwise this process does the work.

    Yields
    ------
    callable or None
        None if this process does the work.
    """
    if scheduler is not None:
        with connected(scheduler) as cluster:
            yield cluster
        return
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    if len(gpus) > 1 and find_spec("distributed") is not None:
        with one_worker_a_gpu(gpus) as cluster:
            yield cluster
        return
    yield None

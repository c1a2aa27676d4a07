"""Who does the work of a run: a cluster, a process a GPU, or this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from napari_nucseg.runs.benchmark import RunFields
from napari_nucseg.runs.field_work import run_here
from napari_nucseg.runs.work import Run


@contextmanager
def workers_for(scheduler: str | None, device: str) -> Iterator[RunFields]:
    """Choose who does the fields of a benchmark, as `cluster_for` does."""
    with cluster_for(scheduler, device) as cluster:
        yield run_here if cluster is None else cluster


@contextmanager
def cluster_for(scheduler: str | None, device: str) -> Iterator[Run | None]:
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
    from napari_nucseg.runs.cluster import connected, one_worker_a_gpu, visible_gpus

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

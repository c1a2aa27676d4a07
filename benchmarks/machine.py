"""Where the times were taken."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version

import psutil

from napari_nucseg.system_info import cores, processor

_PACKAGES = (
    "napari-nucseg",
    "torch",
    "cellpose",
    "numba",
    "numpy",
    "scikit-image",
    "stardist",
    "onnxruntime",
)


@dataclass(frozen=True)
class Machine:
    """The machine and the versions, as the table's head tells them.

    Attributes
    ----------
    date : str
        Day of the measurement.
    processor : str
        Its name, and how many of its cores were used.
    memory : str
        How much there is.
    system : str
        Operating system.
    versions : mapping
        Package to version; those that are not installed are left out.
    """

    date: str
    processor: str
    memory: str
    system: str
    versions: Mapping[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.date}, {self.processor}, {self.memory}, {self.system}.\n{versions}."


def pin(count: int) -> None:
    """Keep this process, and those it starts, on so many cores, where the system can.

    numpy, torch and numba count the cores when they are imported, so this comes before.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process on the first of its cores for a while, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    pin(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe() -> Machine:
    """Describe the machine as it is used now."""
    return Machine(
        date=date.today().isoformat(),
        processor=f"{processor()}, {cores()} of {os.cpu_count()} cores",
        memory=f"{psutil.virtual_memory().total / 2**30:.0f} GB of memory",
        system=f"{platform.system()} {platform.machine()}",
        versions={"Python": platform.python_version(), **_versions()},
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""The computer and the software that this runs on."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

from napari_nucseg import __version__

CACHE_VARIABLE = "NUCSEG_CACHE"
"""Names the cache folder where the user's own is not to be used."""


_LIBRARIES = ("cellpose", "torch", "onnxruntime", "numba", "numpy", "scipy", "scikit-image")


def cache_folder() -> Path:
    """Folder of what can be made anew: ``$NUCSEG_CACHE``, or that in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen or platformdirs.user_cache_dir("napari-nucseg", appauthor=False))


@dataclass
class _Share:
    """How many cores this process uses at the most, where others work beside it."""

    cores: int | None = None


_share = _Share()


def cores() -> int:
    """Count the cores that this process may use; see also `share_cores`."""
    found = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(found, _share.cores or found)


def share_cores(processes: int, threads: int) -> None:
    """Let this process use no more than its share of the cores from now on.

    Parameters
    ----------
    processes : int
        How many processes, this one among them, do such work on this computer.
    threads : int
        Threads that this one was given. One says nothing: it is what a process gets that starts
        its own.
    """
    _share.cores = threads if threads > 1 else math.ceil((os.cpu_count() or 1) / processes)


def processor() -> str:
    """Name the processor as its maker does, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def available_memory() -> int:
    """Bytes of memory that programs may still take without others being moved to disk."""
    import psutil

    return int(psutil.virtual_memory().available)


def describe_machine() -> dict[str, str | int | float]:
    """Describe this computer: its name, processor, memory in GB, and system."""
    import psutil

    return {
        "host": platform.node(),
        "processor": processor(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(libraries: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of this package, and of the libraries that labels and scores depend on.

    Parameters
    ----------
    libraries : iterable of str, optional
        Names of packages as they are installed by; one that is not installed is left out.
    """
    found = {"napari-nucseg": __version__}
    for name in dict.fromkeys(libraries):
        if (installed := _version(name)) is not None:
            found[name] = installed
    return found


@cache
def _version(name: str) -> str | None:
    """Read an installed package's version once: it takes a millisecond, and does not change."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""The computer that this runs on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "NUCSEG_CACHE"
"""Names the cache folder where the user's own is not to be used."""


def cache_folder() -> Path:
    """Folder of what can be made anew: ``$NUCSEG_CACHE``, or that in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen or platformdirs.user_cache_dir("napari-nucseg", appauthor=False))


def cores() -> int:
    """Count the cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Name the processor as its maker does, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

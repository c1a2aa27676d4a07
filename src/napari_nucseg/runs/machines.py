"""The computer that a run is on, as its record tells it."""

from __future__ import annotations

import platform

from napari_nucseg.core.machine import cores, processor


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

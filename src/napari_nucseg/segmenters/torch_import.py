"""Importing torch in a process that draws with Mesa."""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def make_torch_safe() -> None:
    """Keep torch from loading triton where that would crash the process.

    Mesa's software and AMD drivers load LLVM. Triton's library, which torchvision loads by way of
    torch, brings another LLVM; loaded second, it ends the process with a segmentation fault
    (seen with triton 3.8 and Mesa 22.3). Triton only speeds up ``torch.compile`` on GPUs, which
    is not used here, so it is hidden once Mesa's LLVM is there first.
    """
    if "triton" not in sys.modules and _MAPS.is_file() and "libLLVM" in _MAPS.read_text():
        sys.modules["triton"] = None  # type: ignore[assignment]

"""Importing torch, where other libraries may be in its way."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


class TorchNotLoaded(OSError):
    """The libraries of torch cannot be loaded."""

    def __init__(self, reason: Exception) -> None:
        advice = (
            "install the Microsoft Visual C++ Redistributable "
            "(https://aka.ms/vc14/vc_redist.x64.exe) and start again. If that does not help, "
            "torch may have to be loaded before Qt: start napari by "
            "'python -c \"import torch; from napari.__main__ import main; main()\"'. Or "
            if sys.platform == "win32"
            else ""
        )
        line = " ".join(str(reason).split())
        super().__init__(
            f"torch is installed but cannot be loaded ({line}): {advice}install torch anew, its "
            "build for the CPU where there is no NVIDIA GPU (https://pytorch.org/get-started). "
            "The model fluo-nuclei runs on the device cpu without torch"
        )


def load_torch() -> None:
    """Import torch.

    Raises
    ------
    TorchNotLoaded
        If its libraries fail to load, as they do on Windows where an older runtime library was
        loaded first, often by Qt (WinError 1114); the message says what to do.
    """
    _hide_triton()
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError:
        raise
    except (OSError, ImportError) as error:
        raise TorchNotLoaded(error) from error


def _hide_triton() -> None:
    """Keep torch from loading triton where that would crash the process.

    Mesa's software and AMD drivers load LLVM. Triton's library, which torchvision loads by way of
    torch, brings another LLVM; loaded second, it ends the process with a segmentation fault
    (seen with triton 3.8 and Mesa 22.3). Triton only speeds up ``torch.compile`` on GPUs, which
    is not used here, so it is hidden once Mesa's LLVM is there first.
    """
    if "triton" not in sys.modules and _MAPS.is_file() and "libLLVM" in _MAPS.read_text():
        sys.modules["triton"] = None  # type: ignore[assignment]

"""Where a network runs, told honestly: a device asked for and absent is an error."""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from napari_nucseg.io.limits import max_pixels
from napari_nucseg.segmenters import timing
from napari_nucseg.system_info import available_memory, cores, processor

_MAPS = Path("/proc/self/maps")
_NVIDIA = Path("/proc/driver/nvidia/gpus")

CHOICES = ("auto", "cuda", "mps", "cpu")
"""What may be asked for; ``auto`` takes the first of the others that there is."""
_BYTES = 24
"""Bytes of memory that a pixel takes where an image is segmented in one piece."""
WORTHWHILE_GAIN = 1.2
"""How many times faster bfloat16 has to be on a processor to be worth its rounding."""


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
            f"torch is installed but cannot be loaded ({line}): {advice}reinstall torch, its CPU "
            "build if there is no NVIDIA GPU (https://pytorch.org/get-started). The model "
            "fluo-nuclei runs on the device cpu without torch"
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


@dataclass(frozen=True)
class Device:
    """A place to run a network.

    Attributes
    ----------
    kind : str
        torch's name: cuda, mps or cpu.
    name : str
        Name of the device for the user.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}, {self.name}"


def choose(wanted: str = "auto") -> Device:
    """Choose among the devices of this machine; see `select`."""
    return select(wanted, _present(wanted))


def known(wanted: str) -> Device | None:
    """Choose a device as `choose` does; None while torch would have to be loaded to tell."""
    if wanted != "cpu" and "torch" not in sys.modules and _may_have_accelerator():
        return None
    return choose(wanted)


def select(wanted: str, present: Mapping[str, str]) -> Device:
    """Choose a device.

    Parameters
    ----------
    wanted : str
        Device to use, one of `CHOICES`.
    present : mapping
        Kind of device to its name, best first.

    Raises
    ------
    ValueError
        If the device is not there, naming those that are.
    """
    if wanted == "auto":
        kind = next(iter(present))
        return Device(kind, present[kind])
    if wanted not in present:
        raise ValueError(
            f"device {wanted!r} is not on this machine; choose auto or one of {', '.join(present)}"
        )
    return Device(wanted, present[wanted])


def computes_bfloat16(device: Device) -> bool:
    """Tell whether the device multiplies bfloat16 faster than float32.

    A processor is asked by a measurement, which takes a fraction of a second and is remembered:
    its flags do not tell how good torch is at what it has.
    """
    import torch

    if device.kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.kind == "cpu":
        gain = timing.of_this_machine().remember(_gain_key(device), _bfloat16_gain)
        return gain >= WORTHWHILE_GAIN
    return False


def known_precision(device: Device) -> str | None:
    """Name the precision of networks that may have bfloat16, if it is known without torch."""
    if device.kind == "mps":
        return "float32"
    gain = timing.of_this_machine().known(_gain_key(device)) if device.kind == "cpu" else None
    if gain is None:
        return None
    return "bfloat16" if gain >= WORTHWHILE_GAIN else "float32"


def visible_gpus() -> list[str]:
    """List the GPUs that CUDA may use, without loading what would use them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    found = sorted(_NVIDIA.iterdir()) if _NVIDIA.is_dir() else []
    return [str(number) for number in range(len(found))]


def gpu_memory(device: Device) -> int:
    """Tell how many bytes of memory a GPU has for networks; 0 for a CPU."""
    if device.kind == "cpu":
        return 0
    import torch

    if device.kind == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    return int(torch.mps.recommended_max_memory())


def free_memory(device: Device) -> None:
    """Give back the accelerator's memory that torch keeps for its next use."""
    import torch

    if device.kind == "cuda":
        torch.cuda.empty_cache()
    elif device.kind == "mps":
        torch.mps.empty_cache()


@dataclass
class _Held:
    """Memory that networks hold for now, by what gives it back, and for how many it is held."""

    keepers: int = 0
    given_back_by: set[Callable[[], None]] = field(default_factory=set)


_held = _Held()


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let networks on the CPU keep the memory of a large image for the next, to the end of this.

    To ask for it anew takes a seventh of the time of such an image.
    """
    _held.keepers += 1
    try:
        yield
    finally:
        _held.keepers -= 1
        while not _held.keepers and _held.given_back_by:
            _held.given_back_by.pop()()


def give_back_in_time(give_back: Callable[[], None]) -> None:
    """Give back memory that a network holds: now, or at the end of `memory_kept`."""
    if _held.keepers:
        _held.given_back_by.add(give_back)
    else:
        give_back()


def _gain_key(device: Device) -> str:
    return f"gain of bfloat16: {device.name}, torch {version('torch')}"


def _bfloat16_gain() -> float:
    """Seconds in float32 over seconds in bfloat16 of a layer of a ViT-L, for a tile's tokens."""
    import torch

    best = dict.fromkeys((torch.float32, torch.bfloat16), math.inf)
    layers = {
        dtype: (torch.ones(1024, 1024, dtype=dtype), torch.ones(4096, 1024, dtype=dtype))
        for dtype in best
    }
    with torch.inference_mode():
        for _ in range(3):  # the first turn warms up; taken in turns, both meet the same load
            for dtype, (tokens, weights) in layers.items():
                start = time.perf_counter()
                torch.nn.functional.linear(tokens, weights)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]


def _present(wanted: str) -> dict[str, str]:
    """List the devices, best first; torch is loaded only if it could name another than the CPU."""
    devices = {}
    if wanted != "cpu" and _may_have_accelerator():
        load_torch()
        import torch

        if torch.cuda.is_available():
            devices["cuda"] = torch.cuda.get_device_name()
        if torch.backends.mps.is_available():
            devices["mps"] = f"Apple {platform.machine()}"
    devices["cpu"] = f"{cores()} of {os.cpu_count()} threads, {processor()}"
    return devices


def _may_have_accelerator() -> bool:
    """Tell whether there is a driver that torch could use: loading torch to ask takes seconds."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if Path("/dev/kfd").exists():  # AMD
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def exceeds_memory(plane: int, pixels: int) -> bool:
    """Tell whether an image of so many pixels, and in each plane, is not segmented in one piece."""
    return pixels > max_pixels() or plane * _BYTES > available_memory()

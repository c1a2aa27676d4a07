"""Where a network runs, told honestly: a device asked for and absent is an error."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHOICES = ("auto", "cuda", "mps", "cpu")
"""What may be asked for; ``auto`` takes the first of the others that there is."""


@dataclass(frozen=True)
class Device:
    """A place to run a network.

    Attributes
    ----------
    kind : str
        torch's name: cuda, mps or cpu.
    name : str
        What the user knows it by.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}, {self.name}"


def choose(wanted: str = "auto") -> Device:
    """Choose among the devices of this machine; see `select`."""
    return select(wanted, _present())


def select(wanted: str, present: Mapping[str, str]) -> Device:
    """Choose a device.

    Parameters
    ----------
    wanted : str
        One of `CHOICES`.
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
    """Tell whether the device multiplies bfloat16 faster than float32."""
    import torch

    if device.kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.kind == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        features = torch.cpu.get_capabilities()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return False


def _present() -> dict[str, str]:
    import torch

    devices = {}
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        devices["mps"] = f"Apple {platform.machine()}"
    devices["cpu"] = f"{torch.get_num_threads()} of {os.cpu_count()} threads, {_processor()}"
    return devices


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""What a training may begin with, and what that needs: known before anything is read or fetched.

Nothing here imports torch, unless it has to be asked how much memory a GPU has.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_nucseg.io.sources import DAMAGED
from napari_nucseg.segmenters import networks
from napari_nucseg.segmenters.devices import Device, choose, gpu_memory
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.training.params import FINE_TUNING, OF_SAM, TrainParams

MODELS: tuple[Model, ...] = (networks.BUNDLED, *networks.CLASSICS, *networks.SAMS)
"""Models that can be taught, and so can files of the same kinds."""
SAM_CROP = 256
"""Edge of the only crops, in pixels, that Cellpose-SAM runs on."""
SAM_ENDING = ".pt"
"""Ending of the files of weights that Cellpose reads."""
SAM_MEMORY = 12
"""Gigabytes that a GPU needs for Cellpose-SAM: weights, gradients, means and one crop."""
_GB = 1e9
_OF_SAM, _OF_DINO = b"encoder.pos_embed", b"encoder.cls_token"
"""Names of weights that Cellpose 4's networks have, each kind its own."""
_MOST_NAMES = 10_000_000
"""Bytes of a checkpoint's table of weights; a ViT-L's has 60,000."""


def is_sam(start: Path) -> bool:
    """Tell whether weights are those of a Cellpose-SAM, be they here or still to be fetched."""
    return _is_one_of(networks.SAMS, start) or _OF_SAM in _names_in(start)


def starting_params(start: Path | None, given: Mapping[str, Any]) -> TrainParams:
    """Complete the parameters of a training by the defaults that suit what it begins with.

    Parameters
    ----------
    start : Path or None
        Weights that it begins with; None for a new network.
    given : mapping
        Values by the names of parameters.

    Examples
    --------
    >>> from napari_nucseg.segmenters import networks
    >>> cpsam = networks.SAMS[1].path
    >>> starting_params(cpsam, {"fine_tune": True}).learning_rate
    1e-05
    """
    usual = FINE_TUNING if given.get("fine_tune") else TrainParams()
    suited = OF_SAM if start is not None and is_sam(start) else {}
    return replace(usual, **{**suited, **given})


def check_start(start: Path | None, params: TrainParams, device: str, out: Path) -> None:
    """Refuse what cannot be taught so, or not on this computer.

    Parameters
    ----------
    start : Path or None
        Weights that a training is to begin with, be they here or not; None for a new network.
    params : TrainParams
        Parameters of the training.
    device : str
        auto, cuda, mps or cpu.
    out : Path
        File that the new weights will be written to.

    Raises
    ------
    ValueError
        Saying what is needed, and what to choose instead.
    """
    if start is None:
        return
    if _is_one_of(networks.DINOS, start) or _OF_DINO in _names_in(start):
        raise ValueError(
            f"{start.name}: the models of Cellpose 4 with DINOv3 cannot be taught here; start from "
            "cpsam or fluo-nuclei instead"
        )
    if not is_sam(start):
        return
    if lack := lack_for_sam(choose(device)):
        raise ValueError(f"{start.name}: {lack}; start from fluo-nuclei instead")
    if params.crop != SAM_CROP:
        raise ValueError(
            f"crop is {params.crop}; Cellpose-SAM learns from crops of {SAM_CROP} px alone"
        )
    if out.suffix.lower() != SAM_ENDING:
        raise ValueError(
            f"{out}: Cellpose reads its models from PyTorch files alone, so Cellpose-SAM is saved "
            f"as one; give a name that ends with {SAM_ENDING}"
        )


def lack_for_sam(device: Device) -> str:
    """Say what a device lacks for Cellpose-SAM to be taught on it; empty if it lacks nothing."""
    memory = gpu_memory(device)
    if memory >= SAM_MEMORY * _GB:
        return ""
    has = f"has {math.floor(10 * memory / _GB) / 10:g} GB" if memory else "is none"
    return f"Cellpose-SAM learns on a GPU with at least {SAM_MEMORY} GB of memory; {device} {has}"


def _is_one_of(models: Iterable[Model], start: Path) -> bool:
    return start in [model.path for model in models]


def _names_in(path: Path) -> bytes:
    """Return the table of a PyTorch file's weights, which has their names; nothing of it is run.

    It is empty of any other file: Cellpose 4 reads its models from such files alone.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tables = [one for one in archive.infolist() if one.filename.endswith("data.pkl")]
            return b"".join(archive.read(one) for one in tables[:1] if one.file_size <= _MOST_NAMES)
    except DAMAGED:
        return b""  # whatever reads the weights says what is wrong with them

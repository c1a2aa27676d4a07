"""Reading weights: tensors alone, whole, and of a net we know."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

State = Mapping[str, Tensor]

# All that torch.load has been seen to raise on damaged or foreign files
_LOAD_FAILURES = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError,
    TypeError, struct.error,
)  # fmt: skip
_MEAN_DIAMETER = 30.0
_NUCLEI = "nucleitorch_0"
_NUCLEI_DIAMETER = 17.0
_OLD_CHECKPOINT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state(path: Path) -> State:
    """Read the tensors of a checkpoint, and nothing that would have to be run.

    Raises
    ------
    ValueError
        If the file is no PyTorch state dict, is cut off, or holds more than tensors.
    OSError
        If it cannot be opened.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file")
    zipped = zipfile.is_zipfile(path)
    try:
        if not zipped and not _begins_as_old_checkpoint(path):
            raise ValueError("it begins as no PyTorch file does")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (*_LOAD_FAILURES, OSError) as error:
        raise ValueError(
            f"{path}: not a readable model file; it is no PyTorch checkpoint, cut off, or holds "
            "more than tensors. Download or export it again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ValueError(f"{path}: not a model's weights; save the net's state dict")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _begins_as_old_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_OLD_CHECKPOINT)) == _OLD_CHECKPOINT


def kind_of(state: State, path: Path) -> Literal["cellpose", "unet"]:
    """Tell Cellpose 4's transformers from the U-Nets of Cellpose 1 to 3 and of this package.

    Raises
    ------
    ValueError
        If the weights are of neither.
    """
    if "W2" in state:
        return "cellpose"
    if "output.2.weight" in state:
        return "unet"
    raise ValueError(
        f"{path}: not a Cellpose model; choose a file saved by Cellpose or by napari-nucseg train"
    )


def load_unet(path: Path) -> ResidualUNet:
    """Build the residual U-Net that a checkpoint fits, and fill it.

    Raises
    ------
    ValueError
        If a weight is missing, unknown or of another shape.
    """
    state = dict(read_state(path))
    if kind_of(state, path) != "unet":
        raise ValueError(f"{path}: not a residual U-Net; open it as a Cellpose 4 model")
    try:
        net = ResidualUNet(UNetShape.of(state))
        _complete_diameters(state, path)
        net.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError, LookupError) as error:
        raise ValueError(f"{path}: not a whole residual U-Net: {error}") from error
    net.eval()
    return net


def _complete_diameters(state: dict[str, Tensor], path: Path) -> None:
    """Add what the first published weights lack; Cellpose 3 knows one of them by its name."""
    if path.name == _NUCLEI:
        state["diam_mean"] = torch.tensor([_NUCLEI_DIAMETER])
    state.setdefault("diam_mean", torch.tensor([_MEAN_DIAMETER]))
    state.setdefault("diam_labels", state["diam_mean"])


def check_complete(state: State, expected: State, path: Path) -> None:
    """Refuse weights that a net would be filled with in part only.

    Raises
    ------
    ValueError
        Telling how many weights are missing and which first.
    """
    missing = [name for name in expected if name not in state]
    wrong = [
        name
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if missing or wrong:
        first = (missing + wrong)[0]
        raise ValueError(
            f"{path}: {len(missing)} weights are missing and {len(wrong)} have another shape, the "
            f"first is {first}; download the model again"
        )

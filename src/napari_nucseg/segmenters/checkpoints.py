"""Weights in files: tensors alone, whole, and of a net we know."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as as_safetensors
from torch import Tensor, nn

from napari_nucseg.io.atomic import WatchedFile
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

State = Mapping[str, Tensor]
UNetModule = FluoUNet | ResidualUNet
"""A network that `load_unet` builds."""
SAFETENSORS = ".safetensors"
"""Ending of the files that are written in that format."""

# All that torch.load has been seen to raise on damaged or foreign files
_LOAD_FAILURES = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError,
    TypeError, struct.error, SafetensorError, MemoryError, ArithmeticError, AssertionError,
    zipfile.BadZipFile,
)  # fmt: skip
_MEAN_DIAMETER = 30.0
_BATCHES = ".num_batches_tracked"
_NUCLEI = "nucleitorch_0"
_NUCLEI_DIAMETER = 17.0
_LONGEST_HEADER = 100_000_000
"""Bytes that safetensors' own library reads of the JSON at a file's beginning."""
_OLD_CHECKPOINT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state(path: Path) -> State:
    """Read the tensors of a checkpoint, and nothing that would have to be run.

    Raises
    ------
    ValueError
        If the file is no PyTorch state dict, is cut off, or holds more than tensors, or tensors
        that it does not hold whole.
    OSError
        If it cannot be opened.
    """
    state = _load(path)
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ValueError(f"{path}: not a model's weights; save the net's state dict")
    for key, value in state.items():
        _refuse_unreal(key, value, path)
    return {key.removeprefix("module."): value for key, value in state.items()}


def _refuse_unreal(name: str, tensor: Tensor, path: Path) -> None:
    """Refuse a tensor of more numbers than the file has: a few could be told to fill the memory."""
    is_plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not is_plain or tensor.nbytes > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"{path}: the weight {name} of shape {tuple(tensor.shape)} is not stored whole; "
            "export the model again"
        )


def write_state(state: State, file: BinaryIO, ending: str) -> None:
    """Write weights as `read_state` reads them: as safetensors where the name ends so, else torch.

    Parameters
    ----------
    state : mapping
        Tensors of weights by their names.
    file : BinaryIO
        Open binary file to write to.
    ending : str
        Ending of the file's name, which tells the format.
    """
    whole = {name: tensor.contiguous() for name, tensor in state.items()}
    if ending.lower() == SAFETENSORS:
        file.write(as_safetensors(whole))
    else:
        _save(whole, file)


def read_record(path: Path) -> Mapping[str, Any]:
    """Read the checkpoint of a training, as `write_record` wrote it.

    Raises
    ------
    ValueError
        If the file is none, is cut off, or holds more than that.
    OSError
        If it cannot be opened.
    """
    record = _load(path, mapped=False)  # its file is soon replaced, which a map would forbid
    if not isinstance(record, Mapping) or "plan" not in record:
        raise ValueError(f"{path}: not the checkpoint of a training; choose another file")
    return record


def write_record(record: Mapping[str, Any], file: BinaryIO) -> None:
    """Write the checkpoint of a training: plain values and tensors, however nested."""
    _save(dict(record), file)


def _save(content: Any, file: BinaryIO) -> None:
    """Write as torch does; but a full disk is told as such, for which torch has a RuntimeError."""
    watched: Any = WatchedFile(file)
    try:
        torch.save(content, watched)  # not in memory first: it may be gigabytes
    except RuntimeError as error:
        raise watched.failure or error from None


def _load(path: Path, mapped: bool = True) -> Any:
    """Read what a file of tensors holds, told by its content, and run nothing of it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file")
    try:
        zipped = zipfile.is_zipfile(path)
        if not zipped and _begins_as_safetensors(path):
            return load_file(path)
        if not zipped and not _begins_as_old_checkpoint(path):
            raise ValueError("it begins neither as a PyTorch nor as a safetensors file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickles of old protocols
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped and mapped)
    except (*_LOAD_FAILURES, OSError) as error:
        raise ValueError(
            f"{path}: not a readable model file. It is neither a PyTorch checkpoint nor "
            "safetensors, or it is cut off, or it holds more than tensors. Download or export it "
            "again"
        ) from error


def _begins_as_old_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_OLD_CHECKPOINT)) == _OLD_CHECKPOINT


def _begins_as_safetensors(path: Path) -> bool:
    """Whether there is a length of eight bytes and then the JSON that it is of."""
    with path.open("rb") as file:
        length, brace = file.read(8), file.read(1)
    return brace == b"{" and int.from_bytes(length, "little") <= _LONGEST_HEADER


def kind_of(state: State, path: Path) -> Literal["cellpose", "unet", "fluo"]:
    """Tell Cellpose 4's transformers from the residual U-Nets and the network of any nuclei.

    Raises
    ------
    ValueError
        If the weights are of none of them.
    """
    if "W2" in state:
        return "cellpose"
    if "output.2.weight" in state:
        return "unet"
    if "head.weight" in state and "down.0.second.convolve.weight" in state:
        return "fluo"
    raise ValueError(
        f"{path}: not a Cellpose model; choose a file saved by Cellpose or by napari-nucseg train"
    )


def load_unet(path: Path) -> UNetModule:
    """Build the U-Net that a checkpoint fits, and fill it.

    Raises
    ------
    ValueError
        If a weight is missing, unknown or of another shape.
    """
    state = dict(read_state(path))
    kind = kind_of(state, path)
    if kind == "cellpose":
        raise ValueError(f"{path}: not a U-Net; open it as a Cellpose 4 model")
    name = "fluo-nuclei network" if kind == "fluo" else "residual U-Net"
    try:
        build = (
            partial(FluoUNet, FluoShape.of(state))
            if kind == "fluo"
            else partial(ResidualUNet, UNetShape.of(state))
        )
        with torch.device("meta"):  # takes no memory, whatever widths the file declares
            expected = build().state_dict()
    except (RuntimeError, ValueError, LookupError) as error:
        raise ValueError(f"{path}: not a whole {name}: {_first_line(error)}") from error
    if kind == "unet":
        _complete_diameters(state, path)
    # Counts of batches change nothing, and torch adds them where a file leaves them out
    needed = {k: v for k, v in expected.items() if k in state or not k.endswith(_BATCHES)}
    check_complete(state, needed, path, name, alone=True)
    net: UNetModule = build()
    net.load_state_dict(state, strict=True)
    net.eval()
    return net


def load_transformer(path: Path, place: torch.device) -> nn.Module:
    """Build the network of Cellpose 4 that a checkpoint fits, in single precision, and fill it.

    Raises
    ------
    ValueError
        If the file is no whole Cellpose 4 model, or needs a package that is not installed.
    """
    from cellpose.models import CellposeModel

    state = read_state(path)
    if kind_of(state, path) != "cellpose":
        raise ValueError(f"{path}: not a Cellpose 4 model")
    if "encoder.cls_token" in state and find_spec("dinov3") is None:
        raise ValueError(
            f"{path}: this model needs the package dinov3, which is not on PyPI: "
            "pip install git+https://github.com/facebookresearch/dinov3"
        )
    try:
        model = CellposeModel(pretrained_model=str(path), device=place, use_bfloat16=False)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: not a whole Cellpose 4 model: {_first_line(error)}") from error
    check_complete(state, model.net.state_dict(), path, "Cellpose 4 model")
    net: nn.Module = model.net
    return net.eval()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _complete_diameters(state: dict[str, Tensor], path: Path) -> None:
    """Add what the first published weights lack; Cellpose 3 knows one of them by its name."""
    if path.name == _NUCLEI:
        state["diam_mean"] = torch.tensor([_NUCLEI_DIAMETER])
    state.setdefault("diam_mean", torch.tensor([_MEAN_DIAMETER]))
    state.setdefault("diam_labels", state["diam_mean"])


def check_complete(
    state: State, expected: State, path: Path, name: str = "model", *, alone: bool = False
) -> None:
    """Refuse weights that a net would be filled with in part only, or that are no usual numbers.

    Parameters
    ----------
    state, expected : mapping
        Weights of the file, and of a net that they are to fill.
    path : Path
        The file.
    name : str
        What it is said to hold.
    alone : bool
        Whether there may be no others.

    Raises
    ------
    ValueError
        Telling how many weights are missing and which first, or which holds what it may not.
    """
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if alone and key not in expected]
    known = {key: state[key] for key in expected if key in state}
    wrong = [key for key, tensor in known.items() if tensor.shape != expected[key].shape]
    if missing or wrong or unknown:
        told = f", and {len(unknown)} are unknown" if unknown else ""
        raise ValueError(
            f"{path}: not a whole {name}: {len(missing)} weights are missing and {len(wrong)} have "
            f"another shape{told}, the first is {(missing + wrong + unknown)[0]!r}; download the "
            "model again"
        )
    for key, tensor in known.items():
        _refuse_values(key, tensor, expected[key], path)


def _refuse_values(name: str, tensor: Tensor, expected: Tensor, path: Path) -> None:
    """Refuse numbers that would change as they are taken, or with which nothing can be found."""
    is_fraction = expected.is_floating_point()
    if tensor.is_complex() or (is_fraction and not tensor.is_floating_point()):
        held = str(tensor.dtype).removeprefix("torch.")
        raise ValueError(
            f"{path}: the weight {name} holds {held} values, where floating-point numbers belong; "
            "export the model again"
        )
    if is_fraction and not bool(torch.isfinite(tensor).all()):
        raise ValueError(
            f"{path}: the weight {name} holds NaN or infinite values; export the model again, from "
            "before its training failed"
        )

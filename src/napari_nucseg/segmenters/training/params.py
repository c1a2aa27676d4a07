"""The parameters of training, and what it may begin with; form, command line and record use both.

They are known before anything is read or fetched, and nothing here imports torch, unless it has to
be asked how much memory a GPU has.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from napari_nucseg.io.sources import DAMAGED
from napari_nucseg.parameter_spec import Spec, check_values
from napari_nucseg.segmenters import networks
from napari_nucseg.segmenters.devices import Device, choose, gpu_memory
from napari_nucseg.segmenters.model import Model

COARSEST = 32
"""Edge, in pixels, of the largest pixel of any network here."""
WARM_UP = 0.03
"""Share of the batches during which the learning rate rises."""
WARM_UP_OF_FINE_TUNING = 10
"""Batches during which it rises where a model is fine-tuned; then it stays, as the end is open."""
MODELS: tuple[Model, ...] = (networks.BUNDLED, *networks.CLASSICS, *networks.SAMS)
"""Models that can be taught, and so can files of the same kinds."""
SAM_CROP = 256
"""Edge of the only crops, in pixels, that Cellpose-SAM runs on."""
SAM_ENDING = ".pt"
"""Ending of the files of weights that Cellpose reads."""
SAM_MEMORY = 12
"""Gigabytes that a GPU needs for Cellpose-SAM: weights, gradients, means and one crop."""
_GB = 1e9
_SAM_WEIGHT, _DINO_WEIGHT = b"encoder.pos_embed", b"encoder.cls_token"
"""Names of weights that Cellpose 4's networks have, each kind its own."""
_MOST_NAMES = 10_000_000
"""Bytes of a checkpoint's table of weights; a ViT-L's has 60,000."""


@dataclass(frozen=True)
class TrainParams:
    """How to train; the defaults made the bundled model. `FINE_TUNING` suits a few images."""

    batches: Annotated[
        int, Spec("Batches", "Number of batches to learn from.", 1, 10_000_000, 1)
    ] = 16_000
    batch_size: Annotated[int, Spec("Batch size", "Number of crops in a batch.", 2, 256, 1)] = 8
    crop: Annotated[int, Spec("Crop", "Width and height of crops.", 64, 1024, COARSEST, "px")] = 256
    smallest: Annotated[
        float,
        Spec(
            "Smallest diameter",
            "Crops are resized at random, so that the median diameter of their image's nuclei lies "
            "between the smallest and the largest, and between half and twice what it was.",
            4.0,
            500.0,
            1.0,
            "px",
        ),
    ] = 12.0
    largest: Annotated[
        float, Spec("Largest diameter", "As for the smallest diameter.", 4.0, 500.0, 1.0, "px")
    ] = 60.0
    learning_rate: Annotated[
        float,
        Spec("Learning rate", "Highest of AdamW. It rises first, then falls to 0.", 0.0, 1.0, 1e-5),
    ] = 2e-3
    weight_decay: Annotated[float, Spec("Weight decay", "That of AdamW.", 0.0, 1.0, 1e-3)] = 1e-2
    validate_every: Annotated[
        int, Spec("Validate every", "Score the held-out images every so many batches.", 1, 10**7, 1)
    ] = 1000
    seed: Annotated[
        int, Spec("Seed", "The same seed gives the same first weights and crops.", 0, 2**31, 1)
    ] = 0
    patience: Annotated[
        int,
        Spec(
            "Patience",
            "Stop when the AP of the held-out images has not risen in so many validations; 0 goes "
            "on to the end.",
            0,
            10**6,
            1,
            lowest="never",
        ),
    ] = 0
    fine_tune: Annotated[
        bool,
        Spec(
            "Fine-tune",
            "Change a model little, so that a few images help and do not hurt: it keeps what it "
            "knows of intensities, learns from drawn nuclei, too, and is blended with what it was "
            "where that does better on held-out images. Other parameters have defaults of their "
            "own then, see docs/training.md.",
        ),
    ] = False

    def __post_init__(self) -> None:
        check_values(self)
        if self.crop % COARSEST:
            raise ValueError(f"crop is {self.crop}; it must be a multiple of {COARSEST} px")
        if self.smallest > self.largest:
            raise ValueError(
                f"smallest diameter is {self.smallest:g} px, above the largest, {self.largest:g} px"
            )


FINE_TUNING = TrainParams(
    batches=2000,
    learning_rate=1e-4,
    weight_decay=0.0,
    validate_every=25,
    patience=8,
    fine_tune=True,
)
"""How to teach a model that is there from a few images: slowly, and it stops by itself."""
OF_SAM = {"batch_size": 4, "learning_rate": 1e-5, "weight_decay": 0.1}
"""What suits Cellpose-SAM instead: Cellpose's own, but for crops of drawn fields in each batch."""


def learning_rate(done: int, params: TrainParams) -> float:
    """Return the learning rate of a batch: it rises evenly, then falls as a cosine to 0.

    Where a model is fine-tuned it stays after it rose.
    """
    if params.fine_tune:
        return params.learning_rate * min((done + 1) / WARM_UP_OF_FINE_TUNING, 1.0)
    share = (done + 0.5) / params.batches
    if share < WARM_UP:
        return params.learning_rate * share / WARM_UP
    fall = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
    return params.learning_rate * (1 + math.cos(math.pi * fall)) / 2


def is_sam(start: Path) -> bool:
    """Tell whether weights are those of a Cellpose-SAM, be they here or still to be fetched."""
    return _is_one_of(networks.SAMS, start) or _SAM_WEIGHT in _names_in(start)


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
    if _is_one_of(networks.DINOS, start) or _DINO_WEIGHT in _names_in(start):
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

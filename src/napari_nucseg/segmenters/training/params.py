"""The parameters of training: form, command line and record are made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_nucseg.parameter_spec import Spec, check_values

COARSEST = 32
"""Edge, in pixels, of the largest pixel of any network here."""
WARM_UP = 0.03
"""Share of the batches during which the learning rate rises."""
WARM_UP_OF_FINE_TUNING = 10
"""Batches during which it rises where a model is fine-tuned; then it stays, as the end is open."""


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

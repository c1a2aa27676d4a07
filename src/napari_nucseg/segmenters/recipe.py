"""How a network is trained; readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_nucseg.core.knobs import Knob, check_bounds

COARSEST = 32
"""Edge, in pixels, of the largest pixel of any network here."""


@dataclass(frozen=True)
class TrainParams:
    """How to train; the defaults made the bundled model."""

    batches: Annotated[
        int, Knob("Batches", "How many batches of crops are learned from.", 1, 10_000_000, 1)
    ] = 16_000
    batch_size: Annotated[int, Knob("Batch size", "Crops seen at once.", 2, 256, 1)] = 8
    crop: Annotated[int, Knob("Crop", "Edge of a crop.", 64, 1024, COARSEST, "px")] = 256
    smallest: Annotated[
        float,
        Knob(
            "Smallest diameter",
            "Crops are resized so that their image's median diameter lies between the smallest and "
            "the largest, and between half and twice its own.",
            4.0,
            500.0,
            1.0,
            "px",
        ),
    ] = 12.0
    largest: Annotated[
        float, Knob("Largest diameter", "See the smallest diameter.", 4.0, 500.0, 1.0, "px")
    ] = 60.0
    learning_rate: Annotated[
        float,
        Knob("Learning rate", "Highest of AdamW: it rises, then falls to 0.", 0.0, 1.0, 1e-4),
    ] = 2e-3
    weight_decay: Annotated[float, Knob("Weight decay", "Of AdamW.", 0.0, 1.0, 1e-3)] = 1e-2
    validate_every: Annotated[
        int,
        Knob("Validate every", "Batches after which the held-out images are scored.", 1, 10**7, 1),
    ] = 1000
    seed: Annotated[int, Knob("Seed", "Of the first weights and of every crop.", 0, 2**31, 1)] = 0

    def __post_init__(self) -> None:
        """Refuse values outside the bounds."""
        check_bounds(self)
        if self.crop % COARSEST:
            raise ValueError(f"crop is {self.crop}; it must be a multiple of {COARSEST} px")
        if self.smallest > self.largest:
            raise ValueError(
                f"smallest diameter is {self.smallest:g} px, above the largest, {self.largest:g} px"
            )

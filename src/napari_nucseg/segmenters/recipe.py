"""How a residual U-Net is trained; readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_nucseg.core.knobs import Knob, check_bounds

LEVELS = 5
WIDEST = 128


@dataclass(frozen=True)
class TrainParams:
    """How to train; the defaults made the bundled model."""

    width: Annotated[
        int,
        Knob("Width", "Features of the finest level; doubled at each coarser one.", 4, 64, 1),
    ] = 24
    epochs: Annotated[
        int, Knob("Epochs", "Rounds of training; the first only warms up.", 1, 10_000, 1)
    ] = 120
    crops_per_epoch: Annotated[
        int, Knob("Crops per epoch", "Crops drawn from the fields in each round.", 1, 100_000, 1)
    ] = 160
    crop: Annotated[int, Knob("Crop", "Edge of a crop.", 64, 1024, 16, "px")] = 256
    batch_size: Annotated[int, Knob("Batch size", "Crops seen at once.", 1, 256, 1)] = 8
    learning_rate: Annotated[
        float, Knob("Learning rate", "Of AdamW, before it is lowered at the end.", 0.0, 1.0, 1e-4)
    ] = 2e-3
    weight_decay: Annotated[float, Knob("Weight decay", "Of AdamW.", 0.0, 1.0, 1e-3)] = 1e-2
    scale_range: Annotated[
        float,
        Knob("Scale range", "Crops are resized by 1 - half of this to 1 + half of it.", 0, 2, 0.05),
    ] = 0.5
    gain_jitter: Annotated[
        float,
        Knob("Gain jitter", "Spread of the random brightness, as a natural log.", 0.0, 1.0, 0.05),
    ] = 0.2
    seed: Annotated[int, Knob("Seed", "Of the first weights and the jitter.", 0, 2**31, 1)] = 0

    def __post_init__(self) -> None:
        """Refuse values outside the bounds."""
        check_bounds(self)
        stride = 2 ** (LEVELS - 1)
        if self.crop % stride:
            raise ValueError(f"crop is {self.crop}; it must be a multiple of {stride} px")

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each level, finest first."""
        return tuple(min(self.width * 2**level, WIDEST) for level in range(LEVELS))

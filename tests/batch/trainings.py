"""What tests of trainings share: a small net to begin with, and the log that is written."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet


def make_start(path: Path, seed: int = 0) -> Path:
    """Write a small net with random weights, which learns fast."""
    torch.manual_seed(seed)
    torch.save(FluoUNet(FluoShape((8, 8, 8))).state_dict(), path)
    return path


def rows_of(out: Path) -> list[dict[str, str]]:
    """Read the log beside weights that a training wrote."""
    with out.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))

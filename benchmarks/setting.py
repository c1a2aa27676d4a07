"""What every group of measurements is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """What to measure on, and how often.

    Attributes
    ----------
    dataset : Path or None
        Folder of BBBC039; None draws fields of its size.
    runs : int
        How often each thing is timed; a group may do with less where a run takes long.
    """

    dataset: Path | None
    runs: int

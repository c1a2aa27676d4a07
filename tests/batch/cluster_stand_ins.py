"""Segmenters that workers of a cluster load by their name, and that make trouble there."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import label

from napari_nucseg.segmenters.api import Provenance, Segmentation, Segmenter
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import cores

WEIGHTS = {"stand-in": "ef" * 32}


def load(trouble: str = "", marker: str = "") -> Segmenter:
    """Load a segmenter that thresholds; it notes each time that it had to be made.

    Parameters
    ----------
    trouble : str
        At the field of most nuclei: "once" to kill the process, "always" to do so each time,
        "scheduler" to kill the process whose number is in the note of that name.
    marker : str
        Folder for notes.
    """
    return _make(trouble, marker)


@lru_cache
def _make(trouble: str, marker: str) -> Segmenter:
    notes = Path(marker)
    (notes / f"loaded by {os.getpid()}").touch(exist_ok=False)

    def segment(image: np.ndarray, params: SegmentParams, report: Any) -> Segmentation:
        labels = label(image > 250).astype(np.int32)
        crowded = np.count_nonzero(labels) > 5000
        if trouble and crowded and (trouble == "always" or not (notes / "killed").exists()):
            (notes / "killed").touch()
            scheduler = notes / "scheduler"
            victim = int(scheduler.read_text()) if trouble == "scheduler" else os.getpid()
            os.kill(victim, signal.SIGKILL)
        made = Provenance(
            "stand-in", WEIGHTS["stand-in"], asdict(params), "CPU, test", "float32", {}, 0.01
        )
        return Segmentation(labels, None, made, lambda params: labels)

    return segment


@dataclass(frozen=True)
class Thing:
    """A thing to be done."""

    name: str


class CountCores:
    """Tells how many cores whoever does it may use."""

    def __call__(self, item: Thing, /) -> int:
        """Count them."""
        return cores()

    def blame(self, item: Thing, reason: str, /) -> int:
        """Raise what went wrong."""
        raise AssertionError(f"{item.name}: {reason}")

"""The demo without a window: the sample field segmented, scored and pictured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.table import Table

from napari_nucseg.core.scoring import score_with_boundaries
from napari_nucseg.core.synthetic import draw_field
from napari_nucseg.runs.pictures import picture_verdicts
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.saving import write_picture
from napari_nucseg.runs.tables import score_table


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run_headless(setup: Setup, out: Path) -> tuple[Table, Path]:
    """Segment and score the sample field, and write its overlay as PNG.

    Returns
    -------
    table : rich.table.Table
        The scores.
    path : Path
        The picture.
    """
    field = draw_field()
    labels = setup.load()(field.image, setup.params, lambda done, total: None).labels
    write_picture(out, picture_verdicts(field.image, field.labels, labels))
    return score_table(score_with_boundaries(field.labels, labels)), out

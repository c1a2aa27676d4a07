"""Draw the icon of the plugin: nuclei on dark, outlined in the colours of their verdicts."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.metrics.verdicts import Verdict

ICON = Path(__file__).parents[1] / "src" / "napari_nucseg" / "icon.png"
EDGE, FINER = 256, 4
NUCLEI = (
    (Verdict.MATCHED, (0.08, 0.12, 0.56, 0.52)),
    (Verdict.SPLIT, (0.52, 0.38, 0.94, 0.70)),
    (Verdict.LOOSE, (0.14, 0.56, 0.50, 0.92)),
)
GROUND, NUCLEUS, LINE = "#16181d", "#6b7078", 0.035


def draw() -> Image.Image:
    """Return the icon; it is drawn larger and reduced, so that its edges are smooth."""
    edge = EDGE * FINER
    icon = Image.new("RGBA", (edge, edge))
    pen = ImageDraw.Draw(icon)
    pen.rounded_rectangle((0, 0, edge - 1, edge - 1), edge // 6, fill=GROUND)
    for verdict, box in NUCLEI:
        where = tuple(edge * one for one in box)
        pen.ellipse(where, NUCLEUS, VERDICT_COLOURS[verdict], round(edge * LINE))
    return icon.resize((EDGE, EDGE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(ICON, optimize=True)

"""Draw a worked picture of each verdict, for docs/scores.md.

    python scripts/draw_verdicts.py

Every example is judged as labels of the viewer are; what stands below it is what the scores say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from napari_nucseg.analysis.drawing import VERDICT_COLOURS, draw_verdicts
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import ObjectVerdicts, Verdict, classify

TARGET = Path(__file__).parents[1] / "docs" / "images" / "verdicts.png"
SIZE, ZOOM, MARGIN, LINE = 48, 6, 14, 20
TEXT_LINES = 6
BACKGROUND, TRUE, FOUND, BOTH = "#101010", "#5c5c5c", "#2b3a63", "#7d8aa8"
FONT = ImageFont.load_default(15)

Ellipse = tuple[float, float, float, float]
"""Centre and half axes: y, x, down, across."""
EXAMPLES: dict[Verdict, tuple[Sequence[Ellipse], Sequence[Ellipse]]] = {
    Verdict.MATCHED: ([(24, 24, 14, 16)], [(25, 25, 13, 15)]),
    Verdict.LOOSE: ([(24, 22, 14, 14)], [(24, 26, 12, 13)]),
    Verdict.OFF: ([(24, 21, 15, 15)], [(24, 23, 9, 10)]),
    Verdict.MISSED: ([(24, 24, 13, 15)], []),
    Verdict.SPURIOUS: ([], [(24, 24, 13, 15)]),
    Verdict.MERGED: ([(24, 14, 13, 10), (24, 34, 13, 10)], [(24, 24, 14, 20)]),
    Verdict.SPLIT: ([(24, 24, 14, 20)], [(24, 14, 13, 9), (24, 34, 13, 9)]),
    Verdict.TANGLED: (
        [(24, 15, 13, 12), (24, 36, 11, 8)],
        [(24, 8, 10, 5), (24, 28, 14, 16)],
    ),
}


def main() -> None:
    """Write the picture: four examples a row."""
    panels = [draw_example(verdict, *sides) for verdict, sides in EXAMPLES.items()]
    width, height = panels[0].size
    across = 4
    down = -(-len(panels) // across)
    picture = Image.new("RGB", (across * width, down * height + 2 * LINE), "white")
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        picture.paste(panel, (column * width, row * height))
    draw_legend(picture, down * height)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.save(TARGET, optimize=True)
    print(TARGET)


def draw_example(
    verdict: Verdict, true: Sequence[Ellipse], found: Sequence[Ellipse]
) -> Image.Image:
    """Draw one example at IoU 0.5, with what is said of each of its objects."""
    truth, predicted = label(true), label(found)
    verdicts = classify(match(find_overlap(truth, predicted)))
    if {*verdicts.truth.codes.tolist(), *verdicts.predicted.codes.tolist()} != {verdict}:
        raise ValueError(f"the example of {verdict.word} is no example of it: {verdicts}")
    rgb = fill(truth, predicted)
    codes = draw_verdicts(truth, predicted, verdicts)
    for code, colour in VERDICT_COLOURS.items():
        rgb[codes == code] = ImageColor.getrgb(colour)
    field = Image.fromarray(rgb).resize((SIZE * ZOOM, SIZE * ZOOM), Image.Resampling.NEAREST)
    edge = SIZE * ZOOM + MARGIN
    panel = Image.new("RGB", (edge, edge + TEXT_LINES * LINE), "white")
    panel.paste(field, (MARGIN // 2, MARGIN // 2))
    pen = ImageDraw.Draw(panel)
    lines = [*describe("true", verdicts.truth), *describe("predicted", verdicts.predicted)]
    pen.text((MARGIN, edge), verdict.word, fill="black", font=ImageFont.load_default(18))
    for number, line in enumerate(lines, start=1):
        pen.text((MARGIN, edge + number * LINE + 3), line, fill="#303030", font=FONT)
    return panel


def label(ellipses: Sequence[Ellipse]) -> NDArray[np.int32]:
    """Draw ellipses, numbered from 1; what is drawn first stays."""
    y, x = np.indices((SIZE, SIZE))
    labels = np.zeros((SIZE, SIZE), dtype=np.int32)
    for number, (cy, cx, down, across) in enumerate(ellipses, start=1):
        inside = ((y - cy) / (down + 0.4)) ** 2 + ((x - cx) / (across + 0.4)) ** 2 < 1
        labels[inside & (labels == 0)] = number
    return labels


def fill(truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Colour what is true, predicted, or both."""
    colours = [ImageColor.getrgb(colour) for colour in (BACKGROUND, TRUE, FOUND, BOTH)]
    return np.array(colours, dtype=np.uint8)[(truth > 0) + 2 * (predicted > 0)]


def describe(side: str, verdicts: ObjectVerdicts) -> list[str]:
    """Say of each object what became of it."""
    rows = zip(
        verdicts.ids.tolist(),
        verdicts.codes.tolist(),
        verdicts.ious.tolist(),
        verdicts.partners,
        strict=True,
    )
    return [
        f"{side} {number}: {Verdict(code).word}, IoU {iou:.2f}"
        + (f", with {' and '.join(map(str, partners))}" if partners else "")
        for number, code, iou, partners in rows
    ]


def draw_legend(picture: Image.Image, top: int) -> None:
    """Tell what the fills mean."""
    pen = ImageDraw.Draw(picture)
    meanings = {
        TRUE: "true nucleus alone",
        FOUND: "predicted nucleus alone",
        BOTH: "both; lines in the verdict's colour: solid for true nuclei, broken for predicted",
    }
    x = MARGIN
    for colour, meaning in meanings.items():
        pen.rectangle((x, top + 4, x + 18, top + 18), fill=colour)
        pen.text((x + 26, top + 2), meaning, fill="black", font=FONT)
        x += 60 + int(pen.textlength(meaning, font=FONT))


if __name__ == "__main__":
    main()

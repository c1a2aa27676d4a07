"""Verdicts drawn: label images and pictures that show the errors of a field, and their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import find_outlines
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import (
    Agreement,
    ObjectVerdicts,
    Verdict,
    VerdictCounts,
    Verdicts,
    classify,
)

VERDICT_COLOURS = {
    Verdict.MATCHED: "#88C49E",
    Verdict.LOOSE: "#E5D345",
    Verdict.MISSED: "#A51128",
    Verdict.MERGED: "#8E2875",
    Verdict.SPLIT: "#65D2EA",
    Verdict.OFF: "#AD7B20",
    Verdict.TANGLED: "#3397FF",
    Verdict.SPURIOUS: "#4130FF",
}
"""Colours that differ by CIEDE2000 for normal and for colour-blind eyes.

How much, and from which backgrounds, is in ``docs/errors.md`` and held by a test. A verdict's
colour is written nowhere else.
"""
VERDICT_MEANINGS = {
    Verdict.MATCHED: "Has a partner at the IoU threshold. The number includes the loose ones.",
    Verdict.LOOSE: "Matched, but with an IoU below 0.7.",
    Verdict.MISSED: "A true nucleus that was not found.",
    Verdict.MERGED: "True nuclei that one predicted nucleus covers together.",
    Verdict.SPLIT: "A true nucleus that was cut into pieces.",
    Verdict.OFF: "Found, but with an IoU below the threshold.",
    Verdict.TANGLED: "Several true and several predicted nuclei that overlap one another.",
    Verdict.SPURIOUS: "A predicted nucleus where there is no true one.",
}
LINE_MEANINGS = "Solid: true nuclei. Dots: predicted and matched. Dashes: predicted, no match."
AGREEMENT_COLOURS = {
    Agreement.TRUE_POSITIVE: VERDICT_COLOURS[Verdict.MATCHED],
    Agreement.FALSE_NEGATIVE: VERDICT_COLOURS[Verdict.MISSED],
    Agreement.FALSE_POSITIVE: VERDICT_COLOURS[Verdict.SPURIOUS],
}

_DOT, _DASH, _GAP = 2, 5, 3
"""Pixels of a dot and the gap behind it, of a dash, and of the gap behind that."""
_REACH = 3
"""Pixels on each side of an outline's pixel that tell where the outline runs."""
_FONT_SIZE, _ROW, _MARGIN = 13, 20, 8
"""Pixels of letters, of a row and around the text of the legend below a picture."""
_BRIGHTEST_PERCENTILE = 99.8
_BRIGHTEST = 110
"""Grey of the brightest pixels, of 255: dark enough for every verdict's colour to stand out."""


def draw_verdicts(truth: Labels, predicted: Labels, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Outline the objects of both sides in their verdicts, each side in lines of its own style.

    True objects have a solid line of two pixels, which lies above the others. Predicted ones have
    a broken line: of dots if they match, of dashes if not; one pixel wide, and two for spurious
    ones, which have no solid line beside them.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        The label images that were compared.
    verdicts : Verdicts
        Verdicts on both sides' objects, as `classify` gives them.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        `Verdict` on the outlines, 0 elsewhere.
    """
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    thin = find_outlines(predicted, at_border=False)
    line = thin | find_outlines(np.where(thin, 0, predicted), at_border=False)
    places = np.flatnonzero(line)
    codes = _codes_of(predicted.reshape(-1)[places], verdicts.predicted)
    is_seen = thin.reshape(-1)[places] | (codes == Verdict.SPURIOUS)
    is_drawn = is_seen & _is_in_dash(predicted, places, codes)
    drawn.reshape(-1)[places] = np.where(is_drawn, codes, 0)
    thick = find_outlines(truth, at_border=False)
    thick |= find_outlines(np.where(thick, 0, truth), at_border=False)
    drawn[thick] = _codes_of(truth[thick], verdicts.truth)
    return drawn


def _is_in_dash(
    labels: Labels, places: NDArray[np.intp], codes: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Tell which pixels of outlines lie in a dot or a dash, not in a gap.

    Dashes are counted along the rows where an outline runs along them, and else down the columns,
    so that they are about as long on every side of an object.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        Objects that the outlines run round.
    places : ndarray of intp, shape (n,)
        Pixels of the outlines, counted along the rows.
    codes : ndarray of uint8, shape (n,)
        Verdict of each of these pixels.
    """
    y, x = np.divmod(places, labels.shape[1])
    padded = np.pad(labels, _REACH)
    around, row = padded.reshape(-1), padded.shape[1]  # one index a pixel is faster than two
    at = (y + _REACH) * row + x + _REACH
    mine = around[at]
    down, across = np.zeros(len(at), dtype=np.int8), np.zeros(len(at), dtype=np.int8)
    for step in range(1, _REACH + 1):
        down += around[at + step * row] == mine
        down -= around[at - step * row] == mine
        across += around[at + step] == mine
        across -= around[at - step] == mine
    along = np.where(np.abs(down) >= np.abs(across), x, y)
    on, period = np.where(codes <= Verdict.LOOSE, [[_DOT], [2 * _DOT]], [[_DASH], [_DASH + _GAP]])
    return np.asarray(along % period < on)


def draw_agreement(truth: Labels, predicted: Labels) -> NDArray[np.uint8]:
    """Mark every foreground pixel as found, missed or too much: values of `Agreement`."""
    true, found = truth > 0, predicted > 0
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    drawn[true & found] = Agreement.TRUE_POSITIVE
    drawn[true & ~found] = Agreement.FALSE_NEGATIVE
    drawn[~true & found] = Agreement.FALSE_POSITIVE
    return drawn


def look_up(labels: Labels, ids: NDArray[np.int64], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the value of each label; 0 for one that is not known.

    Parameters
    ----------
    labels : ndarray of integers
        Label image of any shape; 0 is background.
    ids : ndarray of int64, shape (n,)
        All labels that have a value, ascending.
    values : ndarray of uint8, shape (n,)
        Value of each of these labels.
    """
    if not len(ids):
        return np.zeros(labels.shape, dtype=np.uint8)
    position = np.searchsorted(ids, labels).clip(max=len(ids) - 1)
    return np.where(ids[position] == labels, values[position], 0).astype(np.uint8)


def _codes_of(labels: Labels, verdicts: ObjectVerdicts) -> NDArray[np.uint8]:
    return look_up(labels, verdicts.ids, verdicts.codes)


def picture_verdicts(
    image: NDArray[Any],
    truth: Labels,
    predicted: Labels,
    threshold: float = 0.5,
    strict: bool = False,
) -> NDArray[np.uint8]:
    """Draw the verdicts' outlines over the image, which is dimmed for them.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Intensities of one field, of any scale.
    truth, predicted : ndarray of integers, shape (height, width)
        Labels of the field; 0 is background.
    threshold : float
        IoU from which on two objects match.
    strict : bool
        Whether an IoU of exactly the threshold is none.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB picture of the field, with the objects outlined in the colours of their verdicts.
    """
    verdicts = classify(match(find_overlap(truth, predicted), threshold, strict))
    drawn = draw_verdicts(truth, predicted, verdicts)
    picture = np.repeat(dim(image)[..., None], 3, axis=2)
    for verdict, colour in VERDICT_COLOURS.items():
        picture[drawn == verdict] = ImageColor.getrgb(colour)
    return picture


def with_legend(picture: NDArray[np.uint8], counts: VerdictCounts) -> NDArray[np.uint8]:
    """Add a legend below a picture: colours and numbers of the verdicts, and what lines mean.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
        Picture as `picture_verdicts` draws it, of 480 pixels of width or more.
    counts : VerdictCounts
        Number of objects of each verdict.

    Returns
    -------
    ndarray of uint8, shape (greater height, width, 3)
        The picture with the legend.
    """
    height, width = picture.shape[:2]
    whole = Image.new("RGB", (width, height + 3 * _ROW + 2 * _MARGIN))
    whole.paste(Image.fromarray(picture))
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(_FONT_SIZE)
    for number, (verdict, colour) in enumerate(VERDICT_COLOURS.items()):
        row, column = divmod(number, 4)
        x = _MARGIN + column * (width - 2 * _MARGIN) // 4
        y = height + _MARGIN + row * _ROW
        pen.rectangle((x, y + 2, x + _FONT_SIZE - 3, y + _FONT_SIZE - 1), fill=colour)
        text = f"{verdict.word} {getattr(counts, verdict.word)}"
        pen.text((x + _FONT_SIZE + 3, y), text, "white", font)
    pen.text((_MARGIN, height + _MARGIN + 2 * _ROW), LINE_MEANINGS, "white", font)
    return np.asarray(whole)


def dim(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a field's intensities as greys that are dark enough for outlines to stand out."""
    low, high = np.percentile(image, (0, _BRIGHTEST_PERCENTILE))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    return np.asarray(_BRIGHTEST * np.sqrt(grey)).astype(np.uint8)

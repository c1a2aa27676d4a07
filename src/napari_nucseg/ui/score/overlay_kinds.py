"""What each overlay of a comparison shows, and in which colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.palette import AGREEMENT_COLOURS, VERDICT_COLOURS
from napari_nucseg.core.verdict_pictures import draw_agreement, draw_verdicts, look_up
from napari_nucseg.core.verdicts import Verdict, Verdicts
from napari_nucseg.ui.layers import AGREEMENT, ERRORS, IOU

IOU_STEPS = 100
"""IoU 0 is drawn as 1, IoU 1 as 101."""
Draw = Callable[[LabelImage, LabelImage, Verdicts], NDArray[np.uint8]]


def draw_ious(truth: LabelImage, predicted: LabelImage, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Fill every true object with 1 + 100 IoU, and spurious ones with 1.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        Labels that were judged.
    verdicts : Verdicts
        Theirs.
    """
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    spurious = verdicts.predicted.ids[verdicts.predicted.codes == Verdict.SPURIOUS]
    drawn[np.isin(predicted, spurious)] = 1
    steps = 1 + np.rint(IOU_STEPS * verdicts.truth.ious).astype(np.uint8)
    found = look_up(truth, verdicts.truth.ids, steps)
    return np.where(found > 0, found, drawn)


def iou_colours() -> dict[int, Any]:
    """Colour of each value of `draw_ious`: dark for nothing shared, yellow for all."""
    steps = np.linspace(0, 1, IOU_STEPS + 1)
    return dict(enumerate(ensure_colormap("viridis").map(steps), start=1))


@dataclass(frozen=True)
class Kind:
    """How an overlay is drawn and coloured."""

    draw: Draw
    colours: Callable[[frozenset[Verdict]], Mapping[Any, Any]]
    opacity: float
    legend: str


def _shown_verdicts(hidden: frozenset[Verdict]) -> Mapping[int, Any]:
    return {verdict: colour for verdict, colour in VERDICT_COLOURS.items() if verdict not in hidden}


KINDS = {
    ERRORS: Kind(
        draw_verdicts,
        _shown_verdicts,
        1.0,
        "",
    ),
    AGREEMENT: Kind(
        lambda truth, predicted, verdicts: draw_agreement(truth, predicted),
        lambda hidden: dict(AGREEMENT_COLOURS),
        0.5,
        "Pixels: green found, orange-red missed, blue too much.",
    ),
    IOU: Kind(
        draw_ious,
        lambda hidden: iou_colours(),
        0.7,
        "IoU of true nuclei: dark violet 0, green 0.6, yellow 1; spurious ones are dark, too.",
    ),
}

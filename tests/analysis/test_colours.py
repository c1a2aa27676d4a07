"""The colours of verdicts can be told apart, by colour-blind readers, too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from napari.utils.theme import get_theme
from PIL import ImageColor
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_nucseg.analysis.drawing import AGREEMENT_COLOURS, VERDICT_COLOURS
from napari_nucseg.metrics.verdicts import Verdict

VISIONS = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}
"""Machado et al., IEEE TVCG 15, 2009, severity 1; for linear RGB."""
LEAST_BETWEEN, LEAST_ON_DARK, LEAST_ON_LIGHT = 18.3, 18.3, 14.7
"""As documented; 20 for all was not found by any search."""


def seen(colour, vision):
    """A colour in CIELAB, as an eye of that vision has it."""
    rgb = np.array(ImageColor.getrgb(colour)) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (VISIONS[vision] @ linear).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(rgb)


def difference(one, other, vision):
    return float(deltaE_ciede2000(seen(one, vision), seen(other, vision)))


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("one", "other"), list(combinations(Verdict, 2)))
def test_two_verdicts_have_colours_that_differ(one, other, vision):
    assert difference(VERDICT_COLOURS[one], VERDICT_COLOURS[other], vision) >= LEAST_BETWEEN


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_stands_out_from_an_image_and_from_the_window(verdict, vision):
    colour = VERDICT_COLOURS[verdict]
    dark, light = get_theme("dark"), get_theme("light")
    for ground in ("#000000", "#808080", dark.background.as_hex(), dark.canvas.as_hex()):
        assert difference(colour, ground, vision) >= LEAST_ON_DARK, ground
    for ground in ("#ffffff", light.background.as_hex(), light.canvas.as_hex()):
        assert difference(colour, ground, vision) >= LEAST_ON_LIGHT, ground


def test_found_missed_and_spurious_pixels_have_the_colours_of_such_nuclei():
    assert set(AGREEMENT_COLOURS.values()) == {
        VERDICT_COLOURS[verdict] for verdict in (Verdict.MATCHED, Verdict.MISSED, Verdict.SPURIOUS)
    }

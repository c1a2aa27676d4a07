"""Colours of labels: a few values by name, or many that are seen on any image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pint
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap
from pint.registry import LazyRegistry

SEEN = (0.16, 0.4)
"""Luminances of colours that are seen on black and on white alike; black is 0, and white 1."""
_CANDIDATES = 300
"""Colours of napari of which those are taken that are seen: about a third."""


def colormap(colours: Mapping[int, str]) -> DirectLabelColormap:
    """Colour few values, and leave all others transparent."""
    return DirectLabelColormap(
        color_dict={None: "transparent", 0: "transparent"}
        | {int(value): colour for value, colour in colours.items()}
    )


def prepare_colours(*_: object) -> None:
    """Let napari load and compile what labels need; for a worker, as it takes a second at first."""
    _load_units()
    for dtype in (np.uint8, np.int32):
        colormap({1: "white"}).map(np.ones((1, 1), dtype))
        Labels(np.ones((1, 1), dtype), units=("um", "um"))  # in no viewer, so any thread may


def _load_units() -> None:
    """Load the units that napari measures layers in.

    Where nobody has used them yet, another thread would find them half loaded meanwhile. So they
    are loaded by themselves, and are those of the application from then on.
    """
    units: Any = pint.application_registry
    if isinstance(units.get(), LazyRegistry):
        loaded: Any = pint.UnitRegistry(on_redefinition="raise")
        if isinstance(units.get(), LazyRegistry):
            units.set(loaded)


@cache
def seen_colours() -> CyclicLabelColormap:
    """Return those of napari's colours for labels that are neither dark nor pale."""
    colours = label_colormap(_CANDIDATES).colors
    seen = [SEEN[0] <= luminance(colour[:3]) <= SEEN[1] for colour in colours]
    return CyclicLabelColormap(colors=colours[seen])


def luminance(colour: Sequence[float]) -> float:
    """Return how bright an sRGB colour is, by WCAG: 0 is black, and 1 is white.

    Examples
    --------
    >>> round(luminance((0, 0, 0.5)), 3), round(luminance((1, 1, 1)), 3)
    (0.015, 1.0)
    """
    parts = np.asarray(colour, dtype=float)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))

"""Published ways to score: when a pair is a hit, at which thresholds, and averaged over what."""

from __future__ import annotations

from dataclasses import dataclass

from napari_nucseg.metrics.ignoring import Ignored

AP_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""IoU thresholds of the mean AP: 0.50, 0.55 ... 0.95 (DSB2018)."""
F1_THRESHOLDS = AP_THRESHOLDS[:9]
"""IoU thresholds of the mean F1: 0.50, 0.55 ... 0.90 (Caicedo 2019)."""


@dataclass(frozen=True)
class Preset:
    """The rule of comparison, which is part of a score.

    Attributes
    ----------
    name : str
        Short name of the preset, for the command line.
    title : str
        Name of the preset for the screen.
    strict : bool
        Whether a pair is a hit at IoU > t; otherwise at IoU >= t.
    ratio : str
        The score that is reported: "mean_ap" or "mean_f1".
    pools : bool
        Whether the score of all fields together is reported beside the mean of fields.
    """

    name: str
    title: str
    strict: bool
    ratio: str
    pools: bool

    @property
    def hit(self) -> str:
        """When a pair is a hit, in signs."""
        return "IoU > t" if self.strict else "IoU >= t"


STARDIST = Preset("stardist", "StarDist / Cellpose", strict=False, ratio="mean_ap", pools=True)
"""Schmidt et al. 2018; Stringer et al. 2021."""
DSB2018 = Preset("dsb2018", "DSB2018", strict=True, ratio="mean_ap", pools=False)
"""Caicedo et al., Nature Methods 16, 2019."""
CAICEDO2019 = Preset("caicedo2019", "Caicedo 2019", strict=True, ratio="mean_f1", pools=False)
"""Caicedo et al., Cytometry Part A 95, 2019."""
PRESETS = {preset.name: preset for preset in (STARDIST, DSB2018, CAICEDO2019)}


def find_preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True)
class ScoreRule:
    """How fields are scored.

    Attributes
    ----------
    threshold : float
        IoU threshold of matches and verdicts, above 0 and at most 1.
    preset : Preset
        Whether an IoU of exactly the threshold is a hit, and what is reported.
    empty_as_one : bool
        Whether a field without objects on either side counts 1 in means, or is left out.
    ignore_border : bool
        Whether objects that touch the border are left out of all counts.
    """

    threshold: float = 0.5
    preset: Preset = STARDIST
    empty_as_one: bool = False
    ignore_border: bool = False

    @property
    def ignored(self) -> Ignored | None:
        """What is left out of a field; None where everything is counted."""
        return Ignored(border=True) if self.ignore_border else None


DEFAULT_RULE = ScoreRule()

"""How long models take on this machine, remembered from their last runs."""

from __future__ import annotations

from napari_nucseg.core.segmenting import Provenance
from napari_nucseg.segmenters.measured import of_this_machine

FARTHEST = 3
"""Octaves of size over which a pace holds: a small crop says little of a whole field."""


def remember(model: str, made: Provenance, pixels: int, warm: bool = True) -> None:
    """Remember how long a model took, for `expected`.

    Parameters
    ----------
    model : str
        What it is told from others by: a name, or the path of a file.
    made : Provenance
        Of what was segmented.
    pixels : int
        Of the same.
    warm : bool, optional
        Whether all was ready before; a run that had to wait counts only until there is another.
    """
    key = _key(model, made.device, _octave(pixels))
    if warm or of_this_machine().known(key) is None:
        of_this_machine().record(key, made.seconds / pixels)


def expected(model: str, device: str, pixels: int) -> float | None:
    """Tell how many seconds a field will take, from the last run of about its size.

    Parameters
    ----------
    model : str
        As in `remember`.
    device : str
        As in `Provenance.device`.
    pixels : int
        Of the field.

    Returns
    -------
    float or None
        Seconds; None if the model has not run on anything of the kind on this machine.
    """
    octave = _octave(pixels)
    nearest_first = sorted(range(-FARTHEST, FARTHEST + 1), key=abs)
    for off in nearest_first:
        pace = of_this_machine().known(_key(model, device, octave + off))
        if pace is not None:
            return pace * pixels
    return None


def _octave(pixels: int) -> int:
    return max(pixels, 1).bit_length()


def _key(model: str, device: str, octave: int) -> str:
    return f"seconds a pixel: {model}, {device}, below 2^{octave} px"

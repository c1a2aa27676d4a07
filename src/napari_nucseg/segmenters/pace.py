"""How long models take on this machine, remembered from their last runs."""

from __future__ import annotations

from napari_nucseg.core.segmenting import Provenance
from napari_nucseg.segmenters.measured import of_this_machine


def remember(made: Provenance, pixels: int) -> None:
    """Remember how long a field took, for `expected`."""
    of_this_machine().record(_key(made.model, made.device), made.seconds / pixels)


def expected(model: str, device: str, pixels: int) -> float | None:
    """Tell how many seconds a field will take, from the last run.

    Parameters
    ----------
    model : str
        Its name.
    device : str
        As in `Provenance.device`.
    pixels : int
        Of the field.

    Returns
    -------
    float or None
        Seconds; None if the model has not run on the device of this machine.
    """
    pace = of_this_machine().known(_key(model, device))
    return None if pace is None else pace * pixels


def _key(model: str, device: str) -> str:
    return f"seconds a pixel: {model}, {device}"

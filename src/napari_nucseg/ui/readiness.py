"""What the segment panel says of a model and a device before anything runs."""

from __future__ import annotations

from napari_nucseg.segmenters import devices, pace
from napari_nucseg.segmenters.catalogue import Model, weights_folder


def describe_model(model: Model) -> str:
    """Say what a model is, and whether its weights are here."""
    if model.is_ready:
        return f"{model.about}; ready"
    return f"{model.about}; Segment fetches its {model.megabytes} MB to {weights_folder()} first"


def describe_device(model: Model, wanted: str, pixels: int) -> str:
    """Say where a model will run, and how long it takes for a field, as far as that is known.

    Parameters
    ----------
    model : Model
        That will run.
    wanted : str
        auto, cuda, mps or cpu.
    pixels : int
        Of a field.
    """
    try:
        device = devices.known(wanted)
    except ValueError as error:
        return str(error)
    if device is None:
        return "A GPU if torch can use the one that is here, else the CPU; told when it first runs"
    seconds = pace.expected(model.name, str(device), pixels)
    if seconds is None:
        return f"{device}; not timed on this computer yet"
    return f"{device}; about {_rounded(seconds)} a field"


def _rounded(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds:.1g} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"

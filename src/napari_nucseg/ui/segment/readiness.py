"""What the segment panel says of a model and a device before anything runs."""

from __future__ import annotations

from napari_nucseg.segmenters import devices, pace
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.segmenters.traits import DEVICE
from napari_nucseg.ui.countdown import in_words


def describe_model(model: Model) -> str:
    """Say what a model is, and where its weights will go if they are not here."""
    if model.is_ready or model.remote is None:
        return model.about
    return f"{model.about}; Segment fetches its {model.megabytes} MB to {weights_folder()} first"


def describe_device(model: Model, key: str, wanted: str, pixels: int) -> str:
    """Say where a model will run, how exactly, what is missing, and how long a field takes.

    Parameters
    ----------
    model : Model
        That will run.
    key : str
        What it is told from others by.
    wanted : str
        auto, cuda, mps or cpu.
    pixels : int
        Of a field.
    """
    on_cpu_alone = model.traits is not None and DEVICE in model.traits.ignores
    try:
        device = devices.known("cpu" if on_cpu_alone else wanted)
    except ValueError as error:
        return str(error)
    if device is None:
        where = "A GPU if torch can use the one that is here, else the CPU; told when it first runs"
        return f"{where}; {_weights(model)}"
    seconds = pace.expected(key, str(device), pixels)
    how_long = "not timed on this computer yet"
    if seconds is not None:
        how_long = f"about {in_words(seconds)} a field"
    return f"{device}; {_precision(model, device)}; {_weights(model)}; {how_long}"


def _precision(model: Model, device: devices.Device) -> str:
    told = model.traits.precision if model.traits is not None else None
    return told or devices.known_precision(device) or "float32 or bfloat16, told when it runs"


def _weights(model: Model) -> str:
    if model.path is None:
        return "needs no weights"
    if model.is_ready:
        return "weights here"
    return "weights missing" if model.remote is None else f"{model.megabytes} MB to download first"

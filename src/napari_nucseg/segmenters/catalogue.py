"""The one list of models: our own, other packages', and files; how any is loaded, and will run.

Nothing here imports torch before a model is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Set
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from napari_nucseg.io.download import fetch
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters import devices, networks, otsu, timing
from napari_nucseg.segmenters.api import DEVICE, Segmenter
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.wording import as_duration

GROUP = "napari_nucseg.segmenters"
"""Entry points by which other packages add models; each is a `Model`, or several in a tuple."""
BUNDLED: str = networks.BUNDLED.name
"""The model that comes with the package."""
_logger = logging.getLogger(__name__)


def models() -> tuple[Model, ...]:
    """List the models that have a name: our own, then those of other packages."""
    return (*_our_own(), *third_parties())


def _our_own() -> tuple[Model, ...]:
    return (networks.BUNDLED, otsu.MODEL, *networks.PUBLISHED)


@lru_cache(maxsize=1)
def third_parties() -> tuple[Model, ...]:
    """List the models of other packages, looked for once; one that is broken is left out.

    A warning in the log names each that is left out, and says why.
    """
    found = list(_our_own())
    for entry in sorted(entry_points(group=GROUP), key=_package_and_name):
        for model in _declared(entry):
            alike = next((one for one in found if _clash(one, model)), None)
            if alike is None:
                found.append(model)
            else:
                _logger.warning(
                    "%s: its model %s is left out, since the name or the weights' file of %s is "
                    "the same", _package_and_name(entry)[0], model.name, alike.name,
                )  # fmt: skip
    return tuple(found[len(_our_own()) :])


def _clash(one: Model, other: Model) -> bool:
    """Tell whether two models have one name, or weights that would be fetched to one file."""
    is_fetched = one.remote is not None and other.remote is not None
    return one.name == other.name or (is_fetched and one.path == other.path)


def _package_and_name(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name if entry.dist else "", entry.name)


def _declared(entry: EntryPoint) -> Iterator[Model]:
    """Load what another package declares; its version is told with what is made by it."""
    package, name = _package_and_name(entry)
    try:
        declared = entry.load()
        several = declared if isinstance(declared, tuple | list) else (declared,)
        if not all(isinstance(model, Model) for model in several):
            raise TypeError(f"{entry.value} is not a Model of napari_nucseg.segmenters.model")
    except Exception as error:  # noqa: BLE001 - whatever another package does, the others go on
        _logger.warning(
            "%s: its model %s cannot be loaded and is left out: %s: %s",
            package, name, type(error).__name__, error,
        )  # fmt: skip
        return
    for model in several:
        libraries = dict.fromkeys((*model.libraries, *([package] if package else [])))
        yield replace(model, libraries=tuple(libraries))


def find(name: str) -> Model:
    """Look up a model by its name, or make one of a file.

    Raises
    ------
    ValueError
        If there is no such model; the message lists those that there are.
    """
    named = {model.name: model for model in models()}
    if name in named:
        return named[name]
    path = Path(name)
    if path.is_file():
        return networks.of_file(path)
    raise ValueError(
        f"there is no model {name!r}; choose {', '.join(named)}, or the path of a model file"
    )


def caveat(name: str, splits: Set[str | None]) -> str | None:
    """Say what makes a model's scores on BBBC039 look better than they are, if anything does.

    Parameters
    ----------
    name : str
        Name of the model.
    splits : set of str or None
        Splits that the scored fields are of; None for fields that are not of BBBC039.
    """
    known = next((model.capabilities for model in models() if model.name == name), None)
    return known.caveat if known is not None and known.seen & splits else None


def terms(name: str) -> str:
    """Say a model's licence and what it was trained on; nothing of a model not known here."""
    return next((model.terms for model in models() if model.name == name), "")


def ignored_by(name: str) -> frozenset[str]:
    """Name the parameters that a model makes no use of; none of a model that is not known here."""
    known = next((model.capabilities for model in models() if model.name == name), None)
    return frozenset() if known is None else known.ignores


def download(model: Model, progress: Progress) -> None:
    """Fetch a model's weights unless they are here.

    Parameters
    ----------
    model : Model
        The model, as `find` gives it.
    progress : Progress
        Called with the bytes done and in all; may raise to stop.

    Raises
    ------
    DownloadError
        If they cannot be had; the message says what to do.
    """
    if model.remote is not None and not model.is_ready:
        folder = weights_folder()
        fetch(model.remote, folder, report=lambda done, total: progress(done, total or 0))


def load(model: Model, device: str = "auto") -> Segmenter:
    """Load a model whose weights are here; the last two stay in memory.

    Parameters
    ----------
    model : Model
        The model, as `find` gives it.
    device : str
        auto, cuda, mps or cpu.

    Raises
    ------
    ValueError
        If the file is not a model we know, or the device is not there.
    """
    modified = 0 if model.path is None else model.path.stat().st_mtime_ns
    return load_once(model, device, modified)


@lru_cache(maxsize=2)
def load_once(model: Model, device: str, modified: int) -> Segmenter:
    """Load a model, anew only if its weights were written (in ns) at another time."""
    return model.load(model, device)


def describe_device(model: Model, key: str, wanted: str, pixels: int, whole: str = "field") -> str:
    """Say where a model will run, how exactly, what is missing, and how long a field takes.

    Parameters
    ----------
    model : Model
        The model that will run.
    key : str
        Unique key that its time is known by; see `napari_nucseg.segmenters.timing.volume_key`.
    wanted : str
        auto, cuda, mps or cpu.
    pixels : int
        Number of pixels of a field, or of voxels of a volume.
    whole : str, optional
        Word for what has so many pixels.
    """
    on_cpu_alone = model.capabilities is not None and DEVICE in model.capabilities.ignores
    try:
        device = devices.known("cpu" if on_cpu_alone else wanted)
    except ValueError as error:
        return str(error)
    if device is None:
        where = "A GPU if PyTorch can use one here, else the CPU (known after the first run)"
        return f"{where}; {_weights(model)}"
    seconds = timing.expected(key, str(device), pixels)
    how_long = "not timed here yet"
    if seconds is not None:
        how_long = f"about {as_duration(seconds)} a {whole}"
    return f"{device}; {_precision(model, device)}; {_weights(model)}; {how_long}"


def _precision(model: Model, device: devices.Device) -> str:
    told = model.capabilities.precision if model.capabilities is not None else None
    return (
        told or devices.known_precision(device) or "float32 or bfloat16 (known after the first run)"
    )


def _weights(model: Model) -> str:
    if model.path is None:
        return "needs no weights"
    if model.is_ready:
        return "weights installed"
    return "weights missing" if model.remote is None else f"{model.megabytes} MB to download first"

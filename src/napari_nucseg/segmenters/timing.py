"""How long computations take on this machine, measured once and remembered."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.segmenters.api import Provenance
from napari_nucseg.segmenters.parameters import Depth
from napari_nucseg.system_info import cache_folder

_logger = logging.getLogger(__name__)

FARTHEST = 3
"""Octaves of size over which a pace holds: a small crop says little of a whole field."""


@dataclass(frozen=True)
class Measurements:
    """Numbers by name, in memory and in a file.

    Attributes
    ----------
    path : Path
        A JSON file; it and its folder are made when there is something to write. A file that
        cannot be read or written is logged as a warning, and costs no more than measuring again
        in the next process.
    """

    path: Path
    _known: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def remember(self, key: str, measure: Callable[[], float]) -> float:
        """Return the number of a key, which names all that it depends on; measure it if need be.

        What `measure` raises passes through, and nothing is remembered.
        """
        with self._lock:
            number = self.known(key)
            if number is None:
                number = measure()
                self.record(key, number)
            return number

    def known(self, key: str) -> float | None:
        """Return a number that was measured before; None if there is none."""
        with self._lock:
            if key not in self._known:
                self._known.update(self._read())
            return self._known.get(key)

    def record(self, key: str, number: float) -> None:
        """Replace what was measured before."""
        with self._lock:
            self._known[key] = number
            # Another process may have written since
            numbers = {**self._read(), key: number}
            try:
                text = json.dumps(numbers, indent=2, sort_keys=True)
                write_whole(self.path, lambda file: file.write(text.encode()))
            except OSError as error:
                _logger.warning(
                    "%s: cannot be written, so it is lost at exit: %s", self.path, error
                )

    def _read(self) -> dict[str, float]:
        try:
            numbers = dict(json.loads(self.path.read_text()))
            found = {key: float(value) for key, value in numbers.items()}
            if not all(map(math.isfinite, found.values())):
                raise ValueError("a number is not finite")
            return found
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            _logger.warning("%s: cannot be read, so it is measured again: %s", self.path, error)
            return {}


def of_this_machine() -> Measurements:
    """Return the measurements in the cache folder, the same object at every call."""
    return _in_file(cache_folder() / "measurements.json")


_in_file = lru_cache(Measurements)


def remember(model: str, made: Provenance, pixels: int, warm: bool = True) -> None:
    """Remember how long a model took for so many pixels, for `expected`.

    Parameters
    ----------
    model : str
        Unique key of the model: its name, or the path of its file.
    made : Provenance
        Provenance of the segmentation, which tells device and seconds.
    pixels : int
        Number of pixels that were segmented.
    warm : bool, optional
        Whether all was ready before; a run that had to wait counts only until there is another.
    """
    key = _key(model, made.device, pixels)
    if warm or of_this_machine().known(key) is None:
        of_this_machine().record(key, made.seconds / pixels)


def volume_key(model: str, depth: Depth | None) -> str:
    """Return the key of a model for `remember` and `expected`: volumes take a time of their own.

    Parameters
    ----------
    model : str
        Unique key of the model.
    depth : Depth or None
        How planes are put together as one volume; None for fields by themselves.
    """
    return model if depth is None else f"{model}, volume {depth}"


def expected(model: str, device: str, pixels: int) -> float | None:
    """Tell how many seconds a field or a volume will take, from the last run of about its size.

    The device is named as in `Provenance.device`. None if the model has not run on anything of
    the kind on this machine.
    """
    for octaves in sorted(range(-FARTHEST, FARTHEST + 1), key=abs):
        pace = of_this_machine().known(_key(model, device, pixels, octaves))
        if pace is not None:
            return pace * pixels
    return None


def _key(model: str, device: str, pixels: int, octaves: int = 0) -> str:
    octave = max(pixels, 1).bit_length() + octaves
    return f"seconds a pixel: {model}, {device}, below 2^{octave} px"

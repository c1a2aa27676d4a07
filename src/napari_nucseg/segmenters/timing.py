"""How long computations take on this machine, measured once and remembered."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from napari_nucseg.segmenters.api import Provenance
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
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def remember(self, key: str, measure: Callable[[], float]) -> float:
        """Return a measured number, measuring it only if it is not known.

        Parameters
        ----------
        key : str
            What is measured, with everything that it depends on.
        measure : callable
            Returns the number; what it raises passes through, and nothing is remembered.

        Returns
        -------
        float
            The number, of this call or an earlier one.
        """
        with self._lock:
            number = self._find(key)
            return self._keep(key, measure()) if number is None else number

    def known(self, key: str) -> float | None:
        """Return a number that was measured before; None if there is none."""
        with self._lock:
            return self._find(key)

    def record(self, key: str, number: float) -> None:
        """Replace what was measured before."""
        with self._lock:
            self._keep(key, number)

    def _find(self, key: str) -> float | None:
        if key not in self._known:
            self._known.update(self._read())
        return self._known.get(key)

    def _keep(self, key: str, number: float) -> float:
        self._known[key] = number
        # Another process may have written since
        self._write({**self._read(), key: number})
        return number

    def _read(self) -> dict[str, float]:
        try:
            numbers = dict(json.loads(self.path.read_text()))
            return {key: float(value) for key, value in numbers.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            _logger.warning("%s: cannot be read, so it is measured again: %s", self.path, error)
            return {}

    def _write(self, numbers: dict[str, float]) -> None:
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(numbers, indent=2, sort_keys=True))
            os.replace(partial, self.path)
        except OSError as error:
            _logger.warning("%s: cannot be written, so it is lost at exit: %s", self.path, error)


def of_this_machine() -> Measurements:
    """Return the measurements in the cache folder, the same object at every call."""
    return _in_folder(cache_folder())


@lru_cache
def _in_folder(folder: Path) -> Measurements:
    return Measurements(folder / "measurements.json")


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

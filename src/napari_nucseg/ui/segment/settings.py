"""What the panels remember until the next start: values, the model, and files of models."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from magicgui.widgets import PushButton
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams

_logger = logging.getLogger(__name__)


def load_model() -> str:
    """Name of the model that was chosen last."""
    return str(_settings().model)


def save_model(name: str) -> None:
    """Remember the model."""
    _settings().model = name


OF_IMAGE = ("diameter", "invert")
"""Parameters that are an image's own: another image does not begin with them."""


def load_params(model: str) -> SegmentParams | None:
    """Parameters last used with a model; None if there are none, or another version's."""
    values = _all_params().get(model)
    if values is None:
        return None
    try:
        return SegmentParams(**values)
    except (TypeError, ValueError) as error:
        _logger.warning("remembered parameters of %s are not used: %s", model, error)
        return None


def save_params(model: str, params: SegmentParams | None) -> None:
    """Remember the parameters of a model, or forget them."""
    known = _all_params()
    known.pop(model, None)
    if params is not None:
        known[model] = asdict(params)
    _settings().parameters = json.dumps(known)


def load_model_files() -> tuple[Path, ...]:
    """Model files that the user added, whether they are there now or not."""
    return tuple(Path(line) for line in _settings().model_files.splitlines() if line)


def save_model_files(paths: Sequence[Path]) -> None:
    """Remember the user's model files."""
    _settings().model_files = "\n".join(map(str, dict.fromkeys(paths)))


def memory_limit() -> int:
    """Bytes that results may take which are kept to follow the sliders."""
    return int(_settings().memory_mb) * 10**6


def save_memory_limit(megabytes: int) -> None:
    """Remember how many megabytes such results may take."""
    _settings().memory_mb = megabytes


def _all_params() -> dict[str, Any]:
    try:
        known = json.loads(_settings().parameters or "{}")
    except json.JSONDecodeError as error:
        _logger.warning("remembered parameters are not used: %s", error)
        return {}
    return known if isinstance(known, dict) else {}


def _settings() -> Any:
    return get_plugin_settings("napari-nucseg").segment


class ModelFiles:
    """The user's model files, remembered until the next start."""

    def __init__(self) -> None:
        self.paths = list(load_model_files())

    def choices(self, widget: Any = None) -> list[tuple[str, str]]:
        """List all models by what they are called on a form, and their keys.

        A model is told from others by its key: its name, or the whole path of a file.
        """
        named = [model.name for model in catalogue.models()]
        times = Counter([*named, *(path.name for path in self.paths)])
        files = []
        for path in self.paths:
            title = path.name if times[path.name] == 1 else f"{path.name} in {path.parent}"
            files.append((title if self.is_there(str(path)) else f"{title} (missing)", str(path)))
        return [*((name, name) for name in named), *files]

    def is_there(self, key: str) -> bool:
        """Whether a model is none of these files, or one that is there now."""
        return Path(key) not in self.paths or Path(key).is_file()

    def add(self, path: Path) -> None:
        """Take up a file, and remember it."""
        self.paths = [*dict.fromkeys([*self.paths, path])]
        save_model_files(self.paths)


def add_model_button() -> PushButton:
    """Return the button that asks for a model file."""
    return PushButton(
        text="Add a model file...",
        tooltip="Add a model that was trained with Cellpose or with napari-nucseg train.",
    )


def ask_for_model(parent: QWidget) -> Path | None:
    """Ask for a model file; None if none was chosen."""
    title = "Model trained with Cellpose or napari-nucseg"
    name, _ = QFileDialog.getOpenFileName(parent, title)
    return Path(name).absolute() if name else None

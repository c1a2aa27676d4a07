"""What the panels remember until the next start; declared in the manifest, kept by napari."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings

from napari_nucseg.core.parameters import SegmentParams

_logger = logging.getLogger(__name__)


def load_model() -> str:
    """Name of the model that was chosen last."""
    return str(_settings().model)


def save_model(name: str) -> None:
    """Remember the model."""
    _settings().model = name


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

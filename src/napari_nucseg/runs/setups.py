"""A model of the catalogue made ready for a run, here or in other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from napari_nucseg.core.presets import ScoreRule
from napari_nucseg.core.segmenting import Segmenter
from napari_nucseg.core.sources import sha256
from napari_nucseg.runs.plan import Setup
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model import Model


def set_up(model: Model, device: str, chosen: Mapping[str, Any], rule: ScoreRule) -> Setup:
    """Say how a model of the catalogue, whose weights are here, segments a dataset.

    Parameters
    ----------
    model : Model
        From `catalogue.find`.
    device : str
        auto, cuda, mps or cpu.
    chosen : mapping
        Parameters other than those that suit the model.
    rule : ScoreRule
        How fields are scored.

    Raises
    ------
    ValueError, OSError
        If it is a file of the user's that holds no network we know.
    """
    files = [path for path in (model.path, model.onnx) if path is not None]
    named = any(one.name == model.name for one in catalogue.models())
    where = model.name
    if model.path is not None and not named:
        catalogue.check(model.path)  # workers would find out when other models have run
        where = str(model.path.resolve())
    return Setup(
        model.name,
        {path.name: sha256(path) for path in files},
        partial(load_model, where, device),
        replace(model.defaults, **chosen),
        rule,
    )


def load_model(name: str, device: str) -> Segmenter:
    """Load a model by its name or file; it stays in memory.

    Raises
    ------
    FileNotFoundError
        If its weights are not on this computer.
    """
    model = catalogue.find(name)
    if not model.is_ready:
        raise FileNotFoundError(
            f"{model.path}: the weights of {name} are not on this computer; copy them there, or "
            "segment a field with it once"
        )
    return catalogue.load(model, device)

"""Choosing a model and values that suit it; both are remembered until the next start."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.settings import get_plugin_settings

from napari_nucseg.parameter_spec import describe_values
from napari_nucseg.segmenters import catalogue, networks, timing
from napari_nucseg.segmenters.api import Capabilities
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.segment.image_source import DEPTHS
from napari_nucseg.ui.segment.model_list import ask_for_model, describe_model
from napari_nucseg.ui.segment.result_cache import short_name
from napari_nucseg.ui.segment.selection import Selection

_logger = logging.getLogger(__name__)

OF_IMAGE = ("diameter", "invert")
"""Parameters that are an image's own: another image does not begin with them."""


def load_model_name() -> str:
    """Name of the model that was chosen last."""
    return str(_settings().model)


def save_model_name(name: str) -> None:
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


def _of_image(params: SegmentParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in OF_IMAGE}


def _all_params() -> dict[str, Any]:
    try:
        known = json.loads(_settings().parameters or "{}")
    except json.JSONDecodeError as error:
        _logger.warning("remembered parameters are not used: %s", error)
        return {}
    return known if isinstance(known, dict) else {}


def _settings() -> Any:
    return get_plugin_settings("napari-nucseg").segment


class ModelSelector:
    """Keeps the form's rows of model, device and values in step, and remembers them.

    Parameters
    ----------
    selection : Selection
        The chosen image, model and values, and the form.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    def __init__(self, selection: Selection, run: Run) -> None:
        self.selection, self._run = selection, run
        self._form = form = selection.form
        self._files = form.model.files
        self._of_image: dict[str, dict[str, dict[str, Any]]] = {}
        self._learned: dict[str, Capabilities] = {}
        form.model.reset_choices()
        if (last := load_model_name()) in form.model.choices:
            form.model.value = last
        form.model.changed.connect(self._show_model)
        for name in OF_IMAGE:
            form.params[name].changed.connect(self._keep_of_image)
        for row in (form.device, form.scope):
            row.changed.connect(self.show_device)
        form.defaults.changed.connect(self.use_defaults)
        form.add_model.changed.connect(self.add_file)
        self._show_model()

    @property
    def model(self) -> Model:
        """The chosen model; a file that is not there now is one that is not ready."""
        path = Path(self.selection.model)
        if not self._files.is_there(self.selection.model):
            return networks.of_file(path, f"{path} is missing; put it back or choose another model")
        model = catalogue.find(self.selection.model)
        return replace(
            model, capabilities=model.capabilities or self._learned.get(self.selection.model)
        )

    def learn(self, key: str, capabilities: Capabilities | None) -> None:
        """Take up of a run what a file is: it is not opened before."""
        if capabilities is not None:
            self._learned[key] = capabilities
            self._form.show_traits(self.model)

    def use_defaults(self) -> None:
        """Set every value to what suits the model."""
        save_params(self.selection.model, None)
        self._form.params.params = self.model.defaults

    def remember(self, params: SegmentParams) -> None:
        """Remember values until the next start, but for those that are the image's own."""
        own = _of_image(self.model.defaults)
        save_params(self.selection.model, replace(params, **own))

    def show_image_values(self) -> str:
        """Show the chosen image's own values; say which of another image are gone, if any."""
        before = self._form.params.params
        own = _of_image(self.model.defaults) | self._own.get(self.selection.model, {})
        gone = {name: value for name, value in _of_image(before).items() if value != own[name]}
        self._form.params.params = replace(before, **own)
        if not gone:
            return ""
        were = ", ".join(describe_values(SegmentParams, gone))
        now = ", ".join(describe_values(SegmentParams, {name: own[name] for name in gone}))
        return f"For this image: {now}. {were} was for another image."

    def forget_image(self, image: Image) -> None:
        """Forget the own values of an image whose data were replaced."""
        self._of_image.pop(str(image.unique_id), None)

    def use_settings(
        self, model: str, params: SegmentParams, depth: Mapping[str, Any] | None = None
    ) -> None:
        """Choose a model and values, as they made other labels.

        Parameters
        ----------
        model : str
            Name of the model, or path of its file.
        params : SegmentParams
            Values of all parameters.
        depth : mapping, optional
            How planes were put together, if they were; see `Provenance.depth`.

        Raises
        ------
        ValueError
            If there is no such model here, or several files of the name.
        """
        keys = [key for _, key in self._files.choices()]
        alike = [key for key in keys if key == model] or [
            key for key in keys if short_name(key) == short_name(model)
        ]
        if not alike:
            raise ValueError(
                f"the model {model!r} is not installed; add its file under Advanced first"
            )
        if len(alike) > 1:
            raise ValueError(
                f"{' and '.join(alike)} are both named {model!r}; choose one under Model"
            )
        self._form.model.value = alike[0]
        self._form.params.params = params
        self._form.use_depth(depth or {})

    def add_file(self) -> None:
        """Ask for a model file, and choose it if it is one."""
        ask_for_model(self._form.add_model.native, self._run, self.take_up)

    def refresh(self) -> None:
        """Show which files are there now."""
        self._form.model.reset_choices()
        self._form.about.value = describe_model(self.model)

    def show_device(self) -> None:
        """Say where the model will run, and for how long."""
        depth = DEPTHS.get(self._form.scope.value)
        self._form.place.value = catalogue.describe_device(
            self.model,
            timing.volume_key(self.selection.model, depth),
            self._form.device.value,
            self.selection.pixels,
            "field" if depth is None else "volume",
        )

    def _show_model(self) -> None:
        model = self.model
        save_model_name(self.selection.model)
        self._form.about.value = describe_model(model)
        params = load_params(self.selection.model) or model.defaults
        own = _of_image(model.defaults) | self._own.get(self.selection.model, {})
        self._form.params.params = replace(params, **own)
        self._form.params.defaults = model.defaults
        self._form.show_traits(model)
        self.show_device()

    @property
    def _own(self) -> dict[str, dict[str, Any]]:
        """Return the chosen image's own values by the model, as they are kept."""
        image = self.selection.image
        return self._of_image.setdefault("" if image is None else str(image.unique_id), {})

    def _keep_of_image(self) -> None:
        self._own[self.selection.model] = _of_image(self._form.params.params)

    def take_up(self, path: Path) -> None:
        """Add a model file to the list, and choose it."""
        self._files.add(path)
        self._form.model.reset_choices()
        self._form.model.value = str(path)

"""Choosing a model and values that suit it; both are remembered until the next start."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.parameter_spec import describe_values
from napari_nucseg.segmenters import catalogue, networks, timing
from napari_nucseg.segmenters.api import Capabilities
from napari_nucseg.segmenters.model import Model, describe_device, weights_folder
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.segment.image_source import DEPTHS
from napari_nucseg.ui.segment.result_cache import short_name
from napari_nucseg.ui.segment.selection import Selection

_logger = logging.getLogger(__name__)

OF_IMAGE = ("diameter", "invert")
"""Parameters that are an image's own: another image does not begin with them."""
YOURS, MISSING = "yours", "yours, missing"
"""What is said in a list of a model file that the user added."""


def describe_model(model: Model) -> str:
    """Say what a model is, and where its weights will go if they are not here."""
    if model.is_ready or model.remote is None:
        return model.about
    return (
        f"{model.about}. Segment first downloads its {model.megabytes} MB to {weights_folder()}. "
        f"Licence: {model.licence}"
    )


def _titled(model: Model) -> str:
    """Name a model in a list: if it has to be downloaded first, with its size."""
    return model.name if model.is_ready else f"{model.name} \u2193 {model.megabytes:,} MB"


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


class ModelFiles:
    """The user's model files, remembered until the next start; all panels share them."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the files, whether they are there now or not."""
        return load_model_files()

    def choices(self, widget: Any = None) -> list[tuple[str, str]]:
        """List all models by what they are called on a form, and their keys.

        First those that are ready, then those to be downloaded with their size, then the user's. A
        model is told from others by its key: its name, or the whole path of a file.
        """
        known = sorted(catalogue.models(), key=lambda model: not model.is_ready)
        named = [model.name for model in known]
        times = Counter([*named, *(path.name for path in self.paths)])
        files = []
        for path in self.paths:
            title = path.name if times[path.name] == 1 else f"{path.name} in {path.parent}"
            files.append((f"{title} ({YOURS if self.is_there(str(path)) else MISSING})", str(path)))
        return [*((_titled(model), model.name) for model in known), *files]

    def is_there(self, key: str) -> bool:
        """Whether a model is none of these files, or one that is there now."""
        return Path(key) not in self.paths or Path(key).is_file()

    def add(self, path: Path) -> None:
        """Take up a file, and remember it."""
        save_model_files([*self.paths, path])


def ask_for_model(parent: QWidget) -> Path | None:
    """Ask for a model file; None if none was chosen."""
    name, _ = QFileDialog.getOpenFileName(parent, "Model trained with Cellpose or napari-nucseg")
    return Path(name).absolute() if name else None


class ModelSelector:
    """Keeps the form's rows of model, device and values in step, and remembers them.

    Parameters
    ----------
    chosen : Selection
        The chosen image, model and values, and the form.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    def __init__(self, chosen: Selection, run: Run) -> None:
        self.chosen = chosen
        self._form = form = chosen.form
        self._run = run
        self._files = ModelFiles()
        self._of_image: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._learned: dict[str, Capabilities] = {}
        form.model.choices = self._files.choices
        last = load_model()
        if last in form.model.choices:
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
        path = Path(self.chosen.model)
        if not self._files.is_there(self.chosen.model):
            about = f"{path} is missing; put it back, or choose another model"
            return networks.of_file(path, about)
        model = catalogue.find(self.chosen.model)
        return replace(
            model, capabilities=model.capabilities or self._learned.get(self.chosen.model)
        )

    def learn(self, key: str, capabilities: Capabilities | None) -> None:
        """Take up of a run what a file is: it is not opened before."""
        if capabilities is not None:
            self._learned[key] = capabilities
            self._form.show_traits(self.model)

    def use_defaults(self) -> None:
        """Set every value to what suits the model."""
        save_params(self.chosen.model, None)
        self._form.params.params = self.model.defaults

    def remember(self, params: SegmentParams) -> None:
        """Remember values until the next start, but for those that are the image's own."""
        own = _of_image(self.model.defaults)
        save_params(self.chosen.model, replace(params, **own))

    def show_image_values(self) -> str:
        """Show the chosen image's own values; say which of another image are gone, if any."""
        before = self._form.params.params
        own = _of_image(self.model.defaults) | self._of_image.get(self._place, {})
        gone = {name: value for name, value in _of_image(before).items() if value != own[name]}
        self._form.params.params = replace(before, **own)
        if not gone:
            return ""
        were = ", ".join(describe_values(SegmentParams, gone))
        now = ", ".join(describe_values(SegmentParams, {name: own[name] for name in gone}))
        return f"For this image: {now}. {were} was for another image."

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
        path = ask_for_model(self._form.add_model.native)
        if path is not None:
            self._run(lambda tell: networks.check(path), lambda _: self.take_up(path))

    def refresh(self) -> None:
        """Show which files are there now."""
        with self._form.model.changed.blocked():
            chosen = self.chosen.model
            self._form.model.reset_choices()
            self._form.model.value = chosen
        self._form.about.value = describe_model(self.model)

    def show_device(self) -> None:
        """Say where the model will run, and for how long."""
        depth = DEPTHS.get(self._form.scope.value)
        self._form.place.value = describe_device(
            self.model,
            timing.volume_key(self.chosen.model, depth),
            self._form.device.value,
            self.chosen.pixels,
            "field" if depth is None else "volume",
        )

    def _show_model(self) -> None:
        model = self.model
        save_model(self.chosen.model)
        self._form.about.value = describe_model(model)
        params = load_params(self.chosen.model) or model.defaults
        own = _of_image(model.defaults) | self._of_image.get(self._place, {})
        self._form.params.params = replace(params, **own)
        self._form.params.defaults = model.defaults
        self._form.show_traits(model)
        self.show_device()

    @property
    def _place(self) -> tuple[str, str, int]:
        """Say whose own values are shown: those of an image's data, by a model."""
        image, model = self.chosen.image, self.chosen.model
        return ("", model, 0) if image is None else (str(image.unique_id), model, id(image.data))

    def _keep_of_image(self) -> None:
        self._of_image[self._place] = _of_image(self._form.params.params)

    def take_up(self, path: Path) -> None:
        """Add a model file to the list, and choose it."""
        self._files.add(path)
        self._form.model.reset_choices()
        self._form.model.value = str(path)

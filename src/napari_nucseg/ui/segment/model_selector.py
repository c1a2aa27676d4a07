"""Choosing a model: what it is, whether it is ready, where it runs, and which values suit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_nucseg.parameter_spec import describe_values
from napari_nucseg.segmenters import catalogue, devices, networks, timing
from napari_nucseg.segmenters.api import DEVICE, Capabilities
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.jobs import Run, in_words
from napari_nucseg.ui.segment import settings
from napari_nucseg.ui.segment.prediction_layer import short_name
from napari_nucseg.ui.segment.request import Selection
from napari_nucseg.ui.segment.settings import ModelFiles, ask_for_model


def describe_model(model: Model) -> str:
    """Say what a model is, and where its weights will go if they are not here."""
    if model.is_ready or model.remote is None:
        return model.about
    return f"{model.about}. Segment first downloads its {model.megabytes} MB to {weights_folder()}"


def describe_device(model: Model, key: str, wanted: str, pixels: int) -> str:
    """Say where a model will run, how exactly, what is missing, and how long a field takes.

    Parameters
    ----------
    model : Model
        The model that will run.
    key : str
        Unique key of the model: its name, or the path of its file.
    wanted : str
        auto, cuda, mps or cpu.
    pixels : int
        Number of pixels of a field.
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
        how_long = f"about {in_words(seconds)} a field"
    return f"{device}; {_precision(model, device)}; {_weights(model)}; {how_long}"


def _precision(model: Model, device: devices.Device) -> str:
    told = model.capabilities.precision if model.capabilities is not None else None
    return (
        told
        or devices.known_precision(device)
        or ("float32 or bfloat16 (known after the first run)")
    )


def _weights(model: Model) -> str:
    if model.path is None:
        return "needs no weights"
    if model.is_ready:
        return "weights installed"
    return "weights missing" if model.remote is None else f"{model.megabytes} MB to download first"


def _of_image(params: SegmentParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in settings.OF_IMAGE}


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
        self._chosen = chosen
        self._form = form = chosen.form
        self._run = run
        self._files = ModelFiles()
        self._of_image: dict[tuple[str, str], dict[str, Any]] = {}
        self._learned: dict[str, Capabilities] = {}
        form.model.choices = self._files.choices
        last = settings.load_model()
        if last in form.model.choices:
            form.model.value = last
        form.model.changed.connect(self._show_model)
        for name in settings.OF_IMAGE:
            form.params[name].changed.connect(self._keep_of_image)
        form.device.changed.connect(self.show_device)
        form.defaults.changed.connect(self.use_defaults)
        form.add_model.changed.connect(self.add_file)
        self._show_model()

    @property
    def model(self) -> Model:
        """The chosen model; a file that is not there now is one that is not ready."""
        path = Path(self._chosen.model)
        if not self._files.is_there(self._chosen.model):
            about = f"{path} is missing; put it back, or choose another model"
            return networks.of_file(path, about)
        model = catalogue.find(self._chosen.model)
        return replace(
            model, capabilities=model.capabilities or self._learned.get(self._chosen.model)
        )

    def learn(self, key: str, capabilities: Capabilities | None) -> None:
        """Take up of a run what a file is: it is not opened before."""
        if capabilities is not None:
            self._learned[key] = capabilities
            self._form.show_traits(self.model)

    def use_defaults(self) -> None:
        """Set every value to what suits the model."""
        settings.save_params(self._chosen.model, None)
        self._form.params.params = self.model.defaults

    def remember(self, params: SegmentParams) -> None:
        """Remember values until the next start, but for those that are the image's own."""
        own = _of_image(self.model.defaults)
        settings.save_params(self._chosen.model, replace(params, **own))

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
            self._run(lambda tell: networks.check(path), lambda _: self._take_up(path))

    def refresh(self) -> None:
        """Show which files are there now."""
        with self._form.model.changed.blocked():
            chosen = self._chosen.model
            self._form.model.reset_choices()
            self._form.model.value = chosen
        self._form.about.value = describe_model(self.model)

    def show_device(self) -> None:
        """Say where the model will run, and for how long."""
        wanted = self._form.device.value
        self._form.place.value = describe_device(
            self.model, self._chosen.model, wanted, self._chosen.pixels
        )

    def _show_model(self) -> None:
        model = self.model
        settings.save_model(self._chosen.model)
        self._form.about.value = describe_model(model)
        params = settings.load_params(self._chosen.model) or model.defaults
        own = _of_image(model.defaults) | self._of_image.get(self._place, {})
        self._form.params.params = replace(params, **own)
        self._form.params.defaults = model.defaults
        self._form.show_traits(model)
        self.show_device()

    @property
    def _place(self) -> tuple[str, str]:
        image = self._chosen.image
        return "" if image is None else str(image.unique_id), self._chosen.model

    def _keep_of_image(self) -> None:
        self._of_image[self._place] = _of_image(self._form.params.params)

    def _take_up(self, path: Path) -> None:
        self._files.add(path)
        self._form.model.reset_choices()
        self._form.model.value = str(path)

"""Choosing a model: what it is, where it will run, the values that suit it, and files of models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui import preferences
from napari_nucseg.ui.jobs import Work
from napari_nucseg.ui.readiness import describe_device, describe_model
from napari_nucseg.ui.segment_form import SegmentForm

Run = Callable[[Work, Callable[[Any], None]], Any]
"""Does work in a thread, and shows its result."""


class ModelChooser:
    """Keeps the form's rows of model, device and values in step, and remembers them.

    Parameters
    ----------
    form : SegmentForm
        Whose rows they are.
    pixels : callable
        Returns how many pixels the chosen image's fields have.
    run : callable
        Does work in the background.
    """

    def __init__(self, form: SegmentForm, pixels: Callable[[], int], run: Run) -> None:
        self._form = form
        self._pixels = pixels
        self._run = run
        self._files = list(preferences.load_model_files())
        form.model.choices = self._names
        last = preferences.load_model()
        if last in form.model.choices:
            form.model.value = last
        form.model.changed.connect(self._show_model)
        form.device.changed.connect(self.show_device)
        form.defaults.changed.connect(self.use_defaults)
        form.add_model.changed.connect(self.add_file)
        self._show_model()

    @property
    def model(self) -> catalogue.Model:
        """The chosen model."""
        return catalogue.find(str(self._form.model.value))

    def use_defaults(self) -> None:
        """Set every value to what suits the model."""
        preferences.save_params(self.model.name, None)
        self._form.params.params = self.model.defaults

    def use_settings(self, model: str, params: SegmentParams) -> None:
        """Choose a model and values, as they made other labels.

        Raises
        ------
        ValueError
            If there is no such model here.
        """
        names = {catalogue.find(name).name: name for name in self._names()}
        if model not in names:
            raise ValueError(f"there is no model {model!r} here; add its file first")
        self._form.model.value = names[model]
        self._form.params.params = params

    def add_file(self) -> None:
        """Ask for a model file, and choose it if it is one."""
        title = "Model trained with Cellpose or napari-nucseg"
        name, _ = QFileDialog.getOpenFileName(self._form.add_model.native, title)
        if name:
            path = Path(name)
            self._run(lambda tell: catalogue.check(path), lambda _: self._take_up(path))

    def show_device(self) -> None:
        """Say where the model will run, and for how long."""
        wanted = self._form.device.value
        self._form.place.value = describe_device(self.model, wanted, self._pixels())

    def _show_model(self) -> None:
        model = self.model
        preferences.save_model(str(self._form.model.value))
        self._form.about.value = describe_model(model)
        self._form.params.params = preferences.load_params(model.name) or model.defaults
        self.show_device()

    def _take_up(self, path: Path) -> None:
        self._files = [*dict.fromkeys([*self._files, path])]
        preferences.save_model_files(self._files)
        self._form.model.reset_choices()
        self._form.model.value = str(path)

    def _names(self, widget: Any = None) -> list[str]:
        return [model.name for model in catalogue.models()] + [str(path) for path in self._files]

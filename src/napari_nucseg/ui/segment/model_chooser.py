"""Choosing a model: what it is, where it will run, the values that suit it, and files of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.segmenters import catalogue, traits
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.segment import preferences
from napari_nucseg.ui.segment.chosen import Chosen
from napari_nucseg.ui.segment.model_files import ModelFiles, ask_for_model
from napari_nucseg.ui.segment.predictions import short_name
from napari_nucseg.ui.segment.readiness import describe_device, describe_model


class ModelChooser:
    """Keeps the form's rows of model, device and values in step, and remembers them.

    Parameters
    ----------
    chosen : Chosen
        What is chosen, and the form whose rows they are.
    run : callable
        Does work in the background.
    """

    def __init__(self, chosen: Chosen, run: Run) -> None:
        self._chosen = chosen
        self._form = form = chosen.form
        self._run = run
        self._files = ModelFiles()
        self._learned: dict[str, traits.Traits] = {}
        form.model.choices = self._files.choices
        last = preferences.load_model()
        if last in form.model.choices:
            form.model.value = last
        form.model.changed.connect(self._show_model)
        form.device.changed.connect(self.show_device)
        form.defaults.changed.connect(self.use_defaults)
        form.add_model.changed.connect(self.add_file)
        self._show_model()

    @property
    def model(self) -> Model:
        """The chosen model; a file that is not there now is one that is not ready."""
        path = Path(self._chosen.model)
        if not self._files.is_there(self._chosen.model):
            about = f"{path} is not there now; bring it back, or choose another model"
            return Model(path.name, about, path, 0)
        model = catalogue.find(self._chosen.model)
        return replace(model, traits=model.traits or self._learned.get(self._chosen.model))

    def learn(self, key: str, ignores: frozenset[str] | None) -> None:
        """Take up of a run what a file is: it is not opened before."""
        kinds = (traits.FLUO, traits.UNET, traits.CLASSIC, traits.CELLPOSE)
        known = next((kind for kind in kinds if kind.ignores == ignores), None)
        if known is not None:
            self._learned[key] = known
            self._form.show_traits(self.model)

    def use_defaults(self) -> None:
        """Set every value to what suits the model."""
        preferences.save_params(self._chosen.model, None)
        self._form.params.params = self.model.defaults

    def use_settings(
        self, model: str, params: SegmentParams, depth: Mapping[str, Any] | None = None
    ) -> None:
        """Choose a model and values, as they made other labels.

        Parameters
        ----------
        model : str
            Its name, or the path of a file.
        params : SegmentParams
            The values.
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
            raise ValueError(f"there is no model {model!r} here; add its file first")
        if len(alike) > 1:
            raise ValueError(f"{' and '.join(alike)} are both named {model!r}; choose one yourself")
        self._form.model.value = alike[0]
        self._form.params.params = params
        self._form.use_depth(depth or {})

    def add_file(self) -> None:
        """Ask for a model file, and choose it if it is one."""
        path = ask_for_model(self._form.add_model.native)
        if path is not None:
            self._run(lambda tell: catalogue.check(path), lambda _: self._take_up(path))

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
        preferences.save_model(self._chosen.model)
        self._form.about.value = describe_model(model)
        self._form.params.params = preferences.load_params(self._chosen.model) or model.defaults
        self._form.show_traits(model)
        self.show_device()

    def _take_up(self, path: Path) -> None:
        self._files.add(path)
        self._form.model.reset_choices()
        self._form.model.value = str(path)

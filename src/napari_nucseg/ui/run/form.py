"""The widgets of the run panel, and how they lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit, LineEdit, ProgressBar, PushButton, Select
from magicgui.widgets.bases import ValueWidget, Widget
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_nucseg.io.datasets import list_splits
from napari_nucseg.io.lists import SPLITS
from napari_nucseg.io.plates import PlateOptions
from napari_nucseg.metrics.matching import find_preset
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.params_form import (
    ParamsForm,
    add_model_button,
    labelled,
    preset_box,
    show_row,
    switch,
    threshold_slider,
)
from napari_nucseg.ui.segment.model_list import ModelFiles
from napari_nucseg.ui.widgets import TextLine, file_row, path_in

PLUGIN = "napari-nucseg"
ALL = "all fields"
_ROWS_OF_MODELS = 84
"""Pixels of the list of models."""


class RunForm:
    """The panel's widgets; what they do is the panel's."""

    def __init__(self) -> None:
        self.files = ModelFiles()
        self._make_dataset_rows()
        self._make_model_rows()
        self._make_rule_rows()
        self._make_plate_rows()
        self._make_run_rows()
        self.models.native.setMaximumHeight(_ROWS_OF_MODELS)
        self.dataset.changed.connect(self._on_dataset)
        self.truths.changed.connect(self.show_missing)

    def _make_dataset_rows(self) -> None:
        self.dataset = file_row(
            "Dataset",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder that holds images/ and masks/ or labels/, such as BBBC039; or a "
            "folder of images a.tif with their labels a_masks.tif. A folder of images alone is "
            "segmented and measured, and scored if you choose the folder of its ground truth.",
        )
        self.truths = file_row(
            "Ground truth",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder of the ground truth, if the dataset is a folder of images alone. "
            "Files have the images' names. Leave it empty otherwise.",
        )
        self.notes = [TextLine(label=""), TextLine(label="")]
        self.download = PushButton(
            text="Download BBBC039 (80 MB)",
            tooltip="Download the published dataset, and choose it.",
        )
        self.split = ComboBox(
            label="Fields",
            choices=self._splits,
            tooltip="All fields of the folder, or those of a list (.txt) in it or in its "
            "metadata/.",
        )

    def _make_model_rows(self) -> None:
        self.models = Select(
            label="Models",
            choices=self._models,
            value=[catalogue.BUNDLED],
            tooltip="Hold Ctrl to choose several models and compare them. Missing weights are "
            "downloaded first.",
        )
        self.device = ComboBox(
            label="Device",
            choices=CHOICES,
            tooltip="Where the networks run. auto takes an NVIDIA GPU (CUDA) if there is one, "
            "else an Apple GPU (MPS), else the CPU. If there are several GPUs, all are "
            "used.",
        )
        self.add_model = add_model_button()
        bundled = catalogue.find(catalogue.BUNDLED)
        self.params = ParamsForm(bundled.defaults)
        self._values = labelled(self.params.rows)
        self.show_model(bundled)

    def _make_rule_rows(self) -> None:
        self.threshold, self.preset = threshold_slider(), preset_box()
        self.empty_as_one = switch(
            "Empty fields count as 1",
            "A field without nuclei counts as 1 if nothing is predicted there, as in some papers. "
            "Otherwise it is left out of means.",
        )
        self.ignore_border = switch(
            "Ignore nuclei at the border",
            "Nuclei that touch the border of the image are left out of scores, on both sides.",
        )
        self.components = switch(
            "Binary masks",
            "The ground truth is binary masks: each piece in one is a nucleus. Otherwise all of a "
            "binary mask is one nucleus.",
        )

    def _make_plate_rows(self) -> None:
        self.channel = LineEdit(
            label="Channel",
            tooltip="Channel of the nuclei in a plate, by name or number. Leave it empty where "
            "there is one channel.",
        )
        self.truth_labels = LineEdit(
            label="Labels of truth",
            tooltip="Name of the labels in a plate of OME-Zarr that are the ground truth. Leave it "
            "empty where there are no others.",
        )
        self.acquisition = LineEdit(
            label="Acquisition",
            tooltip="Which acquisition of a plate of OME-Zarr is taken, by name or number. Leave "
            "it empty where there is one.",
        )
        self.pattern = LineEdit(
            label="File names",
            tooltip="How the names of files tell their well: a regular expression with groups "
            "(?P<well>...), or row and column, and site and channel if names have them. Leave it "
            "empty for a plate of OME-Zarr and other datasets.",
        )

    def _make_run_rows(self) -> None:
        self.scheduler = LineEdit(
            label="Scheduler",
            tooltip="Address of a Dask scheduler, such as tcp://host:8786, to run on a cluster. "
            "Leave it empty to run on this computer.",
        )
        self.out = file_row(
            "Results",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder for labels, tables and the report. A run that was stopped in this "
            "folder goes on, if all values are the same.",
        )
        self.run = PushButton(
            text="Run", tooltip="Segment and score every field. You can go on working meanwhile."
        )
        self.cancel = PushButton(
            text="Cancel", tooltip="Stop. Press Run later to go on from there."
        )
        self.show_results = PushButton(
            text="Show in viewer", tooltip="Open images, predictions and verdicts as stacks."
        )
        self.show_report = PushButton(
            text="Open report", tooltip="Open the report in the browser. It works offline."
        )
        self.progress = ProgressBar(min=0, max=1, value=0)

    @property
    def locked_while_running(self) -> Iterable[Widget]:
        """Widgets that are of no use during a run."""
        buttons = (self.download, self.add_model, self.run)
        return (*self.choices, *buttons)

    @property
    def choices(self) -> tuple[ValueWidget | FileEdit, ...]:
        """All that can be chosen."""
        return (*self._rows, *self._more, *self.params.rows)

    def top(self) -> QWidget:
        """Lay out what is chosen."""
        box: QWidget = labelled(self._rows)
        layout = box.layout()
        assert isinstance(layout, QFormLayout)
        below = (
            (self.dataset, self.download),
            (self.dataset, self.notes[0]),
            (self.truths, self.notes[1]),
            (self.models, self.add_model),
        )
        for row, widget in below:
            layout.insertRow(layout.getWidgetPosition(row.native)[0] + 1, widget.native)
        return box

    def more(self) -> QWidget:
        """Lay out what is seldom changed."""
        return labelled(self._more)

    def values(self) -> QWidget:
        """Lay out the values of the model, which suit it unless they are changed."""
        return self._values

    def show_model(self, model: Model) -> None:
        """Show the values that suit a model, and of these only what it makes use of."""
        self.params.params = model.defaults
        ignored = catalogue.ignored_by(model.name)
        for row in self.params.rows:
            show_row(self._values, row, row.name not in ignored)

    @property
    def rule(self) -> ScoreRule:
        """How fields are to be scored."""
        preset = find_preset(self.preset.value)
        iou, ignored = round(self.threshold.value, 4), self.ignore_border.value
        return ScoreRule(iou, preset, self.empty_as_one.value, ignored)

    @property
    def plate(self) -> PlateOptions:
        """What is taken of a plate."""
        rows = (self.channel, self.truth_labels, self.pattern, self.acquisition)
        return PlateOptions(*(row.value.strip() for row in rows))

    def chosen(self, defaults: SegmentParams) -> dict[str, float]:
        """Return the values that differ from those that suit the model; one model alone has any."""
        values: SegmentParams = self.params.params
        if len(self.models.value) != 1:
            return {}
        return {
            name: value for name, value in vars(values).items() if value != getattr(defaults, name)
        }

    @property
    def _rows(self) -> tuple[ValueWidget | FileEdit, ...]:
        where = (self.dataset, self.truths, self.split, self.models, self.device)
        return (*where, self.threshold, self.preset, self.out)

    @property
    def _more(self) -> tuple[ValueWidget | FileEdit, ...]:
        rule = (self.components, self.empty_as_one, self.ignore_border)
        plate = (self.channel, self.truth_labels, self.acquisition, self.pattern)
        return (*rule, *plate, self.scheduler)

    def _on_dataset(self) -> None:
        self.split.reset_choices()
        self.show_missing()
        self.download.visible = path_in(self.dataset) is None

    def show_missing(self) -> bool:
        """Say below a folder that is not there that it is not; tell whether one is."""
        missing = []
        for row, note in zip((self.dataset, self.truths), self.notes, strict=True):
            path = path_in(row)
            is_missing = path is not None and not path.exists()
            note.value = f"{path} does not exist." if is_missing else ""
            note.visible = is_missing
            missing.append(is_missing)
        return any(missing)

    def _models(self, widget: Any = None) -> list[tuple[str, str]]:
        return [(title, key) for title, key in self.files.choices() if self.files.is_there(key)]

    def _splits(self, widget: Any = None) -> list[str]:
        folder = path_in(self.dataset)
        if folder is None or not folder.exists():
            return [ALL, *SPLITS]
        try:
            return [ALL, *list_splits(folder)]
        except (ValueError, OSError):  # a run tells what is wrong with the folder
            return [ALL]

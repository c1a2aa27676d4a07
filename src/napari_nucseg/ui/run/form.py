"""The widgets of the run panel, and how they lie."""

from __future__ import annotations

from collections.abc import Iterable

from magicgui.types import FileDialogMode
from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    ProgressBar,
    PushButton,
    Select,
)
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import QWidget

from napari_nucseg.core.bbbc039 import SPLITS
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.form import ParamsForm, labelled, threshold_slider

ALL = "all fields"
_ROWS_OF_MODELS = 84
"""Pixels of the list of models."""
_WIDTH_OF_BUTTON = 36


class RunForm:
    """The panel's widgets; what they do is the panel's."""

    def __init__(self) -> None:
        self.dataset = FileEdit(
            label="Dataset",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder that holds images/ and masks/, such as BBBC039.",
        )
        self.split = ComboBox(
            label="Fields",
            choices=(ALL, *SPLITS),
            tooltip="All fields of the folder, or those that metadata/ lists under this name.",
        )
        self.models = Select(
            label="Models",
            choices=[model.name for model in catalogue.models()],
            value=[catalogue.BUNDLED],
            tooltip="Hold Ctrl to choose several, which are compared. Weights that are not here "
            "are fetched first.",
        )
        self.device = ComboBox(
            label="Device",
            choices=CHOICES,
            tooltip="Where the networks run. auto takes a CUDA GPU, then an Apple GPU, then the "
            "CPU; each of several GPUs gets a process.",
        )
        self.threshold = threshold_slider()
        self.out = FileEdit(
            label="Results",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder for labels, tables and the report. A run that was stopped in it goes "
            "on; one with other values is refused.",
        )
        self.params = ParamsForm(catalogue.find(catalogue.BUNDLED).defaults)
        self.run = PushButton(
            text="Run", tooltip="Segment and score every field, in the background."
        )
        self.cancel = PushButton(text="Cancel", tooltip="Stop; Run goes on from there later.")
        self.show_results = PushButton(
            text="Show in viewer", tooltip="Open images, predictions and verdicts as stacks."
        )
        self.show_report = PushButton(
            text="Open report", tooltip="Open the report in the browser; it needs no network."
        )
        self.progress = ProgressBar(min=0, max=1, value=0)
        self.models.native.setMaximumHeight(_ROWS_OF_MODELS)
        for row in (self.dataset, self.out):
            row.choose_btn.text = "..."  # leaves room for the path
            row.choose_btn.native.setMaximumWidth(_WIDTH_OF_BUTTON)

    @property
    def locked_while_running(self) -> Iterable[Widget]:
        """Widgets that are of no use during a run."""
        choices = (self.dataset, self.split, self.models, self.device, self.threshold, self.out)
        return (*choices, *self.params.rows, self.run)

    def top(self) -> QWidget:
        """Lay out what is chosen."""
        rows = (self.dataset, self.split, self.models, self.device, self.threshold, self.out)
        return labelled(rows)

    def values(self) -> QWidget:
        """Lay out the values of the model, which suit it unless they are changed."""
        return labelled(self.params.rows)

    def chosen(self, model: Model) -> dict[str, float]:
        """Return the values that differ from those that suit the model; one model alone has any."""
        values: SegmentParams = self.params.params
        if len(self.models.value) != 1:
            return {}
        return {
            name: value
            for name, value in vars(values).items()
            if value != getattr(model.defaults, name)
        }


def side_by_side(*widgets: Widget) -> QWidget:
    """Lay out widgets in a row."""
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    box: QWidget = row.native
    return box

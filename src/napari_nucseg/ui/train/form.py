"""The widgets of the train panel, and how they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, Label, ProgressBar, PushButton, SpinBox
from magicgui.widgets.bases import Widget
from napari.layers import Shapes
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_nucseg.batch.train_log import TrainFiles
from napari_nucseg.segmenters import devices, networks
from napari_nucseg.segmenters.training.params import (
    FINE_TUNING,
    MODELS,
    SAM_ENDING,
    SAM_MEMORY,
    is_sam,
    lack_for_sam,
    starting_params,
)
from napari_nucseg.ui.params_form import (
    ParamsForm,
    add_model_button,
    folded,
    labelled,
    scrolled,
    show_row,
    switch,
)
from napari_nucseg.ui.segment.model_list import ADDED, ModelBox, ModelRow
from napari_nucseg.ui.train.fields import PairList
from napari_nucseg.ui.train.worker import RESUME
from napari_nucseg.ui.widgets import TextLine, file_row, path_in, tight
from napari_nucseg.wording import counted

SAFETENSORS = ".safetensors"
LAYERS, FOLDER = "layers in the viewer", "a dataset folder"
QUARTER = -1
"""What the number of held-out fields is where it is not chosen."""
MINUTES = 5
TOO_SMALL = f"needs a GPU with {SAM_MEMORY} GB"
"""What is said of a model that the device cannot teach."""
_GIVEN = "fine_tune"
"""What is not chosen here: a model is changed little."""


class StartBox(ModelBox):
    """A choice of the models that can be taught; what the device cannot teach is grey.

    Options are arguments of `ComboBox`, such as its label.
    """

    def __init__(self, **options: Any) -> None:
        self.device = "auto"
        super().__init__(**options)

    def rows(self) -> list[ModelRow]:
        """List what can be taught, and why the device cannot where that is known."""
        lack = self._lack_for_sam()
        large = {model.name for model in networks.SAMS} if lack else set()
        named = {model.name for model in MODELS}
        return [
            replace(row, needs=TOO_SMALL, refusal=lack) if row.key in large else row
            for row in super().rows()
            if row.key in named or (row.group == ADDED and self.files.is_there(row.key))
        ]

    def _lack_for_sam(self) -> str:
        """Say why the device cannot teach Cellpose-SAM; empty if it can, or is not known yet."""
        try:
            device = devices.known(self.device)
        except ValueError as error:
            return str(error)
        return "" if device is None else lack_for_sam(device)


class TrainForm:
    """The panel's widgets; what they do is the panel's.

    Parameters
    ----------
    shapes : callable
        Lists the Shapes layers to choose from.
    """

    def __init__(self, shapes: Callable[..., list[Shapes]]) -> None:
        self._add_sources()
        self._add_limits(shapes)
        self._add_course()
        self._add_actions()
        for box in (self.start, self.inside):
            box.native.setMinimumContentsLength(8)
            box.native.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )

    def _add_sources(self) -> None:
        """Add the rows of what is taught, and what it learns from."""
        self.start = StartBox(
            label="Start from",
            tooltip="Model that is taught. It stays as it is; the new one is saved in a file of "
            "its own. Those with an arrow are downloaded first. Cellpose-SAM (cpsam) learns on a "
            f"GPU with at least {SAM_MEMORY} GB of memory.",
        )
        self.add_model = add_model_button()
        self.source = ComboBox(
            label="Learn from",
            choices=[LAYERS, FOLDER],
            tooltip="Labels layers of the viewer with their images, or all fields of a dataset "
            "on disk.",
        )
        self.pairs = PairList()
        self.folder = file_row(
            "Folder",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="Folder of a dataset: images/ with masks/ or labels/, or images a.tif with "
            "their labels a_masks.tif.",
        )
        self.alone = TextLine(label="")

    def _add_limits(self, shapes: Callable[..., list[Shapes]]) -> None:
        """Add the rows of what is not learned from."""
        self.inside = ComboBox(
            label="Complete in",
            choices=shapes,
            nullable=True,
            tooltip="Shapes layer, if nuclei are labelled in part of a field only: nothing outside "
            "its rectangles, ellipses and polygons is learned or scored. Fields without one are "
            "left out. Choose none if all nuclei are labelled.",
        )
        self.hold_out = ComboBox(
            label="Hold out",
            choices=[("a quarter", QUARTER), *((counted(n, "field"), n) for n in range(11))],
            tooltip="Fields that the model never learns from. They tell whether it gets better, "
            "and which weights are kept. A quarter is at least one. With 0 nothing tells.",
        )
        self.held = TextLine(label="")

    def _add_course(self) -> None:
        """Add the rows of how it learns, and where it is saved."""
        self.minutes = SpinBox(
            label="Minutes",
            min=1,
            max=10_000,
            value=MINUTES,
            tooltip="Longest time to learn. It ends sooner if the held-out fields have not got "
            "better for a while.",
        )
        self.device = ComboBox(
            label="Device",
            choices=devices.CHOICES,
            tooltip="Where the network learns. auto takes an NVIDIA GPU (CUDA) if there is one, "
            "else an Apple GPU (MPS), else the CPU.",
        )
        self.place = TextLine(label="")
        self.out = file_row(
            "Save as",
            mode=FileDialogMode.OPTIONAL_FILE,
            filter="Weights (*.safetensors *.pt)",
            tooltip="New file for the model. Beside it lie what it learned from (.json) and its "
            "curves (.csv, .png). No file is replaced.",
        )
        self.resume = switch(
            RESUME,
            "Go on with the training that was interrupted in this file, with the same fields and "
            "values. Untick it and choose another name to begin anew.",
            value=True,
        )
        self.values: ParamsForm[Any] = ParamsForm(FINE_TUNING, has_resets=True)

    def _add_actions(self) -> None:
        """Add what begins and ends the work, and what tells of it."""
        self.train = PushButton(
            text="Train", tooltip="Teach the model. You can go on working meanwhile."
        )
        self.cancel = PushButton(text="Cancel", tooltip="Stop, and keep the best model so far.")
        self.use = PushButton(
            text="Segment with it", tooltip="Choose the new model in the segment panel."
        )
        self.progress = ProgressBar(min=0, max=1, value=0)

    def lock(self, locked: bool) -> None:
        """Let nothing be changed during a training."""
        for row in (*self._rows, *self.values.rows, self.train):
            row.enabled = not locked or isinstance(row, Label)
        for button in self.values.resets.values():
            button.setEnabled(not locked)
        self.pairs.setEnabled(not locked)
        self.cancel.enabled = locked
        self.progress.visible = locked

    def arranged(self, plot: QWidget, status: Widget) -> QWidget:
        """Lay out the whole panel; what begins and ends the work stays in sight below the rest."""
        self._box = labelled(self._rows)
        layout = self._box.layout()
        assert isinstance(layout, QFormLayout)
        place = layout.getWidgetPosition(self.folder.native)[0]
        self._layers = QLabel("Labels")
        layout.insertRow(place, self._layers, self.pairs)
        values = labelled(self.values.rows, self.values.resets)
        rows = values.layout()
        assert isinstance(rows, QFormLayout)
        rows.setRowVisible(self.values[_GIVEN].native.parentWidget(), False)
        more = folded(
            "Values of the training", "Seldom changed: how fast and how long it learns.", values
        )
        rest = scrolled(self._box, more)
        box = QWidget()
        box.setSizePolicy(rest.sizePolicy())
        below = tight(QVBoxLayout(box))
        below.addWidget(rest, 1)
        below.addWidget(plot)
        buttons = QHBoxLayout()
        for button in (self.train, self.cancel):
            buttons.addWidget(button.native)
        below.addLayout(buttons)
        for row in (self.progress, status, self.use):
            below.addWidget(row.native)
        self.start.changed.connect(self.suit_start)
        self.device.changed.connect(self.suit_device)
        self.source.changed.connect(self.show_source)
        self.out.changed.connect(self.show_resume)
        self.show_source()
        self.show_resume()
        return box

    @property
    def held_out(self) -> int | None:
        """How many fields shall be held out; None for a quarter."""
        return None if self.hold_out.value == QUARTER else self.hold_out.value

    @property
    def files(self) -> TrainFiles | None:
        """The files that are to be written, if a name was chosen."""
        path = path_in(self.out)
        return None if path is None else TrainFiles(path.expanduser().absolute())

    @property
    def may_resume(self) -> bool:
        """Whether there is a training to go on with."""
        return self.files is not None and self.files.checkpoint.is_file()

    def propose_name(self) -> None:
        """Propose a file that is not there."""
        before = path_in(self.out)
        folder = Path.home() if before is None else before.parent
        start = self.start_path
        ending = SAM_ENDING if start is not None and is_sam(start) else SAFETENSORS
        names = (f"my-nuclei{f'-{n}' if n > 1 else ''}{ending}" for n in range(1, 10_000))
        files = (TrainFiles(folder / name) for name in names)
        free = (one.weights for one in files if not any(path.exists() for path in one.all))
        self.out.value = self._proposed = next(free)

    def suit_start(self) -> None:
        """Let values and the name of the file fit what is taught, unless they were chosen."""
        self.values.suit(starting_params(self.start_path, {_GIVEN: True}))
        if path_in(self.out) == self._proposed:
            self.propose_name()

    def suit_device(self) -> None:
        """Offer what can be taught on the device."""
        self.start.device = self.device.value
        self.start.reset_choices()

    @property
    def start_path(self) -> Path | None:
        """Weights of the model that is taught, be they here or not."""
        named = {model.name: model.path for model in MODELS}
        chosen = self.start.value
        return named.get(chosen, Path(chosen)) if chosen else None

    def show_resume(self) -> None:
        """Offer to go on where there is something to go on with."""
        show_row(self._box, self.resume, self.may_resume)

    def show_source(self) -> None:
        """Show the rows of what is learned from."""
        from_layers = self.source.value == LAYERS
        self._layers.setVisible(from_layers)
        self.pairs.setVisible(from_layers)
        show_row(self._box, self.alone, from_layers and bool(self.alone.value))
        show_row(self._box, self.inside, from_layers)
        show_row(self._box, self.folder, not from_layers)

    @property
    def _rows(self) -> tuple[Widget, ...]:
        """Rows in the order of the eye."""
        sources = (self.start, self.add_model, self.source, self.folder, self.alone, self.inside)
        course = (self.minutes, self.device, self.place, self.out, self.resume)
        return (*sources, self.hold_out, self.held, *course)

"""The widgets of the segment panel, and how they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from magicgui.widgets import ComboBox, ProgressBar, PushButton, SpinBox
from magicgui.widgets.bases import Widget
from napari.layers import Image
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_nucseg.io.channels import CHANNEL, DEPTH, FIELD, TIME
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.api import DEVICE
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import SegmentParams, VolumeParams
from napari_nucseg.ui.keys import CANCEL, SEGMENT, WHEN
from napari_nucseg.ui.layer_fields import count_planes
from napari_nucseg.ui.params_form import (
    ParamsForm,
    add_model_button,
    folded,
    labelled,
    scrolled,
    show_enabled,
    show_row,
    side_by_side,
)
from napari_nucseg.ui.segment.image_source import (
    CHANNELS,
    DEPTHS,
    USED_BY,
    Scope,
    anisotropy,
    channels_of,
    scopes_of,
)
from napari_nucseg.ui.segment.model_list import ModelBox
from napari_nucseg.ui.widgets import TextLine, tight

HELD = {"field": FIELD, "time": TIME, "channel": CHANNEL, "depth (z)": DEPTH}
"""What an axis may hold, by what it is called on the form."""
AXIS_ROWS = 4
"""Rows for axes that do not say what they hold; others hold fields."""
ABOUT_AXES = (
    "What the axis of this slider holds, which the image does not say. Fields and times are "
    "segmented one by one. Of channels one is segmented. Planes in depth can be segmented as a "
    "volume."
)
HOW_MADE = (
    "Model, values and versions that made the selected labels. You can use the same settings again."
)


class SegmentForm:
    """The panel's widgets; what they do is the panel's.

    Parameters
    ----------
    images : callable
        Lists the image layers to choose from.
    """

    def __init__(self, images: Callable[..., list[Image]]) -> None:
        self._ignored: frozenset[str] = frozenset()
        self._locked = False
        self._add_choices(images)
        self._add_values()
        self._add_actions()

    def _add_choices(self, images: Callable[..., list[Image]]) -> None:
        """Add the rows of what is segmented, by what, and where."""
        self.image = ComboBox(
            label="Image", choices=images, tooltip="Image layer whose nuclei are segmented."
        )
        self.channel = ComboBox(
            label="Channel",
            choices=CHANNELS,
            tooltip="Channel of a colour image that shows the nuclei. Mean is the mean of red, "
            "green and blue. Haematoxylin is the stain of nuclei in histology, separated "
            "from the other stains by its colour. It is bright where there is much of it, "
            "so leave Dark nuclei off.",
        )
        self.axes = tuple(
            ComboBox(label=f"Axis {number}", choices=list(HELD.items()), tooltip=ABOUT_AXES)
            for number in range(AXIS_ROWS)
        )
        self.model = ModelBox(
            label="Model",
            tooltip="Those with an arrow are downloaded first. fluo-nuclei comes with the plugin, "
            "finds the size of nuclei by itself, and is fast on any computer. nuclei and cyto to "
            "cyto3 are the networks of Cellpose 1 to 3, fast without a GPU, too. Cellpose-SAM "
            "(cpsam) is for many kinds of cells, and slow without a GPU. otsu is to compare with.",
        )
        self.add_model = add_model_button()
        self.about = TextLine(label="")
        self.device = ComboBox(label="Device", choices=CHOICES)
        self.place = TextLine(label="")
        self.scope = ComboBox(
            label="Segment",
            choices=list(Scope),
            tooltip="This field: the field that is shown. What I see: the part of it in the "
            "canvas. Drawn rectangle: the one in a Shapes layer that is selected or was "
            "drawn last. All fields: each field of the stack by itself. Volume, stitched: "
            "each plane is segmented, and nuclei that overlap from plane to plane become "
            "one. Volume, in 3-D: flows along all three axes; slower.",
        )

    def _add_values(self) -> None:
        """Add the rows of parameters, and what sets them."""
        self.params = ParamsForm(SegmentParams(), has_resets=True)
        self.volume = ParamsForm(VolumeParams())
        self.measure = PushButton(
            text="Measure",
            tooltip="Set the diameter to the length of a line that is drawn across a nucleus in a "
            "Shapes layer. Without a line, to the median diameter of the nuclei in sight "
            "that are segmented already.",
        )
        self.measure.native.setMaximumWidth(80)
        self.circle = PushButton(
            text="\u25cb",
            tooltip="Show the diameter as a circle on the canvas. Drag it onto a nucleus. Resize "
            "it to set the diameter.",
        )
        self.circle.native.setCheckable(True)
        self.circle.native.setFixedWidth(28)
        self.size = TextLine(label="")
        self.defaults = PushButton(
            text="Defaults", tooltip="Set every value to the model's default."
        )
        self.params.marked.connect(self.show_differing)
        self.memory = SpinBox(
            label="Memory (MB)",
            min=0,
            max=1_000_000,
            step=100,
            tooltip="Memory for results, so that labels follow the sliders without the network. A "
            "field of 520 x 696 px takes 8 MB. When the memory is full, the oldest "
            "results are dropped.",
        )
        self.taken = TextLine(label="")

    def _add_actions(self) -> None:
        """Add what begins and ends the work."""
        self.segment = PushButton(
            text="Segment",
            tooltip=f"Find the nuclei. You can go on working meanwhile. Key: {SEGMENT}, {WHEN}.",
        )
        self.cancel = PushButton(
            text="Cancel", tooltip=f"Stop. Fields that are done stay. Key: {CANCEL}, {WHEN}."
        )
        self.undo = PushButton(
            text="Undo",
            tooltip="Take back the last change of the labels: by a slider, by Segment, or by hand. "
            "Ctrl+Z in the canvas does the same while the labels are selected and shown.",
        )
        self.follow_all = PushButton(
            text="Apply to all fields",
            tooltip="Use these values for all fields of the stack that are segmented already.",
        )
        self.progress = ProgressBar(min=0, max=1, value=0)

    def lock(self, locked: bool) -> None:
        """Let nothing be changed but what can be during a run, which is shown."""
        self._locked = locked
        choices = (
            self.image,
            *self.axes,
            self.model,
            self.add_model,
            self.scope,
            *self.volume.rows,
        )
        values = (self.measure, self.defaults, self.memory)
        for button in self.params.resets.values():
            button.setEnabled(not locked)
        for widget in (*choices, *values, self.segment, self.undo, self.follow_all):
            widget.enabled = not locked
        self.cancel.enabled = locked
        self.progress.visible = locked
        self.progress.value = 0
        self._enable_used()
        self.show_image()

    def show_image(self) -> None:
        """Offer what can be done with the chosen image."""
        layer: Image | None = self.image.value
        several = layer is not None and count_planes(layer) > 1
        self.channel.enabled = bool(channels_of(layer)) and not self._locked
        self.follow_all.visible = several
        self.scope.choices = scopes_of(layer)

    def show_axis(self, row: ComboBox, title: str = "") -> None:
        """Show a row for an axis that does not say what it holds; hide it without a title."""
        show_row(self._top, row, bool(title), title)

    def show_scope(self) -> None:
        """Show the parameters of volumes where they count, and lock what does not."""
        for name, scope in USED_BY.items():
            show_row(self._top, self.volume[name], self.scope.value == scope)
        self._enable_used()

    def show_differing(self, count: int) -> None:
        """Say on the button of defaults how many values differ from them, folded away or not."""
        values = "1 value differs" if count == 1 else f"{count} values differ"
        self.defaults.text = f"Defaults ({values})" if count else "Defaults"

    def propose_anisotropy(self) -> None:
        """Take the distance of planes from the image, which changes no labels by itself."""
        row = self.volume["anisotropy"]
        with row.changed.blocked():
            row.value = 1.0 if self.image.value is None else anisotropy(self.image.value)

    def use_depth(self, depth: Mapping[str, Any]) -> None:
        """Choose to segment a volume as others were, if the image is one; else none."""
        scope = next((one for one, how in DEPTHS.items() if how == depth.get("method")), None)
        if scope in self.scope.choices:
            self.scope.value = scope
            for row in self.volume.rows:
                row.value = depth[row.name]
        elif self.scope.value in DEPTHS:
            self.scope.value = Scope.FIELD

    def show_traits(self, model: Model) -> None:
        """Offer what a model makes use of, and say of the rest that it does not."""
        self._ignored = frozenset() if model.capabilities is None else model.capabilities.ignores
        unused = f"{model.name} does not use this. "
        for name, spec in specs_of(SegmentParams).items():
            self.params[name].tooltip = (unused if name in self._ignored else "") + spec.help
        self.device.tooltip = (
            f"{model.name} runs only on the CPU."
            if DEVICE in self._ignored
            else "Where the network runs. auto takes an NVIDIA GPU (CUDA) if there is one, else "
            "an Apple GPU (MPS), else the CPU."
        )
        self._enable_used()

    def _enable_used(self) -> None:
        in_3d = self.scope.value == Scope.IN_3D  # which has no flow threshold
        unused = self._ignored | {"flow_threshold"} if in_3d else self._ignored
        for row in self.params.rows:
            row.enabled = not self._locked and row.name not in unused
            show_enabled(row)
        self.measure.enabled = self.circle.enabled = self.params["diameter"].enabled
        self.device.enabled = not self._locked and DEVICE not in self._ignored

    def arranged(
        self, status: Widget, advice: Widget, result: Widget, provenance: Widget
    ) -> QWidget:
        """Lay out the whole panel; what begins and ends the work stays in sight below the rest."""
        rest = scrolled(
            self._top_rows(),
            self._advanced_rows(),
            advice.native,
            self.follow_all.native,
            result.native,
            folded("How was this made?", HOW_MADE, provenance.native),
        )
        box = QWidget()
        box.setSizePolicy(rest.sizePolicy())
        layout = tight(QVBoxLayout(box))
        layout.addWidget(rest, 1)
        for row in (side_by_side(self.segment, self.cancel, self.undo), self.progress, status):
            layout.addWidget(row.native)
        return box

    def _top_rows(self) -> QWidget:
        """Lay out what is always in sight."""
        model = (self.model, self.about, self.device, self.place)
        diameter = self.params["diameter"]
        helps = side_by_side(self.size, self.measure, self.circle)
        values: list[Widget] = list(self.params.main)
        values.insert(values.index(diameter) + 1, helps)
        scope = (self.scope, *self.volume.rows)
        rows = [self.image, *self.axes, self.channel, *model, *scope, *values]
        self._top = labelled(rows, self.params.resets)
        layout = self._top.layout()
        assert layout is not None
        layout.addWidget(self.defaults.native)
        self.scope.changed.connect(self.show_scope)
        self.image.changed.connect(self.propose_anisotropy)
        self.show_scope()
        self.propose_anisotropy()
        return self._top

    def _advanced_rows(self) -> QCollapsible:
        """Lay out what is rarely needed, folded away."""
        rows = labelled([*self.params.advanced, self.memory], self.params.resets)
        tip = "Seldom changed: further values, memory, and model files."
        return folded("Advanced", tip, rows, self.taken.native, self.add_model.native)

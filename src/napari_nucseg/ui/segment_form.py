"""The widgets of the segment panel, and how they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from magicgui.widgets import ComboBox, Container, ProgressBar, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Image
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.ui.form import ParamsForm, labelled, text_line
from napari_nucseg.ui.sources import CHANNELS


class Scope(StrEnum):
    """What of an image is segmented."""

    FIELD = "this field"
    ALL = "all fields"
    BOX = "drawn rectangle"


class SegmentForm:
    """The panel's widgets; what they do is the panel's.

    Parameters
    ----------
    images : callable
        Lists the image layers to choose from.
    scopes : callable
        Lists what of the image can be segmented.
    """

    def __init__(
        self,
        images: Callable[..., list[Image]],
        scopes: Callable[..., list[Scope]],
    ) -> None:
        self.image = ComboBox(
            label="Image", choices=images, tooltip="Layer whose nuclei are segmented."
        )
        self.channel = ComboBox(
            label="Channel",
            choices=CHANNELS,
            tooltip="Which channel of a colour image shows the nuclei; Mean takes all three.",
        )
        self.model = ComboBox(
            label="Model",
            tooltip="u2os comes with the plugin and is fast on any computer. The Cellpose-SAM "
            "models are more general, need a download, and want a GPU.",
        )
        self.add_model = PushButton(
            text="Add a model file...",
            tooltip="Use a model that was trained with Cellpose or with napari-nucseg train.",
        )
        self.about = text_line()
        self.device = ComboBox(
            label="Device",
            choices=CHOICES,
            tooltip="Where the network runs. auto takes a CUDA GPU, then an Apple GPU, then the "
            "CPU. A device that is not there is refused.",
        )
        self.place = text_line()
        self.scope = ComboBox(
            label="Segment",
            choices=scopes,
            tooltip="The field that is shown, every field of the stack, or the rectangle that is "
            "selected or was drawn last in a Shapes layer.",
        )
        self.params = ParamsForm(SegmentParams())
        self.defaults = PushButton(
            text="Defaults", tooltip="Set every value to what suits the model."
        )
        self.segment = PushButton(text="Segment", tooltip="Find the nuclei, in the background.")
        self.cancel = PushButton(text="Cancel", tooltip="Stop; no layer is added or changed.")
        self.follow_all = PushButton(
            text="Apply to all fields",
            tooltip="Give the fields of the stack that were segmented before these values, too.",
        )
        self.progress = ProgressBar(min=0, max=1, value=0)

    @property
    def locked_while_running(self) -> Iterable[Widget]:
        """Widgets that are of no use during a run."""
        params = (*self.params.rows, self.defaults)
        choices = (self.image, self.channel, self.model, self.add_model, self.device, self.scope)
        return (*choices, *params, self.segment, self.follow_all)

    @property
    def buttons(self) -> Container[Any]:
        """Segment and Cancel, side by side."""
        return _side_by_side(self.segment, self.cancel)

    def top(self) -> QWidget:
        """Lay out what is always in sight."""
        model = (self.model, self.about, self.device, self.place)
        return labelled([self.image, self.channel, *model, self.scope, *self.params.main])

    def advanced(self) -> QCollapsible:
        """Lay out what is rarely needed, folded away."""
        buttons = _side_by_side(self.defaults, self.add_model).native
        return folded("Advanced", labelled(self.params.advanced), buttons)


def folded(title: str, *widgets: QWidget) -> QCollapsible:
    """Fold widgets away under a title that opens them."""
    fold = QCollapsible(title)
    for widget in widgets:
        fold.addWidget(widget)
    return fold


def _side_by_side(*widgets: Widget) -> Container[Any]:
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row

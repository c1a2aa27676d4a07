"""The form's rows of an image: which is taken, what its axes hold, and its channel."""

from __future__ import annotations

from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal

from napari_nucseg.io.channels import CHANNEL, DEPTH, FIELD, HAEMATOXYLIN, MEAN, propose_channel
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import axes_of, choose_axes, field_shape, full_data, said_axes
from napari_nucseg.ui.mask_images import MaskWatch
from napari_nucseg.ui.segment.form import AXIS_ROWS, HELD
from napari_nucseg.ui.segment.image_source import IN_SIGHT, channels_of
from napari_nucseg.ui.segment.selection import Selection

PRESS = "Press Segment to find the nuclei."


class ImageRows:
    """Keeps the form's rows of image, axes and channels in step with the viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images.
    selection : Selection
        The chosen image, and the form.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    axes_chosen = Signal(object)
    """Tells the image of which something else was chosen for an axis."""

    def __init__(self, viewer: ViewerModel, selection: Selection, run: Run) -> None:
        self._viewer, self._selection = viewer, selection
        self._masks = MaskWatch(viewer, run, self._leave_mask)
        self._form = selection.form
        self._masks.look()
        self._channels: dict[tuple[str, tuple[str, ...]], str] = {}
        self._form.channel.changed.connect(self._keep_channel)
        for number, row in enumerate(self._form.axes):
            row.changed.connect(partial(self._choose_axis, number))

    def offer(self) -> None:
        """Offer the images that there are now."""
        self._masks.look()
        self._form.image.reset_choices()

    def take(self, layer: Any) -> None:
        """Choose the image that was opened or selected last, but no mask by itself."""
        self.offer()
        if isinstance(layer, Image) and self._masks.likeness_of(layer) is None:
            self._form.image.value = layer

    def _leave_mask(self, mask: Image) -> None:
        """Choose another image where the one taken turned out to be a mask, which has none."""
        images = [one for one in self._form.image.choices if not self._masks.likeness_of(one)]
        if self._form.image.value == mask and images and self._form.image.enabled:
            self._form.image.value = images[0]

    def show(self) -> None:
        """Show what was chosen of the image, or propose a channel if it is new."""
        self._show_axes()
        layer, row = self._selection.image, self._form.channel
        names = channels_of(layer)
        if layer is None or not names:
            return
        place = str(layer.unique_id), names
        if place not in self._channels:
            proposed = (
                _propose(layer, self._selection.plane).capitalize() if layer.rgb else IN_SIGHT
            )
            self._channels[place] = proposed
        with row.changed.blocked():  # labels follow what the user moves alone
            row.choices = names
            row.value = self._channels[place]

    def describe(self) -> str:
        """Say in a line what to do with an image, and which of its channels is segmented."""
        return " ".join(filter(None, (self._describe_channel(), PRESS)))

    def _describe_channel(self) -> str:
        layer = self._selection.image
        if layer is None or not channels_of(layer):
            return ""
        name = self._form.channel.value.lower()
        if not layer.rgb:
            which = "The channel in sight" if name == IN_SIGHT else f"Channel {name}"
            return f"{which} is segmented; choose another under Channel."
        channel = name if name in (MEAN, HAEMATOXYLIN) else f"{name} channel"
        return f"A colour image. Its {channel} is segmented; choose another under Channel."

    def _show_axes(self) -> None:
        """Show a row for each axis of the image that does not say what it holds."""
        layer = self._selection.image
        unsaid = [] if layer is None else _unsaid(layer)
        for row, axis in zip_longest(self._form.axes, unsaid):
            if layer is None or axis is None:
                self._form.show_axis(row)
                continue
            taken = {*said_axes(layer), CHANNEL if layer.rgb else None} & {CHANNEL, DEPTH}
            with row.changed.blocked():
                row.choices = [(title, held) for title, held in HELD.items() if held not in taken]
                row.value = axes_of(layer)[axis]
            name, length = layer.axis_labels[axis], full_data(layer).shape[axis]
            self._form.show_axis(row, f"Axis {name} ({length})")

    def _choose_axis(self, number: int, held: str) -> None:
        layer = self._selection.image
        if layer is None:
            return
        axes = list(axes_of(layer))
        if held in (CHANNEL, DEPTH):  # one axis alone can hold them
            axes = [FIELD if one == held else one for one in axes]
        axes[_unsaid(layer)[number]] = held
        choose_axes(layer, axes)
        self._form.propose_anisotropy()
        self.axes_chosen.emit(layer)

    def _keep_channel(self, channel: str) -> None:
        layer = self._selection.image
        names = channels_of(layer)
        if layer is not None and names:
            self._channels[str(layer.unique_id), names] = channel


def _unsaid(layer: Image) -> list[int]:
    """List the axes that do not say what they hold, as many as there are rows for."""
    shape = full_data(layer).shape
    unsaid = [axis for axis, said in enumerate(said_axes(layer)) if said is None]
    return [axis for axis in unsaid if shape[axis] > 1][:AXIS_ROWS]


def _propose(layer: Image, plane: int) -> str:
    """Propose a channel by the field in sight, at the coarsest level, which napari shows anyway."""
    data = layer.data[-1] if layer.multiscale else layer.data
    stack = field_shape(layer)[:-2]
    if stack:  # a coarse level may have fewer fields
        place = np.minimum(np.unravel_index(plane, stack), np.subtract(data.shape[:-3], 1))
        data = data[tuple(place)]
    return propose_channel(data)

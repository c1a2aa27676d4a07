"""What is chosen on the form, its rows of the image, and what a worker is asked to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from psygnal import Signal

from napari_nucseg.analysis.field_parts import Rectangle, with_context
from napari_nucseg.io.channels import CHANNEL, DEPTH, FIELD, HAEMATOXYLIN, MEAN
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import (
    axes_of,
    choose_axes,
    count_planes,
    field_shape,
    full_data,
    said_axes,
    shown_plane,
)
from napari_nucseg.ui.layers import find_prediction, is_made_from, record_of
from napari_nucseg.ui.mask_images import MaskWatch
from napari_nucseg.ui.segment.form import AXIS_ROWS, HELD, SegmentForm
from napari_nucseg.ui.segment.image_source import (
    DEPTHS,
    IN_SIGHT,
    Scope,
    calibration_of,
    channels_of,
    chosen_box,
    depth_axis,
    likeliest_channel,
    refuse_channels_last,
    shown_channel,
    source_of,
)
from napari_nucseg.ui.segment.result_cache import ResultKey
from napari_nucseg.ui.segment.worker import Request

CONTEXT, CONTEXT_DIAMETERS = 64, 1.5
"""Margin around a part of a field that is segmented with it: pixels at least, and diameters."""
PRESS = "Press Segment to find the nuclei."


class Selection:
    """The chosen image, and what the chosen model made of it.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with images and labels.

    Attributes
    ----------
    form : SegmentForm
        The form on which image, model and values are chosen.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.form = SegmentForm(self._images)

    @property
    def image(self) -> Image | None:
        """The layer to segment."""
        layer: Image | None = self.form.image.value
        return layer

    @property
    def model(self) -> str:
        """What the model is told from others by: its name, or the whole path of a file."""
        return str(self.form.model.value)

    @property
    def prediction(self) -> Labels | None:
        """The labels that the model made of the image."""
        image = self.image
        if image is None:
            return None
        return find_prediction(self._viewer.layers, str(image.unique_id), self.model)

    @property
    def layers(self) -> list[Layer]:
        """The image, and what was made of it."""
        image, all_ = self.image, self._viewer.layers
        return [x for x in all_ if image is not None and (x == image or is_made_from(x, image))]

    @property
    def plane(self) -> int:
        """Number of the field in sight."""
        return 0 if self.image is None else shown_plane(self._viewer.dims.point, self.image)

    @property
    def channel(self) -> str:
        """Name or number of the channel to segment; empty for a grey image."""
        image, name = self.image, str(self.form.channel.value)
        if image is None or not channels_of(image):
            return ""
        return shown_channel(self._viewer, image) if name == IN_SIGHT else name

    @property
    def pixels(self) -> int:
        """Number of pixels of a field, or of all planes of a volume; 0 without an image."""
        image, scope = self.image, self.form.scope.value
        if image is None:
            return 0
        shape = field_shape(image)
        axis = depth_axis(image) if scope in DEPTHS else None
        return shape[-2] * shape[-1] * (1 if axis is None else shape[axis])

    def _images(self, widget: Any = None) -> list[Image]:
        return [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image)]


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
            proposed = likeliest_channel(layer, self._selection.plane) if layer.rgb else IN_SIGHT
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


def make_request(viewer: ViewerModel, layer: Image, selection: Selection, model: Model) -> Request:
    """Put together what is asked for.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, which knows the field shown and the rectangles drawn.
    layer : Image
        Image layer to be segmented.
    selection : Selection
        What is chosen: the values on the form, and the key of the model.
    model : Model
        The model to be run.

    Raises
    ------
    ValueError
        If there is no such part of the image; the message says what to do.
    """
    refuse_channels_last(layer)
    form, uid = selection.form, str(layer.unique_id)
    source, scope = source_of(layer, selection.channel), form.scope.value
    box = chosen_box(viewer, layer, scope)
    context = None if box is None else _context(box, layer, form.params.params.diameter)
    keys = (
        ResultKey(uid, selection.model, plane, source.channel, box, context)
        for plane in _planes(viewer, layer, scope)
    )
    return Request(
        name=layer.name,
        source=source,
        keys=tuple(keys),
        model=model,
        device=form.device.value,
        params=form.params.params,
        calibration=calibration_of(layer),
        depth=DEPTHS.get(scope),
        volume=form.volume.params,
        stems=record.stems if (record := record_of(layer)) else (),
    )


def _context(box: Rectangle, layer: Image, diameter: float) -> Rectangle:
    """Grow a box so that nuclei at its edge are seen whole."""
    margin = max(CONTEXT, round(CONTEXT_DIAMETERS * diameter))
    rows, columns = with_context(box.slices, field_shape(layer)[-2:], margin)
    return Rectangle(rows.start, columns.start, rows.stop, columns.stop)


def _planes(viewer: ViewerModel, layer: Image, scope: Scope) -> Iterable[int]:
    """List the fields to segment; a volume's are those along its axis of depth."""
    shown = shown_plane(viewer.dims.point, layer)
    if scope == Scope.ALL:
        return range(count_planes(layer))
    if scope not in DEPTHS:
        return (shown,)
    axis, stack = depth_axis(layer), field_shape(layer)[:-2]
    if axis is None:
        raise ValueError(f"{layer.name}: no axis holds planes of a volume; choose one under Axis")
    place: list[Any] = list(np.unravel_index(shown, stack))
    numbers = np.arange(math.prod(stack)).reshape(stack)
    place[axis + 2] = slice(None)
    return tuple(numbers[tuple(place)].tolist())

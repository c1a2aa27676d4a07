"""What is chosen on the form, and what a worker is asked to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_nucseg.analysis.field_parts import Box, with_context
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.layer_fields import (
    axes_of,
    count_planes,
    field_shape,
    shown_plane,
)
from napari_nucseg.ui.layers import find_labels, find_prediction, pixel_size, record_of, tag
from napari_nucseg.ui.segment.form import SegmentForm
from napari_nucseg.ui.segment.image_source import (
    DEPTHS,
    IN_SIGHT,
    Scope,
    channels_of,
    depth_axis,
    drawn_box,
    refuse_channels_last,
    seen_box,
    shown_channel,
    source_of,
)
from napari_nucseg.ui.segment.result_cache import ResultKey
from napari_nucseg.ui.segment.worker import Request

_SET_ASIDE = "nucseg of other axes"
"""Where labels say that they were set aside, as their image had other axes then."""
CONTEXT, CONTEXT_DIAMETERS = 64, 1.5
"""Margin around a part of a field that is segmented with it: pixels at least, and diameters."""


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
    box = _box(viewer, layer, scope)
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
        pixel_size=pixel_size(layer),
        depth=DEPTHS.get(scope),
        volume=form.volume.params,
        stems=record.stems if (record := record_of(layer)) else (),
    )


def _context(box: Box, layer: Image, diameter: float) -> Box:
    """Grow a box so that nuclei at its edge are seen whole."""
    margin = max(CONTEXT, round(CONTEXT_DIAMETERS * diameter))
    rows, columns = with_context(box.slices, field_shape(layer)[-2:], margin)
    return Box(rows.start, columns.start, rows.stop, columns.stop)


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


def _box(viewer: ViewerModel, layer: Image, scope: Scope) -> Box | None:
    """Return the rectangle to segment; None for all of the field."""
    if scope not in (Scope.BOX, Scope.SEEN):
        return None
    box = drawn_box(viewer, layer) if scope == Scope.BOX else seen_box(viewer, layer)
    if box is None and scope == Scope.BOX:
        raise ValueError(
            "Draw a rectangle in a Shapes layer, or choose another scope under Segment."
        )
    if box is None:
        raise ValueError(
            "No part of this image is in sight. Move it into the canvas, then press Segment."
        )
    return None if box == (0, 0, *field_shape(layer)[-2:]) else box


def set_aside_by_axes(layers: Iterable[Layer], image: Image) -> bool:
    """Set aside labels that were made with other axes than an image has now; tell of any.

    No result is written to these. Those that were set aside before and are of its axes are taken
    up again, unless others have been made since.
    """
    layers, axes, is_any = list(layers), list(axes_of(image)), False
    for is_aside in (True, False):
        for layer in layers:
            one = record_of(layer)
            if one is None or one.source != str(image.unique_id) or one.is_copy == is_aside:
                continue
            is_other = (one.provenance or {}).get("axes", axes) != axes
            is_free = layer.metadata.get(_SET_ASIDE) and find_labels(layers, one) is None
            if is_other if is_aside else is_free and not is_other:
                changed = tag(replace(one, is_copy=is_aside)) | {_SET_ASIDE: is_aside}
                layer.metadata = layer.metadata | changed
                is_any |= is_aside
    return is_any

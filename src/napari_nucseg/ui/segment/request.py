"""From what is chosen on the form to what a worker is asked to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.analysis.field_parts import with_context
from napari_nucseg.io.channels import MOST_COLOURS
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.layers import count_planes, field_shape, pixel_size, shown_plane
from napari_nucseg.ui.segment.form import SegmentForm
from napari_nucseg.ui.segment.image_source import (
    DEPTHS,
    Box,
    Scope,
    drawn_box,
    seen_box,
    source_of,
)
from napari_nucseg.ui.segment.prediction_layer import find_prediction
from napari_nucseg.ui.segment.result_cache import ResultKey
from napari_nucseg.ui.segment.worker import Request

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
        return find_prediction(self._viewer, str(image.unique_id), self.model)

    @property
    def plane(self) -> int:
        """Number of the field in sight."""
        return 0 if self.image is None else shown_plane(self._viewer.dims.point, self.image)

    @property
    def pixels(self) -> int:
        """Of a field."""
        if self.image is None:
            return 0
        height, width = field_shape(self.image)[-2:]
        return height * width

    def _images(self, widget: Any = None) -> list[Image]:
        return [layer for layer in self._viewer.layers[::-1] if isinstance(layer, Image)]


def make_request(
    viewer: ViewerModel, layer: Image, form: SegmentForm, key: str, model: Model
) -> Request:
    """Put together what is asked for.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, which knows the field shown and the rectangles drawn.
    layer : Image
        Image layer to be segmented.
    form : SegmentForm
        The form on which values are chosen.
    key : str
        Unique key of the model: its name, or the path of its file.
    model : Model
        The model to be run.

    Raises
    ------
    ValueError
        If there is no such part of the image; the message says what to do.
    """
    _refuse_channels_last(layer)
    box = _box(viewer, layer, form.scope.value)
    context = None if box is None else _context(box, layer, form.params.params.diameter)
    planes = _planes(viewer, layer, form.scope.value)
    source, uid = source_of(layer, form.channel.value), str(layer.unique_id)
    return Request(
        name=layer.name,
        source=source,
        spots=tuple(ResultKey(uid, key, plane, source.channel, box, context) for plane in planes),
        model=model,
        device=form.device.value,
        params=form.params.params,
        pixel_size=pixel_size(layer),
        depth=DEPTHS.get(form.scope.value),
        volume=form.volume.params,
    )


def _refuse_channels_last(layer: Image) -> None:
    """Refuse channels that napari takes for columns: labels would not lie on their nuclei."""
    shape = field_shape(layer)
    if len(shape) > 2 and shape[-1] <= MOST_COLOURS < min(shape[-3:-1]):
        raise ValueError(
            f"{layer.name}: its last axis, of length {shape[-1]}, seems to hold channels; add the "
            "image with one layer per channel: viewer.add_image(data, channel_axis=-1)"
        )


def _context(box: Box, layer: Image, diameter: float) -> Box:
    """Grow a box so that nuclei at its edge are seen whole."""
    margin = max(CONTEXT, round(CONTEXT_DIAMETERS * diameter))
    rows, columns = with_context(box.slices, field_shape(layer)[-2:], margin)
    return Box(rows.start, columns.start, rows.stop, columns.stop)


def _planes(viewer: ViewerModel, layer: Image, scope: Scope) -> Iterable[int]:
    """List the fields to segment; a volume's are those along the last axis of the stack."""
    shown = shown_plane(viewer.dims.point, layer)
    if scope == Scope.ALL:
        return range(count_planes(layer))
    if scope not in DEPTHS:
        return (shown,)
    deep = field_shape(layer)[-3]
    return range(shown - shown % deep, shown - shown % deep + deep)


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

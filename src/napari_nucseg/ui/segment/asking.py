"""From what is chosen on the form to what a worker is asked to do."""

from __future__ import annotations

from collections.abc import Iterable

from napari.components import ViewerModel
from napari.layers import Image

from napari_nucseg.core.channels import MOST_COLOURS
from napari_nucseg.segmenters.model import Model
from napari_nucseg.ui.layers import count_planes, field_shape, shown_plane
from napari_nucseg.ui.segment.form import SegmentForm
from napari_nucseg.ui.segment.kept import Spot
from napari_nucseg.ui.segment.regions import drawn_box, seen_box
from napari_nucseg.ui.segment.scopes import DEPTHS, Scope
from napari_nucseg.ui.segment.segmenting import Request
from napari_nucseg.ui.segment.sources import Box, pixel_size, source_of


def ask(
    viewer: ViewerModel, layer: Image, form: SegmentForm, key: str, model: Model, memory: int
) -> Request:
    """Put together what is asked for.

    Parameters
    ----------
    viewer : ViewerModel
        Where rectangles are drawn, and which field is shown.
    layer : Image
        To be segmented.
    form : SegmentForm
        What was chosen.
    key : str
        What the model is told from others by.
    model : Model
        To be run.
    memory : int
        Bytes that results may take which are kept to follow the sliders.

    Raises
    ------
    ValueError
        If there is no such part of the image; the message says what to do.
    """
    _refuse_channels_last(layer)
    box = _box(viewer, layer, form.scope.value)
    planes = _planes(viewer, layer, form.scope.value)
    source, uid = source_of(layer, form.channel.value), str(layer.unique_id)
    return Request(
        name=layer.name,
        source=source,
        spots=tuple(Spot(uid, key, plane, source.channel, box) for plane in planes),
        model=model,
        device=form.device.value,
        params=form.params.params,
        memory=memory,
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
            "image with one layer a channel: viewer.add_image(data, channel_axis=-1)"
        )


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
        raise ValueError("Draw a rectangle in a Shapes layer, or choose another scope.")
    if box is None:
        raise ValueError("Nothing of this image is in sight; move it into the canvas.")
    return None if box == (0, 0, *field_shape(layer)[-2:]) else box

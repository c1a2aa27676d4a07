"""Layers that belong together: what each is, where it lies, and how its labels are coloured.

What a layer is stands in ``layer.metadata["nucseg"]``; names are for people and may change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap

from napari_nucseg.io.channels import CHANNEL
from napari_nucseg.ui.layer_fields import axes_of, count_planes, field_shape, full_data, load_units
from napari_nucseg.wording import says

IMAGE = "image"
GROUND_TRUTH = "ground truth"
PREDICTION = "prediction"
ERRORS = "errors"
AGREEMENT = "pixel agreement"
IOU = "IoU"
DIFFERENCE = "difference"
OVERLAYS = (ERRORS, AGREEMENT, IOU, DIFFERENCE)
"""Roles of layers that show a comparison, and are not compared themselves."""
MASK_IMAGE = "nucseg mask image"
"""Where labels that were made from an Image layer say its unique id."""
FILE = "nucseg file"
"""Where labels that are shown from the disk say which folder they are in, or will be."""
_KEY, _SET_ASIDE = "nucseg", "nucseg of other axes"
_PLACED = ("scale", "translate", "rotate", "shear", "units", "axis_labels")
SEEN = (0.16, 0.4)
"""Luminances of colours that are seen on black and on white alike; black is 0, and white 1."""
_CANDIDATES = 300
"""Colours of napari of which those are taken that are seen: about a third."""


@dataclass(frozen=True)
class LayerRecord:
    """What a layer is.

    Attributes
    ----------
    role : str
        Role of the layer, one of the words above.
    stems : tuple of str
        Names of the fields it shows, one a plane; empty for images of unknown origin.
    source : str
        Unique id of the layer that it was made from, empty for a file.
    fields : tuple of int or None
        Planes that hold a result; None for all.
    provenance : mapping
        Provenance of predicted labels; in a stack, of the field made last.
    by_field : mapping or None
        Provenance of the labels of each field of a stack.
    rule : mapping or None
        Values of the `ScoreRule` by which a run has scored the labels.
    is_copy : bool
        Whether it is a copy that keeps edits by hand, which no result is ever written to.
    """

    role: str
    stems: tuple[str, ...] = ()
    source: str = ""
    fields: tuple[int, ...] | None = None
    provenance: Mapping[str, Any] | None = None
    by_field: Mapping[int, Mapping[str, Any]] | None = None
    rule: Mapping[str, Any] | None = None
    is_copy: bool = False


def tag(record: LayerRecord) -> dict[str, Any]:
    """Layer metadata that carries a record.

    Its values are not copied, which takes long for the provenance of many fields.
    """
    return {_KEY: dict(vars(record))}


def record_of(layer: Layer) -> LayerRecord | None:
    """Read a layer's record; None for layers that are not ours."""
    values = layer.metadata.get(_KEY)
    return LayerRecord(**values) if values else None


def is_in_depth(layer: Layer, plane: int) -> bool:
    """Whether the labels of a plane were made as a part of a volume's."""
    record = record_of(layer)
    made = None if record is None else (record.by_field or {}).get(plane, record.provenance)
    return bool(made and made.get("depth"))


def role_of(layer: Layer) -> str | None:
    """Role of a layer, if it has one."""
    record = record_of(layer)
    return record.role if record else None


def predicted_planes(prediction: Labels) -> tuple[int, ...]:
    """Return the numbers of the fields that have a prediction."""
    record = record_of(prediction)
    if record is not None and record.fields is not None:
        return tuple(sorted(record.fields))
    return tuple(range(count_planes(prediction)))


def is_made_from(layer: Layer, image: Image) -> bool:
    """Tell whether a layer says that it was made from an image."""
    record = record_of(layer)
    return record is not None and record.source == str(image.unique_id)


def find_source(layers: Iterable[Layer], labels: Labels) -> Image | None:
    """Return the image that labels are of: by their record, else the one that their name says."""
    images = list_images(layers)
    made_from = [one for one in images if is_made_from(labels, one)]
    fitting = [one for one in images if field_shape(one) == field_shape(labels)]
    named = [one for one in fitting if says(labels.name, one.name)]
    return max(made_from or named, key=lambda image: len(image.name), default=None)


def find_image(layers: Iterable[Layer], labels: Labels) -> Image | None:
    """Return the image that labels are of; without a word on that, a grey one of the same size."""
    layers, shape = list(layers), full_data(labels).shape
    fitting = (one for one in list_images(layers) if not one.rgb and full_data(one).shape == shape)
    return find_source(layers, labels) or next(fitting, None)


def list_images(layers: Iterable[Layer]) -> list[Image]:
    """List the images, without the masks that labels were made from."""
    layers = list(layers)
    masks = {layer.metadata.get(MASK_IMAGE) for layer in layers}
    images = [layer for layer in layers if isinstance(layer, Image)]
    return [image for image in images if str(image.unique_id) not in masks]


def find_truth(layers: Iterable[Layer], prediction: Labels) -> Labels | None:
    """Return the ground truth of a prediction: a layer of that role with the same shape.

    Without one, and if the prediction was made here, labels that were not are taken for it.
    """
    newest_first = [layer for layer in list(layers)[::-1] if isinstance(layer, Labels)]
    truths = [layer for layer in newest_first if role_of(layer) == GROUND_TRUTH]
    if role_of(prediction) == PREDICTION:
        truths += [layer for layer in newest_first if record_of(layer) is None]
    return next((layer for layer in truths if may_be_truth(layer, prediction)), None)


def may_be_truth(layer: Layer, prediction: Labels) -> bool:
    """Whether labels can be the truth of a prediction: as large, and not of other fields."""
    if layer is prediction or full_data(layer).shape != full_data(prediction).shape:
        return False
    records = (record_of(one) for one in (layer, prediction))
    stems = {record.stems for record in records if record is not None and record.stems}
    return len(stems) < 2


def find_labels(layers: Iterable[Layer], record: LayerRecord) -> Labels | None:
    """Return the layer of the same role, source and model as a record, if there is one."""
    labels = (layer for layer in layers if isinstance(layer, Labels))
    return next((layer for layer in labels if _same(record_of(layer), record)), None)


def find_prediction(layers: Iterable[Layer], source: str, model: str) -> Labels | None:
    """Return the labels that a model made of an image layer, by the layer's unique id."""
    made = {"model": model}
    return find_labels(layers, LayerRecord(PREDICTION, source=source, provenance=made))


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


def placement(layer: Layer) -> dict[str, Any]:
    """Return where a layer lies, for layers over it; over an image they lie in all channels."""
    placed = {name: getattr(layer, name) for name in _PLACED}
    placed["affine"] = layer.affine.affine_matrix
    axes = axes_of(layer) if isinstance(layer, Image) else ()
    if CHANNEL not in axes:
        return placed
    axis = axes.index(CHANNEL)
    if not axis:
        return {name: _without_first(name, value) for name, value in placed.items()}
    channels, scale = full_data(layer).shape[axis], placed["scale"][axis]
    along = np.arange(layer.ndim) == axis
    placed["translate"] = placed["translate"] + along * scale * (channels - 1) / 2
    placed["scale"] = np.where(along, channels, 1) * placed["scale"]
    return placed


def _without_first(name: str, value: Any) -> Any:
    """Leave the first axis out of a placement: of a sequence, a matrix, or the upper triangle."""
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return value[1:, 1:]
    return value[math.isqrt(2 * len(value)) if name == "shear" else 1 :]


def place_like(layer: Layer, source: Layer) -> None:
    """Move a layer to where another one lies now."""
    now = placement(layer)
    for name, value in placement(source).items():
        if not np.array_equal(np.asarray(now[name], object), np.asarray(value, object)):
            setattr(layer, name, value)


def put_labels(
    viewer: ViewerModel, data: Any, source: Layer, record: LayerRecord, name: str, **display: Any
) -> Labels:
    """Show labels over the layer that they were made from.

    A layer with the same role, source and model is refreshed in place; else one is added, with
    the scale, position, units and axes of the source.
    """
    layer = find_labels(viewer.layers, record)
    if layer is not None:
        layer.metadata = layer.metadata | tag(record)
        if layer.data is data:  # written into its own array, which takes half as long
            layer.refresh(extent=False)
            layer.events.data(value=data)
        else:
            layer.data = data
        for key, value in display.items():
            setattr(layer, key, value)
        if not layer.visible:  # napari draws all anew
            layer.visible = True
        return layer
    placed = placement(source)
    return viewer.add_labels(data, name=name, metadata=tag(record), **placed, **display)


def _same(one: LayerRecord | None, other: LayerRecord) -> bool:
    if one is None or one.is_copy or (one.role, one.source) != (other.role, other.source):
        return False
    return _model(one) == _model(other)


def _model(record: LayerRecord) -> Any:
    return (record.provenance or {}).get("model")


def colormap(colours: Mapping[int, str]) -> DirectLabelColormap:
    """Colour few values, and leave all others transparent."""
    return DirectLabelColormap(
        color_dict={None: "transparent", 0: "transparent"}
        | {int(value): colour for value, colour in colours.items()}
    )


def prepare_colours(*_: object) -> None:
    """Let napari load and compile what labels need; for a worker, as it takes a second at first."""
    load_units()
    for dtype in (np.uint8, np.int32, np.uint32):
        colormap({1: "white"}).map(np.ones((1, 1), dtype))
        Labels(np.ones((1, 1), dtype), units=("um", "um"))  # in no viewer, so any thread may


@cache
def seen_colours() -> CyclicLabelColormap:
    """Return those of napari's colours for labels that are neither dark nor pale."""
    colours = label_colormap(_CANDIDATES).colors
    seen = [SEEN[0] <= luminance(colour[:3]) <= SEEN[1] for colour in colours]
    return CyclicLabelColormap(colors=colours[seen])


def luminance(colour: Sequence[float]) -> float:
    """Return how bright an sRGB colour is, by WCAG: 0 is black, and 1 is white.

    Examples
    --------
    >>> round(luminance((0, 0, 0.5)), 3), round(luminance((1, 1, 1)), 3)
    (0.015, 1.0)
    """
    parts = np.asarray(colour, dtype=float)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))

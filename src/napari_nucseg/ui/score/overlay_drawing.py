"""What each overlay shows, and in which colours; fields are drawn when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_nucseg.analysis.drawing import (
    AGREEMENT_COLOURS,
    VERDICT_COLOURS,
    draw_agreement,
    draw_verdicts,
    look_up,
)
from napari_nucseg.analysis.prediction_comparison import Disagreement
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.metrics.boundaries import find_outlines
from napari_nucseg.metrics.verdicts import Verdict, Verdicts
from napari_nucseg.ui.layer_fields import full_data, plane_of
from napari_nucseg.ui.layers import (
    AGREEMENT,
    DIFFERENCE,
    ERRORS,
    IOU,
    LayerRecord,
    colormap,
    find_image,
    place_like,
    placement,
    put_labels,
    role_of,
    tag,
)

DrawPlane = Callable[[int], NDArray[np.uint8] | None]
"""Number of a field to its picture of shape (height, width), or None for a blank one."""

IOU_STEPS = 100
"""IoU 0 is drawn as 1, IoU 1 as 101."""
Draw = Callable[[LabelImage, LabelImage, Verdicts], NDArray[np.uint8]]

FIRST, SECOND = 1, 2
COLOURS = {FIRST: "#56B4E9", SECOND: "#E69F00"}
"""Found by the first prediction alone, and by the second alone."""


class DrawnPlanes:
    """Looks like an array of shape (..., height, width); a stack has more than is looked at.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer, (..., height, width) in pixels.
    draw : callable
        Draws a field as it is to be shown now.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...], draw: DrawPlane) -> None:
        self.shape = shape
        self.draw = draw
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Pixels of all fields."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def forget(self) -> None:
        """Draw anew what is looked at next."""
        self._last = None

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [part for part in key if not isinstance(part, np.ndarray)]:
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            rest = (slice(None),) * (self.ndim - len(key) + 1)
            key = key[:at] + rest + key[at + 1 :]
        stack = self.shape[:-2]
        numbers = np.arange(int(np.prod(stack))).reshape(stack)
        wanted = np.asarray(numbers[key[: len(stack)]])
        inside = key[len(stack) :]
        planes = [self._plane(int(number))[inside] for number in wanted.flat]
        return np.stack(planes).reshape((*wanted.shape, *planes[0].shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def _plane(self, number: int) -> NDArray[np.uint8]:
        if self._last is None or self._last[0] != number:
            drawn = self.draw(number)
            if drawn is None:
                return np.zeros(self.shape[-2:], dtype=self.dtype)
            self._last = (number, drawn)
        return self._last[1]


def draw_ious(truth: LabelImage, predicted: LabelImage, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Fill every true object with 1 + 100 IoU, and outline spurious ones with 1.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        Labels of one field; 0 is background.
    verdicts : Verdicts
        Verdicts on these labels, with their IoU.
    """
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    spurious = verdicts.predicted.ids[verdicts.predicted.codes == Verdict.SPURIOUS]
    drawn[_edge(np.where(np.isin(predicted, spurious), predicted, 0))] = 1
    steps = 1 + np.rint(IOU_STEPS * verdicts.truth.ious).astype(np.uint8)
    found = look_up(truth, verdicts.truth.ids, steps)
    return np.where(found > 0, found, drawn)


def iou_colours() -> dict[int, Any]:
    """Colour of each value of `draw_ious`: yellow, the brightest, for nothing shared; dark for all.

    So what is wrong catches the eye, and missed nuclei most of all.
    """
    steps = np.linspace(1, 0, IOU_STEPS + 1)
    return dict(enumerate(ensure_colormap("viridis").map(steps), start=1))


@dataclass(frozen=True)
class OverlayStyle:
    """How an overlay is drawn and coloured."""

    draw: Draw
    colours: Callable[[frozenset[Verdict]], Mapping[Any, Any]]
    opacity: float


OVERLAY_STYLES = {
    ERRORS: OverlayStyle(
        draw_verdicts,
        lambda hidden: {one: VERDICT_COLOURS[one] for one in VERDICT_COLOURS if one not in hidden},
        1.0,
    ),
    AGREEMENT: OverlayStyle(
        lambda t, p, _: draw_agreement(t, p), lambda _: dict(AGREEMENT_COLOURS), 0.5
    ),
    IOU: OverlayStyle(draw_ious, lambda hidden: iou_colours(), 0.7),
}


def add_overlay(
    viewer: ViewerModel, role: str, prediction: Labels, draw: DrawPlane, hidden: frozenset[Verdict]
) -> Labels:
    """Add an overlay that is not shown yet; what is selected stays selected.

    Nothing is drawn before: napari would look at another field than that in sight.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that it is added to.
    role : str
        What it shows: a key of `OVERLAY_STYLES`.
    prediction : Labels
        The prediction that it lies over, and is named after.
    draw : callable
        Draws a field of it.
    hidden : frozenset of Verdict
        Verdicts that it leaves out.
    """
    selected = set(viewer.layers.selection)
    layer = viewer.add_labels(
        DrawnPlanes(full_data(prediction).shape, _blank),
        name=_name(viewer, role, prediction),
        metadata=tag(_record(role, prediction)),
        colormap=colormap(OVERLAY_STYLES[role].colours(hidden)),
        opacity=OVERLAY_STYLES[role].opacity,
        visible=False,
        **placement(prediction),
    )
    layer.data.draw, layer.editable = draw, False
    if selected:
        viewer.layers.selection = selected
    return layer


def move_overlay(viewer: ViewerModel, role: str, layer: Labels, prediction: Labels) -> None:
    """Lay an overlay over another prediction, which takes less time than another layer."""
    shape = full_data(prediction).shape
    if layer.data.shape != shape:
        layer.data = DrawnPlanes(shape, layer.data.draw)
        layer.editable = False
    layer.metadata = layer.metadata | tag(_record(role, prediction))
    layer.name = _name(viewer, role, prediction)
    place_like(layer, prediction)


def _name(viewer: ViewerModel, role: str, prediction: Labels) -> str:
    return f"{(find_image(viewer.layers, prediction) or prediction).name} {role}"


def _record(role: str, prediction: Labels) -> LayerRecord:
    return LayerRecord(role, source=str(prediction.unique_id))


def show_difference(
    viewer: ViewerModel, truth: Labels, prediction: Labels, differing: Sequence[Disagreement]
) -> Labels:
    """Outline true nuclei in the colour of the prediction that found them.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layer is added to, or refreshed in.
    truth : Labels
        Ground truth whose nuclei are outlined.
    prediction : Labels
        The first one, which the layer belongs to.
    differing : sequence of Disagreement
        Nuclei that only one of the predictions found.
    """
    selected = set(viewer.layers.selection)
    layer = put_labels(
        viewer,
        DrawnPlanes(full_data(truth).shape, _blank),
        prediction,
        _record(DIFFERENCE, prediction),
        f"{prediction.name} {DIFFERENCE}",
        colormap=colormap(COLOURS),
        opacity=1.0,
    )
    layer.editable = False
    if selected:
        viewer.layers.selection = selected
    redraw_difference(viewer, truth, differing)
    return layer


def redraw_difference(
    viewer: ViewerModel, truth: Labels | None, differing: Sequence[Disagreement]
) -> None:
    """Let the overlay, where there is one, show other nuclei; parameters as `show_difference`.

    Parameters
    ----------
    truth : Labels or None
        Ground truth whose nuclei are outlined; None for a blank overlay.
    """
    for layer in viewer.layers:
        if role_of(layer) == DIFFERENCE and isinstance(layer.data, DrawnPlanes):
            layer.data.draw = _blank if truth is None else _drawer(truth, differing)
            layer.data.forget()
            layer.refresh(thumbnail=False, extent=False)


def _drawer(truth: Labels, differing: Sequence[Disagreement]) -> DrawPlane:
    labels = full_data(truth)
    by_plane: dict[int, dict[int, list[int]]] = {}
    for one in differing:
        sides = by_plane.setdefault(one.plane, {FIRST: [], SECOND: []})
        sides[FIRST if one.in_first else SECOND].append(one.label)

    def draw(plane: int) -> NDArray[np.uint8]:
        return _outline(np.asarray(plane_of(labels, plane)), by_plane.get(plane, {}))

    return draw


def _blank(plane: int) -> None:
    """Draw nothing."""


def _outline(field: NDArray[Any], sides: Mapping[int, Sequence[int]]) -> NDArray[np.uint8]:
    drawn = np.zeros(field.shape, dtype=np.uint8)
    for value, labels in sides.items():
        mine = np.where(np.isin(field, labels), field, 0)
        drawn[_edge(mine)] = value
    return drawn


def _edge(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the outermost two pixels of objects."""
    outer = find_outlines(labels)
    return outer | find_outlines(np.where(outer, 0, labels))

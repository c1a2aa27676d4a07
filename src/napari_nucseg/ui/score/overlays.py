"""Overlays of a comparison: verdicts, pixels, IoU; each one layer, refreshed in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.matching import match
from napari_nucseg.core.palette import AGREEMENT_COLOURS, VERDICT_COLOURS
from napari_nucseg.core.verdict_pictures import draw_agreement, draw_verdicts, look_up
from napari_nucseg.core.verdicts import Verdict, Verdicts, judge
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    IOU,
    LayerRecord,
    colormap,
    find_image,
    full_data,
    placement,
    record_of,
    role_of,
    tag,
)
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.drawn_planes import DrawnPlanes

RIGHT = frozenset({Verdict.MATCHED, Verdict.LOOSE})
IOU_STEPS = 100
"""IoU 0 is drawn as 1, IoU 1 as 101."""
Draw = Callable[[LabelImage, LabelImage, Verdicts], NDArray[np.uint8]]


def draw_ious(truth: LabelImage, predicted: LabelImage, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Fill every true object with 1 + 100 IoU, and spurious ones with 1.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (height, width)
        Labels that were judged.
    verdicts : Verdicts
        Theirs.
    """
    drawn = np.zeros(truth.shape, dtype=np.uint8)
    spurious = verdicts.predicted.ids[verdicts.predicted.codes == Verdict.SPURIOUS]
    drawn[np.isin(predicted, spurious)] = 1
    steps = 1 + np.rint(IOU_STEPS * verdicts.truth.ious).astype(np.uint8)
    found = look_up(truth, verdicts.truth.ids, steps)
    return np.where(found > 0, found, drawn)


def iou_colours() -> dict[int, Any]:
    """Colour of each value of `draw_ious`: dark for nothing shared, yellow for all."""
    steps = np.linspace(0, 1, IOU_STEPS + 1)
    return dict(enumerate(ensure_colormap("viridis").map(steps), start=1))


@dataclass(frozen=True)
class _Kind:
    """How an overlay is drawn and coloured."""

    draw: Draw
    colours: Callable[[frozenset[Verdict]], Mapping[Any, Any]]
    opacity: float
    legend: str


def _shown_verdicts(hidden: frozenset[Verdict]) -> Mapping[int, Any]:
    return {verdict: colour for verdict, colour in VERDICT_COLOURS.items() if verdict not in hidden}


KINDS = {
    ERRORS: _Kind(
        draw_verdicts,
        _shown_verdicts,
        1.0,
        "Outlines in the colours above: true nuclei thick, predicted ones without a match thin.",
    ),
    AGREEMENT: _Kind(
        lambda truth, predicted, verdicts: draw_agreement(truth, predicted),
        lambda hidden: dict(AGREEMENT_COLOURS),
        0.5,
        "Pixels: green found, orange-red missed, blue too much.",
    ),
    IOU: _Kind(
        draw_ious,
        lambda hidden: iou_colours(),
        0.7,
        "IoU of true nuclei: dark violet 0, green 0.6, yellow 1; spurious ones are dark, too.",
    ),
}


@dataclass
class _Before:
    """What was visible before everything but the errors was hidden."""

    hidden: frozenset[Verdict]
    visible: Mapping[Layer, bool]


class Overlays:
    """Adds overlays to a viewer, and lets them follow the comparison.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are shown.
    state : ComparisonState
        What they show.
    """

    def __init__(self, viewer: ViewerModel, state: ComparisonState) -> None:
        self._viewer, self._state = viewer, state
        self._before: _Before | None = None
        state.compared.connect(self.refresh)
        state.ruled.connect(self.refresh)
        state.edited.connect(self.refresh)
        state.hid.connect(self._recolour)

    @property
    def is_errors_only(self) -> bool:
        """Whether everything but the errors is hidden."""
        return self._before is not None

    def show(self, role: str) -> bool:
        """Add an overlay, or show it again; False without a comparison."""
        state = self._state
        if not state.is_there or state.prediction is None or state.truth is None:
            return False
        layer = self._find(role)
        if layer is None:
            state.prediction.visible = state.truth.visible = False  # they would hide the overlay
            self._add(role, state.prediction)
        else:
            layer.visible = True
        return True

    def toggle_errors_only(self) -> bool:
        """Hide everything but image and errors, or bring it back; False without a comparison."""
        if self._before is not None:
            before, self._before = self._before, None
            for layer, visible in before.visible.items():
                if layer in self._viewer.layers:
                    layer.visible = visible
            self._state.hide(before.hidden)
            return True
        beside = {layer: layer.visible for layer in self._viewer.layers if _is_beside(layer)}
        if not self.show(ERRORS):
            return False
        for layer in beside:
            layer.visible = False
        self._before = _Before(self._state.hidden, beside)
        self._state.hide(self._state.hidden | RIGHT)
        return True

    def refresh(self) -> None:
        """Draw the overlays that there are anew, of what is compared now."""
        prediction = self._state.prediction
        if prediction is not None and not self._state.is_there:
            return  # until it is compared they show what was before
        for role in KINDS:
            layer = self._find(role)
            if layer is not None and prediction is not None:
                layer = self._take_over(layer, role, prediction)
            if layer is not None:
                layer.data.forget()
                layer.refresh(thumbnail=False, extent=False)

    def _recolour(self) -> None:
        layer = self._find(ERRORS)
        if layer is not None:
            layer.colormap = colormap(KINDS[ERRORS].colours(self._state.hidden))

    def _add(self, role: str, prediction: Labels) -> Labels:
        """Add an overlay; what is selected stays."""
        state, kind = self._state, KINDS[role]
        selected = set(self._viewer.layers.selection)
        layer = self._viewer.add_labels(
            DrawnPlanes(full_data(prediction).shape, partial(self._draw, role)),
            name=self._name(role, prediction),
            metadata=tag(_record(role, prediction)),
            colormap=colormap(kind.colours(state.hidden)),
            opacity=kind.opacity,
            **placement(prediction),
        )
        layer.editable = False
        if selected:
            self._viewer.layers.selection = selected
        return layer

    def _take_over(self, layer: Labels, role: str, prediction: Labels) -> Labels:
        """Let an overlay show this comparison, whatever it showed before."""
        record = record_of(layer)
        if record is not None and record.source == str(prediction.unique_id):
            layer.data.draw = partial(self._draw, role)  # perhaps of a panel that was closed
            return layer
        visible = layer.visible
        self._viewer.layers.remove(layer)
        layer = self._add(role, prediction)
        layer.visible = visible
        return layer

    def _find(self, role: str) -> Labels | None:
        ours = (layer for layer in self._viewer.layers if role_of(layer) == role)
        return next((layer for layer in ours if isinstance(layer.data, DrawnPlanes)), None)

    def _name(self, role: str, prediction: Labels) -> str:
        source = find_image(self._viewer.layers, prediction) or prediction
        return f"{source.name} {role}"

    def _draw(self, role: str, plane: int) -> NDArray[np.uint8] | None:
        state = self._state
        if plane not in state.pairs:
            return None
        pair, rule = state.pairs[plane], state.rule
        both = state.copies.get(plane) or state.labels_now(plane)
        verdicts = judge(match(pair.overlap, rule.threshold, rule.preset.strict))
        return KINDS[role].draw(*both, verdicts)


def _record(role: str, prediction: Labels) -> LayerRecord:
    return LayerRecord(role, source=str(prediction.unique_id))


def _is_beside(layer: Layer) -> bool:
    """Whether a layer is neither image nor errors."""
    return not isinstance(layer, Image) and role_of(layer) != ERRORS

"""Overlays of a comparison: verdicts, pixels, IoU; each one layer, refreshed in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.matching import match
from napari_nucseg.core.palette import AGREEMENT_COLOURS, VERDICT_COLOURS
from napari_nucseg.core.verdict_pictures import draw_agreement, draw_verdicts
from napari_nucseg.core.verdicts import Verdict, Verdicts, judge
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    IOU,
    LayerRecord,
    colormap,
    find_image,
    find_labels,
    full_data,
    put_labels,
    role_of,
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
    at = truth > 0
    if len(verdicts.truth.ids):
        row = np.searchsorted(verdicts.truth.ids, truth[at])
        drawn[at] = 1 + np.rint(IOU_STEPS * verdicts.truth.ious)[row].astype(np.uint8)
    return drawn


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


def _shown_verdicts(hidden: frozenset[Verdict]) -> Mapping[int, Any]:
    return {verdict: colour for verdict, colour in VERDICT_COLOURS.items() if verdict not in hidden}


KINDS = {
    ERRORS: _Kind(draw_verdicts, _shown_verdicts, 1.0),
    AGREEMENT: _Kind(
        lambda truth, predicted, verdicts: draw_agreement(truth, predicted),
        lambda hidden: dict(AGREEMENT_COLOURS),
        0.5,
    ),
    IOU: _Kind(draw_ious, lambda hidden: iou_colours(), 0.7),
}


@dataclass
class _Before:
    """What was visible before everything but the errors was hidden."""

    hidden: frozenset[Verdict]
    visible: dict[Layer, bool] = field(default_factory=dict)


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
        state.edited.connect(self._on_edited)
        state.hid.connect(self._recolour)

    @property
    def is_errors_only(self) -> bool:
        """Whether everything but the errors is hidden."""
        return self._before is not None

    def show(self, role: str) -> bool:
        """Add an overlay, or show it again; False without a comparison."""
        state = self._state
        prediction, truth = state.prediction, state.truth
        if not state.is_there or prediction is None or truth is None:
            return False
        if self._find(role) is None:
            prediction.visible = truth.visible = False  # they would hide the overlay
        kind = KINDS[role]
        source = find_image(self._viewer.layers, prediction) or prediction
        selected = set(self._viewer.layers.selection)
        put_labels(
            self._viewer,
            DrawnPlanes(full_data(prediction).shape, lambda plane: self._draw(kind.draw, plane)),
            prediction,
            self._record(role),
            f"{source.name} {role}",
            colormap=colormap(kind.colours(state.hidden)),
            opacity=kind.opacity,
        )
        if selected:
            self._viewer.layers.selection = selected
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
        if not self.show(ERRORS):
            return False
        before = _Before(self._state.hidden)
        for layer in self._viewer.layers:
            if not isinstance(layer, Image) and role_of(layer) != ERRORS:
                before.visible[layer] = layer.visible
                layer.visible = False
        self._before = before
        self._state.hide(self._state.hidden | RIGHT)
        return True

    def refresh(self) -> None:
        """Draw the overlays that there are anew."""
        if not self._state.is_there:
            return
        for layer in self._layers():
            layer.data.forget()
            layer.refresh(thumbnail=False, extent=False)

    def _on_edited(self, plane: int) -> None:
        """Draw a field anew: an edit may change verdicts beyond its box."""
        for layer in self._layers():
            layer.data.forget()
            if plane == self._state.plane:
                layer.refresh(thumbnail=False, extent=False)

    def _recolour(self) -> None:
        layer = self._find(ERRORS)
        if layer is not None:
            layer.colormap = colormap(KINDS[ERRORS].colours(self._state.hidden))

    def _layers(self) -> list[Labels]:
        found = (self._find(role) for role in KINDS)
        return [
            layer for layer in found if layer is not None and isinstance(layer.data, DrawnPlanes)
        ]

    def _find(self, role: str) -> Labels | None:
        if self._state.prediction is None:
            return None
        return find_labels(self._viewer.layers, self._record(role))

    def _record(self, role: str) -> LayerRecord:
        assert self._state.prediction is not None
        return LayerRecord(role, source=str(self._state.prediction.unique_id))

    def _draw(self, draw: Draw, plane: int) -> NDArray[np.uint8]:
        state = self._state
        if plane not in state.pairs:
            return np.zeros(full_data(state.prediction).shape[-2:], dtype=np.uint8)
        pair, rule = state.pairs[plane], state.rule
        both = state.copies.get(plane) or state.labels_now(plane)
        verdicts = judge(match(pair.overlap, rule.threshold, rule.preset.strict))
        return draw(*both, verdicts)

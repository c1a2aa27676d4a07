"""Overlays of a comparison: verdicts, pixels, IoU; each one layer, refreshed in place.

The layer of verdicts that a folder of results brings shows the verdicts of the run. Once its
layers are compared, the overlay takes its place, so that there is one such layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.verdicts import Verdict, classify
from napari_nucseg.ui.layers import (
    DIFFERENCE,
    ERRORS,
    OVERLAYS,
    RING,
    colormap,
    find_image,
    may_be_truth,
    record_of,
    role_of,
)
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.overlay_drawing import (
    OVERLAY_STYLES,
    DrawnPlanes,
    add_overlay,
    move_overlay,
)

RIGHT = frozenset({Verdict.MATCHED, Verdict.LOOSE})


@dataclass(frozen=True)
class _Before:
    """What was visible, and which verdicts were hidden, before all but the errors was hidden."""

    hidden: frozenset[Verdict]
    visible: Mapping[Layer, bool]


class Overlays:
    """Adds overlays to a viewer, and lets them follow the comparison.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the overlays are added to.
    state : ComparisonState
        The comparison that the overlays show.
    """

    changed = Signal()
    """Another overlay is shown, or none."""

    def __init__(self, viewer: ViewerModel, state: ComparisonState) -> None:
        self._viewer, self._state = viewer, state
        self._before: _Before | None = None
        self._aside: Mapping[Layer, bool] | None = None
        self._acting = False
        state.changed.connect(self._on_changed)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer's layers; overlays stay as they are."""
        self._end_errors_only()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            if role_of(layer) in OVERLAYS:
                layer.events.visible.disconnect(self._on_visible)

    @property
    def has_comparison(self) -> bool:
        """Whether layers have been compared, so that there are errors to be shown."""
        return self._state.now.is_there

    @property
    def is_errors_only(self) -> bool:
        """Whether everything but the errors is hidden."""
        return self._before is not None

    @property
    def in_sight(self) -> str | None:
        """Role of the uppermost overlay that is visible, by whatever it was drawn."""
        roles = (role_of(layer) for layer in reversed(self._viewer.layers) if layer.visible)
        return next((role for role in roles if role in OVERLAYS), None)

    def is_shown(self, role: str) -> bool:
        """Whether an overlay is visible."""
        layer = self._find(role)
        return layer is not None and layer.visible

    def show(self, role: str) -> bool:
        """Show an overlay alone, over the image; False without a comparison.

        Labels, rings and other overlays, which would cover it, are hidden.
        """
        prediction = self._state.now.prediction
        if not self._state.now.is_there or prediction is None:
            return False
        with self._at_work():
            self._end_errors_only()
            self._put_alone(self._find(role) or self._add(role, prediction))
        return True

    def _put_alone(self, layer: Labels) -> None:
        """Hide what would cover an overlay, until none is in sight."""
        before = self._aside or {}  # and what was added since
        now = _visibility(self._viewer.layers)
        self._aside = {one: seen or before.get(one, False) for one, seen in now.items()}
        for other in self._viewer.layers:
            if isinstance(other, Labels) or role_of(other) == RING:
                _set_visible(other, other == layer)  # one of them may be napari's proxy

    def hide(self, role: str) -> None:
        """Hide an overlay, and show again what was hidden for it."""
        with self._at_work():
            layer = self._find(role)
            if layer is not None:
                _set_visible(layer, False)
            self._bring_back()

    def toggle_errors_only(self) -> bool:
        """Hide everything but image and errors, or bring it back; False without a comparison."""
        if self._before is not None:
            self._end_errors_only()
            return True
        before = _Before(self._state.now.hidden, _visibility(self._viewer.layers))
        if not self.show(ERRORS):
            return False
        prediction = self._state.now.prediction
        assert prediction is not None
        with self._at_work():
            self._before = before
            kept = (find_image(self._viewer.layers, prediction), self._find(ERRORS))
            for layer in self._viewer.layers:
                _set_visible(layer, layer.visible and layer in kept)
            self._state.hide(self._state.now.hidden | RIGHT)
        return True

    def refresh(self) -> None:
        """Draw the overlays that there are anew, of what is compared now."""
        prediction = self._state.now.prediction
        if prediction is not None and not self._state.now.is_there:
            return  # until it is compared they show what was before
        if prediction is not None:
            self._replace_saved(prediction)
        for role in OVERLAY_STYLES:
            layer = self._find(role)
            if layer is not None and prediction is not None:
                self._take_over(layer, role, prediction)
            if layer is not None:
                layer.data.forget()
                layer.refresh(thumbnail=False, extent=False)
        self.changed.emit()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Take what is shown and hidden meanwhile for our own doing, and tell of it at the end."""
        outermost, self._acting = not self._acting, True
        try:
            yield
        finally:
            if outermost:
                self._acting = False
                self.changed.emit()

    def _bring_back(self) -> None:
        aside, self._aside = self._aside, None
        self._restore({k: v for k, v in (aside or {}).items() if role_of(k) not in OVERLAYS})

    def _restore(self, visible: Mapping[Layer, bool]) -> None:
        for layer, was_visible in visible.items():
            if layer in self._viewer.layers:
                _set_visible(layer, was_visible)

    def _end_errors_only(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        with self._at_work():
            for layer in filter(None, map(self._find, OVERLAY_STYLES)):
                _set_visible(layer, before.visible.get(layer, False))
            self._restore(before.visible)
            self._state.hide(before.hidden)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects:
            self.refresh()
        if new.hidden != old.hidden:
            self._recolour()

    def _on_visible(self) -> None:
        """Notice that the user has shown or hidden an overlay in the layer list."""
        if not self._acting:
            self._look()

    def _on_inserted(self, event: Any) -> None:
        """Show an overlay alone that is not drawn here."""
        if role_of(event.value) == DIFFERENCE:
            with self._at_work():
                self._put_alone(event.value)
            event.value.events.visible.connect(self._on_visible)

    def _on_removed(self, event: Any) -> None:
        if role_of(event.value) in OVERLAYS and not self._acting:
            self._look()

    def _look(self) -> None:
        """Bring back what was hidden for overlays that are not seen any more."""
        with self._at_work():
            if not self.is_shown(ERRORS):
                self._end_errors_only()
            if not any(map(self.is_shown, (*OVERLAY_STYLES, DIFFERENCE))):
                self._bring_back()

    def _recolour(self) -> None:
        layer = self._find(ERRORS)
        if layer is not None:
            layer.colormap = colormap(OVERLAY_STYLES[ERRORS].colours(self._state.now.hidden))

    def _add(self, role: str, prediction: Labels) -> Labels:
        hidden, draw = self._state.now.hidden, partial(self._draw, role)
        layer = add_overlay(self._viewer, role, prediction, draw, hidden)
        layer.events.visible.connect(self._on_visible)
        return layer

    def _take_over(self, layer: Labels, role: str, prediction: Labels) -> None:
        """Let an overlay show this comparison, whatever it showed before."""
        layer.events.visible.connect(self._on_visible)  # perhaps of a panel that was closed
        layer.data.draw = partial(self._draw, role)
        record = record_of(layer)
        if record is None or record.source != str(prediction.unique_id):
            with self._at_work():
                move_overlay(self._viewer, role, layer, prediction)
                self._bring_up(layer)

    def _bring_up(self, layer: Labels) -> None:
        """Lay an overlay over the labels that were added since."""
        layers = self._viewer.layers
        if layer.visible and layers[-1] != layer:
            layers.move(layers.index(layer), len(layers))

    def _replace_saved(self, prediction: Labels) -> None:
        """Put the overlay in the place of the verdicts that came with a folder of results."""
        verdicts = (one for one in self._viewer.layers if role_of(one) == ERRORS)
        of_same = (one for one in verdicts if may_be_truth(one, prediction))
        saved = [one for one in of_same if not isinstance(one.data, DrawnPlanes)]
        if saved:
            with self._at_work():
                layer = self._find(ERRORS)
                visible = any(one.visible for one in saved) and (layer is None or layer.visible)
                _set_visible(layer or self._add(ERRORS, prediction), visible)
                for one in saved:
                    self._viewer.layers.remove(one)

    def _find(self, role: str) -> Labels | None:
        ours = (layer for layer in self._viewer.layers if role_of(layer) == role)
        return next((layer for layer in ours if isinstance(layer.data, DrawnPlanes)), None)

    def _draw(self, role: str, plane: int) -> NDArray[np.uint8] | None:
        now = self._state.now
        if plane not in now.pairs:
            return None
        pair, rule = now.pairs[plane], now.rule
        both = self._state.copies.get(plane) or now.label_reader()(plane)
        verdicts = classify(match(pair.overlap, rule.threshold, rule.preset.strict))
        return OVERLAY_STYLES[role].draw(*both, verdicts)


def _visibility(layers: Iterable[Layer]) -> Mapping[Layer, bool]:
    return {layer: layer.visible for layer in layers}


def _set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; napari would draw it anew even where that changes nothing."""
    if layer.visible != visible:
        layer.visible = visible

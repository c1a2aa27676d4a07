"""Notices edits of the compared layers: strokes, fills, undo and redo alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from napari_nucseg.analysis.comparison import Box, LabelPair
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.edits import lose_track
from napari_nucseg.ui.jobs import Job, Run
from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.model import ComparisonState
from napari_nucseg.ui.score.worker import read_all, read_plane


class EditTracker:
    """Finds what changed in the labels, and has it counted again.

    napari has no event for undo, but shows the layer anew after it, so that labels are compared
    with those that were counted whenever a layer is shown anew or painted in.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose layers are watched.
    parent : QObject
        Owner of the timer, which ends with it.
    begin_anew : callable
        Compares all again, where counting the change alone is not possible; gets the layer whose
        labels were replaced, or None.
    """

    def __init__(
        self, state: ComparisonState, parent: QObject, begin_anew: Callable[[Labels | None], None]
    ) -> None:
        self._state, self._begin_anew = state, begin_anew
        self._watched: list[Labels] = []
        self._edited: set[Labels] = set()
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.look)

    def watch(self, *layers: Labels | None) -> None:
        """Watch these layers, and no others."""
        for layer in self._watched:
            layer.events.data.disconnect(self._on_data)
            layer.events.paint.disconnect(self._on_paint)
            layer.events.set_data.disconnect(self._on_shown)
        self._watched = [layer for layer in layers if layer is not None]
        self._edited &= set(self._watched)
        if not self._watched:
            self._soon.stop()
        for layer in self._watched:
            layer.events.data.connect(self._on_data)
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_shown)

    def watches(self, layer: Any) -> bool:
        """Tell whether a layer is watched."""
        return layer in self._watched

    @property
    def is_waiting(self) -> bool:
        """Whether a change is about to be counted."""
        return self._soon.isActive()

    def load(self, run: Run, layer: Labels, then: Callable[[], None]) -> Job:
        """Read a layer's labels, which are read from files as they are shown, into memory.

        Parameters
        ----------
        run : callable
            Called with work to do in the background, and with what shows its result.
        layer : Labels
            One of the layers that are watched.
        then : callable
            Called afterwards, if the layer is still watched and has the same labels.
        """
        data = full_data(layer)

        def use(labels: LabelImage) -> None:
            if self.watches(layer) and full_data(layer) is data:
                self._exchange(layer, labels)
                then()

        return run(partial(read_all, data), use)

    def _exchange(self, layer: Labels, labels: LabelImage) -> None:
        """Give a layer an array that holds the same labels, which need no comparison anew."""
        layer.events.data.disconnect(self._on_data)
        layer.data = labels
        layer.events.data.connect(self._on_data)

    def look(self) -> None:
        """Count again what changed since the labels were counted last."""
        state, changed = self._state, False
        for plane in list(state.copies):
            now = self._labels_now(plane)
            box = changed_box(state.copies[plane], now)
            if box is not None:
                state.recount(plane, box, now)
                changed = True
        deep = [layer for layer in self._watched if layer.n_edit_dimensions > 2]
        if changed and deep:
            for layer in deep:
                lose_track(layer)  # other fields may have changed, too
            self._begin_anew(None)

    def _labels_now(self, plane: int) -> LabelPair:
        """Read labels, but no files of which nothing was edited."""
        state = self._state
        true, found = (
            read_plane(full_data(layer), plane) if self._may_differ(layer) else copy
            for layer, copy in zip(
                (state.now.truth, state.now.prediction), state.copies[plane], strict=True
            )
        )
        return true, found

    def _may_differ(self, layer: Labels) -> bool:
        return isinstance(full_data(layer), np.ndarray) or layer in self._edited

    def _on_data(self, event: Any) -> None:
        self._begin_anew(event.source)

    def _on_paint(self, event: Any) -> None:
        self._edited.add(event.source)
        self._soon.start()  # napari tells of paint before it is in the data

    def _on_shown(self) -> None:
        if self._state.copies:
            self._soon.start()


def changed_box(before: LabelPair, after: LabelPair) -> Box | None:
    """Return the box around all pixels whose label changed on either side; None if none did."""
    changed = _differ(before[0], after[0]) | _differ(before[1], after[1])
    rows = np.flatnonzero(changed.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(changed[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _differ(one: LabelImage, other: LabelImage) -> np.ndarray:
    return np.asarray(one != other)

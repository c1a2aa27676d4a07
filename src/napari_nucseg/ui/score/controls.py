"""What is scored, and by which rule: the first lines of the score panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magicgui.widgets import ComboBox
from napari.components import LayerList
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_nucseg.metrics.presets import ScoreRule, find_preset
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    PREDICTION,
    find_truth,
    may_be_truth,
    record_of,
    role_of,
)
from napari_nucseg.ui.params_form import LEAST_THRESHOLD, labelled, preset_box, threshold_slider


class ScoreControls:
    """Prediction, ground truth, IoU threshold and preset.

    Parameters
    ----------
    layers : LayerList
        Layers of the viewer, whose Labels layers are offered.
    """

    layers_changed = Signal()
    """Other layers were chosen."""
    rule_changed = Signal()
    """Threshold or preset was changed."""

    def __init__(self, layers: LayerList) -> None:
        self._layers = layers
        self._by_hand: Labels | None = None
        self.prediction = ComboBox(
            label="Prediction",
            choices=self._predictions,
            tooltip="Labels layer that is scored.",
        )
        self.truth = ComboBox(
            label="Ground truth",
            choices=self._truths,
            nullable=True,
            tooltip="Labels layer with the true nuclei. Chosen automatically if there is one "
            "of the same size.",
        )
        self.threshold = threshold_slider()
        self.preset = preset_box()
        rows = (self.prediction, self.truth, self.threshold, self.preset)
        for row in (self.prediction, self.truth, self.preset):
            row.native.setMinimumContentsLength(8)
        self.widget: QWidget = labelled(rows)
        self.prediction.changed.connect(self.choose_truth)
        self.truth.changed.connect(self._on_truth)
        self.threshold.changed.connect(self.rule_changed.emit)
        self.preset.changed.connect(self.rule_changed.emit)

    @property
    def rule(self) -> ScoreRule:
        """How the user wants fields to be scored."""
        return ScoreRule(round(self.threshold.value, 4), find_preset(self.preset.value))

    def reset(self) -> None:
        """Offer the layers that there are now."""
        self.prediction.reset_choices()
        self.truth.reset_choices()

    def offer(self, layer: Any) -> None:
        """Take up a layer that was added."""
        self.reset()
        record = record_of(layer)
        if record is not None and record.role == PREDICTION and not record.is_copy:
            if record.rule is not None:
                self._take_rule(record.rule)
            self.prediction.value = layer
        elif role_of(layer) == GROUND_TRUTH or (
            self.truth.value is None and isinstance(layer, Labels) and record is None
        ):
            self.choose_truth()

    def _take_rule(self, rule: Mapping[str, Any]) -> None:
        with self.rule_changed.blocked():
            self.preset.value = rule["preset"]
            self.threshold.value = max(rule["threshold"], LEAST_THRESHOLD)
        self.rule_changed.emit()

    def choose_truth(self) -> None:
        """Take the ground truth that belongs to the prediction; one chosen by hand stays."""
        prediction, truth = self.prediction.value, None
        if prediction is not None:
            found, mine = find_truth(self._layers, prediction), self._by_hand
            is_mine = mine in self._layers and may_be_truth(mine, prediction)
            truth = mine if is_mine else found
        with self.truth.changed.blocked():
            self.truth.value = truth
        self.layers_changed.emit()

    def _on_truth(self) -> None:
        self._by_hand = self.truth.value
        self.layers_changed.emit()

    def _predictions(self, widget: Any = None) -> list[Labels]:
        """List what can be scored: labels that were made here first, then those of others."""
        others = [layer for layer in self._truths() if role_of(layer) != GROUND_TRUTH]
        return sorted(others, key=lambda layer: role_of(layer) != PREDICTION)

    def _truths(self, widget: Any = None) -> list[Labels]:
        return [
            layer
            for layer in self._layers[::-1]
            if isinstance(layer, Labels) and role_of(layer) not in OVERLAYS
        ]

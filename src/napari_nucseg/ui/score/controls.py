"""What is scored, by which rule, and when: the first lines of the score panel, and its worker."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.components import LayerList
from napari.layers import Labels, Layer
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QComboBox, QPushButton, QWidget

from napari_nucseg.analysis.comparison import DatasetScore, score_dataset
from napari_nucseg.metrics.matching import find_preset
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import field_shape, full_data
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    PREDICTION,
    find_image,
    find_truth,
    may_be_truth,
    record_of,
    role_of,
)
from napari_nucseg.ui.params_form import LEAST_THRESHOLD, labelled, preset_box, threshold_slider
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.regions import IgnoreControls
from napari_nucseg.ui.score.score_table import ScoreTable

_PAUSE = 150
"""Milliseconds without a change before fields are summed up anew."""

SWAP = "\u21c5"
"""An arrow up and one down, on a button that leaves room for the names of layers."""
_TRUE_NAME = re.compile(r"truth|manual|annotat|mask|(?<![a-z])gt(?![a-z])", re.IGNORECASE)
"""What names of layers with true nuclei have in them."""
_BY_LENGTH = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
"""A long name does not widen the panel then."""


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
        self._swapped: Labels | None = None
        tip = "Labels layer that is scored."
        self.prediction = ComboBox(label="Prediction", choices=self._predictions, tooltip=tip)
        self.truth = ComboBox(
            label="Ground truth",
            choices=self._truths,
            nullable=True,
            tooltip="Labels layer with the true nuclei. Chosen automatically if there is one "
            "of the same size.",
        )
        self.threshold = threshold_slider()
        self.preset = preset_box()
        self.ignore = IgnoreControls(layers)
        self.border, inside = self.ignore.border, self.ignore.inside
        rows = (self.prediction, self.truth, self.threshold, self.preset, inside)
        for row in (self.prediction, self.truth, self.preset, inside):
            row.native.setMinimumContentsLength(3 if row is inside else 8)
            row.native.setSizeAdjustPolicy(_BY_LENGTH)
        self.swapping = QPushButton(SWAP)
        self.swapping.setFixedWidth(26)
        self.swapping.setToolTip("Swap prediction and ground truth.")
        beside = {self.truth.label: self.swapping, inside.label: self.ignore.behind}
        self.widget: QWidget = labelled(rows, beside)
        self.swapping.clicked.connect(lambda: self.swap())
        self.ignore.adding.clicked.connect(lambda: self.ignore.add_layer(self.prediction.value))
        self.prediction.changed.connect(self.choose_truth)
        self.truth.changed.connect(self._on_truth)
        self.threshold.changed.connect(self.rule_changed.emit)
        self.preset.changed.connect(self.rule_changed.emit)
        self.border.changed.connect(self._on_border)

    @property
    def rule(self) -> ScoreRule:
        """How the user wants fields to be scored."""
        preset, border = find_preset(self.preset.value), self.border.value
        return ScoreRule(round(self.threshold.value, 4), preset, ignore_border=border)

    @property
    def problem(self) -> str:
        """Why what is chosen cannot be compared, and what to do; empty if it can."""
        prediction, truth = self.prediction.value, self.truth.value
        if prediction is None:
            return "There is no prediction yet. Segment an image, or open labels as a Labels layer."
        if truth is None:
            return f"Choose the ground truth of {prediction.name}: a Labels layer of the same size."
        if prediction is truth:
            return "Prediction and ground truth are the same layer. Choose two layers."
        sizes = [tuple(full_data(layer).shape) for layer in (truth, prediction)]
        if sizes[0] == sizes[1]:
            return ""
        return (
            f"The ground truth is {sizes[0]} px and the prediction {sizes[1]} px; choose two "
            "layers of the same fields."
        )

    @property
    def remarks(self) -> str:
        """What is odd about the chosen layers; empty for nothing."""
        prediction, truth = self.prediction.value, self.truth.value
        told = self.ignore.remark_on(prediction) + self.elsewhere
        if not _are_swapped(prediction, truth):
            return told
        names = f"{prediction.name} looks like the ground truth of {truth.name}"
        return f"{names}. If so, press {SWAP}. {told}"

    @property
    def elsewhere(self) -> str:
        """Sentence on layers that do not lie on each other or on the image; empty if they do."""
        prediction, truth = self.prediction.value, self.truth.value
        image = find_image(self._layers, prediction)
        others = (prediction,) if image is None else (prediction, image)
        told = list(filter(None, (_describe_elsewhere(truth, other) for other in others)))
        if not told and image is not None:
            told = list(filter(None, [_describe_elsewhere(prediction, image)]))
        return f"{told[0]}. They are compared pixel by pixel all the same. " if told else ""

    def reset(self) -> None:
        """Offer the layers that there are now."""
        for row in (self.prediction, self.truth, self.ignore.inside):
            row.reset_choices()

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
            self.border.value = rule.get("ignore_border", False)
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

    def swap(self) -> None:
        """Exchange prediction and ground truth, if both are chosen."""
        prediction, truth = self.prediction.value, self.truth.value
        if prediction is None or truth is None:
            return
        self._swapped = self._by_hand = truth
        with self.prediction.changed.blocked(), self.truth.changed.blocked():
            self.reset()
            self.prediction.value, self.truth.value = truth, prediction
        self._on_truth()

    def _on_truth(self) -> None:
        self._by_hand = self.truth.value
        self.layers_changed.emit()

    def _on_border(self) -> None:
        self.rule_changed.emit()
        self.layers_changed.emit()  # labels are read again for it

    def _predictions(self, widget: Any = None) -> list[Labels]:
        """List what can be scored: labels that were made here first, then those of others."""
        labels, mine = self._truths(), self._swapped
        others = [one for one in labels if role_of(one) != GROUND_TRUTH or one == mine]
        return sorted(others, key=lambda layer: role_of(layer) != PREDICTION)

    def _truths(self, widget: Any = None) -> list[Labels]:
        labels = (layer for layer in reversed(self._layers) if isinstance(layer, Labels))
        return [layer for layer in labels if role_of(layer) not in OVERLAYS]


class BackgroundScoring:
    """Keeps the columns of all fields right.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose fields are all scored.
    table : ScoreTable
        Table that the scores are shown in.
    run : callable
        Does work in the background, in place of what runs.
    drop : callable
        Stops the work that runs in the background.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ScoreTable,
        run: Run,
        drop: Callable[[], None],
        parent: QObject,
    ) -> None:
        self._state, self._table, self._run, self._drop = state, table, run, drop
        self._later = QTimer(parent)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self.score_dataset)
        state.changed.connect(self._on_changed)

    @property
    def is_waiting(self) -> bool:
        """Whether work is about to begin."""
        return self._later.isActive()

    def score_dataset(self) -> None:
        """Compare the outlines of edited fields, then pool and average all fields."""
        now, copies = self._state.now, self._state.copy_unmeasured()
        if copies or now.is_stack:
            work = partial(score_dataset, now.pairs, copies, now.rule, what=now.ignored)
            self._run(work, self._show)

    def stop(self) -> None:
        """Cancel the work that was about to begin."""
        self._later.stop()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is old.objects:
            return
        if old.is_there and new.is_there:
            self._drop()  # what it measures is of labels or a rule that are past
            self._later.start()
        else:
            self._later.stop()
            self._table.show_summary(None)

    def _show(self, result: DatasetScore) -> None:
        if result.measured:
            self._state.take(self._state.now.measured(result.measured))
        self._table.show_summary(result.summary if self._state.now.is_stack else None)


def _are_swapped(prediction: Layer, truth: Layer) -> bool:
    """Tell by what layers are, or else by their names, if truth and prediction look exchanged."""
    roles = role_of(prediction), role_of(truth)
    if any(roles):
        return roles[0] == GROUND_TRUTH or (roles[0] is None and roles[1] == PREDICTION)
    is_true = [_TRUE_NAME.search(layer.name) is not None for layer in (prediction, truth)]
    return is_true == [True, False]


def _describe_elsewhere(layer: Layer, other: Layer) -> str:
    """Say if a layer has other pixels than another one, or lies elsewhere; else nothing."""
    sizes = [np.abs(one.scale[-2:]) for one in (layer, other)]
    if layer.units[-2:] != other.units[-2:] or not np.allclose(*sizes):
        its, others = (f"{one.scale[-1]:g} {one.units[-1]:~}".strip() for one in (layer, other))
        return f"{layer.name} has pixels of {its}, {other.name} of {others}"
    height, width = field_shape(layer)[-2:]
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    placed = [
        np.array([one.data_to_world((0,) * (one.ndim - 2) + corner)[-2:] for corner in corners])
        for one in (layer, other)
    ]
    apart = np.abs(placed[0] - placed[1]).max()
    return f"{layer.name} lies elsewhere than {other.name}" if apart > sizes[0].max() / 2 else ""

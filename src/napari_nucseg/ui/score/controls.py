"""What is scored, by which rule, and what of it is shown: the first lines of the score panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.components import LayerList
from napari.layers import Labels, Layer
from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QWidget

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.metrics.presets import ScoreRule, find_preset
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    PREDICTION,
    field_shape,
    find_image,
    find_truth,
    full_data,
    may_be_truth,
    record_of,
    role_of,
)
from napari_nucseg.ui.params_form import LEAST_THRESHOLD, labelled, preset_box, threshold_slider
from napari_nucseg.ui.score.model import Comparison, ComparisonState

LEGEND = {
    Verdict.MATCHED: "Has a partner at the IoU threshold. The number includes the loose ones.",
    Verdict.LOOSE: "Matched, but with an IoU below 0.7.",
    Verdict.MISSED: "A true nucleus that was not found.",
    Verdict.MERGED: "True nuclei that one predicted nucleus covers together.",
    Verdict.SPLIT: "A true nucleus that was cut into pieces.",
    Verdict.OFF: "Found, but with an IoU below the threshold.",
    Verdict.TANGLED: "Several true and several predicted nuclei that overlap one another.",
    Verdict.SPURIOUS: "A predicted nucleus where there is no true one.",
}
_WIDTHS = (30, 21, 24, 25)
"""Parts of the width; "matched" needs most."""
_SIDE = 11
_FRAME = "#808080"


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


class VerdictLegend(QWidget):
    """Colour, name and count of each verdict in the field shown; a click hides it.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose verdicts are counted.
    """

    def __init__(self, state: ComparisonState) -> None:
        super().__init__()
        self._state = state
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        for column, width in enumerate(_WIDTHS):
            grid.setColumnStretch(column, width)
        self.buttons = {}
        for number, (verdict, text) in enumerate(LEGEND.items()):
            button = _button(verdict, text)
            button.toggled.connect(self._on_toggled)
            grid.addWidget(button, *divmod(number, len(_WIDTHS)))
            self.buttons[verdict] = button
        state.changed.connect(self._on_changed)
        self.refresh()

    def refresh(self) -> None:
        """Write the counts of the field shown; none without a comparison."""
        score = self._state.now.score
        for verdict, button in self.buttons.items():
            count = "" if score is None else f" {getattr(score.verdicts, verdict.word)}"
            button.setText(f"{verdict.word}{count}")

    def text(self, verdict: Verdict) -> str:
        """Return what the legend says of a verdict."""
        return self.buttons[verdict].text()

    def _on_toggled(self) -> None:
        self._state.hide(
            frozenset(verdict for verdict, b in self.buttons.items() if not b.isChecked())
        )

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.score is not old.score:
            self.refresh()
        if new.hidden != old.hidden:
            self._show_hidden()

    def _show_hidden(self) -> None:
        for verdict, button in self.buttons.items():
            button.blockSignals(True)
            button.setChecked(verdict not in self._state.now.hidden)
            button.blockSignals(False)
            font = button.font()  # struck out, as an empty square alone looks like a white one
            font.setStrikeOut(not button.isChecked())
            button.setFont(font)


def _button(verdict: Verdict, text: str) -> QToolButton:
    button = QToolButton()
    button.setCheckable(True)
    button.setChecked(True)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setIcon(_squares(VERDICT_COLOURS[verdict]))
    button.setIconSize(QSize(_SIDE, _SIDE))
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setStyleSheet("QToolButton { background: transparent; border: none; padding: 1px; }")
    button.setToolTip(
        f"{text} The number counts true nuclei; for spurious, predicted nuclei. The table also "
        "lists the predicted nuclei of the other errors. Click to hide or show these nuclei in "
        "the overlay and the table."
    )
    return button


def _squares(colour: str) -> QIcon:
    """Return a full square for a verdict that is shown, and an empty one for one that is not."""
    icon = QIcon()
    for state, fill in ((QIcon.State.On, QColor(colour)), (QIcon.State.Off, None)):
        pixmap = QPixmap(_SIDE, _SIDE)
        pixmap.fill(QColor(0, 0, 0, 0) if fill is None else fill)
        painter = QPainter(pixmap)
        painter.setPen(QColor(_FRAME))
        painter.drawRect(0, 0, _SIDE - 1, _SIDE - 1)
        painter.end()
        icon.addPixmap(pixmap, QIcon.Mode.Normal, state)
    return icon


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

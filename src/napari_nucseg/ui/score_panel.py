"""The panel that scores a Labels layer against the ground truth and shows the errors."""

from collections.abc import Callable
from functools import partial
from typing import Any

import napari
import numpy as np
from magicgui.widgets import ComboBox, Container, FloatSlider, PushButton
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_nucseg.core.palette import AGREEMENT_COLOURS, VERDICT_COLOURS
from napari_nucseg.runs.comparing import Comparison, FieldPair
from napari_nucseg.ui.form import labelled
from napari_nucseg.ui.layers import (
    AGREEMENT,
    ERRORS,
    GROUND_TRUTH,
    PREDICTION,
    LayerRecord,
    colormap,
    find_image,
    find_labels,
    find_truth,
    full_data,
    put_labels,
    role_of,
    shown_plane,
)
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.score_table import ScoreTable, VerdictLegend
from napari_nucseg.ui.scoring import compare_planes, draw_lazily, scored_planes


class ScorePanel(Panel):
    """Compare a prediction with the ground truth.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose Labels layers are compared.
    """

    compared = Signal()
    """Emitted when the scores of the chosen layers are there."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layers = viewer.layers
        self._comparison: Comparison | None = None
        self._watched: list[Labels] = []
        self._make_widgets()
        super().__init__(viewer, [self.score])
        self._soon = QTimer(self.native)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.start)
        self.table, self.legend = ScoreTable(), VerdictLegend()
        layout = self.native.layout()
        layout.insertWidget(0, labelled([self.prediction, self.truth, self.threshold]))
        for widget in (self.table, self.legend, self.overlays.native):
            layout.addWidget(widget)
        self.prediction.changed.connect(self._choose_truth)
        self.truth.changed.connect(self._begin)
        self.threshold.changed.connect(self._on_threshold)
        self.score.changed.connect(self.start)
        self.errors.changed.connect(self.show_errors)
        self.agreement.changed.connect(self.show_agreement)
        viewer.dims.events.current_step.connect(self._on_step)
        self._layers.events.inserted.connect(self._on_layer_inserted)
        self._layers.events.removed.connect(self._on_layer_removed)
        self._choose_truth()

    def _make_widgets(self) -> None:
        self.prediction = ComboBox(
            label="Prediction",
            choices=self._predictions,
            tooltip="Labels layer to be scored.",
        )
        self.truth = ComboBox(
            label="Ground truth",
            choices=self._truths,
            nullable=True,
            tooltip="Labels layer that is right; found by itself when the dataset has one.",
        )
        self.threshold = FloatSlider(
            label="IoU threshold",
            value=0.5,
            min=0.05,
            max=0.95,
            step=0.05,
            tooltip="Nuclei match when their intersection over union is at least this.",
        )
        self.score = PushButton(text="Score", tooltip="Compare the two layers as they are now.")
        self.errors = PushButton(
            text="Show errors", tooltip="Outline every nucleus in the colour of its verdict."
        )
        self.agreement = PushButton(
            text="Pixel agreement",
            tooltip="Colour the pixels: found green, missed vermilion, too much blue.",
        )
        self.overlays = Container(
            widgets=[self.errors, self.agreement], layout="horizontal", labels=False
        )
        self.overlays.margins = (0, 0, 0, 0)

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.prediction.reset_choices()
        self.truth.reset_choices()

    def start(self) -> None:
        """Compare the chosen layers, in the background."""
        prediction, truth = self.prediction.value, self.truth.value
        self._comparison = None
        self._show_field()
        self.table.show_summary(None)
        if prediction is None or truth is None or prediction is truth:
            self.drop_job()
            self.status.value = "Choose a prediction and a ground truth: two Labels layers."
            return
        self.status.value = "Comparing..."
        planes = scored_planes(prediction)
        self.run(
            partial(compare_planes, full_data(truth), full_data(prediction), planes),
            self._show_comparison,
        )

    def show_errors(self) -> None:
        """Add or refresh the layer of verdicts."""
        threshold = self.threshold.value
        self._show_overlay(ERRORS, lambda pair: pair.draw_verdicts(threshold), VERDICT_COLOURS)

    def show_agreement(self) -> None:
        """Add or refresh the layer of found, missed and wrong pixels."""
        self._show_overlay(AGREEMENT, FieldPair.draw_agreement, AGREEMENT_COLOURS)

    def disconnect_viewer(self) -> None:
        """Disconnect from the field slider, the layer list and the chosen layers."""
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._layers.events.inserted.disconnect(self._on_layer_inserted)
        self._layers.events.removed.disconnect(self._on_layer_removed)
        self._watch()
        self._soon.stop()

    def _show_comparison(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._show_field()
        self._start_summary()
        self._refresh_overlays()
        self.compared.emit()

    def _show_field(self) -> None:
        pair = self._shown_pair()
        score = None if pair is None else pair.score(self.threshold.value)
        self.table.show_field(score)
        self.legend.show_counts(score)
        if self._comparison is not None and score is None:
            self.status.value = "The field shown has no prediction yet."
        elif score is not None:
            o = score.objects
            self.status.value = f"{o.tp + o.fn} nuclei, {o.tp + o.fp} predicted, {o.tp} matched."

    def _start_summary(self) -> None:
        comparison = self._comparison
        if comparison is None or len(comparison.pairs) < 2:
            self.table.show_summary(None)
            return
        threshold = self.threshold.value
        self.run(lambda tell: comparison.summarise(threshold), self.table.show_summary)

    def _show_overlay(
        self, role: str, draw: Callable[[FieldPair], np.ndarray], colours: dict[Any, str]
    ) -> None:
        prediction = self.prediction.value
        if self._comparison is None or prediction is None:
            self.status.value = "Press Score first."
            return
        record = LayerRecord(role, source=str(prediction.unique_id))
        if find_labels(self._layers, record) is None:
            prediction.visible = self.truth.value.visible = False  # they would hide the overlay
        data = draw_lazily(full_data(prediction).shape, self._comparison, draw)
        source = find_image(self._layers, prediction) or prediction
        put_labels(
            self._viewer,
            data,
            prediction,
            record,
            f"{source.name} {role}",
            colormap=colormap(colours),
            opacity=1.0 if role == ERRORS else 0.5,
        )

    def _refresh_overlays(self) -> None:
        prediction = self.prediction.value
        for role, show in ((ERRORS, self.show_errors), (AGREEMENT, self.show_agreement)):
            record = LayerRecord(role, source=str(prediction.unique_id))
            if find_labels(self._layers, record) is not None:
                show()

    def _on_threshold(self) -> None:
        if self._comparison is not None:
            self._show_field()
            self._start_summary()
            self._refresh_overlays()

    def _on_step(self) -> None:
        if self._comparison is not None:
            self._show_field()

    def _on_layer_inserted(self, event: Any) -> None:
        self.reset_choices()
        if role_of(event.value) == PREDICTION:
            self.prediction.value = event.value
        elif role_of(event.value) == GROUND_TRUTH:
            self._choose_truth()

    def _on_layer_removed(self, event: Any) -> None:
        self.reset_choices()
        if event.value in self._watched:
            self._choose_truth()

    def _choose_truth(self) -> None:
        prediction = self.prediction.value
        truth = None if prediction is None else find_truth(self._layers, prediction)
        with self.truth.changed.blocked():
            self.truth.value = truth
        self._begin()

    def _begin(self) -> None:
        """Score the chosen layers at once, and again when they change."""
        self._watch(self.prediction.value, self.truth.value)
        self.start()

    def _watch(self, *layers: Labels | None) -> None:
        """Score again when the labels of a chosen layer are replaced or painted in."""
        for layer in self._watched:
            layer.events.data.disconnect(self._on_data)
            layer.events.paint.disconnect(self._on_paint)
        self._watched = [layer for layer in layers if layer is not None]
        for layer in self._watched:
            layer.events.data.connect(self._on_data)
            layer.events.paint.connect(self._on_paint)

    def _on_data(self) -> None:
        self.start()

    def _on_paint(self) -> None:
        self._soon.start()  # napari tells of paint before it is in the data

    def _shown_pair(self) -> FieldPair | None:
        prediction = self.prediction.value
        if self._comparison is None or prediction is None:
            return None
        shown = shown_plane(self._viewer.dims.point, prediction)
        return self._comparison.pairs.get(shown)

    def _predictions(self, widget: Any = None) -> list[Labels]:
        wanted = (GROUND_TRUTH, ERRORS, AGREEMENT)
        return [layer for layer in self._labels_layers() if role_of(layer) not in wanted]

    def _truths(self, widget: Any = None) -> list[Labels]:
        return [
            layer for layer in self._labels_layers() if role_of(layer) not in (ERRORS, AGREEMENT)
        ]

    def _labels_layers(self) -> list[Labels]:
        return [layer for layer in self._layers[::-1] if isinstance(layer, Labels)]

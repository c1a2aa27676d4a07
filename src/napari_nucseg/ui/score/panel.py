"""The panel that scores a Labels layer against the ground truth and shows the errors."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import napari
from magicgui.widgets import PushButton
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QTabWidget, QWidget

from napari_nucseg.analysis.comparison import LocatedPair
from napari_nucseg.ui.edits import forget
from napari_nucseg.ui.layers import (
    ERRORS,
    OVERLAYS,
    describe_elsewhere,
    find_image,
    full_data,
    role_of,
)
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.params_form import DOCK_WIDTH
from napari_nucseg.ui.score.comparison_widget import ComparisonWidget
from napari_nucseg.ui.score.controls import ScoreControls
from napari_nucseg.ui.score.corrections import CorrectionControls
from napari_nucseg.ui.score.edit_tracker import EditTracker
from napari_nucseg.ui.score.export import ExportButton
from napari_nucseg.ui.score.legend import VerdictLegend
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.navigation import CanvasPicker, describe_object, go_to_row
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.ui.score.overlay_controls import OverlayControls
from napari_nucseg.ui.score.overlays import Overlays
from napari_nucseg.ui.score.plots import PlotsWidget
from napari_nucseg.ui.score.score_table import BackgroundScoring, ScoreTable
from napari_nucseg.ui.score.worker import compare_planes, scored_planes
from napari_nucseg.wording import counted

_LINES = 2
"""Of the status, so that buttons stay where they are whatever is told."""


class ScorePanel(Panel):
    """Compare a prediction with the ground truth.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose Labels layers are compared.
    """

    compared = Signal()
    """Emitted when the scores of the chosen layers are there."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layers = viewer.layers
        self._elsewhere = ""
        self.model = ComparisonState(viewer)
        self.choices = ScoreControls(viewer.layers)
        self.prediction, self.truth = self.choices.prediction, self.choices.truth
        self.threshold = self.choices.threshold
        self.score = PushButton(
            text="Score", tooltip="Compare prediction and ground truth as they are now."
        )
        super().__init__(viewer, [self.score])
        self._make_parts(viewer)
        self._lay_out()
        self._connect()
        self.choices.choose_truth()

    def _make_parts(self, viewer: napari.Viewer) -> None:
        native: QWidget = self.native
        self.table, self.legend = ScoreTable(), VerdictLegend(self.model)
        self.overlays = Overlays(viewer, self.model)
        self.objects = ObjectTable(self.model)
        self.buttons = OverlayControls(native, self.overlays, self.objects.step, self._tell)
        self.plots = PlotsWidget(viewer, self.model, self._set_threshold, self._tell)
        self.comparison = ComparisonWidget(
            viewer, self.model, self.run_errand, self._tell, self._add_beside
        )
        self.pointing = CanvasPicker(viewer, self.model, self._choose)
        self.edits = EditTracker(self.model, native, self._begin_anew)
        self.corrections = CorrectionControls(
            self.model, self.objects, self._tell, self.edits, self.run_errand
        )
        self.summing = BackgroundScoring(self.model, self.table, self.run, self.drop_job, native)

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self.objects.add_below(self.corrections)
        for tab, title, tip in (
            (self.table, "Scores", "Scores of the field shown and of all fields."),
            (
                self.objects,
                "Nuclei",
                "One row per nucleus. Click a row to go to its nucleus, or to correct it.",
            ),
            (
                self.plots,
                "Plots",
                "Scores, nuclei and fields as plots. Click in a plot to go there.",
            ),
            (self.comparison, "Compare", "Predictions and saved runs side by side."),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(tab, title), tip)
        self.export = ExportButton(self.native, self.model, self.run_errand, self._tell)
        below = QHBoxLayout()
        below.addWidget(self.score.native)
        below.addWidget(self.export)
        layout = self.native.layout()
        parts = (self.choices.widget, self.legend, self.buttons, self.tabs)
        for position, widget in enumerate(parts):
            layout.insertWidget(position, widget, 1 if widget is self.tabs else 0)
        layout.insertLayout(len(parts), below)
        self.native.setMinimumWidth(DOCK_WIDTH)
        self.status.native.setMinimumHeight(_LINES * self.native.fontMetrics().lineSpacing())
        for before, after in pairwise((*parts, self.score.native, self.export)):
            QWidget.setTabOrder(before, after)

    def _connect(self) -> None:
        self.choices.layers_changed.connect(self._begin)
        self.choices.rule_changed.connect(lambda: self.model.use_rule(self.choices.rule))
        self.score.changed.connect(self.start)
        self.model.changed.connect(self._on_changed)
        self.model.chosen.connect(self._go)
        self._viewer.dims.events.current_step.connect(self._on_step)
        self._layers.events.inserted.connect(self._on_layer_inserted)
        self._layers.events.removed.connect(self._on_layer_removed)

    @property
    def state(self) -> Comparison:
        """The comparison as it is now."""
        return self.model.now

    @property
    def running(self) -> bool:
        """Whether work is on its way in the background, or about to be."""
        return super().running or self.summing.is_waiting

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.choices.reset()

    def start(self) -> None:
        """Compare the chosen layers, in the background."""
        prediction, truth = self.prediction.value, self.truth.value
        self.drop_job()
        if prediction is None or truth is None or prediction is truth:
            self.model.choose_layers(None, None)
            self._tell(_what_is_missing(prediction, truth))
            return
        self.model.choose_layers(prediction, truth)
        self._elsewhere = self._describe_elsewhere(prediction, truth)
        self._tell(f"{self._elsewhere}Comparing...")
        planes, copies = scored_planes(prediction), self.model.copy_labels(self.model.copies)
        self.run(
            partial(compare_planes, full_data(truth), full_data(prediction), planes, copies),
            self._show_comparison,
        )

    def show_errors(self) -> None:
        """Add or refresh the layer of verdicts."""
        self.buttons.show_overlay(ERRORS)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Tell how far a comparison of many fields is."""
        if total > 1 and not self.state.is_there:
            self._tell(f"{what}: field {done + 1} of {total}")

    def on_errand(self, done: int, total: int, what: str) -> None:
        """Tell how far work on many fields is."""
        if total > 1:
            self._tell(f"{what}: {done + 1} of {total}")

    def disconnect_viewer(self) -> None:
        """Disconnect from the field slider, the layer list, the pointer and the chosen layers."""
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._layers.events.inserted.disconnect(self._on_layer_inserted)
        self._layers.events.removed.disconnect(self._on_layer_removed)
        self.pointing.disconnect()
        self.plots.disconnect_viewer()
        self.overlays.disconnect_viewer()
        self.buttons.keys.bind([])
        self.edits.watch()
        self.summing.stop()

    def _tell(self, text: str) -> None:
        self.status.value = text

    def _show_comparison(self, pairs: Mapping[int, LocatedPair]) -> None:
        self.model.show(pairs)
        self.edits.look()  # for what was painted meanwhile
        self.summing.score_dataset()
        self.compared.emit()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.score is not old.score:
            self.table.show_field(new.score)
        if new.is_there and (new.objects is not old.objects or new.plane != old.plane):
            self._tell_field()

    def _tell_field(self) -> None:
        state = self.state
        where = ""
        if state.is_stack:
            where = f"{state.name_of(state.plane)} ({state.plane + 1} of {len(state.pairs)}): "
        if state.score is None:
            self._tell(f"{self._elsewhere}{where}this field is not in the prediction yet.")
        else:
            o = state.score.objects
            told = f"{counted(o.tp + o.fn, 'nucleus')}, {o.tp + o.fp} predicted, {o.tp} matched."
            self._tell(self._elsewhere + where + told)

    def _describe_elsewhere(self, prediction: Labels, truth: Labels) -> str:
        """Say if the layers do not lie on each other, or on the image: pixels are compared."""
        image = find_image(self._layers, prediction)
        others = (prediction,) if image is None else (prediction, image)
        told = list(filter(None, (describe_elsewhere(truth, other) for other in others)))
        if not told and image is not None:
            told = list(filter(None, [describe_elsewhere(prediction, image)]))
        return f"{told[0]}. They are compared pixel by pixel all the same. " if told else ""

    def _choose(self, row: int) -> None:
        """Select what was clicked on in the canvas."""
        objects = self.state.objects
        layer = self.state.truth if objects.is_true[row] else self.state.prediction
        if layer is not None:
            layer.selected_label = int(objects.label[row])
        listed = self.objects.show_row(row)
        hidden = "" if listed else " A filter hides it in the table."
        self._tell(f"{describe_object(self.state, row)}.{hidden}")

    def _go(self, row: int) -> None:
        go_to_row(self._viewer, self.state, row)
        self._tell(f"{describe_object(self.state, row)}.")

    def _set_threshold(self, threshold: float) -> None:
        self.threshold.value = threshold

    def _on_step(self) -> None:
        self.model.follow_viewer()

    def _on_layer_inserted(self, event: Any) -> None:
        self.choices.offer(event.value)
        self._bind_keys()

    def _add_beside(self, layer: Labels) -> None:
        """Add labels to compare the chosen ones with, which stay chosen."""
        with self._layers.events.inserted.blocker(self._on_layer_inserted):
            self._viewer.add_layer(layer)
        self.reset_choices()

    def _on_layer_removed(self, event: Any) -> None:
        self.reset_choices()
        if self.edits.watches(event.value):
            self.choices.choose_truth()

    def _begin(self) -> None:
        """Score the chosen layers at once, and again when they change."""
        self.edits.watch(self.prediction.value, self.truth.value)
        self._bind_keys()
        self.start()

    def _bind_keys(self) -> None:
        chosen = (self.prediction.value, self.truth.value)
        ours = [one for one in self._layers if one in chosen or role_of(one) in OVERLAYS]
        self.buttons.keys.bind(ours)

    def _begin_anew(self, layer: Any = None) -> None:
        if layer is not None:
            forget(layer)
        self.start()


def _what_is_missing(prediction: Labels | None, truth: Labels | None) -> str:
    """Say which layer is to be chosen or opened."""
    if prediction is None:
        return "There is no prediction yet. Segment an image, or open labels as a Labels layer."
    if truth is None:
        return f"Choose the ground truth of {prediction.name}: a Labels layer of the same size."
    return "Prediction and ground truth are the same layer. Choose two layers."

"""The panel that scores a Labels layer against the ground truth and shows the errors."""

from collections.abc import Callable
from functools import partial
from typing import Any

import napari
from magicgui.widgets import PushButton
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QTabWidget, QWidget

from napari_nucseg.ui.comparison_state import ComparisonState
from napari_nucseg.ui.correction_box import CorrectionBox
from napari_nucseg.ui.edits import EditWatch
from napari_nucseg.ui.error_keys import ERRORS_ONLY, NEXT, PREVIOUS, ErrorKeys, Key
from napari_nucseg.ui.going import go_to_row
from napari_nucseg.ui.layers import AGREEMENT, ERRORS, IOU, full_data
from napari_nucseg.ui.object_table import ObjectTable
from napari_nucseg.ui.originals import forget
from napari_nucseg.ui.overlay_box import OverlayBox, describe_keys
from napari_nucseg.ui.overlays import Overlays
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.pointing import Pointing, describe_object
from napari_nucseg.ui.score_choices import ScoreChoices
from napari_nucseg.ui.score_table import ScoreTable
from napari_nucseg.ui.scoring import (
    Compared,
    Sum,
    compare_planes,
    read_all,
    scored_planes,
    sum_up,
)
from napari_nucseg.ui.verdict_legend import VerdictLegend

_PAUSE = 150
"""Milliseconds without a change before fields are summed up anew."""
_CHOOSE = "Choose a prediction and a ground truth: two Labels layers."


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
        self.state = ComparisonState(viewer)
        self.choices = ScoreChoices(viewer.layers)
        self.prediction, self.truth = self.choices.prediction, self.choices.truth
        self.threshold = self.choices.threshold
        self.score = PushButton(text="Score", tooltip="Compare the two layers as they are now.")
        super().__init__(viewer, [self.score])
        self._make_parts(viewer)
        self._lay_out()
        self._connect()
        self.choices.choose_truth()

    def _make_parts(self, viewer: napari.Viewer) -> None:
        native: QWidget = self.native
        self.table, self.legend = ScoreTable(), VerdictLegend(self.state)
        self.buttons = OverlayBox()
        self.errors, self.agreement = self.buttons.errors, self.buttons.agreement
        self.overlays = Overlays(viewer, self.state)
        self.objects = ObjectTable(self.state)
        self.corrections = CorrectionBox(self.state, self.objects, self._tell, self._read_first)
        self.pointing = Pointing(viewer, self.state, self._choose)
        self.edits = EditWatch(self.state, native, self._begin_anew)
        steps: dict[Key, Callable[[], object]] = {
            NEXT: partial(self.step, 1),
            PREVIOUS: partial(self.step, -1),
            ERRORS_ONLY: self.toggle_errors_only,
        }
        self.keys = ErrorKeys(native, steps)
        self._later = QTimer(native)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self._sum_up)

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.addTab(self.table, "Scores")
        self.objects.add_below(self.corrections)
        self.tabs.addTab(self.objects, "Nuclei")
        layout = self.native.layout()
        parts = (self.choices.widget, self.legend, self.buttons, self.tabs)
        for position, widget in enumerate(parts):
            layout.insertWidget(position, widget, 1 if widget is self.tabs else 0)

    def _connect(self) -> None:
        self.choices.layers_changed.connect(self._begin)
        self.choices.rule_changed.connect(lambda: self.state.use_rule(self.choices.rule))
        self.score.changed.connect(self.start)
        buttons = self.buttons
        for button, role in (
            (buttons.errors, ERRORS),
            (buttons.agreement, AGREEMENT),
            (buttons.iou, IOU),
        ):
            button.changed.connect(partial(self._show_overlay, role))
        buttons.errors_only.changed.connect(self.toggle_errors_only)
        buttons.next.changed.connect(lambda: self.step(1))
        buttons.previous.changed.connect(lambda: self.step(-1))
        buttons.help.changed.connect(lambda: self._tell(f"Keys: {describe_keys()}"))
        state = self.state
        for signal in (state.compared, state.ruled, state.moved, state.edited):
            signal.connect(self._show_field)
        for signal in (state.ruled, state.edited):
            signal.connect(self._sum_up_soon)
        state.chosen.connect(self._go)
        self._viewer.dims.events.current_step.connect(self._on_step)
        self._layers.events.inserted.connect(self._on_layer_inserted)
        self._layers.events.removed.connect(self._on_layer_removed)

    @property
    def running(self) -> bool:
        """Whether work is on its way in the background, or about to be."""
        return super().running or self._later.isActive()

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.choices.reset()

    def start(self) -> None:
        """Compare the chosen layers, in the background."""
        prediction, truth = self.prediction.value, self.truth.value
        self._later.stop()
        self.drop_job()
        if prediction is None or truth is None or prediction is truth:
            self.state.choose_layers(None, None)
            self.table.show_summary(None)
            self._tell(_CHOOSE)
            return
        self.state.choose_layers(prediction, truth)
        self.table.show_summary(None)
        self._tell("Comparing...")
        planes, copies = scored_planes(prediction), dict(self.state.copies)
        self.run(
            partial(compare_planes, full_data(truth), full_data(prediction), planes, copies),
            self._show_comparison,
        )

    def show_errors(self) -> None:
        """Add or refresh the layer of verdicts."""
        self._show_overlay(ERRORS)

    def show_agreement(self) -> None:
        """Add or refresh the layer of found, missed and wrong pixels."""
        self._show_overlay(AGREEMENT)

    def toggle_errors_only(self) -> None:
        """Hide everything but the image and the errors, or bring it back."""
        if not self.overlays.toggle_errors_only():
            self._tell("Press Score first.")
        self.buttons.errors_only.native.setChecked(self.overlays.is_errors_only)

    def step(self, step: int) -> None:
        """Go to the next error (1), or the one before (-1), of those that are listed."""
        if not self.objects.step(step):
            self._tell("No error is listed: every nucleus matches, or a filter hides it.")

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Tell how far a comparison of many fields is."""
        if total > 1 and not self.state.is_there:
            self._tell(f"{what}: field {done + 1} of {total}")

    def disconnect_viewer(self) -> None:
        """Disconnect from the field slider, the layer list, the pointer and the chosen layers."""
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._layers.events.inserted.disconnect(self._on_layer_inserted)
        self._layers.events.removed.disconnect(self._on_layer_removed)
        self.pointing.disconnect()
        self.keys.bind([])
        self.edits.watch()

    def _tell(self, text: str) -> None:
        self.status.value = text

    def _show_comparison(self, compared: Compared) -> None:
        self.state.show(compared)
        self.edits.look()  # for what was painted meanwhile
        self._sum_up()
        self.compared.emit()

    def _show_field(self) -> None:
        score = self.state.score
        self.table.show_field(score)
        if score is not None:
            o = score.objects
            self._tell(f"{o.tp + o.fn} nuclei, {o.tp + o.fp} predicted, {o.tp} matched.")
        elif self.state.is_there:
            self._tell("The field shown has no prediction yet.")

    def _sum_up_soon(self) -> None:
        self.drop_job()  # what it measures is of labels or a rule that are past
        self._later.start()

    def _sum_up(self) -> None:
        """Compare the outlines of edited fields, then pool and average all fields."""
        state = self.state
        copies = {plane: state.copies[plane] for plane in state.unmeasured}
        if copies or state.is_stack:
            self.run(partial(sum_up, dict(state.pairs), copies, state.rule), self._show_sum)
        else:
            self.table.show_summary(None)

    def _show_sum(self, result: Sum) -> None:
        if result.measured:
            self.state.set_pairs(result.measured)
            self.table.show_field(self.state.score)
        self.table.show_summary(result.summary)

    def _show_overlay(self, role: str, pressed: Any = None) -> None:
        if not self.overlays.show(role):
            self._tell("Press Score first.")

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

    def _on_step(self) -> None:
        self.state.follow_viewer()

    def _on_layer_inserted(self, event: Any) -> None:
        self.choices.offer(event.value)

    def _on_layer_removed(self, event: Any) -> None:
        self.reset_choices()
        if self.edits.watches(event.value):
            self.choices.choose_truth()

    def _begin(self) -> None:
        """Score the chosen layers at once, and again when they change."""
        self.edits.watch(self.prediction.value, self.truth.value)
        layers = [layer for layer in (self.prediction.value, self.truth.value) if layer is not None]
        self.keys.bind(layers)
        self.start()

    def _read_first(self, layer: Labels, then: Callable[[], None]) -> None:
        """Read the labels of a layer into memory, where they can be corrected."""
        self._tell(f"Reading {layer.name} into memory...")
        self.run(partial(read_all, full_data(layer)), partial(self._use_loaded, layer, then))

    def _use_loaded(self, layer: Labels, then: Callable[[], None], labels: Any) -> None:
        if layer in self._layers:
            self.edits.exchange(layer, labels)
            then()
            self._later.start()

    def _begin_anew(self, layer: Any = None) -> None:
        if layer is not None:
            forget(layer)
        self.start()

"""The panel that segments: choose an image and a model, press Segment, move the sliders."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import napari
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning

from napari_nucseg.ui.edits import has_history, undo
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.keys import CANCEL, SEGMENT, PanelKeys
from napari_nucseg.ui.panel import LayerWatch, Panel
from napari_nucseg.ui.segment.diameter import DiameterHelp
from napari_nucseg.ui.segment.hand_edits import HandEdits
from napari_nucseg.ui.segment.live_update import LiveUpdate
from napari_nucseg.ui.segment.measurement_updates import MeasurementUpdates
from napari_nucseg.ui.segment.model_selector import ModelSelector
from napari_nucseg.ui.segment.prediction_layer import GONE, RunResults
from napari_nucseg.ui.segment.provenance_widget import AdviceWidget, ProvenanceWidget
from napari_nucseg.ui.segment.result_cache import MemoryRows, ResultCache, StackResult, memory_limit
from napari_nucseg.ui.segment.results_widget import ResultsWidget
from napari_nucseg.ui.segment.selection import ImageRows, Selection, make_request
from napari_nucseg.ui.segment.worker import BLOCKS_STAY, STOPPED, Request, segment

NO_IMAGE = "Open an image first. File > Open Sample > Nuclei segmentation has one."
CHANGED = "Stopped, because the image has changed. Press Segment again."


class SegmentPanel(Panel):
    """Segment the nuclei of an image layer in a background worker.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer with the image, to which labels are added.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layer: Image | None = None
        self._stopped, self._is_of_edit = STOPPED, False
        self._cache = cache = ResultCache(memory_limit())
        self._selection = selection = Selection(viewer)
        self.form = selection.form
        self._memory = MemoryRows(cache, self.form.memory, self.form.taken)
        super().__init__(viewer, [])
        self._rows = ImageRows(viewer, selection, self.run_errand)
        self.model_selector = ModelSelector(selection, self.run)
        self._edits = HandEdits(viewer, self.native)
        self._results = RunResults(viewer, cache, self._edits, self._on_shown)
        self.live_update = LiveUpdate(
            self, selection, cache, self._edits, self.model_selector.remember, self._show_part
        )
        self.diameter = DiameterHelp(viewer, self.model_selector, self.say, self.live_update.rest)
        self.result = ResultsWidget(viewer, selection, self.say, self.run_errand)
        self.advice = AdviceWidget(self.follow_advice)
        self.provenance = ProvenanceWidget(viewer, self.model_selector.use_settings)
        self.measurements = MeasurementUpdates(
            viewer, cache, self.result.recolour, self._on_edited, self.native
        )
        self.result.use_flows(self.measurements.flows_of)
        self._watch = LayerWatch(viewer, Image, ("data", "axis_labels"), self._begin_anew)
        parts = self.status, self.advice, self.result, self.provenance
        self.native.layout().addWidget(self.form.arranged(*parts))
        self._keys = PanelKeys(self.native, {SEGMENT: self.start, CANCEL: self.stop})
        self._connect()
        self._show_running(False)
        self._show_field_status()

    def _connect(self) -> None:
        form = self.form
        form.image.changed.connect(self._show_image)
        form.model.changed.connect(self.result.show_range)
        self.live_update.begun.connect(self._results.begin)
        self.live_update.done.connect(self._tell_followed)
        for row in (form.image, form.model, form.channel):
            row.changed.connect(self.advice.clear)
            row.changed.connect(self._show_field_status)
        form.image.changed.connect(self._show_image_values)  # which adds to what is said
        self._rows.axes_chosen.connect(self._begin_anew)
        acts = (form.segment, self.start), (form.cancel, self.stop), (form.undo, self.undo)
        for button, act in acts:
            button.changed.connect(act)
        self._viewer.layers.events.inserted.connect(self.reset_choices)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self._viewer.layers.selection.events.active.connect(self._on_active)
        self._viewer.dims.events.current_step.connect(self._show_field_status)

    @property
    def segmenting(self) -> bool:
        """Whether a network is at work, which locks the form."""
        return self._layer is not None

    @property
    def follows(self) -> bool:
        """Whether labels are about to follow a slider that has just moved."""
        return self.live_update.is_about_to

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self._rows.offer()
        self._keys.bind(self._selection.layers, CANCEL if self.segmenting else SEGMENT)
        self.form.show_image()
        self.model_selector.refresh()
        if self._selection.image is None or self.status.value == NO_IMAGE:
            self._show_field_status()

    def start(self) -> None:
        """Segment what is chosen, in the background."""
        layer = self._selection.image
        if layer is None:
            self.say(NO_IMAGE)
            return
        self._memory.show_limit()
        try:
            request = make_request(self._viewer, layer, self._selection, self.model_selector.model)
            work = self._work_on(layer, request)
        except ValueError as error:
            self.say(str(error))
            return
        self.live_update.rest()
        if work is None:
            self.say("Nothing was changed.")
            return
        self.model_selector.remember(request.params)
        self._layer, self._stopped = layer, BLOCKS_STAY if request.is_large else STOPPED
        self._results.begin(len(request.keys))
        work()
        self.advice.clear()
        self.say(f"Loading {request.model.name}...")
        self._show_running(True)

    def _work_on(self, layer: Image, request: Request) -> Callable[[], Any] | None:
        """Return what begins the work; None if the user does not want it."""
        if request.is_large:
            from napari_nucseg.ui.segment.block_segmentation import work_in_blocks

            return work_in_blocks(self, self._viewer, layer, request)
        if not self._edits.may_replace(layer, request.keys):
            return None
        work, show = partial(segment, request), partial(self._show_part, layer)
        return partial(self.run_in_parts, work, show, lambda nothing: self._end_run())

    def follow_advice(self, change: Mapping[str, Any]) -> None:
        """Segment again with other values, which are for this image alone."""
        for name, value in change.items():
            self.form.params[name].value = value
        self.live_update.rest()
        self.start()

    def undo(self) -> None:
        """Take back the last change of the labels, whoever made it."""
        layer = self._selection.prediction
        if layer is None or not has_history(layer):
            self.say("There is nothing to undo.")
            return
        self.live_update.rest()
        self.drop_job()
        done = undo(layer)
        self.measurements.suspect(layer)
        self._say_of_edit(done)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.segmenting and self.job is not None and not self.job.is_stopping:
            self.form.progress.max = max(total, 1)
            self.form.progress.value = done
            self.say(what)

    def on_finished(self, job: Job) -> None:
        """Unlock the form when a run has ended, and say how far it came."""
        done = self._results.described
        if done and (not job.is_stopping or self._stopped == STOPPED):
            self._end_run(f"{'Stopped' if job.is_stopping else self.status.value}. {done}")
        elif job.is_stopping:
            self.say(self._stopped)
        if self.segmenting:
            self._layer = None
            self._show_running(False)

    def disconnect_viewer(self) -> None:
        """Disconnect from the layer list."""
        self.live_update.rest()
        self._keys.bind(())
        for part in (self.result, self.diameter, self.provenance, self.measurements, self._watch):
            part.disconnect_viewer()
        events = self._viewer.layers.events
        for event in (events.inserted, events.reordered, events.renamed):  # napari connects all
            event.disconnect(self.reset_choices)
        events.removed.disconnect(self._on_layer_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._viewer.dims.events.current_step.disconnect(self._show_field_status)

    def _show_part(self, layer: Image, part: StackResult | str) -> None:
        """Show labels of a field, made by a network or by the sliders."""
        if layer in self._viewer.layers and (self._stopped == STOPPED or not self.segmenting):
            before = self._selection.prediction
            was_hidden = before is not None and not before.visible
            is_to_front = not self._results.described if self.segmenting else was_hidden
            self._results.put_part(layer, part)
            if is_to_front:
                self.result.bring()

    def _end_run(self, told: str = "") -> None:
        """Tell of all that a network made, whether it was stopped or not."""
        found = self._results.finish()
        for warning in (*self._results.failures, *(found[1].notes if found else ())):
            show_warning(warning)
        if found is None:
            self.say(told, self._results.failed or GONE)
            return
        labels, result = found
        self.model_selector.learn(result.made[0].key.model, result.capabilities)
        about = self.result.describe(labels, result, ran=True)
        self.say(told, about, self._results.failed, self._results.remark)
        self.advice.tell({one.key.plane: one.concerns for one in result.made})

    def _tell_followed(self, remark: str) -> None:
        """Tell of labels that followed the sliders."""
        if (found := self._results.finish()) is not None:
            self.say(self.result.describe(*found, ran=False), remark, self._results.remark)
            self.advice.clear()  # it was about other values

    def _on_shown(self, labels: Labels) -> None:
        """Let all that tells of labels tell of those that are there now."""
        self.result.begin_anew()
        self.measurements.show(labels)
        self.provenance.show_selected()
        self.model_selector.show_device()
        self.diameter.show()

    def _on_edited(self, layer: Labels, is_turned_back: bool) -> None:
        """Let form and texts tell of labels that were edited, or that undo brought back."""
        self.provenance.show_selected()
        if layer == self._selection.prediction and self.job is None:
            if is_turned_back:
                self.live_update.put_back(live=False)
            if not self._is_of_edit:
                self._show_field_status()
            self._is_of_edit = False

    def _say_of_edit(self, *told: str) -> None:
        """Say what was done to labels; it stays while the edit is on its way to be counted."""
        self.say(*told)
        self._is_of_edit = self.measurements.measuring

    def _show_field_status(self) -> None:
        """Describe the field shown, unless a run is on: its labels, or the image before a run."""
        if self.job is not None:
            return
        self.advice.clear_elsewhere(self._selection.plane)
        known = self.result.describe_field() or self._rows.describe()
        self.say(NO_IMAGE if self._selection.image is None else known)

    def _show_image_values(self) -> None:
        """Leave the diameter of another image with that image."""
        gone = self.model_selector.show_image_values()
        self.live_update.rest()
        if gone and self.job is None:
            self.say(self.status.value, gone)

    def _show_running(self, running: bool) -> None:
        self.form.lock(running)
        self.provenance.lock(running)
        self._show_image()

    def _show_image(self) -> None:
        self._keys.bind(self._selection.layers, CANCEL if self.segmenting else SEGMENT)
        self.form.show_image()
        self._rows.show()
        self.result.show_range()
        if not self.segmenting:  # torch may be on its way in, which this would wait for
            self.model_selector.show_device()

    def _begin_anew(self, layer: Image) -> None:
        """Forget what was made of other data or axes than an image has now."""
        left = self._results.begin_anew(layer)
        if self.segmenting and layer is self._layer:
            self.stop()
            self._stopped = CHANGED
        elif layer is self._selection.image and not self.segmenting:
            self.drop_job()
            self._show_image()
            self._show_field_status()
            self._show_image_values()
            self.say(left, self.status.value)

    def _on_active(self, event: Any) -> None:
        """Take the image that was opened or selected last."""
        if not self.segmenting:
            self._rows.take(event.value)

    def _on_layer_removed(self, event: Any) -> None:
        self.reset_choices()
        if self.segmenting and event.value is self._layer:
            self.stop()
        if self._cache.forget_removed(event.value, self._viewer.layers) and not self.segmenting:
            self.drop_job()
            self._show_field_status()

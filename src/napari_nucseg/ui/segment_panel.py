"""The panel that segments: choose an image and a model, press Segment, move the sliders."""

from collections.abc import Iterable
from typing import Any

import napari
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_nucseg.ui import preferences
from napari_nucseg.ui.form import scrolled
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.kept import KeptResults, Spot
from napari_nucseg.ui.layers import (
    PREDICTION,
    LayerRecord,
    count_planes,
    field_shape,
    find_labels,
    record_of,
    shown_plane,
)
from napari_nucseg.ui.model_chooser import ModelChooser
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.predictions import put_prediction
from napari_nucseg.ui.provenance_box import ProvenanceBox
from napari_nucseg.ui.result_box import ResultBox
from napari_nucseg.ui.segment_form import Scope, SegmentForm, folded
from napari_nucseg.ui.segmenting import Request, Result, relabel_planes, segment_planes
from napari_nucseg.ui.sources import drawn_box, field_of, pixel_size

DEBOUNCE = 60
"""Milliseconds that a slider has to rest before labels follow it."""


class SegmentPanel(Panel):
    """Segment the nuclei of an image layer in a background worker.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the image is and the labels go.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layer: Image | None = None
        self._layers = viewer.layers
        self._kept = KeptResults(preferences.memory_limit())
        self.form = SegmentForm(self._images, self._scopes)
        super().__init__(viewer, [])
        self.chooser = ModelChooser(self.form, self._pixels, self.run)
        self.result = ResultBox(viewer, self._prediction, self._say)
        self.provenance = ProvenanceBox(viewer, self.chooser.use_settings)
        self.native.layout().addWidget(
            scrolled(
                self.form.top(),
                self.form.advanced(),
                self.form.buttons.native,
                self.form.progress.native,
                self.status.native,
                self.form.follow_all.native,
                self.result.native,
                folded("How was this made?", self.provenance.native),
            )
        )
        self._resting = QTimer(self.native)
        self._resting.setSingleShot(True)
        self._resting.setInterval(DEBOUNCE)
        self._connect()
        self._show_running(False)

    def _connect(self) -> None:
        form = self.form
        form.image.changed.connect(self._show_image)
        form.segment.changed.connect(self.start)
        form.cancel.changed.connect(self.stop)
        form.follow_all.changed.connect(self.follow_everywhere)
        for row in form.params.rows:
            row.changed.connect(self._on_value)
        form.model.changed.connect(self._rest)
        self._resting.timeout.connect(self.follow)
        self._layers.events.inserted.connect(self.reset_choices)
        self._layers.events.removed.connect(self._on_layer_removed)

    @property
    def segmenting(self) -> bool:
        """Whether a network is at work, which locks the form."""
        return self._layer is not None

    @property
    def follows(self) -> bool:
        """Whether labels are about to follow a slider that has just moved."""
        return self._resting.isActive()

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.form.image.reset_choices()
        self.form.scope.reset_choices()

    def start(self) -> None:
        """Segment what is chosen, in the background."""
        layer = self.form.image.value
        if layer is None:
            self._say("Open an image first: File > Open Sample > Nuclei segmentation has one.")
            return
        request = self._request(layer)
        if request is None:
            self._say("Draw a rectangle in a Shapes layer, or choose another scope.")
            return
        self._resting.stop()
        preferences.save_params(request.model.name, request.params)
        self._layer = layer
        self.run(
            lambda tell: segment_planes(request, tell),
            lambda result: self._show_result(layer, result),
        )
        self._say(f"Loading {request.model.name}...")
        self._show_running(True)

    def stop(self) -> None:
        """Ask the running segmentation to stop."""
        if self.job is not None:
            self._say("Stopping...")
            self.job.stop()

    def follow(self) -> None:
        """Give the shown field the labels of the values on the form."""
        layer = self.form.image.value
        if self.running:
            self._resting.start()  # once what is on its way is there
        elif layer is not None:
            preferences.save_params(self.chooser.model.name, self.form.params.params)
            self._relabel(layer, [shown_plane(self._viewer.dims.point, layer)])

    def follow_everywhere(self) -> None:
        """Give every field that was segmented before the labels of the values on the form."""
        layer = self.form.image.value
        if layer is not None and not self.segmenting:
            self._relabel(layer, range(count_planes(layer)))

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.segmenting and self.job is not None and not self.job.is_stopping:
            self.form.progress.max = max(total, 1)
            self.form.progress.value = done
            self._say(what)

    def on_finished(self, job: Job) -> None:
        """Give the buttons back."""
        if job.is_stopping:
            self._say("Stopped. No layer was added or changed.")
        if self.segmenting:
            self._layer = None
            self._show_running(False)

    def disconnect_viewer(self) -> None:
        """Disconnect from the layer list."""
        self._resting.stop()
        self.result.disconnect_viewer()
        self.provenance.disconnect_viewer()
        events = self._layers.events
        for event in (events.inserted, events.reordered, events.renamed):  # napari connects all
            event.disconnect(self.reset_choices)
        events.removed.disconnect(self._on_layer_removed)

    def _request(self, layer: Image) -> Request | None:
        """Put together what is asked for; None if it has no place."""
        form = self.form
        box = drawn_box(self._viewer, layer) if form.scope.value == Scope.BOX else None
        if form.scope.value == Scope.BOX and box is None:
            return None
        shown = shown_plane(self._viewer.dims.point, layer)
        everywhere = form.scope.value == Scope.ALL
        planes = tuple(range(count_planes(layer))) if everywhere else (shown,)
        self._kept.limit = preferences.memory_limit()
        return Request(
            name=layer.name,
            images=tuple(field_of(layer, plane, form.channel.value, box) for plane in planes),
            planes=planes,
            box=box,
            model=self.chooser.model,
            device=form.device.value,
            params=form.params.params,
            memory=self._kept.limit,
            pixel_size=pixel_size(layer),
        )

    def _relabel(self, layer: Image, planes: Iterable[int]) -> None:
        params = self.form.params.params
        known = self._kept.of(str(layer.unique_id), self.chooser.model.name)
        chosen = {plane: known[plane] for plane in planes if plane in known}
        if not chosen:
            if self._prediction() is not None:
                self._say("Press Segment: this field's result is not in memory.")
            return
        outdated = next(iter(chosen.values())).result.outdated_by(params)
        if outdated:
            self._say(f"Press Segment: {', '.join(outdated)} needs the network.")
            return
        self.run(
            lambda tell: relabel_planes(chosen, layer.name, params, tell),
            lambda result: self._show_result(layer, result),
        )

    def _show_result(self, layer: Image, result: Result) -> None:
        if layer not in self._viewer.layers:
            return
        put_prediction(self._viewer, layer, result.made)
        for plane, made in result.made.items():
            spot = Spot(str(layer.unique_id), made.provenance["model"], plane)
            self._kept.replace(spot, result.kept.get(plane))
        self.result.begin_anew()
        self.provenance.show_selected()
        self.chooser.show_device()
        self._say(self._describe(result))
        for note in result.notes if self.segmenting else ():
            show_warning(note)

    def _describe(self, result: Result) -> str:
        where = "" if len(result.made) == 1 else f" in {len(result.made)} fields"
        took = f" in {result.seconds:.2f} s" if self.segmenting else ""
        size = self.result.overview()
        about = f"{result.count} nuclei{where}{took}{', ' if size else ''}{size}."
        live = self.segmenting and result.kept
        return f"{about} Sliders now change this result." if live else about

    def _rest(self) -> None:
        """Leave labels as they are: values that came with a model were not moved by the user."""
        self._resting.stop()

    def _say(self, line: str) -> None:
        self.status.value = line

    def _show_running(self, running: bool) -> None:
        for widget in self.form.locked_while_running:
            widget.enabled = not running
        self.form.cancel.enabled = running
        self.form.progress.visible = running
        self.form.progress.value = 0
        self._show_image()

    def _show_image(self) -> None:
        layer = self.form.image.value
        self.form.channel.enabled = layer is not None and layer.rgb and not self.segmenting
        self.form.follow_all.visible = layer is not None and count_planes(layer) > 1
        self.form.scope.reset_choices()
        if not self.segmenting:  # torch may be on its way in, which this would wait for
            self.chooser.show_device()

    def _on_value(self) -> None:
        if not self.segmenting:
            self._resting.start()

    def _on_layer_removed(self, event: Any) -> None:
        self.reset_choices()
        removed = event.value
        if self.segmenting and removed is self._layer:
            self.stop()
        if isinstance(removed, Image):
            self._kept.forget(str(removed.unique_id))
        else:
            self._forget_prediction(record_of(removed))

    def _forget_prediction(self, record: LayerRecord | None) -> None:
        """Let deleted labels follow no slider, unless they were a duplicate."""
        if record is None or record.role != PREDICTION or not record.provenance:
            return
        if find_labels(self._layers, record) is None:
            self._kept.forget(record.source, record.provenance["model"])
            if not self.segmenting:
                self.drop_job()

    def _prediction(self) -> Labels | None:
        """Return the labels that the chosen model made of the chosen image."""
        layer = self.form.image.value
        if layer is None:
            return None
        made = {"model": self.chooser.model.name}
        record = LayerRecord(PREDICTION, source=str(layer.unique_id), provenance=made)
        return find_labels(self._layers, record)

    def _pixels(self) -> int:
        layer = self.form.image.value
        return 0 if layer is None else field_shape(layer)[-2] * field_shape(layer)[-1]

    def _images(self, widget: Any = None) -> list[Image]:
        return [layer for layer in self._layers[::-1] if isinstance(layer, Image)]

    def _scopes(self, widget: Any = None) -> list[Scope]:
        layer = self.form.image.value if hasattr(self, "form") else None
        several = layer is not None and count_planes(layer) > 1
        return [Scope.FIELD, Scope.ALL, Scope.BOX] if several else [Scope.FIELD, Scope.BOX]

"""The panel that segments: choose an image and a model, press Segment."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import napari
import numpy as np
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    ProgressBar,
    PushButton,
)
from napari.layers import Image

from napari_nucseg.core.segmenting import SegmentParams
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.ui.form import ParamsForm, labelled, text_line
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import (
    PREDICTION,
    LayerRecord,
    count_planes,
    find_labels,
    full_data,
    plane_of,
    put_labels,
    record_of,
    shown_plane,
)
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.segmenting import Request, Result, segment_planes


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
        self._make_widgets()
        super().__init__(viewer, [self.all_fields, self.buttons, self.progress])
        rows = [self.image, self.model, self.about, self.device, self.place, *self.params.rows]
        self.native.layout().insertWidget(0, labelled(rows))
        self.image.changed.connect(self._show_scope)
        self.model.changed.connect(self._show_model)
        self.segment.changed.connect(self.start)
        self.cancel.changed.connect(self.stop)
        self._layers.events.removed.connect(self._on_layer_removed)
        self._show_model()
        self._show_running(False)

    def _make_widgets(self) -> None:
        self.image = ComboBox(
            label="Image",
            choices=self._images,
            tooltip="Layer whose nuclei are segmented.",
        )
        self.model = ComboBox(
            label="Model",
            choices=[model.name for model in catalogue.models()],
            tooltip="u2os comes with the plugin and is fast on any computer. The Cellpose-SAM "
            "models are more general, need a download, and want a GPU.",
        )
        self.about = text_line()
        self.device = ComboBox(
            label="Device",
            choices=CHOICES,
            tooltip="Where the network runs. auto takes a CUDA GPU, then an Apple GPU, then the "
            "CPU. A device that is not there is refused.",
        )
        self.place = text_line()
        self.place.value = "Told when it first runs"
        self.params = ParamsForm(SegmentParams())
        self.all_fields = CheckBox(
            text="All fields of the stack",
            tooltip="Segment every field of the stack, not only the one shown.",
        )
        self.segment = PushButton(text="Segment", tooltip="Find the nuclei, in the background.")
        self.cancel = PushButton(text="Cancel", tooltip="Stop; no layer is added or changed.")
        self.buttons = Container(
            widgets=[self.segment, self.cancel], layout="horizontal", labels=False
        )
        self.buttons.margins = (0, 0, 0, 0)
        self.progress = ProgressBar(min=0, max=1, value=0)

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.image.reset_choices()

    def start(self) -> None:
        """Segment what is chosen, in the background."""
        layer = self.image.value
        if layer is None:
            self.status.value = (
                "Open an image first: File > Open Sample > Nuclei segmentation has one."
            )
            return
        if layer.rgb:
            self.status.value = f"{layer.name} has colour; choose one grey channel."
            return
        request = self._request(layer)
        self._layer = layer
        self.run(
            lambda tell: segment_planes(request, tell),
            lambda result: self._show_result(layer, request, result),
        )
        self.status.value = f"Loading {request.model.name}..."
        self._show_running(True)

    def stop(self) -> None:
        """Ask the running segmentation to stop."""
        if self.job is not None:
            self.status.value = "Stopping..."
            self.job.stop()

    def _request(self, layer: Image) -> Request:
        data = full_data(layer)
        count = count_planes(layer)
        shown = shown_plane(self._viewer.dims.point, layer)
        planes = tuple(range(count)) if self.all_fields.value else (shown,)
        images = tuple(plane_of(data, plane) for plane in planes)
        if isinstance(data, np.ndarray):
            images = tuple(image.copy() for image in images)  # the layer may be edited meanwhile
        model = catalogue.find(self.model.value)
        return Request(layer.name, images, planes, model, self.device.value, self.params.params)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.job is not None and not self.job.is_stopping:
            self.progress.max = max(total, 1)
            self.progress.value = done
            self.status.value = what

    def on_finished(self, job: Job) -> None:
        """Give the buttons back."""
        if job.is_stopping:
            self.status.value = "Stopped. No layer was added or changed."
        self._layer = None
        self._show_running(False)

    def disconnect_viewer(self) -> None:
        """Disconnect from the layer list."""
        self._layers.events.removed.disconnect(self._on_layer_removed)

    def _show_result(self, layer: Image, request: Request, result: Result) -> None:
        if layer not in self._viewer.layers:
            return
        self._put(layer, request, result)
        made = result.provenances[-1]
        self.place.value = f"{made['device']}, {made['precision']}"
        where = "" if len(request.planes) == 1 else f" in {len(request.planes)} fields"
        self.status.value = f"{result.count} nuclei{where} in {result.seconds:.2f} s."

    def _put(self, layer: Image, request: Request, result: Result) -> None:
        """Show the labels; fields of a stack that were segmented before keep theirs."""
        of_image = record_of(layer)
        record = LayerRecord(
            PREDICTION,
            stems=of_image.stems if of_image else (),
            source=str(layer.unique_id),
            fields=request.planes if count_planes(layer) > 1 else None,
            provenance=result.provenances[-1],
        )
        shape = full_data(layer).shape
        earlier = find_labels(self._viewer.layers, record)
        labels = np.zeros(shape, dtype=np.int32)
        by_field: dict[int, Mapping[str, Any]] = dict(
            zip(request.planes, result.provenances, strict=True)
        )
        if earlier is not None and earlier.data.shape == shape:
            labels = earlier.data
            before = record_of(earlier)
            by_field = {**((before and before.by_field) or {}), **by_field}
        if record.fields is not None:
            record = replace(record, fields=tuple(sorted(by_field)), by_field=by_field)
        for number, plane in zip(request.planes, result.labels, strict=True):
            plane_of(labels, number)[...] = plane
        put_labels(self._viewer, labels, layer, record, f"{layer.name} {request.model.name}")

    def _show_running(self, running: bool) -> None:
        for widget in (self.image, self.model, self.device, *self.params.rows):
            widget.enabled = not running
        self.segment.enabled = not running
        self.cancel.enabled = running
        self.progress.visible = running
        self.progress.value = 0
        self._show_scope()

    def _show_model(self) -> None:
        model = catalogue.find(self.model.value)
        fetched = f"Segment fetches its {model.megabytes} MB to {model.path.parent} first"
        here = "ready" if model.is_ready else fetched
        self.about.value = f"{model.about}; {here}"
        self.params.params = model.defaults

    def _show_scope(self) -> None:
        layer = self.image.value
        stack = layer is not None and count_planes(layer) > 1 and not layer.rgb
        self.all_fields.enabled = stack and not self.running
        if not stack:
            self.all_fields.value = False

    def _on_layer_removed(self, event: Any) -> None:
        if self.job is not None and event.value is self._layer:
            self.stop()

    def _images(self, widget: Any = None) -> list[Image]:
        return [layer for layer in self._layers[::-1] if isinstance(layer, Image)]

"""The panel that teaches a model from labels: tick them, press Train, segment with the result."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Labels, Layer, Shapes
from napari.utils.notifications import show_warning

from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.jobs import Job, single_shot
from napari_nucseg.ui.layer_fields import drawing_layers
from napari_nucseg.ui.panel import LayerWatch, Panel
from napari_nucseg.ui.score.canvas import go_to_field
from napari_nucseg.ui.segment.model_list import ModelFiles, ask_for_model
from napari_nucseg.ui.segment.panel import SegmentPanel
from napari_nucseg.ui.train.course_view import CoursePlot, HeldOutLayers
from napari_nucseg.ui.train.fields import (
    AFTER,
    BEFORE,
    FieldInput,
    LabelledImage,
    copy_fields,
    count_fields,
    find_labelled,
    propose_ticks,
)
from napari_nucseg.ui.train.form import LAYERS, TrainForm
from napari_nucseg.ui.train.worker import (
    NOTHING,
    ONE_FIELD,
    HeldOut,
    Outcome,
    TrainRequest,
    describe_hold_out,
    describe_pace,
    teach,
)
from napari_nucseg.ui.widgets import path_in
from napari_nucseg.wording import listed

if TYPE_CHECKING:
    from napari_nucseg.batch.train_log import Epoch

PLUGIN, SEGMENT = "napari-nucseg", "Segment nuclei"
NOT_YET = "Stopped. Nothing was learned yet."
UNTICKED = "Tick labels to learn from."
LISTED = "A list of the dataset for validation is held out if it has one, else a quarter."
_PAUSE = 400
"""Milliseconds without an edit before it is looked anew what is corrected."""
Place = tuple[LabelledImage, int]
"""Layers and the number of a field in them."""


class TrainPanel(Panel):
    """Teach a model from labels in a background worker.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer with images and labels.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layers = viewer.layers
        self._pairs: list[LabelledImage] = []
        self._by_hand: dict[str, bool] = {}
        self._places: list[Place] = []
        self._outcome: Outcome | None = None
        self.form = form = TrainForm(lambda *_: drawing_layers(viewer.layers))
        super().__init__(viewer, [])
        self.outlines = HeldOutLayers(viewer)
        self.plot = CoursePlot(viewer, self.run_errand, self.say)
        self.native.layout().addWidget(form.arranged(self.plot, self.status))
        self._soon = single_shot(self.native, self.refresh, _PAUSE)
        edits = {Labels: ("data", "paint"), Shapes: ("data",)}
        look = self._soon.start
        self._watches = [LayerWatch(viewer, *one, lambda _: look()) for one in edits.items()]
        self._connect()
        form.propose_name()
        self.refresh()
        self._show_running(False)

    def _connect(self) -> None:
        form = self.form
        form.pairs.itemChanged.connect(self._on_tick)
        for row in (form.source, form.hold_out, form.inside, form.folder):
            row.changed.connect(self._show_held)
        for changed in (form.start.changed, form.device.changed, form.minutes.changed):
            changed.connect(self._show_place)
        form.add_model.changed.connect(self.add_model)
        form.train.changed.connect(self.start)
        form.cancel.changed.connect(self.stop)
        form.use.changed.connect(self.segment_with_it)

    @property
    def chosen(self) -> list[LabelledImage]:
        """What is ticked of the layers."""
        ticks = self.form.pairs.ticks()
        return [pair for pair in self._pairs if ticks.get(pair.uid)]

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.form.inside.reset_choices()
        self.refresh()

    def refresh(self) -> None:
        """Look anew what there is to learn from; what was ticked by hand stays so."""
        if self.job is not None:
            return
        self._soon.stop()
        self._pairs, alone = find_labelled(self._layers)
        names = listed([labels.name for labels in alone])
        self.form.alone.value = f"No image of the same size is there for {names}." if alone else ""
        self.form.pairs.offer(self._pairs, propose_ticks(self._pairs, self._by_hand))
        self.form.show_source()
        self._show_held()

    def choose(self, layers: Iterable[Layer]) -> None:
        """Tick the labels among layers, or those of their images, if there are any; no others."""
        ids = {str(layer.unique_id) for layer in layers}
        of = {str(pair.labels.unique_id): str(pair.image.unique_id) for pair in self._pairs}
        found = ids & of.keys() or {label for label, image in of.items() if image in ids}
        if found:
            self._by_hand = {uid: uid in found for uid in of}
            self.refresh()

    def start(self) -> None:
        """Teach what is chosen, in the background."""
        self.refresh()
        try:
            request = self._request()
        except ValueError as error:
            self.status.value = str(error)
            return
        self._outcome = None
        self.plot.begin()
        self.run_in_parts(
            lambda tell, hand: teach(request, tell, hand), self._show_part, self._show_outcome
        )
        self.status.value = "Reading the fields..."
        self._show_running(True)

    def add_model(self) -> None:
        """Ask for a model file, and start from it, if it is one."""
        ask_for_model(self.form.add_model.native, self.run_errand, self._take_up)

    def segment_with_it(self) -> None:
        """Choose the new model in the segment panel, which is opened if need be."""
        if self._outcome is None or self._outcome.path is None:
            return
        window = self._viewer.window
        opened = [one for one in window.dock_widgets.values() if isinstance(one, SegmentPanel)]
        panel = opened[0] if opened else window.add_plugin_dock_widget(PLUGIN, SEGMENT)[1]
        panel.come_to_front()
        panel.model_selector.take_up(self._outcome.path)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.job is not None and not self.job.is_stopping:
            self.form.progress.max = max(total, 1)
            self.form.progress.value = done
            self.status.value = what

    def on_finished(self, job: Job) -> None:
        """Give the buttons back."""
        if job.is_stopping:
            self.status.value = self._outcome.told if self._outcome else NOT_YET
        if self._outcome is not None and not self.form.may_resume:
            self.form.propose_name()
        self._show_running(False)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and its layers."""
        self._soon.stop()
        self.plot.disconnect_viewer()
        for watch in self._watches:
            watch.disconnect_viewer()

    def _request(self) -> TrainRequest:
        """Put together what is asked for; a ValueError says what is missing."""
        form, files = self.form, self.form.files
        if files is None:
            raise ValueError("Choose under Save as where the new model is saved.")
        resume = form.may_resume and form.resume.value
        taken = [path for path in files.all if path.exists()]
        if taken and not resume:
            raise ValueError(f"{taken[0]} is there already. Choose another name under Save as.")
        fields, folder = self._fields(), None
        if form.source.value != LAYERS:
            folder = path_in(form.folder)
            if folder is None or not folder.is_dir():
                raise ValueError("Choose the folder of a dataset, which is there.")
        return TrainRequest(
            fields,
            folder,
            form.held_out,
            catalogue.find(form.start.value),
            form.values.params,
            form.device.value,
            form.minutes.value,
            files.weights,
            resume,
        )

    def _fields(self) -> tuple[FieldInput, ...]:
        """Copy the fields of the layers that are ticked, and note where each is."""
        if self.form.source.value != LAYERS:
            self._places = []
            return ()
        if not self.chosen:
            raise ValueError(UNTICKED if self._pairs else NOTHING)
        found = copy_fields(self._viewer, self.chosen, self.form.inside.value)
        if len(found) == 1 and self.form.held_out is None:
            raise ValueError(ONE_FIELD)
        self._places = [(pair, plane) for pair, plane, _ in found]
        return tuple(field for _, _, field in found)

    def _show_part(self, part: "HeldOut | Epoch | Outcome") -> None:
        """Show what is held out, how it goes, or what was saved of a training that broke off."""
        if isinstance(part, Outcome):
            self._show_outcome(part)
        elif isinstance(part, HeldOut):
            self._show_held_out(part)
        else:
            self.plot.add(part.row)
            if part.labels is not None and (part.row.batch == 0 or part.row.kept):
                self.outlines.show(AFTER if part.row.share else BEFORE, part.labels)
                self.plot.legend.show()

    def _show_held_out(self, part: HeldOut) -> None:
        """Say what is held out, and go to the field in which outlines will be."""
        self.form.held.value = part.told
        for note in part.notes:
            show_warning(note)
        if part.image is not None:
            self.outlines.begin_with_file(part.image, part.names[0])
        elif part.number is None:
            self.outlines.begin(None, 0)
        else:
            pair, plane = self._places[part.number]
            self.outlines.begin(pair.image, plane)
            if pair.labels in self._layers:
                go_to_field(self._viewer, pair.labels, plane)

    def _show_outcome(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self.status.value = outcome.told
        if outcome.path is not None:
            ModelFiles().add(outcome.path)
            self.form.start.reset_choices()
            for panel in self._viewer.window.dock_widgets.values():
                if isinstance(panel, SegmentPanel):
                    panel.model_selector.refresh()

    def _take_up(self, path: Path) -> None:
        ModelFiles().add(path)
        self.form.start.reset_choices()
        self.form.start.value = str(path)

    def _on_tick(self, item: Any) -> None:
        self._by_hand = self.form.pairs.ticks()
        self._show_held()

    def _show_held(self) -> None:
        """Say how many fields will be held out."""
        form, chosen = self.form, self.chosen
        if form.source.value != LAYERS:
            form.held.value = "" if form.held_out is not None else LISTED
        elif chosen:
            count = count_fields(chosen, form.inside.value)
            form.held.value = describe_hold_out(count, form.held_out)
        else:
            form.held.value = UNTICKED if self._pairs else NOTHING

    def _show_place(self) -> None:
        form = self.form
        form.place.value = describe_pace(form.start_path, form.device.value, form.minutes.value)

    def _show_running(self, running: bool) -> None:
        self.form.lock(running)
        self.form.use.visible = not running and bool(self._outcome and self._outcome.path)
        if not running:
            self.form.show_resume()
            self._show_place()

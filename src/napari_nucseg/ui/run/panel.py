"""The panel that runs models over a dataset, as the command ``napari-nucseg benchmark`` does."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import napari
from napari.layers import Labels, Layer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_nucseg.batch.saved_results import holds_results
from napari_nucseg.batch.wells import PlateResults, open_plate_results
from napari_nucseg.io.bbbc039 import dataset_folder, missing_archives
from napari_nucseg.io.plates import ChoiceNeededError
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.files.opening import Opened, add_in_turns, read_ahead
from napari_nucseg.ui.files.results_reader import (
    FoundResults,
    ask_where,
    find_results,
    read_results,
)
from napari_nucseg.ui.files.samples import download_in_window
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, record_of, role_of
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.params_form import folded, scrolled, show_enabled, side_by_side
from napari_nucseg.ui.run.form import ALL, RunForm
from napari_nucseg.ui.run.plots import MeasuresWidget, PlateMapWidget
from napari_nucseg.ui.run.worker import RunOutcome, RunRequest, run_request
from napari_nucseg.ui.score.canvas import go_to_field
from napari_nucseg.ui.segment.display import show_first
from napari_nucseg.ui.segment.model_list import ask_for_model
from napari_nucseg.ui.widgets import path_in

REPORT = "report.html"
OPENING = "Opening the results..."
VALUES = (
    "Thresholds and sizes of the chosen model. If several models are chosen, each uses its "
    "defaults."
)


class RunPanel(Panel):
    """Segment and score every field of a dataset in a background worker.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that results are shown in.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.form = RunForm()
        self._done = ""
        self._shown: tuple[Path, list[Layer]] | None = None
        self._wanted = ""
        self._reading: Job | None = None
        super().__init__(viewer, [])
        form = self.form
        self.more = folded("More", "Settings that are seldom changed.", form.more())
        self.measures = MeasuresWidget(viewer, self.run_errand, self.say)
        self.plate = PlateMapWidget(viewer, self.run_errand, self.say)
        self.native.layout().addWidget(
            scrolled(
                form.top(),
                folded("Values of the model", VALUES, form.values()),
                self.more,
                side_by_side(form.run, form.cancel).native,
                form.progress.native,
                self.status.native,
                side_by_side(form.show_results, form.show_report).native,
                self.plate,
                self.measures,
            )
        )
        form.models.changed.connect(self._show_values)
        form.out.changed.connect(self._show_buttons)
        form.out.changed.connect(self._open_plate)
        self.plate.picked.connect(self.go_to)
        for row in form.choices:
            row.changed.connect(lambda: self.say(""))
        form.download.changed.connect(self.download)
        form.add_model.changed.connect(self.add_model)
        form.run.changed.connect(self.start)
        form.cancel.changed.connect(self.stop)
        form.show_results.changed.connect(self.show_results)
        form.show_report.changed.connect(self.show_report)
        self._show_running(False)

    def start(self) -> None:
        """Run what is chosen, in the background."""
        request = self._request()
        if isinstance(request, str):
            self.status.value = request
            return
        self._done, self._shown = "", None  # fields that it makes are blank in what is shown
        self.measures.show_measures(())
        self._drop_plate()
        self.run(lambda tell: run_request(request, tell), self._show_outcome)
        self.status.value = "Reading the dataset..."
        self._show_running(True)

    def download(self) -> None:
        """Fetch the published dataset while the window stays alive, and choose it."""
        folder = dataset_folder()
        if missing_archives(folder):
            try:
                download_in_window(folder)
            except OSError as error:
                self.status.value = str(error)
                return
        self.form.dataset.value = folder

    def add_model(self) -> None:
        """Ask for a model file, and choose it, too, if it is one."""
        ask_for_model(self.form.add_model.native, self.run_errand, self._take_up)

    def show_results(self) -> None:
        """Open the results as layers, in the background."""
        out = path_in(self.form.out)
        if out is None:
            return
        before = self.status.value
        self._shown = out, []
        self.say(OPENING)
        self.run_errand(partial(find_results, out), partial(self._read_results, before))

    def _read_results(self, before: str, found: FoundResults) -> None:
        try:
            moved = ask_where(found)
        except ValueError as error:
            self._on_error(error)
            return
        read = partial(read_ahead, partial(read_results, found, moved))
        self.run_errand(read, partial(self._add_results, before))

    def _add_results(self, before: str, opened: Opened) -> None:
        if self.status.value == OPENING:  # else a run has begun
            self.say(before)
        layers = [] if self._shown is None else self._shown[1]
        add_in_turns(self._viewer, opened, partial(self._on_added, layers))

    def _on_added(self, layers: list[Layer], layer: Layer) -> None:
        """Let the image be seen through a prediction, and show the field that was asked for."""
        layers.append(layer)
        if isinstance(layer, Labels):
            if layer.visible and role_of(layer) == PREDICTION:
                show_first(layer)
            self._show_field(layers)

    def _on_error(self, error: Exception) -> None:
        if self._shown is not None and not self._shown[1]:
            self._shown = None  # so that a click on a well opens them again
        super()._on_error(error)
        if isinstance(error, ChoiceNeededError):
            row = getattr(self.form, error.option)
            self.more.expand(animate=False)
            row.native.setFocus()
            self.say(f"{self.status.value}. Write it above: More, {row.label}.")

    def go_to(self, stem: str) -> None:
        """Show a field of the results, whose layers are opened first if they are not there."""
        self._wanted = stem
        of, layers = self._shown or (None, [])
        there = [layer for layer in layers if layer in self._viewer.layers]
        if of != path_in(self.form.out) or (layers and not there):
            self.show_results()
        else:  # where there are none yet, they are on their way
            self._show_field(there)

    def _show_field(self, layers: Sequence[Layer]) -> None:
        """Move the slider to the field that is wanted; fields of other sizes are hidden for it."""
        stems = {layer: record.stems for layer in layers if (record := record_of(layer))}
        having = [layer for layer, named in stems.items() if self._wanted in named]
        if having and not any(layer.visible for layer in having):
            for layer in stems:
                layer.visible = layer in having and role_of(layer) != GROUND_TRUTH
        for layer in having:
            if isinstance(layer, Labels):
                go_to_field(self._viewer, layer, stems[layer].index(self._wanted))

    def show_report(self) -> None:
        """Open the report in the browser."""
        out = path_in(self.form.out)
        if out is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(out.absolute() / REPORT)))

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.job is not None and not self.job.is_stopping:
            self.form.progress.max = max(total, 1)
            self.form.progress.value = done
            self._done = f"{done} of {total}"
            self.say(what)

    def on_finished(self, job: Job) -> None:
        """Unlock the form when a run has ended, and say how far it came."""
        if job.is_stopping:
            done = f" with {self._done} done" if self._done else ""
            self.status.value = f"Stopped{done}. Press Run to go on from there."
        self._show_running(False)

    def disconnect_viewer(self) -> None:
        """Disconnect from the events of the viewer."""
        self.measures.disconnect_viewer()
        self.plate.disconnect_viewer()

    def _request(self) -> RunRequest | str:
        """Put together what is asked for, or say what is missing."""
        form = self.form
        dataset, out = path_in(form.dataset), path_in(form.out)
        if dataset is None:
            return "Choose the folder of a dataset. It holds images/ and masks/ or labels/."
        if form.show_missing():
            return "Choose a folder that exists, see above."
        if out is None:
            return "Choose a folder for the results: a new one, or that of a run to go on with."
        if not form.models.value:
            return "Choose a model."
        models = tuple(form.models.value)
        return RunRequest(
            dataset,
            out,
            None if form.split.value == ALL else form.split.value,
            models,
            form.device.value,
            form.rule,
            form.chosen(catalogue.find(models[0]).defaults),
            form.scheduler.value.strip() or None,
            path_in(form.truths),
            form.components.value,
            form.plate,
        )

    def _take_up(self, path: Path) -> None:
        chosen = [*self.form.models.value, str(path)]
        self.form.files.add(path)
        self.form.models.reset_choices()
        self.form.models.value = chosen

    def _show_values(self) -> None:
        """Show the values that suit the chosen model; of several each keeps its own."""
        chosen = self.form.models.value
        if len(chosen) == 1:
            self.form.show_model(catalogue.find(chosen[0]))
        self._lock_values()

    def _show_running(self, running: bool) -> None:
        for widget in self.form.locked_while_running:
            widget.enabled = not running
        self._lock_values()
        show_enabled(self.form.threshold)
        self.form.cancel.enabled = running
        self.form.progress.visible = running
        self._show_buttons()

    def _lock_values(self) -> None:
        """Several models keep the values that suit each."""
        for row in self.form.params.rows:
            row.enabled = len(self.form.models.value) == 1 and self.job is None
            show_enabled(row)

    def _show_buttons(self) -> None:
        """Results can be looked at wherever there are some."""
        out = path_in(self.form.out)
        there = out is not None and out.is_dir() and self.job is None
        self.form.show_results.enabled = there and out is not None and holds_results(out)
        self.form.show_report.enabled = there and out is not None and (out / REPORT).is_file()

    def _show_outcome(self, outcome: RunOutcome) -> None:
        self.say(outcome.text)
        self.measures.show_measures(outcome.measured)
        self._open_plate()

    def _open_plate(self) -> None:
        """Show the map of the plate whose results are chosen, if they are of one."""
        out = path_in(self.form.out)
        self._drop_plate()
        if out is not None and holds_results(out):
            read = partial(open_plate_results, out)
            self._reading = self.run_errand(lambda tell: read(), self.plate.show_results)

    def _drop_plate(self) -> None:
        """Hide the map of a plate, and show none that is still read."""
        if self._reading is not None and not self._reading.is_over:
            self._reading.abandon()
        self.plate.show_results(PlateResults({}, {}))

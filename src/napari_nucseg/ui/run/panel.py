"""The panel that runs models over a dataset, as the command ``napari-nucseg benchmark`` does."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import napari
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_nucseg.core.presets import ScoreRule
from napari_nucseg.runs.download import dataset_folder, missing_archives
from napari_nucseg.runs.result_tables import Benchmark
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.files.downloading import download_in_window
from napari_nucseg.ui.form import scrolled
from napari_nucseg.ui.jobs import Job, Tell
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.run.form import ALL, RunForm, folder_of, side_by_side
from napari_nucseg.ui.segment.form import folded
from napari_nucseg.ui.segment.model_files import ask_for_model

PLUGIN = "napari-nucseg"


@dataclass(frozen=True)
class RunRequest:
    """What is asked for, as plain values.

    Attributes
    ----------
    dataset, out : Path
        Folder of the fields, and of the results.
    split : str or None
        Which of them.
    models : tuple of str
        Names or files of models, which run one after the other.
    device : str
        auto, cuda, mps or cpu.
    rule : ScoreRule
        How fields are scored.
    chosen : mapping
        Values other than those that suit the model.
    scheduler : str or None
        Address of a Dask scheduler.
    """

    dataset: Path
    out: Path
    split: str | None
    models: tuple[str, ...]
    device: str
    rule: ScoreRule
    chosen: Mapping[str, float]
    scheduler: str | None

    @property
    def command(self) -> list[str]:
        """The command line that does the same."""
        line = [PLUGIN, "benchmark", str(self.dataset), "--out", str(self.out)]
        line += ["--split", self.split] if self.split else []
        for model in self.models:
            line += ["--model", model]
        line += ["--device", self.device, "--iou", f"{self.rule.threshold:g}"]
        line += ["--preset", self.rule.preset.name]
        line += ["--empty-as-one"] if self.rule.empty_as_one else []
        line += ["--scheduler", self.scheduler] if self.scheduler else []
        for name, value in self.chosen.items():
            line += [f"--{name.replace('_', '-')}", str(value)]
        return line


class RunPanel(Panel):
    """Segment and score every field of a dataset in a background worker.

    Parameters
    ----------
    viewer : napari.Viewer
        Where results can be shown.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.form = RunForm()
        self._out: Path | None = None
        self._done = ""
        super().__init__(viewer, [])
        form = self.form
        self.native.layout().addWidget(
            scrolled(
                form.top(),
                folded("Values of the model", form.values()),
                folded("More", form.more()),
                side_by_side(form.run, form.cancel),
                form.progress.native,
                self.status.native,
                side_by_side(form.show_results, form.show_report),
            )
        )
        form.models.changed.connect(self._show_values)
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
        self._out, self._done = None, ""
        self.run(lambda tell: run_request(request, tell), lambda told: self._show(request, told))
        self.status.value = "Looking at the dataset..."
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
        path = ask_for_model(self.form.add_model.native)
        if path is not None:
            self.run_errand(lambda tell: catalogue.check(path), lambda _: self._take_up(path))

    def stop(self) -> None:
        """Ask the run to stop; what is done stays."""
        if self.job is not None:
            self.status.value = "Stopping..."
            self.job.stop()

    def show_results(self) -> None:
        """Open the results as layers."""
        if self._out is not None:
            self._viewer.open(str(self._out), plugin=PLUGIN)

    def show_report(self) -> None:
        """Open the report in the browser."""
        if self._out is not None:
            url = QUrl.fromLocalFile(str(self._out.absolute() / "report.html"))
            QDesktopServices.openUrl(url)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Move the bar, unless Cancel was pressed."""
        if self.job is not None and not self.job.is_stopping:
            self.form.progress.max = max(total, 1)
            self.form.progress.value = done
            self._done = f"{done} of {total}"
            self.status.value = f"{what}: {self._done} done" if what else "Writing the tables..."

    def on_finished(self, job: Job) -> None:
        """Give the buttons back."""
        if job.is_stopping:
            done = f" with {self._done} done" if self._done else ""
            self.status.value = f"Stopped{done}. Run goes on from there."
        self._show_running(False)

    def _request(self) -> RunRequest | str:
        """Put together what is asked for, or say what is missing."""
        form = self.form
        dataset, out = folder_of(form.dataset), folder_of(form.out)
        if dataset is None:
            return "Choose the folder of a dataset: it holds images/ and masks/."
        if out is None:
            return "Choose a folder for the results; a new one, or that of a run to go on with."
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
            self.form.params.params = catalogue.find(chosen[0]).defaults
        for row in self.form.params.rows:
            row.enabled = len(chosen) == 1

    def _show(self, request: RunRequest, told: str) -> None:
        self._out = request.out
        self.status.value = told

    def _show_running(self, running: bool) -> None:
        for widget in self.form.locked_while_running:
            widget.enabled = not running
        if not running:
            several = len(self.form.models.value) > 1
            for row in self.form.params.rows:
                row.enabled = not several
        self.form.cancel.enabled = running
        self.form.progress.visible = running
        for button in (self.form.show_results, self.form.show_report):
            button.enabled = not running and self._out is not None


def run_request(request: RunRequest, tell: Tell) -> str:
    """Fetch weights, run, and say in words what came out; called in a worker.

    Raises
    ------
    ValueError, OSError
        As by `run_models`.
    """
    from napari_nucseg.core.bbbc039 import open_dataset
    from napari_nucseg.runs.models_run import run_models
    from napari_nucseg.runs.saving import has_parquet
    from napari_nucseg.runs.setups import set_up
    from napari_nucseg.runs.workers import workers_for

    dataset = open_dataset(request.dataset, request.split)
    models = [catalogue.find(name) for name in request.models]
    for model in models:
        catalogue.download(model, partial(_tell_download, tell, model.name))
    setups = [set_up(model, request.device, request.chosen, request.rule) for model in models]
    with workers_for(request.scheduler, request.device) as run_fields:
        results = run_models(
            dataset,
            setups,
            request.out,
            report=tell,
            run_fields=run_fields,
            parquet=has_parquet(),
            command=request.command,
        )
    names = [setup.model for setup in setups]
    return "\n".join(_in_words(*one) for one in zip(names, results, strict=True))


def _in_words(model: str, result: Benchmark) -> str:
    pooled = result.summary.pooled
    told = (
        f"{model}: {len(result.scores)} fields, Dice {pooled.pixels.dice:.3f}, F1 "
        f"{pooled.objects.f1:.3f}, AP .50:.95 {pooled.mean_ap:.3f} (pooled)."
    )
    return told + (f" {len(result.failed)} failed, see failed.csv." if result.failed else "")


def _tell_download(tell: Tell, name: str, done: int, total: int | None) -> None:
    tell(done, total or 0, name)

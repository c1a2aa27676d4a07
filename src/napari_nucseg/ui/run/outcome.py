"""What comes of a run: plain values that a worker makes of plain values, and how they are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QTableView, QVBoxLayout, QWidget

from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.batch.tables import Benchmark
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.writers import Columnlike
from napari_nucseg.progress import Progress
from napari_nucseg.report.measures import Measured, label_of
from napari_nucseg.report.plots import AREA, COUNT, INTENSITY, Theme, draw_measure, dress
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.jobs import Run, TimeLeft
from napari_nucseg.ui.run.form import RunRequest
from napari_nucseg.ui.score.figures import Plot, SaveButton
from napari_nucseg.ui.score.score_table import PlainModel, table_view
from napari_nucseg.wording import counted

_HEIGHT = 180
"""Pixels of the plot of measures, and of their table."""


class RunProgress:
    """Tells how far a run over fields is.

    Parameters
    ----------
    progress : Progress
        Called with (steps done, steps in all, what is done).
    models : sequence of str
        Names of the models, which run one after the other.
    clock : callable, optional
        Returns seconds, from any point in time on.
    """

    def __init__(
        self,
        progress: Progress,
        models: Sequence[str],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._progress, self._models, self._left = progress, models, TimeLeft(clock)

    def report(self, done: int, total: int, name: str = "", /) -> None:
        """Tell how many fields are done over all models, and what is at work."""
        if not name:
            self._progress(done, total, "Writing the tables...")
            return
        fields = max(total // len(self._models), 1)
        model = self._models[min(done // fields, len(self._models) - 1)]
        words = [f"{model}: {name}", f"field {done % fields + 1} of {fields}"]
        self._progress(done, total, ", ".join([*words, *self._left.after(done, total)]))


@dataclass(frozen=True)
class RunOutcome:
    """What came of a run: words for the panel, and of images without ground truth the measures."""

    text: str
    measured: tuple[Measured, ...] = ()


def run_request(request: RunRequest, progress: Progress) -> RunOutcome:
    """Fetch weights, and run; called in a worker.

    Images without any ground truth are segmented and measured; there is nothing to score.

    Raises
    ------
    ValueError, OSError
        What `run_models` and `measure_models` raise.
    """
    from napari_nucseg.batch.dataset_run import Execution, run_models
    from napari_nucseg.batch.executor import executor_for
    from napari_nucseg.batch.run_setup import set_up
    from napari_nucseg.io.datasets import open_dataset
    from napari_nucseg.io.writers import has_parquet

    dataset = open_dataset(request.dataset, request.split, truths=request.truths)
    if request.components:
        dataset = dataset.with_components()
    models = [catalogue.find(name) for name in request.models]
    for model in models:
        catalogue.download(model, partial(_tell_download, progress, model.name))
    setups = [set_up(model, request.device, request.chosen, request.rule) for model in models]
    told = RunProgress(progress, [model.name for model in models]).report
    if dataset.has_no_truth:
        return _measure(dataset, setups, request, told)
    with executor_for(request.scheduler, request.device) as run_fields:
        how = Execution(told, run_fields, has_parquet(), request.command)
        results = run_models(dataset, setups, request.out, how)
    names = [setup.model for setup in setups]
    return RunOutcome("\n".join(_in_words(*one) for one in zip(names, results, strict=True)))


def _measure(
    dataset: Dataset, setups: Sequence[Setup], request: RunRequest, progress: Progress
) -> RunOutcome:
    """Segment and measure images without ground truth."""
    from napari_nucseg.batch.executor import cluster_for
    from napari_nucseg.batch.measured_run import describe_measured, measure_models

    with cluster_for(request.scheduler, request.device) as cluster:
        how = progress, cluster, request.command
        measured = measure_models(dataset, setups, request.out, *how)
    return RunOutcome("\n".join(describe_measured(measured)), tuple(measured))


def _in_words(model: str, result: Benchmark) -> str:
    pooled = result.summary.pooled
    told = (
        f"{model}: {counted(len(result.scores), 'field')}, Dice {pooled.pixels.dice:.3f}, F1 "
        f"{pooled.objects.f1:.3f}, AP .50:.95 {pooled.mean_ap:.3f} (pooled)."
    )
    return told + (f" {len(result.failed)} failed, see failed.csv." if result.failed else "")


def _tell_download(
    progress: Progress, model: str, done: int, total: int, name: str = "", /
) -> None:
    megabytes = f"{done // 10**6:,} of {total // 10**6:,} MB"
    progress(done >> 20, total >> 20, f"Fetching {model}: {megabytes}")


class MeasuresWidget(QWidget):
    """Measures of nuclei: how they are distributed, and of each field.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the plot follows.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(self, viewer: ViewerModel, run: Run, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self._measured: Sequence[Measured] = ()
        self.canvas: Any = None
        self.table: QTableView | None = None
        self.kind = QComboBox()
        self.kind.addItems([AREA, INTENSITY, COUNT])
        self.kind.setToolTip("Which measure the plot shows. The report has all of them.")
        self.kind.currentTextChanged.connect(self.draw)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.save = SaveButton(self._plot, run, tell)
        above = QHBoxLayout()
        above.addWidget(self.kind, 1)
        above.addWidget(self.save)
        self._layout.addLayout(above)
        viewer.events.theme.connect(self.draw)
        self.setVisible(False)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self.draw)

    def show_measures(self, measured: Sequence[Measured]) -> None:
        """Show what models found; nothing hides plot and table."""
        self._measured = measured
        self.setVisible(bool(measured))
        if measured:
            self._make_table()
            self.draw()

    def draw(self, *event: Any) -> None:
        """Draw the chosen measure."""
        if not self._measured:
            return
        if self.canvas is None:
            self._make_canvas()
        colours = get_theme(self._viewer.theme)
        parts = colours.background, colours.text, colours.secondary
        theme = Theme(*(colour.as_hex() for colour in parts))
        _draw(self._measured, self.kind.currentText(), theme, self.canvas.figure)
        self.canvas.draw_idle()

    def _plot(self) -> Plot | str:
        """Return the chosen plot as it is saved."""
        measured, kind = self._measured, self.kind.currentText()
        if not measured:
            return "There are no measures yet. Press Run first."
        name = " ".join([*(one.name for one in measured), kind])
        return Plot(name, partial(_draw, measured, kind, Theme()))

    def _make_canvas(self) -> None:
        # Not above, because opening the panel would wait for matplotlib
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        make: Callable[[Figure], Any] = FigureCanvasQTAgg
        self.canvas = make(Figure(layout="constrained"))
        self.canvas.setFixedHeight(_HEIGHT)
        self._layout.insertWidget(1, self.canvas)

    def _make_table(self) -> None:
        """List the fields of all models; several have their names before the fields'."""
        area = "µm²" if self._measured[0].has_scale else "px"
        model = PlainModel(("field", "nuclei", f"median\narea ({area})", "mean\nintensity"))
        several, rows, tips = len(self._measured) > 1, [], []
        for one in self._measured:
            header, *cells = one.cells
            for name, count, size, diameter, intensity, at_border in cells:
                field = f"{one.name}: {name}" if several else name
                rows.append((field, count, size, intensity))
                tips.append(f"{field}. {header[3]} {diameter}, {at_border} nuclei at the border.")
        model.show_rows(rows, tips=tips)
        if self.table is not None:
            self.table.deleteLater()
        self.table = table_view(model, stretched=0)
        self.table.setFixedHeight(_HEIGHT)
        self._layout.addWidget(self.table)


def _draw(
    measured: Sequence[Measured], kind: str, theme: Theme, figure: Any
) -> Mapping[str, Columnlike]:
    """Draw a measure in place of what a figure shows, and return it as columns of a table."""
    figure.clear()
    axes, label = figure.subplots(), label_of(kind, all(one.has_scale for one in measured))
    values = {one.name: one.values(kind) for one in measured}
    draw_measure(axes, values, label, theme)
    dress(axes, theme)
    names = [name for name, mine in values.items() for _ in mine]
    return {"model": names, label: [value for mine in values.values() for value in mine.tolist()]}

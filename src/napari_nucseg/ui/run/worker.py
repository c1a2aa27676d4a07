"""What the run panel's worker does: plain values in, what came of the run out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.batch.tables import Benchmark
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.plates import NO_PLATE, PlateOptions
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.jobs import TimeLeft
from napari_nucseg.wording import counted

if TYPE_CHECKING:
    from napari_nucseg.report.measures import Measured

PLUGIN = "napari-nucseg"


@dataclass(frozen=True)
class RunRequest:
    """What is asked for, as plain values.

    Attributes
    ----------
    dataset, out : Path
        Folder of the fields, and of the results.
    truths : Path or None
        Folder of the ground truth, if the dataset is a folder of images alone.
    components : bool
        Whether each piece of a ground truth that is a binary mask is a nucleus of its own.
    plate : PlateOptions
        What is taken of a plate.
    split : str or None
        Name of the list of fields to run; None for all fields.
    models : tuple of str
        Names or files of models, which run one after the other.
    device : str
        auto, cuda, mps or cpu.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.
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
    truths: Path | None = None
    components: bool = False
    plate: PlateOptions = NO_PLATE

    @property
    def command(self) -> list[str]:
        """The command line that does the same."""
        line = [PLUGIN, "benchmark", str(self.dataset)]
        line += [str(self.truths)] if self.truths else []
        line += ["--out", str(self.out)]
        line += ["--split", self.split] if self.split else []
        for model in self.models:
            line += ["--model", model]
        line += ["--device", self.device, "--iou", f"{self.rule.threshold:g}"]
        line += ["--preset", self.rule.preset.name]
        line += ["--components"] if self.components else []
        line += ["--empty-as-one"] if self.rule.empty_as_one else []
        line += ["--ignore-border"] if self.rule.ignore_border else []
        line += ["--scheduler", self.scheduler] if self.scheduler else []
        for name, wanted in asdict(self.plate).items():
            line += [f"--{name.replace('_', '-')}", wanted] if wanted else []
        for name, value in self.chosen.items():
            option = f"--{name.replace('_', '-')}"
            line += [option] if value is True else [option, str(value)]
        return line


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

    dataset = open_dataset(
        request.dataset, request.split, truths=request.truths, plate=request.plate
    )
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

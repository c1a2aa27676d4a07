"""The same pipeline without a viewer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_nucseg import __version__
from napari_nucseg.cli.benchmark import benchmark
from napari_nucseg.cli.options import (
    DEFAULT_PRESET,
    ChannelAxis,
    ChannelName,
    Components,
    DeviceName,
    EmptyAsOne,
    ModelName,
    Out,
    PresetName,
    Scheduler,
    Threshold,
    Volume,
    console,
    counting,
    follow_with,
    prepare,
    refuse_failures,
    rule_of,
    takes,
    transferring,
    warn,
    warn_of_reading,
)
from napari_nucseg.cli.train import train
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams, VolumeParams

if TYPE_CHECKING:
    from napari_nucseg.batch.image_task import Failed, ImageTask
    from napari_nucseg.batch.task import Executor
    from napari_nucseg.io.sources import Source

app = typer.Typer(
    name="napari-nucseg",
    help="Segment nuclei, score the labels against ground truth, train a model.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


app.command()(benchmark)
app.command()(train)


def main() -> None:
    """Run the command line. Bad input is one line on standard error and exit code 2.

    What a terminal has no letters for is spelt out.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"napari-nucseg: {error}", err=True)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    pass


@app.command()
@takes(SegmentParams, "Segmentation", "set by the model")
@takes(VolumeParams, "Stacks in depth", name="in_depth")
def segment(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images or folders.")],
    out: Out,
    model: ModelName = catalogue.BUNDLED,
    device: DeviceName = "auto",
    channel: ChannelName = None,
    channel_axis: ChannelAxis = None,
    volume: Volume = None,
    scheduler: Scheduler = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace labels that were edited since, and files of others."
        ),
    ] = False,
    chosen: dict[str, Any] | None = None,
    in_depth: dict[str, Any] | None = None,
) -> None:
    """Segment images, and write a label TIFF named like each. Labels that are up to date are kept.

    A stack that states the distance of its planes has its own anisotropy, unless it is given.

    The exit code is 1 if an image failed; the others are done.
    """
    from napari_nucseg.batch.executor import cluster_for
    from napari_nucseg.batch.image_run import find_images, passed_over, refuse_overwriting
    from napari_nucseg.batch.image_task import Choice, ImageTask
    from napari_nucseg.io.channels import Channel

    if channel_axis is not None and channel is None:
        raise ValueError("--channel-axis needs --channel, the channel of the nuclei")
    choice = Choice(
        None if channel is None else Channel.named(channel, channel_axis),
        volume,
        VolumeParams(**(in_depth or {})),
        takes_spacing="anisotropy" not in (in_depth or {}),
    )
    sources = find_images(inputs)
    refuse_overwriting(sources, out)
    for line in passed_over(inputs, sources):
        warn(line)
    setup = prepare(model, device, chosen)
    catalogue.find(model).check(setup.params, volume)
    with cluster_for(scheduler, device) as cluster:
        if cluster is None:
            setup.load()  # what is wrong with it is told before anything is written
        failed = _segment_all(sources, ImageTask(setup, out, choice, overwrite), cluster)
    refuse_failures([ValueError(one.error) for one in failed], len(sources))


def _segment_all(
    sources: Sequence[Source], work: ImageTask, cluster: Executor | None
) -> list[Failed]:
    """Segment images and tell of each; return those that failed."""
    from napari_nucseg.batch.image_run import describe, segment_images
    from napari_nucseg.batch.image_task import Saved

    found: list[Saved | Failed] = []
    with counting() as bar:
        for one in segment_images(sources, work, follow_with(bar, "Images"), cluster):
            found.append(one)
            if isinstance(one, Saved):
                console.print(f"{one.name}: {describe(one)}")
                for sign in (*one.read_as, *one.suspect):
                    warn(f"{one.name}: {sign}")
    return [one for one in found if not isinstance(one, Saved)]


@app.command()
def score(
    predicted: Annotated[
        Path, typer.Argument(help="Label TIFF or PNG, _seg.npy of Cellpose, or a folder of them.")
    ],
    truth: Annotated[Path, typer.Argument(help="The ground truth, the same kind.")],
    iou: Threshold = 0.5,
    preset: PresetName = DEFAULT_PRESET,
    empty_as_one: EmptyAsOne = False,
    components: Components = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score labels against the ground truth."""
    from napari_nucseg.analysis.score_records import score_record, summary_record
    from napari_nucseg.batch.image_run import pair_labels
    from napari_nucseg.metrics.summary import summarise
    from napari_nucseg.report.text import score_table, summary_table

    rule = rule_of(iou, preset, empty_as_one)
    scores = []
    for pair in pair_labels(predicted, truth):
        found, notes = pair.score_and_note(rule, components=components)
        scores.append(found)
        warn_of_reading(components, *notes)
    summary = summarise(scores, empty_as_one)
    if as_json:
        record = score_record(summary.pooled)
        if not predicted.is_file():
            record |= summary_record(summary)
            del record["pooled"]
        typer.echo(json.dumps(record, allow_nan=False))
    else:
        console.print(score_table(scores[0]) if predicted.is_file() else summary_table(summary))


@app.command()
def models(device: DeviceName = "auto") -> None:
    """List the models, and the device that they would run on."""
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.model import weights_folder

    table = Table("Model", "Size", "Installed", "About", "Licence")
    for model in catalogue.models():
        size, is_here = f"{model.megabytes} MB", "yes" if model.is_ready else "no"
        table.add_row(model.name, size, is_here, model.about, model.licence)
    console.print(table)
    console.print(f"Weights folder: {weights_folder()}")
    console.print(f"Device: {choose(device)}")


@app.command()
def download(
    to: Annotated[
        Path | None, typer.Option(help="Folder of the dataset; a cache folder if not given.")
    ] = None,
) -> None:
    """Download BBBC039 (80 MB), or the rest of it after an interruption."""
    from napari_nucseg.io.bbbc039 import dataset_folder, download_dataset, missing_archives

    missing = missing_archives(folder := to or dataset_folder())
    with transferring() as bar:
        download_dataset(folder, follow_with(bar, "Download"))
    names = ", ".join(archive.name for archive in missing)
    console.print(f"Downloaded and checked: {names}" if missing else "Everything is here already")
    console.print(f"Try: napari-nucseg benchmark '{folder}' --split validation --out results")


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option(help="No window: print the table and write the overlay.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File for the overlay, if there is no window.")
    ] = Path("demo/overlay.png"),
) -> None:
    """Segment, score and overlay the synthetic sample field."""
    from napari_nucseg.cli.demo import has_display, run_headless

    if not headless and has_display():
        from napari_nucseg.cli.demo import run_window

        run_window()
        return
    table, path = run_headless(prepare(catalogue.BUNDLED, "auto", None), out)
    console.print(table)
    console.print(f"The overlay is in {path}")

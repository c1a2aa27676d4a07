"""The same pipeline without a viewer."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from napari_nucseg import __version__
from napari_nucseg.cli.benchmark import benchmark
from napari_nucseg.cli.options import (
    Components,
    DeviceName,
    ModelOptions,
    RuleOptions,
    console,
    counting,
    follow_with,
    grouped,
    prepare,
    refuse_failures,
    takes,
    transferring,
    warn,
    warn_of_reading,
)
from napari_nucseg.cli.train import train
from napari_nucseg.io.atomic import words_of
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.wording import escaped

if TYPE_CHECKING:
    from napari_nucseg.batch.field_task import Executor
    from napari_nucseg.batch.image_task import Choice, Failed, ImageTask
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

    What a terminal has no letters for is spelt out, and so is what would command it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"napari-nucseg: {escaped(words_of(error))}", err=True)
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


@dataclass(frozen=True)
class FileOptions:
    """Images, and where their labels go."""

    inputs: Annotated[
        list[Path],  # typer would refuse all for one that may not be read
        typer.Argument(metavar="INPUT...", help="Images or folders.", readable=False),
    ]
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace labels that were edited since, and files of others."
        ),
    ] = False

    def find(self) -> tuple[list[Source], list[Exception]]:
        """Find images, and say which cannot be segmented; an error if none can be."""
        from napari_nucseg.batch.image_run import find_clashes, find_images, passed_over

        sources = find_images(self.inputs)
        clashes = find_clashes(sources, self.out)
        refused: list[Exception] = [ValueError(reason) for reason in clashes.values()]
        if len(refused) == len(sources):
            raise refused[0]
        for line in passed_over(self.inputs, sources):
            warn(line)
        return [source for source in sources if source not in clashes], refused


@dataclass(frozen=True)
class ChoiceOptions:
    """What of a file is segmented, and how its planes belong together."""

    channel: Annotated[
        str | None,
        typer.Option(
            help="Channel of a colour image: its number from 1, red, green, blue, mean, or "
            "haematoxylin (the stain of nuclei in histology)."
        ),
    ] = None
    channel_axis: Annotated[
        Literal["first", "last"] | None,
        typer.Option(help="Where channels lie, if the file does not say."),
    ] = None
    volume: Annotated[
        Depth | None,
        typer.Option(
            help="How to segment a stack: each plane by itself (planes), nuclei joined by overlap "
            "(stitched), or flows in 3-D (3d)."
        ),
    ] = None
    blocks: Annotated[
        int | None,
        typer.Option(
            min=256, help="Edge of blocks, px; one that suits if an image is too large for memory."
        ),
    ] = None

    def choice(self, in_depth: dict[str, Any] | None) -> Choice:
        """Say what is segmented, by parameters of stacks other than the usual ones."""
        from napari_nucseg.batch.image_task import Choice
        from napari_nucseg.io.channels import Channel

        if self.channel_axis is not None and self.channel is None:
            raise ValueError("--channel-axis needs --channel, the channel of the nuclei")
        given = in_depth or {}
        return Choice(
            None if self.channel is None else Channel.named(self.channel, self.channel_axis),
            self.volume,
            VolumeParams(**given),
            takes_spacing="anisotropy" not in given,
        )


@app.command()
@takes(SegmentParams, "Segmentation", "set by the model")
@takes(VolumeParams, "Stacks in depth", name="in_depth")
@grouped
def segment(
    files: FileOptions,
    how: ModelOptions,
    what: ChoiceOptions,
    in_depth: dict[str, Any] | None = None,
    chosen: dict[str, Any] | None = None,
) -> None:
    """Segment images, and write a label TIFF named like each. Labels that are up to date are kept.

    A stack that states the distance of its planes has its own anisotropy, unless it is given.

    The exit code is 1 if an image failed; the others are done.
    """
    from napari_nucseg.batch.executor import cluster_for
    from napari_nucseg.batch.image_task import ImageTask

    choice, model = what.choice(in_depth), how.only
    sources, refused = files.find()
    setup = prepare(model, how.device, chosen)
    catalogue.find(model).check(setup.params, what.volume)
    work = ImageTask(setup, files.out, choice, files.overwrite)
    with cluster_for(how.scheduler, how.device) as cluster:
        if cluster is None:
            setup.load()  # what is wrong with it is told before anything is written
        failed = _segment_all(sources, work, what.blocks, cluster)
    errors = [*refused, *(ValueError(one.error) for one in failed)]
    refuse_failures(errors, len(sources) + len(refused))


def _segment_all(
    sources: Sequence[Source], work: ImageTask, size: int | None, cluster: Executor | None
) -> list[Failed]:
    """Segment images and tell of each; return those that failed."""
    from napari_nucseg.batch.block_run import segment_each
    from napari_nucseg.batch.image_run import describe
    from napari_nucseg.batch.image_task import Saved

    found: list[Saved | Failed] = []
    with counting() as bar:
        for one in segment_each(sources, work, size, partial(follow_with, bar), cluster):
            found.append(one)
            if isinstance(one, Saved):
                console.print(f"{one.name}: {describe(one)}")
                for sign in (*one.read_as, *one.suspect):
                    warn(f"{one.name}: {sign}")
    return [one for one in found if not isinstance(one, Saved)]


@app.command()
@grouped
def score(
    predicted: Annotated[
        Path, typer.Argument(help="Label TIFF or PNG, _seg.npy of Cellpose, or a folder of them.")
    ],
    truth: Annotated[Path, typer.Argument(help="The ground truth, the same kind.")],
    rule: RuleOptions,
    components: Components = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score labels against the ground truth."""
    from napari_nucseg.batch.label_pairs import pair_labels
    from napari_nucseg.metrics.summary import summarise
    from napari_nucseg.report.text import Scored, json_record, score_table, summary_table
    from napari_nucseg.wording import say_corrected

    scores, made, corrected = [], list[Mapping[str, Any]](), 0
    for pair in pair_labels(predicted, truth):
        found, notes = pair.score_and_note(rule.rule, components=components)
        scores.append(found)
        made.append(pair.made)
        corrected += sum(pair.corrected.values())
        warn_of_reading(components, *notes)
    summary = summarise(scores, rule.empty_as_one)
    if as_json:
        of = Scored(truth.name, made, corrected)
        typer.echo(json.dumps(json_record(summary, of), allow_nan=False))
        return
    table = score_table(scores[0]) if predicted.is_file() else summary_table(summary)
    table.caption = "; ".join(filter(None, (str(table.caption), say_corrected(corrected))))
    console.print(table)


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

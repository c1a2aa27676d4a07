"""The program: its commands, of which the short ones are here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from napari_nucseg import __version__
from napari_nucseg.cli.benchmark import EXAMPLES as BENCHMARK_EXAMPLES
from napari_nucseg.cli.benchmark import benchmark
from napari_nucseg.cli.console import console, follow_with, print_json, transferring
from napari_nucseg.cli.label_files import CONVERT_EXAMPLES, SCORE_EXAMPLES, convert, score
from napari_nucseg.cli.options import EXIT_CODES, AsJson, DeviceName, examples, path_option, prepare
from napari_nucseg.cli.segment import EXAMPLES as SEGMENT_EXAMPLES
from napari_nucseg.cli.segment import segment
from napari_nucseg.cli.train import EXAMPLES as TRAIN_EXAMPLES
from napari_nucseg.cli.train import train
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.segmenters import catalogue
from napari_nucseg.wording import escaped

if TYPE_CHECKING:
    import napari

    from napari_nucseg.batch.run_setup import Setup
    from napari_nucseg.metrics.score import Score
    from napari_nucseg.ui.score.panel import ScorePanel
    from napari_nucseg.ui.segment.panel import SegmentPanel

PLUGIN = "napari-nucseg"
SEGMENT, SCORE = "Segment nuclei", "Score nuclei"

app = typer.Typer(
    name=PLUGIN,
    help="Segment nuclei, score the labels against ground truth, train a model.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(epilog=BENCHMARK_EXAMPLES)(benchmark)
app.command(epilog=SCORE_EXAMPLES)(score)
app.command(epilog=TRAIN_EXAMPLES)(train)
app.command(epilog=CONVERT_EXAMPLES)(convert)
app.command(epilog=SEGMENT_EXAMPLES)(segment)


def main() -> None:
    """Run the command line. Bad input is one line on standard error and exit code 2.

    What a terminal has no letters for is spelt out, and so is what would command it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(sys.argv[1:])
        app()
    except (ValueError, OSError) as error:
        _end(describe_error(error))
    except MemoryError:
        _end("the memory is too small for this; crop the images, or close other programs")


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: as a path it would be the folder that one happens to be in."""
    for number, argument in enumerate(arguments, start=1):
        if not argument or re.fullmatch(r"--[\w-]+=", argument):
            name = f"{argument[:-1]} has no value" if argument else f"argument {number} is empty"
            raise ValueError(f"{name}, perhaps as a variable of the shell is not set; give one")


def _end(told: str) -> NoReturn:
    """End with an error, told in a line."""
    typer.echo(f"napari-nucseg: {escaped(told)}", err=True)
    try:
        sys.stdout.flush()
    except OSError:  # it goes to a full disk, which Python would tell again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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


@app.command(epilog=examples(("Models as JSON", "models --json")))
def models(device: DeviceName = "auto", as_json: AsJson = False) -> None:
    """List the models with their licences, and the device that they would run on."""
    from napari_nucseg.segmenters.devices import choose
    from napari_nucseg.segmenters.model import weights_folder

    place, known = str(choose(device)), catalogue.models()
    if as_json:
        rows = [
            {
                "name": one.name,
                "megabytes": one.megabytes,
                "installed": one.is_ready,
                "about": one.about,
                "licence": one.licence,
                "trained_on": one.trained_on,
            }
            for one in known
        ]
        print_json({"models": rows, "weights_folder": str(weights_folder()), "device": place})
        return
    table = Table("Model", "Size", "Installed", "About", "Licence", "Trained on")
    for one in known:
        size, is_here = f"{one.megabytes} MB", "yes" if one.is_ready else "no"
        table.add_row(one.name, size, is_here, one.about, one.licence, one.trained_on)
    console.print(table)
    console.print(f"Weights folder: {weights_folder()}")
    console.print(f"Device: {place}")


@app.command(epilog=examples(("Fetch BBBC039", "download --to BBBC039")))
def download(
    to: Annotated[
        Path | None, typer.Option(help="Folder of the dataset; a cache folder if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download BBBC039 (80 MB), or the rest of it after an interruption."""
    from napari_nucseg.io.bbbc039 import dataset_folder, download_dataset, missing_archives

    missing = missing_archives(folder := to or dataset_folder())
    with transferring() as bar:  # on standard error
        download_dataset(folder, follow_with(bar, "Download"))
    names = [archive.name for archive in missing]
    if as_json:
        print_json({"folder": str(folder), "downloaded": names})
        return
    told = f"Downloaded and checked: {', '.join(names)}" if names else "Everything is here already"
    console.print(told)
    console.print(f"Try: napari-nucseg benchmark '{folder}' --split validation --out results")


@app.command(epilog=examples(("Without a window", "demo --headless --out overlay.png")))
def demo(
    headless: Annotated[
        bool, typer.Option(help="No window: print the table and write the overlay.")
    ] = False,
    out: Annotated[
        Path, path_option("File for the overlay, if there is no window.", "--out", "-o")
    ] = Path("demo/overlay.png"),
    as_json: AsJson = False,
) -> None:
    """Segment, score and overlay the synthetic sample field; with --json without a window."""
    if not (headless or as_json) and has_display():
        run_window()
        return
    from napari_nucseg.metrics.summary import summarise
    from napari_nucseg.report.text import Scored, json_record, score_table

    found = run_headless(prepare(catalogue.BUNDLED, "auto", None), out)
    if as_json:
        record = json_record(summarise([found]), Scored("synthetic sample"))
        print_json({"overlay": str(out), **record})
        return
    console.print(score_table(found))
    console.print(f"The overlay is in {out}. Its colours are what became of each nucleus:")
    console.print(_legend())


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run_headless(setup: Setup, out: Path) -> Score:
    """Segment and score the sample field, and write its overlay with a legend as PNG.

    Returns
    -------
    Score
        The scores of the field; the picture is in `out`.
    """
    from napari_nucseg.analysis.drawing import picture_verdicts, with_legend
    from napari_nucseg.io.synthetic import draw_field
    from napari_nucseg.io.writers import write_picture
    from napari_nucseg.metrics.score import score_with_boundaries
    from napari_nucseg.progress import ignore

    field = draw_field()
    labels = setup.load()(field.image, setup.params, ignore).labels
    found = score_with_boundaries(field.labels, labels)
    picture = picture_verdicts(field.image, field.labels, labels)
    write_picture(out, with_legend(picture, found.verdicts))
    return found


def _legend() -> Table:
    """Explain the colours and the lines of the overlay."""
    from napari_nucseg.analysis.drawing import LINE_MEANINGS, VERDICT_COLOURS, VERDICT_MEANINGS

    table = Table.grid(padding=(0, 1))
    for verdict, meaning in VERDICT_MEANINGS.items():
        table.add_row(Text(verdict.word, VERDICT_COLOURS[verdict]), meaning)
    table.add_row("lines", LINE_MEANINGS)
    return table


def run_window() -> None:
    """Open napari and go through the steps a user would; returns when the window is closed."""
    import napari

    start_demo(napari.Viewer(title="napari-nucseg demo"))
    napari.run()


def start_demo(viewer: napari.Viewer) -> tuple[SegmentPanel, ScorePanel]:
    """Open the sample and both panels, and press Segment; scores and overlay follow by themselves.

    Parameters
    ----------
    viewer : napari.Viewer
        An empty viewer.
    """
    from napari_nucseg.ui.commands import show_errors_when_compared

    viewer.open_sample(PLUGIN, "synthetic")
    _, segment = viewer.window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    _, scores = viewer.window.add_plugin_dock_widget(PLUGIN, SCORE, tabify=True)
    show_errors_when_compared(scores)

    def show_whole_field() -> None:
        scores.compared.disconnect(show_whole_field)
        viewer.reset_view()

    scores.compared.connect(show_whole_field)  # the panels have taken their places by then
    segment.start()
    return segment, scores

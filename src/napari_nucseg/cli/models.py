"""The commands that tell which models there are, and fetch the dataset to try them on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_nucseg.cli.console import console, follow_with, print_json, transferring
from napari_nucseg.cli.options import AsJson, DeviceName
from napari_nucseg.segmenters import catalogue


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

"""The command that turns label files into other programs' formats, and theirs into label files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from napari_nucseg.cli.console import (
    console,
    counting,
    follow_with,
    print_json,
    refuse_failures,
    told_beside,
    warn_of_reading,
)
from napari_nucseg.cli.options import AsJson, Components, examples, grouped
from napari_nucseg.io.label_formats import FORMATS, TIFF
from napari_nucseg.wording import counted

EXAMPLES = examples(
    ("Labels for Cellpose's window", "convert results/labels --to cellpose --out images"),
    ("Outlines of ImageJ as labels", "convert RoiSet.zip --image a.tif --out labels"),
)
_NAMES = [one.name for one in FORMATS]


@dataclass(frozen=True)
class ConvertOptions:
    """Label files, and what they become."""

    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Label files of any of these formats, or folders of them.",
            readable=False,
        ),
    ]
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new files.")]
    to: Annotated[
        str,
        typer.Option(
            help=f"Format: {', '.join(_NAMES)}.", autocompletion=lambda: _NAMES, show_default=True
        ),
    ] = TIFF.name
    image: Annotated[
        Path | None,
        typer.Option(
            help="Image of the labels, or folder of images of the same names. Outlines of other "
            "programs need it, since they do not say how large their image is."
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = (
        False
    )


@grouped
def convert(files: ConvertOptions, components: Components = False, as_json: AsJson = False) -> None:
    """Convert labels from and to the formats of other programs.

    Formats are told by the files themselves. Of several inputs COCO becomes one file,
    instances.json.

    The exit code is 1 if a file failed; the others are done.
    """
    from napari_nucseg.batch.image_task import Failed
    from napari_nucseg.batch.label_conversion import (
        Conversion,
        Converted,
        convert_files,
        find_label_files,
    )
    from napari_nucseg.io.label_formats import find_format

    to = find_format(files.to)
    if files.image is not None and not files.image.exists():
        raise FileNotFoundError(f"{files.image}: there is no such image or folder")
    sources = find_label_files(files.inputs)
    how = Conversion(to, files.out, files.image, files.overwrite, components)
    with counting() as bar:
        found = convert_files(sources, how, follow_with(bar, "Files"))
    done = [one for one in found if isinstance(one, Converted)]
    failed = [one.error for one in found if isinstance(one, Failed)]
    if as_json:
        rows = [{"input": one.name, "output": str(one.path), "nuclei": one.count} for one in done]
        print_json({"converted": rows, "failed": failed})
    with told_beside(as_json):
        for one in done:
            warn_of_reading(components, *one.notes)
            console.print(f"{one.name}: {counted(one.count, 'nucleus')}, {one.path}")
        refuse_failures([ValueError(one) for one in failed], len(found), "files")

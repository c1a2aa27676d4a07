"""The commands on label files: scoring them, and turning them into other programs' formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucseg.cli.console import (
    console,
    counting,
    errors,
    follow_with,
    print_json,
    refuse_failures,
    told_beside,
    warn_of_reading,
)
from napari_nucseg.cli.options import (
    AsJson,
    Components,
    RuleOptions,
    examples,
    grouped,
    path_argument,
)
from napari_nucseg.io.label_formats import FORMATS, TIFF
from napari_nucseg.metrics.score import Score, ScoreRule
from napari_nucseg.wording import counted, say_corrected

if TYPE_CHECKING:
    from napari_nucseg.batch.label_pairs import LabelFiles

SCORE_EXAMPLES = examples(
    ("Two files", "score a.tif a_truth.tif"),
    ("Two folders, as JSON", "score results/labels truth --json"),
)
CONVERT_EXAMPLES = examples(
    ("Labels for Cellpose's window", "convert results/labels --to cellpose --out images"),
    ("Outlines of ImageJ as labels", "convert RoiSet.zip --image a.tif --out labels"),
)
_NAMES = [one.name for one in FORMATS]


@dataclass
class Found:
    """What came of pairs of label files.

    Attributes
    ----------
    scores : list of Score
        Of each pair that could be scored.
    made : list of mapping
        How their predictions were made; empty where a file does not say.
    corrected : int
        Number of their nuclei that were edited by hand.
    failed : list of Exception
        What was wrong with the others.
    """

    scores: list[Score] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)
    corrected: int = 0
    failed: list[Exception] = field(default_factory=list)


@grouped
def score(
    predicted: Annotated[
        Path,
        path_argument("Label TIFF or PNG, _seg.npy of Cellpose, OME-Zarr, or a folder of them."),
    ],
    truth: Annotated[Path, path_argument("The ground truth, the same kind.")],
    rule: RuleOptions,
    components: Components = False,
    as_json: AsJson = False,
) -> None:
    """Score labels against the ground truth.

    The exit code is 1 if a field of two folders could not be scored; the scores are of the others.
    """
    from napari_nucseg.batch.label_pairs import is_label_file, pair_labels
    from napari_nucseg.metrics.summary import summarise
    from napari_nucseg.report.text import Scored, json_record, score_table, summary_table

    pairs = pair_labels(predicted, truth)
    found = _score_all(pairs, rule.rule, components)
    if not found.scores:
        raise found.failed[0]
    summary = summarise(found.scores, rule.empty_as_one)
    if as_json:
        of = Scored(truth.name, found.made, found.corrected)
        print_json(json_record(summary, of))
    else:
        is_one = is_label_file(predicted)
        table = score_table(found.scores[0]) if is_one else summary_table(summary)
        told = str(table.caption), say_corrected(found.corrected)
        table.caption = "; ".join(filter(None, told))
        console.print(table)
    refuse_failures(found.failed, len(pairs), "fields", errors)


def _score_all(pairs: Sequence[LabelFiles], rule: ScoreRule, components: bool) -> Found:
    """Score pairs; one that cannot be scored does not stop the others."""
    found = Found()
    for pair in pairs:
        try:
            scored, notes = pair.score_and_note(rule, components=components)
            corrected = sum(pair.corrected.values())
        except (ValueError, OSError) as error:
            found.failed.append(error)
            continue
        found.scores.append(scored)
        found.made.append(pair.made)
        found.corrected += corrected
        warn_of_reading(components, *notes)
    return found


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

    Formats are told by the files themselves. COCO becomes one file of all, instances.json.

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

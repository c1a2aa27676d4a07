"""What can be written of a comparison: tables, scores, a report, and corrected labels.

A file of corrected labels has the name of its image, so that ``score`` pairs the two sides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.comparison import (
    DatasetScore,
    LabelPair,
    LocatedPair,
    WhatToIgnore,
    score_dataset,
)
from napari_nucseg.analysis.corrections import Changes, mark_corrected
from napari_nucseg.analysis.drawing import picture_verdicts
from napari_nucseg.analysis.marks import Marks, mark_columns
from napari_nucseg.analysis.score_records import Record, field_row, join, object_columns
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import (
    read_provenance,
    write_columns,
    write_json,
    write_labels,
    write_parquet,
    write_table,
    write_text,
)
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.metrics.summary import Summary
from napari_nucseg.progress import Progress
from napari_nucseg.report.page import (
    WORST,
    Page,
    Pictured,
    Section,
    as_link,
    describe_made,
    worst_fields,
    write_page,
)
from napari_nucseg.report.text import Scored, json_record, latex_table, markdown_table


@dataclass(frozen=True)
class Exported:
    """What a file is written from; plain values, so that a worker can write it.

    Attributes
    ----------
    title : str
        Heading of the report: what was scored, and against what.
    prediction, truth : str
        Names of the layers.
    rule : ScoreRule
        IoU threshold and preset that fields were scored by.
    pairs : mapping
        Number of a field to its comparison.
    fields : mapping
        Number of a field to its names; no files.
    read : callable
        Reads a field's true and predicted labels.
    read_image : callable
        Reads a field's intensities; zeros where there is no image.
    copies : mapping
        Labels of fields whose outlines are not compared yet.
    made : mapping
        Provenance of the prediction, in a stack of the field made last; empty if that is not known.
    made_by_field : mapping
        Number of a field to how its labels were made, as far as that is known.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    corrected : mapping
        Number of a field to what was edited by hand: of the side "truth", and of "predicted".
    marks : mapping
        Marks on nuclei that are there.
    what : callable or None
        Tells what is not counted in a field; None where everything is.
    """

    title: str
    prediction: str
    truth: str
    rule: ScoreRule
    pairs: Mapping[int, LocatedPair]
    fields: Mapping[int, Field]
    read: Callable[[int], LabelPair]
    read_image: Callable[[int], NDArray[Any]]
    copies: Mapping[int, LabelPair]
    made: Mapping[str, Any]
    made_by_field: Mapping[int, Mapping[str, Any]]
    pixel_size: float | None
    corrected: Mapping[int, Mapping[str, Changes]]
    marks: Marks
    what: WhatToIgnore | None

    def objects(self, progress: Progress) -> dict[str, list[object]]:
        """List all objects of both sides, as the command line does, and which a hand corrected."""
        tables, has_wells = [], any(field.well for field in self.fields.values())
        for done, plane in enumerate(self.pairs):
            progress(done, len(self.pairs), "Listing")
            preset, name, size = self.rule.preset, self.fields[plane].stem, self.pixel_size
            labels = self.read(plane)
            # Not the overlap that is known: labels may have been painted in since
            matching = match(find_overlap(*labels), self.rule.threshold, preset.strict)
            columns = object_columns(name, *labels, matching, preset, pixel_size=size)
            columns["corrected"] = mark_corrected(columns, self.corrected.get(plane, {}))
            columns |= mark_columns(self.marks, plane, columns, self.pairs[plane])
            columns = self.fields[plane].placed(columns) if has_wells else columns
            tables.append(columns)
        return join(tables)

    def count_corrected(self, plane: int) -> int:
        """Count the nuclei of a field that were edited by hand, on either side."""
        return sum(changes.nuclei for changes in self.corrected.get(plane, {}).values())

    def field_rows(self, progress: Progress) -> list[Record]:
        """Return a row a field, as the command line does."""
        made = self.made_by_field
        return [
            field_row(self.fields[plane], score, made.get(plane), self.count_corrected(plane))
            for plane, score in self._sum(progress).scores.items()
        ]

    def summary(self, progress: Progress) -> Summary:
        """Sum up the fields."""
        return self._sum(progress).summary

    @property
    def scored(self) -> Scored:
        """What was scored, as the command line tells it."""
        made = [self.made_by_field.get(plane, {}) for plane in self.fields]
        return Scored(self.truth, made, sum(map(self.count_corrected, self.corrected)))

    def report(self, progress: Progress) -> Page:
        """Gather a report, with pictures of the worst fields."""
        found = self._sum(progress)
        scores = found.scores
        worst = []
        for done, plane in enumerate(worst_fields(scores, WORST)):
            progress(done, WORST, "Drawing")
            name, picture = self.fields[plane].name, self._picture(plane)
            worst.append(Pictured(name, scores[plane], picture))
        made = list(describe_made(self.made))
        names = {plane: one.name for plane, one in self.fields.items()}
        section = Section(self.prediction, scores, found.summary, self.rule, worst, made)
        return Page(self.title, len(scores), [replace(section, names=names)])

    def _sum(self, progress: Progress) -> DatasetScore:
        parts = self.pairs, self.copies, self.rule, progress, self.pixel_size
        return score_dataset(*parts, what=self.what)

    def _picture(self, plane: int) -> str:
        image, labels, rule = self.read_image(plane), self.read(plane), self.rule
        return as_link(picture_verdicts(image, *labels, rule.threshold, rule.preset.strict))


Write = Callable[[Path, Exported, Progress], None]
EXPORTS: dict[str, tuple[str, Write]] = {
    "Nuclei as CSV...": (".csv", lambda path, e, p: write_columns(path, e.objects(p))),
    "Nuclei as Parquet...": (".parquet", lambda path, e, p: write_parquet(path, e.objects(p))),
    "Fields as CSV...": (".csv", lambda path, e, p: write_table(path, e.field_rows(p))),
    "Scores as JSON...": (
        ".json",
        lambda path, e, p: write_json(path, json_record(e.summary(p), e.scored)),
    ),
    "Scores as LaTeX...": (
        ".tex",
        lambda path, e, p: write_text(path, latex_table(e.summary(p), e.title)),
    ),
    "Scores as Markdown...": (
        ".md",
        lambda path, e, p: write_text(path, markdown_table(e.summary(p), e.title)),
    ),
    "Report as HTML...": (".html", lambda path, e, p: write_page(path, e.report(p))),
}
"""What can be exported: the ending of the file, and how it is written."""
OF_LABELS = ("Nuclei as CSV...", "Nuclei as Parquet...", "Report as HTML...")
"""Those for which labels are read again, which are copied as they are when it was asked for."""


@dataclass(frozen=True)
class CorrectedField:
    """A field that was edited by hand, as it is to be saved.

    Attributes
    ----------
    path : Path
        File that it is written to.
    labels : ndarray of integers, shape (height, width)
        Its labels, in an array of their own.
    note : mapping
        How they were made, as far as that is known, and what was changed by hand.
    calibration : Calibration
        How large its pixels are.
    """

    path: Path
    labels: LabelImage
    note: Mapping[str, Any]
    calibration: Calibration


def write_corrected(fields: Sequence[CorrectedField], progress: Progress) -> list[Path]:
    """Write fields as label TIFFs; those of an earlier save that was broken off are left as is.

    Parameters
    ----------
    fields : sequence of CorrectedField
        What is written.
    progress : Progress
        Called before each field; may raise to stop.

    Returns
    -------
    list of Path
        The files in which the fields are now.

    Raises
    ------
    FileExistsError
        If another file has one of the names; none is written then.
    OSError
        If a file cannot be written; those before it stay.
    """
    there = [one for one in fields if one.path.exists()]
    other = next((one.path for one in there if not _holds(one)), None)
    if other is not None:
        raise FileExistsError(f"{other} already exists; choose another folder, or move that file")
    for number, one in enumerate(fields):
        progress(number, len(fields), "Saving")
        if one not in there:
            one.path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(one.path, one.labels, one.note, one.calibration)
    return [one.path for one in fields]


def _holds(one: CorrectedField) -> bool:
    """Whether a field's file is what would be written."""
    try:
        is_ours = read_provenance(one.path) == json.loads(json.dumps(one.note))
        return is_ours and np.array_equal(read_labels(Source(one.path)), one.labels)
    except (ValueError, OSError):
        return False  # of somebody else, or damaged

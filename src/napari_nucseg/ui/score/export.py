"""The comparison as files: tables of nuclei, of fields and of scores, and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_nucseg.analysis.comparison import (
    DatasetScore,
    LabelPair,
    LocatedPair,
    WhatToIgnore,
    score_dataset,
)
from napari_nucseg.analysis.corrections import Changes, mark_corrected
from napari_nucseg.analysis.drawing import picture_verdicts
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.marks import Marks, mark_columns, marks_in_force
from napari_nucseg.analysis.score_records import (
    Record,
    field_row,
    join,
    object_columns,
)
from napari_nucseg.io.channels import CHANNEL, MEAN
from napari_nucseg.io.fields import Field
from napari_nucseg.io.writers import (
    check_parquet,
    with_ending,
    write_columns,
    write_json,
    write_parquet,
    write_table,
    write_text,
)
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.presets import ScoreRule
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
from napari_nucseg.ui.edits import count_corrected, find_corrected
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    PREDICTION,
    axes_of,
    field_shape,
    find_image,
    full_data,
    pixel_size,
    plane_of,
    record_of,
)
from napari_nucseg.ui.score.corrected_files import as_file_name
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.wording import say_corrected, says


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
        tables = []
        for done, plane in enumerate(self.pairs):
            progress(done, len(self.pairs), "Listing")
            preset, name, size = self.rule.preset, self.fields[plane].stem, self.pixel_size
            labels = self.read(plane)
            # Not the overlap that is known: labels may have been painted in since
            matching = match(find_overlap(*labels), self.rule.threshold, preset.strict)
            columns = object_columns(name, *labels, matching, preset, pixel_size=size)
            columns["corrected"] = mark_corrected(columns, self.corrected.get(plane, {}))
            columns |= mark_columns(self.marks, plane, columns, self.pairs[plane])
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
KINDS: dict[str, tuple[str, Write]] = {
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
_OF_LABELS = ("Nuclei as CSV...", "Nuclei as Parquet...", "Report as HTML...")


def _keep_labels(comparison: Comparison) -> Callable[[int], LabelPair]:
    """Return what reads a field's labels as they are now, whatever is painted until then."""
    found, truth = (copy(full_data(layer)) for layer in comparison.layers.values())
    return lambda plane: (np.asarray(plane_of(truth, plane)), np.asarray(plane_of(found, plane)))


def _title(comparison: Comparison, model: str) -> str:
    """Say what was scored against what, and which of both was corrected by hand."""
    names = []
    for kind, layer in comparison.layers.items():
        is_told = kind == GROUND_TRUTH or says(layer.name, model)
        name = layer.name if is_told else f"{layer.name} by {model}"
        corrected = say_corrected(count_corrected(layer))
        names.append(f"{name} ({corrected})" if corrected else name)
    return " against ".join(names)


def _keep_image(
    layers: Iterable[Layer], labels: Labels, made: Mapping[int, Mapping[str, Any]]
) -> Callable[[int], NDArray[Any]]:
    """Return what reads a field of the image that labels are of; zeros where there is none.

    It is the channel that was segmented; where that is not known the first, or the mean of colours.
    """
    image, shape, record = find_image(layers, labels), full_data(labels).shape, record_of(labels)
    if image is None or field_shape(image) != shape:
        return lambda plane: np.zeros(shape[-2:], np.uint8)
    data, axes = full_data(image), axes_of(image)
    first = MEAN if image.rgb else "1" if CHANNEL in axes else ""
    is_source = record is not None and record.source == str(image.unique_id)
    told = {plane: one.get("channel") for plane, one in made.items() if is_source and first}
    return lambda plane: FieldSource(data, axes, told.get(plane) or first).read(plane)


class Exporter:
    """Asks for files, and writes them.

    Parameters
    ----------
    parent : QWidget
        Window in front of which it asks for a file.
    state : ComparisonState
        The comparison whose scores are written.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self, parent: QWidget, state: ComparisonState, run: Run, tell: Callable[[str], None]
    ) -> None:
        self._parent, self._state, self._run, self._tell = parent, state, run, tell

    def fill(self, menu: QMenu) -> None:
        """List what can be written, unless that was done."""
        for text in () if menu.actions() else KINDS:
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda checked=False, text=text: self.ask(text))

    def ask(self, kind: str) -> None:
        """Ask for a file, and write it."""
        prediction = self._state.now.prediction
        if prediction is None or not self._state.now.is_there:
            self._tell(NOTHING_COMPARED)
            return
        ending, what = KINDS[kind][0], kind.split(maxsplit=1)[0].lower()
        name = as_file_name(f"{prediction.name} {what}") + ending
        name, _ = QFileDialog.getSaveFileName(self._parent, kind, name, f"*{ending}")
        if name:
            self.write(kind, Path(name))

    def write(self, kind: str, path: Path) -> None:
        """Write a file in the background; its name gets the ending unless it has it."""
        ending, write = KINDS[kind]
        try:
            path = with_ending(path, ending)
            if ending == ".parquet":
                check_parquet()
        except (ValueError, OSError) as error:
            self._tell(str(error))
            return
        exported, told = self._exported(kind), f"Written: {path}"
        self._tell(f"Writing {path.name}...")
        self._run(lambda progress: write(path, exported, progress), lambda _: self._tell(told))

    def _exported(self, kind: str) -> Exported:
        now = self._state.now
        found, truth = now.layers[PREDICTION], now.layers[GROUND_TRUTH]
        record = record_of(found)
        made = (record and record.provenance) or {}
        made_by_field = (record and record.by_field) or dict.fromkeys(now.pairs, made)
        return Exported(
            _title(now, str(made.get("model", ""))),
            *(found.name, truth.name),
            now.rule,
            now.pairs,
            {plane: now.field_of(plane) for plane in now.pairs},
            _keep_labels(now) if kind in _OF_LABELS else now.label_reader(),
            _keep_image(self._state.viewer.layers, found, made_by_field),
            self._state.copy_unmeasured(),
            made,
            made_by_field,
            pixel_size(truth),
            find_corrected({"truth": truth, "predicted": found}),
            marks_in_force(now.marks, now.pairs),
            now.ignored,
        )

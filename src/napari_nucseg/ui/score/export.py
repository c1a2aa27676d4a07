"""The comparison as files: tables of nuclei, of fields and of scores, and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_nucseg.analysis.comparison import DatasetScore, LabelPair, LocatedPair, score_dataset
from napari_nucseg.analysis.corrections import Changes, mark_corrected
from napari_nucseg.analysis.drawing import picture_verdicts
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.score_records import (
    Record,
    field_row,
    join,
    object_columns,
    summary_record,
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
    worst_fields,
    write_page,
)
from napari_nucseg.report.text import latex_table, markdown_table
from napari_nucseg.ui.edits import count_corrected, find_corrected
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layers import (
    axes_of,
    field_shape,
    find_image,
    full_data,
    pixel_size,
    plane_of,
    record_of,
)
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.predictions import describe_made
from napari_nucseg.wording import say_corrected


@dataclass(frozen=True)
class Exported:
    """What a file is written from; plain values, so that a worker can write it.

    Attributes
    ----------
    title : str
        Heading of the report: what was scored.
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
    """

    title: str
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
            by_hand = mark_corrected(columns, self.corrected.get(plane, {}))
            tables.append(columns | {"corrected": by_hand})
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

    def record(self, progress: Progress) -> Record:
        """Return the sums as the command line does."""
        corrected = sum(map(self.count_corrected, self.corrected))
        return summary_record(self.summary(progress), corrected)

    def report(self, progress: Progress) -> Page:
        """Gather a report, with pictures of the worst fields."""
        found = self._sum(progress)
        scores = found.scores
        worst = []
        for done, plane in enumerate(worst_fields(scores, WORST)):
            progress(done, WORST, "Drawing")
            picture = self._picture(plane)
            worst.append(Pictured(self.fields[plane].name, scores[plane], picture))
        made = list(_describe(self.made))
        section = Section(self.title, scores, found.summary, self.rule, worst=worst, made=made)
        return Page(self.title, len(scores), [section])

    def _sum(self, progress: Progress) -> DatasetScore:
        return score_dataset(self.pairs, self.copies, self.rule, progress, self.pixel_size)

    def _picture(self, plane: int) -> str:
        image, labels, rule = self.read_image(plane), self.read(plane), self.rule
        return as_link(picture_verdicts(image, *labels, rule.threshold, rule.preset.strict))


Write = Callable[[Path, Exported, Progress], None]
KINDS: dict[str, tuple[str, Write]] = {
    "Nuclei as CSV...": (".csv", lambda path, e, p: write_columns(path, e.objects(p))),
    "Nuclei as Parquet...": (".parquet", lambda path, e, p: write_parquet(path, e.objects(p))),
    "Fields as CSV...": (".csv", lambda path, e, p: write_table(path, e.field_rows(p))),
    "Scores as JSON...": (".json", lambda path, e, p: write_json(path, e.record(p))),
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


def _title(comparison: Comparison) -> str:
    """Name what was scored, and say on which side it was corrected by hand."""
    assert comparison.prediction is not None
    found, true = (say_corrected(count_corrected(one)) for one in comparison.layers.values())
    told = ", ".join(filter(None, (found, f"ground truth {true}" if true else "")))
    return f"{comparison.prediction.name} ({told})" if told else comparison.prediction.name


def _describe(made: Mapping[str, Any]) -> Iterator[str]:
    """Say how labels were made, as far as it is known."""
    yield f"Model: {describe_made(made) or 'not known'}."
    if made.get("weights_sha256"):
        yield f"Weights {made.get('weights', '')}: sha256 {made['weights_sha256']}"


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
        if not self._state.now.is_there:
            self._tell(NOTHING_COMPARED)
            return
        ending = KINDS[kind][0]
        name, _ = QFileDialog.getSaveFileName(self._parent, kind, f"scores{ending}", f"*{ending}")
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
        exported = self._exported(kind)
        self._tell(f"Writing {path.name}...")
        self._run(
            lambda progress: write(path, exported, progress),
            lambda nothing: self._tell(f"Written: {path}"),
        )

    def _exported(self, kind: str) -> Exported:
        now = self._state.now
        assert now.prediction is not None
        assert now.truth is not None
        record = record_of(now.prediction)
        made = (record and record.provenance) or {}
        made_by_field = (record and record.by_field) or dict.fromkeys(now.pairs, made)
        return Exported(
            _title(now),
            now.rule,
            now.pairs,
            {plane: now.field_of(plane) for plane in now.pairs},
            _keep_labels(now) if kind in _OF_LABELS else now.label_reader(),
            _keep_image(self._state.viewer.layers, now.prediction, made_by_field),
            self._state.copy_unmeasured(),
            made,
            made_by_field,
            pixel_size(now.truth),
            find_corrected({"truth": now.truth, "predicted": now.prediction}),
        )

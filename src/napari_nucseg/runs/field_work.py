"""What is done with each field of a run, on any machine: read, segment, score, save."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from napari_nucseg.core.boundaries import LEAST_IOU, measure_boundaries
from napari_nucseg.core.boundary_counts import Spacing
from napari_nucseg.core.fields import Field
from napari_nucseg.core.images import Labels, read_image_header
from napari_nucseg.core.matching import match
from napari_nucseg.core.overlap import find_overlap
from napari_nucseg.core.scoring import Score, score_matching
from napari_nucseg.core.segmenting import Report, Segmenter, Stopped, check_image
from napari_nucseg.runs.field_records import FieldRecord, write_record
from napari_nucseg.runs.object_records import Columns, object_columns
from napari_nucseg.runs.plan import Setup
from napari_nucseg.runs.results_folder import ResultsFolder
from napari_nucseg.runs.saving import write_labels

Tick = Callable[[str], None]
"""Called with the name of a field now and then; may raise to stop the run."""
_turn = threading.Lock()


def _ignore(done: int, total: int) -> None:
    """Take no notice of progress within a field."""


@dataclass(frozen=True)
class Outcome:
    """What became of a field: its stem, and the error if there was one."""

    stem: str
    error: str | None


@dataclass(frozen=True)
class FieldWork:
    """A function of a field that can be sent to other processes.

    Attributes
    ----------
    setup : Setup
        How it is segmented and scored.
    has_scale : bool
        Whether distances are measured in micrometres, too.
    folder : ResultsFolder
        Where labels and record go; all machines have to see it under the same name.
    """

    setup: Setup
    has_scale: bool
    folder: ResultsFolder

    def __call__(self, field: Field, report: Report = _ignore) -> Outcome:
        """Do a field, and write its labels and then its record.

        An error within a field is recorded; one of the folder or of the model is raised, since the
        other fields would meet it, too.
        """
        start = time.perf_counter()
        with _turn:  # a process has one model, which takes one field at a time
            segmenter = self.setup.load()
            record = self._record(field, segmenter, report, start)
        write_record(self.folder.record_file(field.stem), record)
        return Outcome(field.stem, record.error)

    def _record(
        self, field: Field, segmenter: Segmenter, report: Report, start: float
    ) -> FieldRecord:
        where = field.stem, platform.node()
        try:
            checksums = _checksums(field)
            labels, made = self._segment(field, segmenter, report)
            score, objects = self._score(field, labels)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - it is told, and the other fields go on
            return FieldRecord(*where, time.perf_counter() - start, {}, _in_words(error))
        write_labels(self.folder.labels_file(field.stem), labels, made)
        seconds = time.perf_counter() - start
        return FieldRecord(*where, seconds, checksums, None, score, made, objects)

    def _segment(
        self, field: Field, segmenter: Segmenter, report: Report
    ) -> tuple[Labels, dict[str, Any]]:
        image = field.read_image().data
        check_image(image, str(field.image))
        segmentation = segmenter(image, self.setup.params, report)
        made = segmentation.provenance
        if made.weights_sha256 not in ("", *self.setup.weights.values()):
            raise ValueError(
                f"{platform.node()} has other weights of {self.setup.model} than the run was "
                "begun with; give all machines the same file"
            )
        return segmentation.labels, {**made.as_dict(), "image": field.stem}

    def _score(self, field: Field, labels: Labels) -> tuple[Score, Columns]:
        rule = self.setup.rule
        truth = field.read_truth()
        size = pixel_size(field) if self.has_scale else None
        overlap = find_overlap(truth, labels)
        matching = match(overlap, rule.threshold, rule.preset.strict)
        boundaries = measure_boundaries(
            truth,
            labels,
            overlap,
            spacing=None if size is None else Spacing((size, size)),
            least=min(LEAST_IOU, rule.threshold),
        )
        objects = object_columns(field.stem, truth, labels, matching, pixel_size=size)
        return score_matching(matching, rule.preset, boundaries), objects


def pixel_size(field: Field) -> float | None:
    """Edge of a field's pixel in micrometres, if its image tells."""
    return None if field.image is None else read_image_header(field.image).pixel_size


def run_here(work: FieldWork, fields: Sequence[Field], tick: Tick) -> Iterator[Outcome]:
    """Do fields one after the other in this process."""
    for field in fields:
        tick(field.name)

        def report(done: int, total: int, name: str = field.name) -> None:
            tick(name)

        yield work(field, report)


def _checksums(field: Field) -> dict[str, str]:
    sources = {"image": field.image, "mask": field.mask}
    return {kind: source.sha256() for kind, source in sources.items() if source is not None}


def _in_words(error: Exception) -> str:
    """Errors that were foreseen in their own words, others with their kind."""
    foreseen = isinstance(error, ValueError | OSError)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"

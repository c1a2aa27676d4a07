"""What is done with each field of a run, on any machine: read, segment, score, save.

It is told apart from who does it, so that here, processes and clusters can do any `Task`.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from napari_nucseg.analysis.corrections import Changes, mark_corrected
from napari_nucseg.analysis.measurements import Nuclei, measure_nuclei
from napari_nucseg.analysis.score_records import Columns, object_columns
from napari_nucseg.array_types import Labels
from napari_nucseg.batch.image_measures import write_nuclei
from napari_nucseg.batch.records import FieldRecord, write_record
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.io.atomic import describe_error, is_of_disk
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import Image
from napari_nucseg.io.large_images import count_corrected, read_made
from napari_nucseg.io.tiff import Header
from napari_nucseg.io.writers import checksum, write_labels
from napari_nucseg.metrics.boundaries import LEAST_IOU, Spacing, measure_boundaries
from napari_nucseg.metrics.ignoring import leave_out
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import Score, score_matching, with_ignored
from napari_nucseg.progress import Progress, at_step, ignore
from napari_nucseg.segmenters.api import Provenance, Stopped, check_image
from napari_nucseg.system_info import versions

MODEL_TURN = threading.Lock()
"""Held while the model is used: a process has one, which takes one image at a time."""


class Named(Protocol):
    """A thing to be done, with a name for the screen."""

    @property
    def name(self) -> str:
        """Short name of the thing, for the screen."""


Item = TypeVar("Item", bound=Named)
Result = TypeVar("Result")
_Item = TypeVar("_Item", bound=Named, contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Task(Protocol[_Item, _Result]):
    """A function of a thing that can be sent to other processes; it writes what it makes itself.

    What is wrong with the thing is in the result; an error that others would meet, too, is raised.
    """

    def __call__(self, item: _Item, /) -> _Result:
        """Do what the task is with a thing, and return what became of it."""

    def blame(self, item: _Item, reason: str, /) -> _Result:
        """Return, and write down, that a thing cannot be done."""


class Executor(Protocol):
    """Does all of many things, here or elsewhere, in any order."""

    def __call__(
        self, work: Task[Item, Result], items: Sequence[Item], progress: Progress, /
    ) -> Iterator[Result]:
        """Yield what became of each."""


def run_serially(
    work: Task[Item, Result], items: Sequence[Item], progress: Progress, /
) -> Iterator[Result]:
    """Do things one after the other in this process."""
    for done, item in enumerate(items):
        progress(done, len(items), item.name)
        yield work(item)


def check_weights(setup: Setup, made: Provenance) -> None:
    """Refuse labels by other weights than the run was begun with.

    Raises
    ------
    ValueError
        Naming the machine.
    """
    if made.weights_sha256 not in ("", *setup.weights.values()):
        raise ValueError(
            f"{platform.node()} has other weights of {setup.model} than the run was begun with; "
            "copy the same file to all machines"
        )


def check_versions(setup: Setup) -> None:
    """Refuse to work with other versions than the run was begun with: records would mix.

    How a library was built, as torch for a GPU, does not matter.

    Raises
    ------
    ValueError
        Naming the machine.
    """
    here = versions(setup.libraries)
    for name in here:
        begun, now = (one.get(name, "none").partition("+")[0] for one in (setup.versions, here))
        if begun != now and name in setup.versions:
            raise ValueError(
                f"{platform.node()} has {name} {now}, and the run was begun with {begun}; install "
                "the same version on all machines"
            )


def describe_failure(error: Exception) -> str:
    """Errors that were foreseen in their own words, others with their kind."""
    foreseen = isinstance(error, ValueError | OSError)
    return describe_error(error) if foreseen else f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Outcome:
    """What became of a field: its stem, and the error if there was one, which runs count."""

    stem: str
    error: str | None


@dataclass(frozen=True)
class Segmented:
    """A field on its way: its labels and how they were made, or the error that came instead."""

    field: Field
    seconds: float
    header: Header | None = None
    labels: Labels | None = None
    nuclei: Nuclei | None = None
    made: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True)
class FieldTask:
    """A function of a field that can be sent to other processes.

    Attributes
    ----------
    setup : Setup
        Model, parameters and rule of scores.
    has_scale : bool
        Whether distances are measured in micrometres, too.
    folder : ResultsFolder
        Folder that labels and record go to; all machines must see it under the same name.
    """

    setup: Setup
    has_scale: bool
    folder: ResultsFolder

    def __call__(self, field: Field, progress: Progress = ignore) -> Outcome:
        """Do a field, and write its labels and then its record.

        An error within a field is recorded; one of the folder or the model, which other fields
        would meet, is raised.
        """
        return self.finish(self.segment(field, progress))

    def blame(self, field: Field, reason: str) -> Outcome:
        """Record that a field cannot be done."""
        return self._fail(Segmented(field, 0.0), reason)

    def segment(self, field: Field, progress: Progress = ignore) -> Segmented:
        """Do the first half: what needs the model."""
        start = time.perf_counter()
        with MODEL_TURN:
            segmenter = self.setup.load()
            try:
                self.folder.refuse_edited(field.stem)
                image = field.read_plane()
                check_image(image.data, str(field.image))
                check_versions(self.setup)
                self._check_scale(field, image)
                found = segmenter(image.data, self.setup.params, progress)
                check_weights(self.setup, found.provenance)
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - it is told, and the other fields go on
                return Segmented(field, time.perf_counter() - start, error=describe_failure(error))
        made = {**found.provenance.as_dict(), "image": field.stem}
        if image.notes:
            made["suspect"] = [*made.get("suspect", ()), *image.notes]
        nuclei = measure_nuclei(found, image.data, image.pixel_size if self.has_scale else None)
        took = time.perf_counter() - start
        return Segmented(field, took, image.header, found.labels, nuclei, made)

    def finish(self, segmented: Segmented) -> Outcome:
        """Do the other half: score the labels, and write what there is."""
        start, error, field = time.perf_counter(), segmented.error, segmented.field
        labels, made = segmented.labels, segmented.made
        if labels is None or made is None or segmented.header is None:
            return self._fail(segmented, error or "it has no labels")
        try:
            truth = field.read_truth_image(segmented.header)
            score, objects = self._score(field, segmented.header, truth.data, labels)
            files = {"image": field.image, "mask": field.mask}
            checksums = {kind: one.sha256() for kind, one in files.items() if one is not None}
        except Exception as problem:  # noqa: BLE001 - as in `segment`
            return self._fail(segmented, describe_failure(problem))
        if truth.notes:
            made = {**made, "suspect": [*made.get("suspect", ()), *truth.notes]}
        try:
            header, made = segmented.header, {**made, "labels_sha256": checksum(labels)}
            sizes = Calibration(header.pixel_size, header.z_spacing)
            if segmented.nuclei is not None:
                write_nuclei(self.folder.nuclei_file(field.stem), field, segmented.nuclei)
            write_labels(self.folder.labels_file(field.stem), labels, made, sizes)
            where = field.stem, platform.node(), segmented.seconds + time.perf_counter() - start
            corrected = 0 if field.mask is None else count_corrected(field.mask.path)
            record = FieldRecord(*where, checksums, None, score, made, objects, corrected)
            write_record(self.folder.record_file(field.stem), record)
        except OSError as problem:
            if is_of_disk(problem):
                raise
            return self._fail(segmented, describe_failure(problem))
        return Outcome(field.stem, None)

    def _fail(self, segmented: Segmented, error: str) -> Outcome:
        stem = segmented.field.stem
        record = FieldRecord(stem, platform.node(), segmented.seconds, {}, error)
        write_record(self.folder.record_file(stem), record)
        return Outcome(stem, error)

    def _check_scale(self, field: Field, image: Image) -> None:
        if self.has_scale and image.pixel_size is None:
            raise ValueError(
                f"{field.image}: this image has no pixel size, and the images that the run was "
                "begun with have one; replace it by an image that has one, or choose another "
                "folder of results to measure everything in pixels"
            )

    def _score(
        self, field: Field, header: Header, truth: Labels, labels: Labels
    ) -> tuple[Score, Columns]:
        rule = self.setup.rule
        size = header.pixel_size if self.has_scale else None
        kept = None if rule.ignored is None else leave_out(truth, labels, rule.ignored)
        if kept is not None:
            truth, labels = kept.truth, kept.predicted
        overlap = find_overlap(truth, labels)
        matching = match(overlap, rule.threshold, rule.preset.strict)
        objects = object_columns(field.stem, truth, labels, matching, rule.preset, pixel_size=size)
        boundaries = measure_boundaries(
            truth,
            labels,
            overlap,
            spacing=None if size is None else Spacing((size, size)),
            least=min(LEAST_IOU, rule.threshold),
        )
        changes = _changes_of_truth(field)
        unknown = [None] * len(objects["object"])
        objects["corrected"] = unknown if changes is None else mark_corrected(objects, changes)
        score = score_matching(matching, rule.preset, boundaries)
        return score if kept is None else with_ignored(kept, score), objects


def run_here(work: FieldTask, fields: Sequence[Field], progress: Progress) -> Iterator[Outcome]:
    """Do fields one after the other in this process, scoring each while the next is segmented."""
    with ThreadPoolExecutor(1, "nucseg-score") as pool:
        before: Future[Outcome] | None = None
        for number, field in enumerate(fields):
            done = max(number - 1, 0)  # the one before is still being scored
            tell = at_step(progress, done, len(fields), field.name)
            tell(0, 1)
            segmented = work.segment(field, tell)
            if before is not None:
                yield before.result()
            before = pool.submit(work.finish, segmented)
        if before is not None:
            yield before.result()


def _changes_of_truth(field: Field) -> dict[str, Changes] | None:
    """Return how a mask was corrected by hand; None if its file tells only of how many nuclei.

    That is nothing where a file does not say that it was; a model's labels never were.
    """
    try:
        noted = {} if field.mask is None else read_made(field.mask.path)
        return {"truth": Changes(**noted["corrections"])}
    except (ValueError, OSError, LookupError, TypeError):
        return None if field.mask is not None and count_corrected(field.mask.path) else {}

"""Labels that were saved, opened again: a folder of results, and files to be scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.drawing import draw_verdicts
from napari_nucseg.array_types import Labels
from napari_nucseg.batch.results_folder import RUN_FILE, ResultsFolder
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import read_label_image, read_labels
from napari_nucseg.io.label_rules import NPY_SUFFIXES, is_seg
from napari_nucseg.io.layouts import find_files_of_one, stem_of_truth
from napari_nucseg.io.pictures import PNG_SUFFIXES, TIFF_SUFFIXES, others_in
from napari_nucseg.io.sources import Source, list_folder
from napari_nucseg.io.writers import count_corrected, read_provenance
from napari_nucseg.metrics.ignoring import leave_out
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.presets import DEFAULT_RULE, ScoreRule, find_preset
from napari_nucseg.metrics.score import Score, score_with_boundaries
from napari_nucseg.metrics.verdicts import classify
from napari_nucseg.wording import say_corrected

_CHECKED = 50
"""Fields at least, if there are as many, whose files are read to see that they are the same."""


@dataclass(frozen=True)
class Results:
    """One model's results, finished or not.

    Attributes
    ----------
    folder : ResultsFolder
        The folder with labels, records and tables.
    model : str
        Name of the model that made the labels.
    dataset : Dataset
        The fields of the run, with the files that they had then.
    done : tuple of int
        Numbers of the fields that have labels.
    rule : ScoreRule
        IoU threshold and preset that fields were scored by.
    made : mapping
        How the labels of the first field were made.
    """

    folder: ResultsFolder
    model: str
    dataset: Dataset
    done: tuple[int, ...]
    rule: ScoreRule
    made: Mapping[str, Any]

    @property
    def is_scored(self) -> bool:
        """Whether there is ground truth, so that there are verdicts."""
        return any(field.mask is not None for field in self.dataset.fields)

    def labels(self, number: int) -> Labels:
        """Read the labels of a field that is done, shape (height, width)."""
        stem = self.dataset.fields[number].stem
        return read_labels(Source(self.folder.labels_file(stem)))

    def draw_verdicts(self, number: int) -> NDArray[np.uint8]:
        """Outline the objects of a field in their verdicts, shape (height, width)."""
        truth, labels = self.dataset.fields[number].read_truth(), self.labels(number)
        if self.rule.ignored is not None:
            kept = leave_out(truth, labels, self.rule.ignored)
            truth, labels = kept.truth, kept.predicted
        matching = match(find_overlap(truth, labels), self.rule.threshold, self.rule.preset.strict)
        return draw_verdicts(truth, labels, classify(matching))


def moved_to(results: Results, dataset: Dataset) -> Results:
    """Take the files of the fields from another place.

    Raises
    ------
    ValueError
        If a field is not there, or a file is another one than was scored; of a long run some
        fields are compared, spread over all.
    """
    there, fields = {field.stem: field for field in dataset.fields}, []
    checked = results.done[:: max(len(results.done) // _CHECKED, 1)]
    for number, field in enumerate(results.dataset.fields):
        if field.stem not in there:
            raise ValueError(
                f"{dataset.name}: {field.stem} is missing, but {results.folder.path} has results "
                "of it; choose the dataset that the run was on"
            )
        moved = replace(there[field.stem], split=field.split, components=field.components)
        record = results.folder.read(field.stem) if number in checked else None
        if record is not None:
            results.folder.check_unchanged(moved, record, "choose the dataset that the run was on")
        fields.append(moved)
    return replace(results, dataset=replace(results.dataset, fields=tuple(fields)))


def holds_results(path: Path) -> bool:
    """Whether a folder is one of results, or has such folders of several models in it."""
    return any(_folders(path))


def open_results(path: Path) -> tuple[Results, ...]:
    """Open a folder of results, or the folder of several models' results.

    Raises
    ------
    ValueError
        If there are none, or they cannot be read.
    """
    found = tuple(_open(folder) for folder in _folders(path))
    if not found:
        raise ValueError(f"{path}: no results of a run here; open the folder that holds {RUN_FILE}")
    return found


def sources_record(dataset: Dataset) -> dict[str, Any]:
    """Write down the files of fields, for ``run.json``."""
    return {
        field.stem: {
            "image": _as_list(field.image),
            "mask": _as_list(field.mask),
            "split": field.split,
        }
        | ({"components": True} if field.components else {})
        for field in dataset.fields
    }


def _folders(path: Path) -> Iterator[Path]:
    if (path / RUN_FILE).is_file():
        yield path
    elif path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if (one / RUN_FILE).is_file())


def _open(path: Path) -> Results:
    folder = ResultsFolder(path)
    run = folder.read_run()
    assert run is not None
    plan, rule = run["plan"], run["plan"]["rule"]
    fields = tuple(
        Field(
            stem,
            _as_source(one["image"]),
            _as_source(one["mask"]),
            one["split"],
            one.get("components", False),
        )
        for stem, one in run["sources"].items()
    )
    done = tuple(n for n, one in enumerate(fields) if folder.labels_file(one.stem).is_file())
    made = _made(folder, fields[done[0]].stem) if done else {}
    return Results(
        folder,
        plan["model"],
        Dataset(plan["dataset"], fields, tuple(plan["absent"])),
        done,
        ScoreRule(
            rule["threshold"],
            find_preset(rule["preset"]),
            rule["empty_as_one"],
            rule.get("ignore_border", False),
        ),
        made,
    )


def _made(folder: ResultsFolder, stem: str) -> Mapping[str, Any]:
    """Return how a field's labels were made: by its record, or else its file."""
    record = folder.read(stem)
    if record is not None and record.made is not None:
        return record.made
    try:
        return read_provenance(folder.labels_file(stem))
    except (ValueError, OSError):
        return {}


def _as_list(source: Source | None) -> list[str | None] | None:
    return None if source is None else [str(source.path.absolute()), source.member]


def _as_source(values: list[str | None] | None) -> Source | None:
    return None if values is None else Source(Path(str(values[0])), values[1])


@dataclass(frozen=True)
class LabelPair:
    """Two label images of one field."""

    stem: str
    predicted: Source
    truth: Source

    @property
    def made(self) -> Mapping[str, Any]:
        """How the prediction was made; empty if its file does not say."""
        try:
            return read_provenance(self.predicted.path)
        except (ValueError, OSError):
            return {}

    @property
    def corrected(self) -> dict[Source, int]:
        """Count the nuclei that were corrected by hand, of each file that says so."""
        counts = {one: count_corrected(one.path) for one in (self.truth, self.predicted)}
        return {source: count for source, count in counts.items() if count}

    def score(self, rule: ScoreRule = DEFAULT_RULE) -> Score:
        """Read and score; an error names both files."""
        return self.score_and_note(rule)[0]

    def score_and_note(
        self, rule: ScoreRule = DEFAULT_RULE, *, components: bool = False
    ) -> tuple[Score, tuple[str, ...]]:
        """Read and score, and tell what the user should know of how the files were read.

        Parameters
        ----------
        rule : ScoreRule
            How they are scored.
        components : bool
            Whether the pieces of a binary mask are nuclei of their own.

        Raises
        ------
        ValueError
            If they cannot be scored; the message names both files.
        """
        sources = self.truth, self.predicted
        try:
            truth, predicted = (read_label_image(one, components=components) for one in sources)
            score = score_with_boundaries(
                truth.data, predicted.data, rule.threshold, rule.preset, ignore=rule.ignored
            )
        except ValueError as error:
            raise ValueError(f"{self.predicted} against {self.truth}: {error}") from error
        by_hand = [f"{one}: {say_corrected(count)}" for one, count in self.corrected.items()]
        return score, (*truth.notes, *predicted.notes, *by_hand)


def pair_labels(predicted: Path, truth: Path) -> tuple[LabelPair, ...]:
    """Pair two files, or the files of two folders by their stems.

    Raises
    ------
    ValueError
        If one is a file and the other a folder, or a field stands on one side only.
    FileNotFoundError
        If one does not exist.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
    if predicted.is_file() and truth.is_file():
        return (LabelPair(predicted.stem, Source(predicted), Source(truth)),)
    if predicted.is_file() or truth.is_file():
        raise ValueError(f"{predicted} and {truth}: give two files or two folders")
    found, wanted = _by_stem(predicted), _by_stem(truth)
    if found.keys() != wanted.keys():
        found, wanted = _by_image(found), _by_image(wanted)
    for folder, present, others in ((truth, wanted, found), (predicted, found, wanted)):
        alone = sorted(set(others) - set(present))
        if alone:
            raise ValueError(
                f"{folder}: {len(alone)} of the other folder's {len(others)} fields are not here, "
                f"the first is {alone[0]}; give folders with the same fields"
            )
    return tuple(LabelPair(stem, found[stem], wanted[stem]) for stem in sorted(found))


def _by_stem(folder: Path) -> dict[str, Source]:
    every = list_folder(folder, TIFF_SUFFIXES + PNG_SUFFIXES + NPY_SUFFIXES)
    listed = [source for source in every if source.suffix not in NPY_SUFFIXES or is_seg(source)]
    if not listed:
        others = others_in(folder, "save the labels as TIFF")
        raise ValueError(f"{folder}: no label TIFF or mask PNG here{others}")
    sources = {source.stem: source for source in listed}
    if len(sources) < len(listed):
        twice = next(s for s in listed if sources[s.stem] != s)
        raise ValueError(f"{folder}: {twice.name} and {sources[twice.stem].name} are one field")
    return sources


def _by_image(labels: dict[str, Source]) -> dict[str, Source]:
    """Call labels by their images, without _masks and the like; leave out images beside them."""
    images = {stem: stem_of_truth(stem) for stem in labels}
    if any(image != stem and image in labels for stem, image in images.items()):
        return find_files_of_one(labels.values()).truths
    by_image = {images[stem]: source for stem, source in labels.items()}
    return by_image if len(by_image) == len(labels) else labels

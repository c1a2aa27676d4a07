"""Labels that a run saved, opened again."""

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
from napari_nucseg.io.channels import Channel
from napari_nucseg.io.fields import Dataset, Field, Position
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import known_provenance
from napari_nucseg.metrics.ignoring import leave_out
from napari_nucseg.metrics.matching import find_preset, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.metrics.verdicts import classify

_CHECKED = 50
"""Fields at least, if there are as many, whose files are read to see that they are the same."""


@dataclass(frozen=True)
class SavedResults:
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


def moved_to(results: SavedResults, dataset: Dataset) -> SavedResults:
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
        files = there[field.stem]
        moved = replace(field, image=files.image, mask=files.mask)
        record = results.folder.read(field.stem) if number in checked else None
        if record is not None:
            results.folder.check_unchanged(moved, record, "choose the dataset that the run was on")
        fields.append(moved)
    return replace(results, dataset=replace(results.dataset, fields=tuple(fields)))


def holds_results(path: Path) -> bool:
    """Whether a folder is one of results, or has such folders of several models in it."""
    return any(_folders(path))


def open_results(path: Path) -> tuple[SavedResults, ...]:
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
        | _plate_record(field)
        for field in dataset.fields
    }


def _plate_record(field: Field) -> dict[str, Any]:
    """Write down where in a plate a field is, and what of it is taken; only what is known."""
    at = field.position
    told = {
        "title": None if field.image is None else field.image.title or None,
        "channel": None if field.channel is None else field.channel.name,
        "well": None if at is None else at.well,
        "site": None if at is None else at.site,
    }
    return {name: value for name, value in told.items() if value is not None}


def _folders(path: Path) -> Iterator[Path]:
    if (path / RUN_FILE).is_file():
        yield path
    elif path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if (one / RUN_FILE).is_file())


def _open(path: Path) -> SavedResults:
    folder = ResultsFolder(path)
    run = folder.read_run()
    assert run is not None
    plan, rule = run["plan"], run["plan"]["rule"]
    fields = tuple(
        Field(
            stem,
            _as_source(one["image"], one.get("title", "")),
            _as_source(one["mask"], one.get("title", "")),
            one["split"],
            one.get("components", False),
            Channel(one["channel"]) if "channel" in one else None,
            Position(one["well"], one.get("site")) if "well" in one else None,
        )
        for stem, one in run["sources"].items()
    )
    done = tuple(n for n, one in enumerate(fields) if folder.labels_file(one.stem).is_file())
    made = _made(folder, fields[done[0]].stem) if done else {}
    return SavedResults(
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
    return known_provenance(folder.labels_file(stem))


def _as_list(source: Source | None) -> list[str | None] | None:
    return None if source is None else [str(source.path.absolute()), source.member]


def _as_source(values: list[str | None] | None, title: str) -> Source | None:
    return None if values is None else Source(Path(str(values[0])), values[1], title)

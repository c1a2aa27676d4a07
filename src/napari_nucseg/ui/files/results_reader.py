"""Opening a folder of results in napari: images, ground truth, predictions and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.batch.results_folder import RUN_FILE
from napari_nucseg.batch.saved_results import SavedResults, holds_results, moved_to, open_results
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.plates import options_of
from napari_nucseg.io.sources import Source
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.ui.files.field_groups import (
    FieldGroup,
    describe_groups,
    group_fields,
    stack_lazily,
)
from napari_nucseg.ui.files.opening import LayerData, Opened, read_ahead, read_and_wait
from napari_nucseg.ui.files.reader import Read, read_group
from napari_nucseg.ui.layers import ERRORS, PREDICTION, LayerRecord, colormap, tag

if TYPE_CHECKING:
    from dask.array import Array

_PLACEMENT: tuple[str, ...] = ("scale", "units", "axis_labels")


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return a reader for folders of results, and None for anything else.

    Parameters
    ----------
    path : str or sequence of str
        A folder with ``run.json``, that file, or the folder of several models' results.
    """
    if not isinstance(path, str):
        return get_reader(path[0]) if len(path) == 1 else None
    try:
        return _read if holds_results(_folder(Path(path))) else None
    except OSError:  # it may not be looked into; napari's reader says so
        return None


def _folder(path: Path) -> Path:
    return path.parent if path.name == RUN_FILE else path


def _read(path: str | Sequence[str]) -> list[LayerData]:
    folder = _folder(Path(path if isinstance(path, str) else path[0]))
    found = read_and_wait(folder.name, partial(find_results, folder))
    read = partial(read_ahead, partial(read_results, found, ask_where(found)))
    return read_and_wait(folder.name, read).told()


@dataclass(frozen=True)
class FoundResults:
    """Results of a run, one a model, and the first file of their dataset that is not there."""

    runs: tuple[SavedResults, ...]
    gone: Source | None


def find_results(folder: Path, progress: Progress = ignore) -> FoundResults:
    """Open a folder of results, in any thread; it may have to be asked where the images are.

    Raises
    ------
    ValueError
        If there are none, or they cannot be read.
    """
    runs = open_results(folder)
    return FoundResults(runs, _first_gone(runs[0].dataset))


def ask_where(found: FoundResults) -> Path | None:
    """Ask for the dataset's folder if the images are not where they were; it may be another now.

    Raises
    ------
    ValueError
        If no folder is chosen.
    """
    if found.gone is None:
        return None
    title = f"Where is {found.runs[0].dataset.name}? {found.gone.path.parent} is missing"
    folder = QFileDialog.getExistingDirectory(None, title) if QApplication.instance() else ""
    if not folder:
        raise ValueError(
            f"{found.gone}: this file is missing since the run; put the dataset back where it "
            "was, or open the results again and choose the folder of the dataset when asked"
        )
    return Path(folder)


def read_results(
    found: FoundResults, moved: Path | None = None, progress: Progress = ignore
) -> Opened:
    """Return stacks of a dataset and of the results on it, read field by field when shown.

    Parameters
    ----------
    found : FoundResults
        Results of one or more models on the same fields. Fields that no run has results of may be
        damaged. Fields of another size or pixel type than most have hidden stacks of their own.
    moved : Path, optional
        Where the dataset is now, if it is not where it was.
    progress : Progress, optional
        Called with (fields looked at, fields in all, name of one); may raise to stop.

    Raises
    ------
    ValueError
        If the models ran over different fields, or images have gone or are others.
    """
    runs = found.runs
    if moved is not None:
        there = open_dataset(moved, plate=options_of(runs[0].dataset, moved))
        runs = tuple(moved_to(run, there) for run in runs)
    dataset = runs[0].dataset
    for run in runs[1:]:
        if run.dataset.fields != dataset.fields:
            raise ValueError(
                f"{run.folder.path}: its fields differ from those of {runs[0].folder.path}; open "
                "the two folders one after the other"
            )
    done = {number for run in runs for number in run.done}
    left_out = [field for number, field in enumerate(dataset.fields) if number not in done]
    damaged = _damaged(left_out)
    if len(damaged) == len(dataset.fields):
        raise ValueError(f"{runs[0].folder.path}: none of its fields can be read; check the images")
    bare = [field.stem for field in left_out if field.mask is None]
    groups = group_fields(dataset, damaged, progress)
    notes = [*_say_damaged(damaged), *describe_groups(dataset.name, groups)]
    layers: list[LayerData] = []
    for group in groups:  # a score panel takes the prediction that comes last
        fields = read_group(group, damaged, [*damaged, *bare], with_truth=runs[0].is_scored)
        layers += _read_group(group, runs, fields.layers)
        notes += fields.notes
        if group is not groups[-1]:
            for _, keywords, _ in layers:
                keywords["visible"] = False
    return Opened(layers, tuple(notes))


def _read_group(
    group: FieldGroup, runs: Sequence[SavedResults], layers: list[LayerData]
) -> list[LayerData]:
    """Return fields of one kind, given their images and ground truth, with the results on them."""
    placed = _placement(layers[0][1])
    layers[-1][1]["visible"] = not runs[0].is_scored  # ground truth would hide the verdicts
    for run in runs:
        is_last = run is runs[-1]
        layers.append(_prediction(run, group, placed, is_last and not run.is_scored))
        layers += [_verdicts(run, group, placed, is_last)] if run.is_scored else []
    return layers


def _first_gone(dataset: Dataset) -> Source | None:
    """Return the first file of the dataset that is not where it was."""
    sources = (source for field in dataset.fields for source in (field.image, field.mask))
    return next((one for one in sources if one is not None and not one.path.exists()), None)


def _damaged(fields: Sequence[Field]) -> dict[str, Exception]:
    """Name those fields that cannot be read, and say why."""
    found: dict[str, Exception] = {}
    for field in fields:
        try:
            if field.image is not None:
                field.check_shape(field.read_image_header())
        except (ValueError, OSError) as error:
            found[field.stem] = error
    return found


def _say_damaged(damaged: Mapping[str, Exception]) -> list[str]:
    is_one = len(damaged) == 1
    what = "1 field cannot" if is_one else f"{len(damaged)} fields cannot"
    be = "is" if is_one else "are"
    return [f"{what} be read and {be} blank. The first: {e}" for e in list(damaged.values())[:1]]


def _placement(of_image: dict[str, Any]) -> dict[str, Any]:
    """Return where an image lies, for the layers over it."""
    return {name: of_image[name] for name in _PLACEMENT if name in of_image}


def _prediction(
    run: SavedResults, group: FieldGroup, placed: dict[str, Any], visible: bool
) -> LayerData:
    stems = tuple(field.stem for field in group.fields)
    by = {"threshold": run.rule.threshold, "preset": run.rule.preset.name}
    rule = by if run.is_scored else None
    record = LayerRecord(PREDICTION, stems, "", _done(run, group), run.made or None, rule=rule)
    data = _stack(run, group, run.labels, np.dtype(np.int32))
    keywords = {"name": f"{group.name} {run.model}", "metadata": tag(record)}
    return data, {**keywords, **placed, "visible": visible}, "labels"


def _verdicts(
    run: SavedResults, group: FieldGroup, placed: dict[str, Any], visible: bool
) -> LayerData:
    stems = tuple(field.stem for field in group.fields)
    keywords = {
        "name": f"{group.name} {run.model} {ERRORS}",
        "metadata": tag(LayerRecord(ERRORS, stems, fields=_done(run, group))),
        "colormap": colormap({int(one): colour for one, colour in VERDICT_COLOURS.items()}),
        "opacity": 1.0,
    }
    data = _stack(run, group, run.draw_verdicts, np.dtype(np.uint8))
    return data, {**keywords, **placed, "visible": visible}, "labels"


def _done(run: SavedResults, group: FieldGroup) -> tuple[int, ...]:
    """Return the planes of a group's stacks whose fields have labels."""
    done = set(run.done)
    return tuple(plane for plane, number in enumerate(group.numbers) if number in done)


def _stack(
    run: SavedResults, group: FieldGroup, read: Callable[[int], np.ndarray], dtype: np.dtype
) -> Array:
    """Stack what is read of each field when it is shown; those that are not done are blank."""
    done, shape = set(run.done), group.header.shape
    blank = partial(np.zeros, shape, np.uint8)
    readers = [partial(read, number) if number in done else blank for number in group.numbers]
    return stack_lazily(readers, shape, dtype)

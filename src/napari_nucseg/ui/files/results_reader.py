"""Opening a folder of results in napari: images, ground truth, predictions and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.core.palette import VERDICT_COLOURS
from napari_nucseg.runs.finished import Results, holds_results, open_results
from napari_nucseg.runs.results_folder import RUN_FILE
from napari_nucseg.ui.files.reader import LayerData, Read, read_dataset, stack_lazily
from napari_nucseg.ui.layers import ERRORS, PREDICTION, LayerRecord, colormap, tag

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
    return _read if holds_results(_folder(Path(path))) else None


def _folder(path: Path) -> Path:
    return path.parent if path.name == RUN_FILE else path


def _read(path: str | Sequence[str]) -> list[LayerData]:
    one = path if isinstance(path, str) else path[0]
    return read_results(open_results(_folder(Path(one))))


def read_results(runs: Sequence[Results]) -> list[LayerData]:
    """Return stacks of a dataset and of the results on it, read field by field when shown.

    Parameters
    ----------
    runs : sequence of Results
        One a model, on the same fields.

    Raises
    ------
    ValueError
        If the models ran over different fields, or images have gone.
    """
    dataset = runs[0].dataset
    for run in runs[1:]:
        if run.dataset.fields != dataset.fields:
            raise ValueError(
                f"{run.folder.path}: its fields are not those of {runs[0].folder.path}; open the "
                "two one by one"
            )
    for field in dataset.fields:
        if field.image is None or not field.image.path.is_file():
            raise ValueError(
                f"{field.image}: this image has gone since the run; put the dataset back to where "
                "it was"
            )
    layers = read_dataset(dataset)
    placed = _placement(layers[0][1])
    shape = layers[0][0].shape[1:]
    layers[-1][1]["visible"] = False  # it would hide the verdicts
    for number, run in enumerate(runs):
        layers += [_prediction(run, shape, placed), _verdicts(run, shape, placed, number == 0)]
    return layers


def _placement(of_image: dict[str, Any]) -> dict[str, Any]:
    """Return where an image lies, for the layers over it."""
    return {name: of_image[name] for name in _PLACEMENT if name in of_image}


def _prediction(run: Results, shape: tuple[int, ...], placed: dict[str, Any]) -> LayerData:
    stems = tuple(field.stem for field in run.dataset.fields)
    record = LayerRecord(PREDICTION, stems, fields=run.done, provenance=run.made or None)
    data = stack_lazily(_planes(run, run.labels, shape), shape, np.dtype(np.int32))
    keywords = {"name": f"{run.dataset.name} {run.model}", "metadata": tag(record)}
    return data, {**keywords, **placed, "visible": False}, "labels"


def _verdicts(
    run: Results, shape: tuple[int, ...], placed: dict[str, Any], visible: bool
) -> LayerData:
    stems = tuple(field.stem for field in run.dataset.fields)
    data = stack_lazily(_planes(run, run.draw_verdicts, shape), shape, np.dtype(np.uint8))
    keywords = {
        "name": f"{run.dataset.name} {run.model} {ERRORS}",
        "metadata": tag(LayerRecord(ERRORS, stems, fields=run.done)),
        "colormap": colormap({int(one): colour for one, colour in VERDICT_COLOURS.items()}),
        "opacity": 1.0,
    }
    return data, {**keywords, **placed, "visible": visible}, "labels"


def _planes(
    run: Results, read: Callable[[int], np.ndarray], shape: tuple[int, ...]
) -> list[Callable[[], np.ndarray]]:
    """Return what reads each field; those that are not done are blank."""
    done = set(run.done)
    blank = partial(np.zeros, shape, np.uint8)
    count = len(run.dataset.fields)
    return [partial(read, number) if number in done else blank for number in range(count)]

"""What is settled, and refused, before a run writes anything: models, fields and folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_nucseg.batch.plan import Plan, Setup, differences, make_plan
from napari_nucseg.batch.results_folder import COMPARISON, REPORT, RUN_FILE, TABLES, ResultsFolder
from napari_nucseg.io.datasets import require_images_and_truth
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.sources import root_of, sha256
from napari_nucseg.metrics.matching import check_threshold
from napari_nucseg.metrics.presets import ScoreRule
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmenter
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.networks import check
from napari_nucseg.segmenters.parameters import completed

_SCORED = {"scored": True}
"""What the plan of a run over images without ground truth says otherwise."""


def set_up(model: Model, device: str, chosen: Mapping[str, Any], rule: ScoreRule) -> Setup:
    """Say how a model of the catalogue, whose weights are here, segments a dataset.

    Parameters
    ----------
    model : Model
        The model, as `catalogue.find` gives it.
    device : str
        auto, cuda, mps or cpu.
    chosen : mapping
        Parameters other than those that suit the model.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.

    Raises
    ------
    ValueError, OSError
        If it is a file of the user's that holds no network we know, or lacks a parameter.
    """
    params = replace(model.defaults, **chosen)
    model.check(params)
    files = [path for path in (model.path, model.onnx) if path is not None]
    where = model.name
    if model.path is not None and model.capabilities is None:
        check(model.path)  # workers would find out when other models have run
        where = str(model.path.resolve())
    return Setup(
        model.name,
        {path.name: sha256(path) for path in files},
        partial(load_model, where, device),
        params,
        rule,
        model.libraries,
    )


def load_model(name: str, device: str) -> Segmenter:
    """Load a model by its name or file; it stays in memory.

    Raises
    ------
    FileNotFoundError
        If its weights are not on this computer.
    """
    model = catalogue.find(name)
    if not model.is_ready:
        raise FileNotFoundError(
            f"{model.path}: the weights of {name} are missing; copy them there, or segment a field "
            "with this model once to download them"
        )
    return catalogue.load(model, device)


@dataclass(frozen=True)
class PreparedRun:
    """A model's run that may begin: on which fields, how, where, and by which plan."""

    dataset: Dataset
    setup: Setup
    folder: ResultsFolder
    plan: Plan


def prepare_run(
    dataset: Dataset, setup: Setup, out: Path, has_scale: Callable[[Dataset], bool]
) -> PreparedRun:
    """Settle what a run is, and refuse what cannot be one.

    Parameters
    ----------
    dataset : Dataset
        Fields to segment; each must have a ground truth.
    setup : Setup
        Model, parameters and rule of scores.
    out : Path
        Folder that the results go to.
    has_scale : callable
        Decides whether a run that begins is measured in micrometres, too; see `all_have_scale`.

    Raises
    ------
    ValueError
        If the dataset lacks its images or its ground truth, or the folder is the dataset's own or
        holds something else.
    """
    check_threshold(setup.rule.threshold)
    require_images_and_truth(dataset)
    folder = ResultsFolder(out.absolute())  # other processes have other working folders
    refuse_dataset(folder.path, dataset)
    begun = folder.read_run() if folder.path.is_dir() else None
    # An image that was replaced since does not change what the others are measured in
    scaled = has_scale(dataset) if begun is None else bool(begun["plan"].get("has_scale"))
    plan = make_plan(dataset, setup, scaled)
    check_folder(folder, plan)
    return PreparedRun(dataset, setup, folder, plan)


def all_have_scale(dataset: Dataset) -> bool:
    """Whether all pixels have a known size: distances in pixels and in um cannot be pooled.

    A damaged image fails by itself, and does not speak for the others.
    """
    sizes = []
    for field in dataset.fields:
        try:
            sizes.append(None if field.image is None else field.read_image_header().pixel_size)
        except (ValueError, OSError):
            continue
    return bool(sizes) and None not in sizes


def refuse_repeated(models: Sequence[str]) -> None:
    """Refuse two models of one name, whose results would be one folder.

    Raises
    ------
    ValueError
        Naming the model.
    """
    twice = [name for name in models if models.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice; name each model only once")


def refuse_dataset(out: Path, dataset: Dataset) -> None:
    """Refuse to write results among the images and masks that they are of.

    Raises
    ------
    ValueError
        Naming the folder.
    """
    roots = {os.path.realpath(root) for root in map(_root, dataset.fields) if root}
    if os.path.realpath(root_of(out)) in roots:  # resolve() fails at links to themselves
        raise ValueError(
            f"{out}: this is the folder of the dataset; choose another folder for the results, "
            f"such as {root_of(out) / 'results'}"
        )


def _root(field: Field) -> Path | None:
    source = field.image or field.mask
    return None if source is None else root_of(source.path.parent)


def check_folder(folder: ResultsFolder, plan: Plan) -> None:
    """Refuse a folder that was begun with something else.

    Raises
    ------
    ValueError
        Naming what differs.
    """
    _refuse_file(folder.path)
    run = folder.read_run()
    if run is None:
        models = _models_in(folder.path)
        if models:
            raise ValueError(
                f"{folder.path}: this folder holds a run of several models, {', '.join(models)}; "
                "choose another folder, or all these models to go on"
            )
        _refuse_names(folder.path, ("labels", "records", "nuclei", *TABLES, REPORT))
        return
    begun = run["plan"] | {"parameters": completed(run["plan"]["parameters"])}
    found = differences(_SCORED | begun, _SCORED | plan)
    if found:
        raise ValueError(
            f"{folder.path}: this folder holds another run. {'; '.join(found)}. Choose another "
            "folder, or the same values to go on"
        )


def check_for_models(path: Path, models: Sequence[str]) -> None:
    """Refuse a folder for the results of several models that holds something else.

    Parameters
    ----------
    path : Path
        The folder, which need not be there.
    models : sequence of str
        Names of all the models.

    Raises
    ------
    ValueError
        Naming what it holds.
    """
    _refuse_file(path)
    if (path / RUN_FILE).exists():
        raise ValueError(
            f"{path}: this folder holds the run of a single model; choose another folder, or only "
            "that model to go on"
        )
    there = _models_in(path)
    others = [name for name in there if name not in models]
    if others:
        raise ValueError(
            f"{path}: this folder holds results of {', '.join(others)}, too; choose another "
            "folder, or all its models to go on"
        )
    if not there:
        _refuse_names(path, (COMPARISON, REPORT))


def default_folder(dataset: str, models: Sequence[str]) -> Path:
    """Name a folder for the results of models on a dataset, within the working folder."""
    return Path("results") / "-".join(re.sub(r"[^\w.]+", "-", name) for name in (dataset, *models))


def _models_in(path: Path) -> list[str]:
    """Name the models that have a folder of results within a folder."""
    return [file.parent.name for file in sorted(path.glob(f"*/{RUN_FILE}")) if _is_models(file)]


def _is_models(run_file: Path) -> bool:
    """Whether a run is one of several, and not a run of its own that lies beside others."""
    try:
        run = ResultsFolder(run_file.parent).read_run()
    except ValueError:
        return False  # of something else
    return run is not None and run["plan"]["model"] == run_file.parent.name


def _refuse_file(path: Path) -> None:
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ValueError(f"{there}: this is a file; choose a folder for the results")


def _refuse_names(path: Path, names: Sequence[str]) -> None:
    """Refuse to write over what is not known to be of a run."""
    taken = next((path / name for name in names if (path / name).exists()), None)
    if taken is not None:
        raise ValueError(
            f"{path}: it holds {taken.name}{'/' if taken.is_dir() else ''} but no {RUN_FILE}, so "
            "it is not a folder of results; choose another folder"
        )

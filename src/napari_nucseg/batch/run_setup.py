"""What is settled, and refused, before a run writes anything: models, fields and folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_nucseg.batch.plan import Plan, Setup, make_plan
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.io.datasets import require_images_and_truth
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.layouts import root_of
from napari_nucseg.io.sources import sha256
from napari_nucseg.metrics.matching import check_threshold
from napari_nucseg.metrics.presets import ScoreRule
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmenter
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.networks import check


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
    folder.check(plan)
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


def refuse_dataset(out: Path, dataset: Dataset) -> None:
    """Refuse to write results among the images and masks that they are of.

    Raises
    ------
    ValueError
        Naming the folder.
    """
    if root_of(out).resolve() in {root.resolve() for root in map(_root, dataset.fields) if root}:
        raise ValueError(
            f"{out}: this is the folder of the dataset; choose another folder for the results, "
            f"such as {root_of(out) / 'results'}"
        )


def _root(field: Field) -> Path | None:
    source = field.image or field.mask
    return None if source is None else root_of(source.path.parent)

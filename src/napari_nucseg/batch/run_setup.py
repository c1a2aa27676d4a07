"""What a run is begun with, settled before it writes anything: the same plan, the same tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_nucseg.batch.results_folder import (
    REPORT,
    TABLES,
    ResultsFolder,
    models_in,
    refuse_dataset,
    refuse_file,
    refuse_names,
)
from napari_nucseg.io.datasets import require_images_and_truth
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.sources import sha256
from napari_nucseg.metrics.matching import check_threshold
from napari_nucseg.metrics.score import DEFAULT_RULE, ScoreRule
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmenter
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.networks import check
from napari_nucseg.segmenters.parameters import SegmentParams, completed
from napari_nucseg.system_info import versions

Plan = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """How fields are segmented and scored.

    Attributes
    ----------
    model : str
        Name of the model, as tables and folders have it.
    weights : mapping
        Name of each file of its weights to the file's sha256; of several, one runs on each device.
    load : callable
        Returns the segmenter, and the same one when called again; sent to other processes, so it
        has to be a function of a module there.
    params : SegmentParams
        Thresholds, sizes and the other parameters of the segmentation.
    rule : ScoreRule
        IoU threshold and preset that fields are scored by.
    libraries : tuple of str
        Packages whose versions the labels depend on.
    versions : mapping
        Versions of this package and of libraries where the run was begun.
    """

    model: str
    weights: Mapping[str, str]
    load: Callable[[], Segmenter]
    params: SegmentParams
    rule: ScoreRule = DEFAULT_RULE
    libraries: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=versions)


def make_plan(dataset: Dataset, setup: Setup, has_scale: bool) -> Plan:
    """Write down all that the tables of a run depend on, but for the pixels.

    Parameters
    ----------
    dataset : Dataset
        The fields that are run.
    setup : Setup
        Model, parameters and rule of scores.
    has_scale : bool
        Whether they are measured in micrometres, too.
    """
    components = any(one.components for one in dataset.fields)
    channels = sorted({one.channel.name for one in dataset.fields if one.channel})
    # Only what is so, as below
    told = {"components": components, "channel": ", ".join(channels)}
    return {name: value for name, value in told.items() if value} | {
        "dataset": dataset.name,
        "model": setup.model,
        "weights_sha256": dict(setup.weights),
        "parameters": asdict(setup.params),
        "rule": {
            "threshold": setup.rule.threshold,
            "preset": setup.rule.preset.name,
            "empty_as_one": setup.rule.empty_as_one,
            # Only where it is so, since runs that were begun before do not know it
            **({"ignore_border": True} if setup.rule.ignore_border else {}),
        },
        "has_scale": has_scale,
        "versions": {**versions(), **versions(setup.libraries)},
        "absent": list(dataset.absent),
        "splits": {name: list(stems) for name, stems in _splits(dataset).items()},
    }


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
    for one in dataset.fields:
        try:
            sizes.append(None if one.image is None else one.read_image_header().pixel_size)
        except (ValueError, OSError):
            continue
    return bool(sizes) and None not in sizes


def check_folder(folder: ResultsFolder, plan: Plan) -> None:
    """Refuse a folder that was begun with something else.

    Raises
    ------
    ValueError
        Naming what differs.
    """
    refuse_file(folder.path)
    run = folder.read_run()
    if run is None:
        models = models_in(folder.path)
        if models:
            raise ValueError(
                f"{folder.path}: this folder holds a run of several models, {', '.join(models)}; "
                "choose another folder, or all these models to go on"
            )
        refuse_names(folder.path, ("labels", "records", "nuclei", *TABLES, REPORT))
        return
    begun = run["plan"] | {"parameters": completed(run["plan"]["parameters"])}
    found = differences(_SCORED | begun, _SCORED | plan)
    if found:
        raise ValueError(
            f"{folder.path}: this folder holds another run. {'; '.join(found)}. Choose another "
            "folder, or the same values to go on"
        )


def default_folder(dataset: str, models: Sequence[str]) -> Path:
    """Name a folder for the results of models on a dataset, within the working folder."""
    return Path("results") / "-".join(re.sub(r"[^\w.]+", "-", name) for name in (dataset, *models))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> list[str]:
    """Tell in words where two plans differ.

    Parameters
    ----------
    old, new : mapping
        Plans, or the same part of both.
    within : str
        Name of the part of the plans, put before each difference; empty for whole plans.
    """
    found: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        one, other = old.get(key), new.get(key)
        name = f"{within} {key}".strip()
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, name)
        elif one == other:
            continue
        elif isinstance(one, list) or isinstance(other, list):
            found.append(f"{name}: {_compared(one or [], other or [])}")
        else:
            found.append(f"{name}: {_told(one)} before, {_told(other)} now")
    return found


def _compared(one: list[str], other: list[str]) -> str:
    """Say which names are on one side only."""
    found = [
        f"{len(names)} only {where}, the first is {names[0]}"
        for names, where in (
            (sorted(set(one) - set(other)), "before"),
            (sorted(set(other) - set(one)), "now"),
        )
        if names
    ]
    return ", ".join(found) or "the same fields in another order"


def _told(value: Any) -> str:
    shown = f"{value:.12g}" if isinstance(value, float) else str(value)
    return {"True": "yes", "False": "no", "None": "none", "": "none"}.get(shown, shown)


def _splits(dataset: Dataset) -> dict[str, list[str]]:
    """Stems of the fields by their split; fields of none under "none"."""
    found: dict[str, list[str]] = {}
    for one in dataset.fields:
        found.setdefault(one.split or "none", []).append(one.stem)
    return found

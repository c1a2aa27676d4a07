"""What a run is begun with: the same plan gives the same tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from napari_nucseg.io.fields import Dataset
from napari_nucseg.metrics.presets import DEFAULT_RULE, ScoreRule
from napari_nucseg.segmenters.api import Segmenter
from napari_nucseg.segmenters.parameters import SegmentParams
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
    components = any(field.components for field in dataset.fields)
    return ({"components": True} if components else {}) | {
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def _splits(dataset: Dataset) -> dict[str, list[str]]:
    """Stems of the fields by their split; fields of none under "none"."""
    found: dict[str, list[str]] = {}
    for one in dataset.fields:
        found.setdefault(one.split or "none", []).append(one.stem)
    return found

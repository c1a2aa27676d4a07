"""Parameters declared once: a dataclass whose fields carry label, help, bounds and unit."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from numbers import Number
from typing import Any, get_type_hints

import numpy as np


@dataclass(frozen=True)
class Spec:
    """How a parameter is shown and what it may be.

    Attributes
    ----------
    label, help : str
        Name of the parameter and its explanation, for the screen.
    low, high, step : float
        Bounds, both allowed, and the width of a step; for a switch they stay as they are.
    unit : str
        Unit of the value; empty for a pure number.
    advanced : bool
        Whether it is folded away until it is looked for.
    needs_network : bool
        Whether another value needs the network to run again.
    lowest : str
        Word that stands for the lowest value, where that means something special.
    """

    label: str
    help: str
    low: float = 0.0
    high: float = 1.0
    step: float = 1.0
    unit: str = ""
    advanced: bool = False
    needs_network: bool = False
    lowest: str = ""


_known: dict[type, Mapping[str, Spec]] = {}
_kinds: dict[type, Mapping[str, type[float]]] = {}


def specs_of(params: type) -> Mapping[str, Spec]:
    """Return each field's `Spec`, in the order of the fields.

    Parameters
    ----------
    params : type
        A dataclass whose fields are annotated ``Annotated[type, Spec(...)]``.
    """
    if params not in _known:  # reading annotations takes milliseconds
        hints = get_type_hints(params, include_extras=True)
        _known[params] = {f.name: hints[f.name].__metadata__[0] for f in fields(params)}
    return _known[params]


def describe_values(
    params: type, values: Mapping[str, Any], ignored: Set[str] = frozenset()
) -> list[str]:
    """Say what values are, such as "Diameter 25 px"; those that are no parameters are left out.

    Parameters
    ----------
    params : type
        A dataclass with annotated fields, as in `specs_of`.
    values : mapping
        Values by the names of the fields.
    ignored : set of str
        Names of fields that change nothing; what their values are is not said.
    """
    return [
        f"{spec.label}{_told(values[name], spec)}"
        for name, spec in specs_of(params).items()
        if name in values and name not in ignored
    ]


def check_values(params: Any) -> None:
    """Refuse values of another kind or outside their bounds, and make the others Python's own.

    A number of numpy, or 30 for 30.0, thus becomes what can be written to any file.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.
    """
    kinds = _kinds_of(type(params))
    for name, spec in specs_of(type(params)).items():
        given = getattr(params, name)
        value = _settled(given, kinds[name], spec)
        if value is None:
            told = given if isinstance(given, Number) else " ".join(reprlib.repr(given).split())
            allowed = _allowed(kinds[name], spec)
            raise ValueError(f"{spec.label.lower()} is {told}; it must be {allowed}")
        object.__setattr__(params, name, value)


def _kinds_of(params: type) -> Mapping[str, type[float]]:
    """Return the type of each field."""
    if params not in _kinds:
        _kinds[params] = get_type_hints(params)
    return _kinds[params]


def _settled(value: object, kind: type[float], spec: Spec) -> float | None:
    """Return a value as Python's own of a kind; None if it is of another or outside its bounds."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, int | float) or not spec.low <= value <= spec.high:
        return None
    if isinstance(value, bool) and kind is not bool:
        return None
    settled = kind(value)
    return settled if settled == value else None


def _allowed(kind: type, spec: Spec) -> str:
    """Say what a parameter may be."""
    if kind is bool:
        return "True or False"
    whole = "a whole number, " if kind is int else ""
    return f"{whole}{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()


def _told(value: Any, spec: Spec) -> str:
    if isinstance(value, bool):
        return " on" if value else " off"
    if spec.lowest and value == spec.low:
        return f": {spec.lowest}"
    return f" {value:g} {spec.unit}".rstrip()


def check_argument(is_right: bool, name: str, value: object, allowed: str) -> None:
    """Refuse an argument that is something else than what may be given.

    >>> check_argument(False, "seed", -1, "a whole number from 0")
    Traceback (most recent call last):
        ...
    ValueError: seed is -1; it must be a whole number from 0
    """
    if not is_right:
        told = " ".join(reprlib.repr(value).split())
        raise ValueError(f"{name} is {told}; it must be {allowed}")

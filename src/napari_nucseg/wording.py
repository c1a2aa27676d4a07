"""Words for people that many modules need."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLURALS = {"nucleus": "nuclei"}


def escaped(text: str) -> str:
    r"""Spell out what a name may hold and nobody may meet: line breaks, and commands of terminals.

    Bytes that are no text, and signs that turn the direction of reading, are spelt out, too.

    Examples
    --------
    >>> print(escaped("a\nb\x1b[2J \udcff.tif"), escaped("größe.tif"))
    a\nb\x1b[2J \udcff.tif größe.tif
    """
    return _UNSHOWN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def counted(number: int, word: str) -> str:
    """Write a number and what it counts, in the plural if need be.

    Examples
    --------
    >>> counted(1, "field"), counted(2, "field"), counted(0, "nucleus")
    ('1 field', '2 fields', '0 nuclei')
    """
    return f"{number} {word if number == 1 else _PLURALS.get(word, f'{word}s')}"


def say_corrected(count: int) -> str:
    """Say how many nuclei were edited by hand; nothing of none.

    Examples
    --------
    >>> say_corrected(1), say_corrected(0)
    ('corrected by hand: 1 nucleus', '')
    """
    return f"corrected by hand: {counted(count, 'nucleus')}" if count else ""


def terms_of(licence: str, trained_on: str) -> str:
    """Say the licence of a model and what it was trained on, as far as they are known.

    Examples
    --------
    >>> terms_of("CC0-1.0", "BBBC039 (CC0-1.0)"), terms_of("MIT", ""), terms_of("", "")
    ('CC0-1.0; trained on BBBC039 (CC0-1.0)', 'MIT', '')
    """
    return "; ".join(filter(None, (licence, trained_on and f"trained on {trained_on}")))


def as_number(value: float) -> str:
    """Three decimals; "empty" for what is undefined."""
    return "empty" if math.isnan(value) else f"{value:.3f}"


def as_interval(interval: tuple[float, float], dash: str = "-") -> str:
    """Two bounds; nothing where they are undefined."""
    return "" if math.isnan(interval[0]) else f"{interval[0]:.3f}{dash}{interval[1]:.3f}"


def as_duration(seconds: float) -> str:
    """Say a time as one does."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def spelt(unit: str) -> str:
    """Spell a unit of length as people read it; files and their columns have letters of ASCII.

    Examples
    --------
    >>> spelt("um"), spelt("px")
    ('µm', 'px')
    """
    return "µm" if unit == "um" else unit


def listed(names: Sequence[str], most: int = 4) -> str:
    """List names, and count those that are too many.

    Examples
    --------
    >>> listed(["A01", "A02"]), listed(["A01", "A02", "A03"], most=1)
    ('A01, A02', 'A01, 2 more')
    """
    rest = len(names) - most
    return ", ".join([*names[:most], *([f"{rest} more"] if rest > 0 else [])])


def as_size(lengths: Iterable[int]) -> str:
    """Say how large an image is along each axis.

    Examples
    --------
    >>> as_size((520, 696))
    '520 x 696'
    """
    return " x ".join(map(str, lengths))


def says(text: str, name: str) -> bool:
    """Whether a name stands in a text, and not as a part of a longer word or number.

    Examples
    --------
    >>> says("A1 truth", "A1"), says("A10_truth", "A1")
    (True, False)
    """
    return re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text) is not None


def plane_name(files: Sequence[str], plane: int, planes: int) -> str:
    """Name a plane of a stack by the file that it is of; empty if it cannot be told of which.

    Of files with several planes each, as volumes have, it is the number in the file, too.

    Examples
    --------
    >>> plane_name(("a", "b"), 1, 2), plane_name(("a", "b"), 3, 6)
    ('b', 'b plane 1')
    """
    each, rest = divmod(planes, max(len(files), 1))
    if not files or rest or plane >= planes:
        return ""
    file, number = divmod(plane, each)
    return files[file] if each == 1 else f"{files[file]} plane {number + 1}"

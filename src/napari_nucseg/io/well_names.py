"""Files of microscopes that name their well, site and channel: a plate in a folder of images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from napari_nucseg.io.fields import Dataset, Field, Position, place_of, row_name

GROUPS = ("well", "row", "column", "site", "channel")
"""Names of groups that a pattern may have."""


def keep_matching(dataset: Dataset, pattern: str, channel: str = "") -> Dataset:
    """Keep the fields whose image has a name as a pattern says, with their wells and sites.

    Parameters
    ----------
    dataset : Dataset
        Fields whose images are files.
    pattern : str
        Regular expression of a file's whole name, with a group called well, or groups row and
        column, and groups site and channel if names have them.
    channel : str
        Channel of the nuclei, as names have it; empty where there is one.

    Raises
    ------
    ValueError
        If the pattern is none, no name or several of one well and site match, or a channel has
        to be chosen.
    """
    form = _compile(pattern)
    named = {one: one.image.name for one in dataset.fields if one.image is not None}
    matches = {one: m for one, name in named.items() if (m := form.fullmatch(name))}
    if not matches:
        example = f", such as {next(iter(named.values()))}" if named else ""
        raise ValueError(
            f"--pattern {pattern}: no image of {dataset.name} is named so{example}; the "
            "pattern has to match the whole name with its ending"
        )
    if "channel" in form.groupindex:
        matches = _of_channel(matches, channel)
    elif channel:
        raise ValueError(
            f"--pattern {pattern}: it has no group channel, and channel "
            f"{channel} is asked for; write (?P<channel>...) where names have it"
        )
    fields = [replace(one, position=_position(one, match)) for one, match in matches.items()]
    _refuse_twice(fields)
    return replace(dataset, fields=tuple(fields))


def _compile(pattern: str) -> re.Pattern[str]:
    """Read a pattern, and refuse one that does not say where the well is."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--pattern {pattern}: no regular expression ({error})") from error
    unknown = [name for name in found.groupindex if name not in GROUPS]
    if unknown or not ("well" in found.groupindex or {"row", "column"} <= set(found.groupindex)):
        raise ValueError(
            f"--pattern {pattern}: it needs a group (?P<well>...), or (?P<row>...) and "
            "(?P<column>...), and may have groups site and channel, and no others"
        )
    return found


def _of_channel(matches: Mapping[Field, re.Match[str]], wanted: str) -> dict[Field, re.Match[str]]:
    """Keep the images of a channel."""
    told = {match["channel"] for match in matches.values()}  # None where a name has none
    there = sorted(told - {None})
    if not wanted and len(told) == 1:
        return dict(matches)
    if wanted not in there:
        reason = f"no file is of channel {wanted}" if wanted else "files are of several channels"
        raise ValueError(f"{reason}; choose {', '.join(there)}")
    return {one: match for one, match in matches.items() if match["channel"] == wanted}


def _position(field: Field, match: re.Match[str]) -> Position:
    """Return well and site as a name says them."""
    parts = match.groupdict()
    row = parts.get("row") or ""
    row = row_name(int(row)) if row.isdecimal() else row
    well = (parts.get("well") or f"{row}{parts.get('column') or ''}").upper()
    place = place_of(well)
    if place is None:
        found = f"its well is {well or 'nothing'} by the pattern"
        raise ValueError(f"{field.image}: {found}, not as B03 is one")
    well = f"{row_name(place[0])}{place[1]:02d}"
    site = parts.get("site")
    if site is not None and not site.isdecimal():
        raise ValueError(f"{field.image}: its site is {site!r} by the pattern, and no number")
    return Position(well, None if site is None else int(site))


def _refuse_twice(fields: Sequence[Field]) -> None:
    """Refuse two images of one well and site: planes, times or channels."""
    found: dict[Position | None, Field] = {}
    for one in fields:
        other = found.setdefault(one.position, one)
        if other is not one:
            raise ValueError(
                f"{other.image} and {one.image}: two images of {one.name} by the pattern; make it "
                "match one of them alone"
            )

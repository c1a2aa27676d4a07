"""Marks on nuclei, and regions to ignore, as a file has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_nucseg.analysis.marks import SIDES, Mark, Marked, Marks
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.metrics.ignoring import Polygon, Regions
from napari_nucseg.wording import as_size

FORM, VERSION = "napari-nucseg marks", 2
"""What a file of marks says that it is, and the version of its form that is written."""
_READ = (1, VERSION)
"""The versions that are read; the first had no regions."""
_MARK = {"field": str, "side": str, "label": int, "mark": str, "note": str, "box_px": list}
_REGION = {"field": str, "field_px": list, "polygon_px": list}


@dataclass(frozen=True)
class MarksFile:
    """What a file of marks holds for the fields that are there.

    Attributes
    ----------
    marks : mapping
        Marks by what a nucleus is known by.
    regions : Regions
        Polygons inside which nothing is counted.
    elsewhere : int
        How many marks and polygons are in fields that are not there.
    """

    marks: Marks
    regions: Regions
    elsewhere: int = 0


def marks_record(marks: Marks, regions: Regions, name_of: Callable[[int], str]) -> dict[str, Any]:
    """Return marks and regions as a file has them.

    Parameters
    ----------
    marks : mapping
        All marks by what a nucleus is known by.
    regions : Regions
        Polygons inside which nothing is counted.
    name_of : callable
        Names a field by its number.
    """
    return {
        "form": FORM,
        "version": VERSION,
        "marks": [
            {
                "field": name_of(key.plane),
                "side": SIDES[key.is_true],
                "label": key.label,
                "mark": marked.mark.value,
                "note": marked.note,
                "box_px": list(marked.box),
            }
            for key, marked in sorted(marks.items())
        ],
        "ignored_regions": [
            {
                "field": name_of(plane),
                "field_px": list(regions.shape),
                "polygon_px": [list(corner) for corner in polygon],
            }
            for plane, polygons in sorted(regions.by_plane.items())
            for polygon in polygons
        ],
    }


def read_marks(
    record: Any, planes: Mapping[str, int], shape: tuple[int, int], where: str
) -> MarksFile:
    """Read what `marks_record` wrote.

    Parameters
    ----------
    record : object
        What is in the file.
    planes : mapping
        Name of a field to its number.
    shape : tuple of int
        Height and width of these fields in pixels.
    where : str
        Name of the file, for errors.

    Raises
    ------
    ValueError
        If it is no file of marks, or one of a newer version, or one of its marks or regions is
        not whole, or regions were drawn in fields of another size.
    """
    if not isinstance(record, dict) or record.get("form") != FORM:
        raise ValueError(f"{where}: it holds no marks; choose a file that Save marks has written")
    if record.get("version") not in _READ:
        raise ValueError(
            f"{where}: its form has version {record.get('version')}, and this napari-nucseg reads "
            f"version {VERSION} and older ones; install a newer one"
        )
    marks, regions = dict[ObjectKey, Marked](), dict[int, tuple[Polygon, ...]]()
    elsewhere = 0
    for number, entry in enumerate(_list_of(record, "marks", where), 1):
        _check_mark(entry, f"{where}: mark {number}")
        plane = planes.get(entry["field"])
        if plane is None:
            elsewhere += 1
            continue
        key = ObjectKey(plane, entry["label"], entry["side"] == SIDES[True])
        marks[key] = Marked(Mark(entry["mark"]), entry["note"], tuple(entry["box_px"]))
    is_old = record["version"] == _READ[0]
    drawn = [] if is_old else _list_of(record, "ignored_regions", where)
    for number, entry in enumerate(drawn, 1):
        polygon = _read_polygon(entry, f"{where}: region {number}")
        plane = planes.get(entry["field"])
        if plane is None:
            elsewhere += 1
            continue
        _check_size(entry["field_px"], shape, f"{where}: region {number}")
        regions[plane] = (*regions.get(plane, ()), polygon)
    return MarksFile(marks, Regions(shape, regions), elsewhere)


def _list_of(record: Mapping[str, Any], name: str, where: str) -> list[Any]:
    entries = record.get(name)
    if not isinstance(entries, list):
        raise ValueError(
            f"{where}: its list of {name.replace('_', ' ')} is missing; save the marks again"
        )
    return entries


def _check_fields(entry: Any, kinds: Mapping[str, type], where: str) -> None:
    """Refuse an entry that lacks a field, or has one of another kind."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is no object with {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(entry.get(name)) is not kind:
            raise ValueError(f"{where}: its {name} is {entry.get(name)!r}, and not {kind.__name__}")


def _check_mark(entry: Any, where: str) -> None:
    """Refuse a mark that is not whole, before anything of it is used."""
    _check_fields(entry, _MARK, where)
    if entry["side"] not in SIDES.values() or entry["mark"] not in set(Mark):
        raise ValueError(
            f"{where} is {entry['mark']!r} of side {entry['side']!r}; marks are "
            f"{', '.join(Mark)} of side {' or '.join(SIDES.values())}"
        )
    box = entry["box_px"]
    if len(box) != 4 or any(type(edge) is not int for edge in box) or entry["label"] < 1:
        raise ValueError(
            f"{where} has label {entry['label']} and box {box}; a label is 1 or more, and a box "
            "four whole numbers"
        )


def _read_polygon(entry: Any, where: str) -> Polygon:
    """Read the corners of a region.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    _check_fields(entry, _REGION, where)
    corners = entry["polygon_px"]
    if len(corners) < 3 or not all(_is_corner(one) for one in corners):
        raise ValueError(
            f"{where}: its polygon_px is {corners}; it is a list of three or more corners, each "
            "of them its row and column"
        )
    return tuple((float(y), float(x)) for y, x in corners)


def _is_corner(corner: Any) -> bool:
    is_pair = isinstance(corner, list) and len(corner) == 2
    return is_pair and all(type(n) in (int, float) and math.isfinite(n) for n in corner)


def _check_size(field_px: list[Any], shape: tuple[int, int], where: str) -> None:
    """Refuse a region of a field of another size, where it would lie over other nuclei."""
    if field_px != list(shape):
        drawn, here = map(as_size, (field_px, shape))
        raise ValueError(
            f"{where} was drawn in a field of {drawn} px, and the field here has {here} px; open "
            "the labels that the marks were made on"
        )

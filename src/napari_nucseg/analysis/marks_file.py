"""Marks on nuclei, and regions to ignore, as a file has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from napari_nucseg.analysis.marks import SIDES, Mark, Marked, Marks
from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.io.labelled import Label, Text, first_of
from napari_nucseg.metrics.ignoring import Polygon, Regions
from napari_nucseg.wording import as_size

FORM, VERSION = "napari-nucseg marks", 2
"""What a file of marks says that it is, and the version of its form that is written."""
_READ = (1, VERSION)
"""The versions that are read; the first had no regions."""
_Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _MarkEntry(BaseModel):
    field: Text
    side: Literal["truth", "predicted"]
    label: Annotated[Label, Field(ge=1)]
    mark: Mark
    note: Text
    box_px: tuple[Label, Label, Label, Label]


class _RegionEntry(BaseModel):
    field: Text
    field_px: tuple[Label, Label]
    polygon_px: Annotated[list[tuple[_Coordinate, _Coordinate]], Field(min_length=3)]


class _Entries(BaseModel):
    marks: list[_MarkEntry]
    ignored_regions: list[_RegionEntry]


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
    missing: dict[str, Any] = {"ignored_regions": []} if record["version"] == _READ[0] else {}
    try:
        told = _Entries.model_validate(missing | record)
    except ValidationError as error:
        raise ValueError(
            f"{where}: {first_of(error)}; choose a file as Save marks has written it"
        ) from error
    marks, regions = dict[ObjectKey, Marked](), dict[int, tuple[Polygon, ...]]()
    for mark in told.marks:
        if mark.field in planes:
            key = ObjectKey(planes[mark.field], mark.label, mark.side == SIDES[True])
            marks[key] = Marked(mark.mark, mark.note, mark.box_px)
    for region in told.ignored_regions:
        if region.field in planes:
            _check_size(region.field_px, shape, f"{where}: a region in {region.field}")
            plane = planes[region.field]
            regions[plane] = (*regions.get(plane, ()), tuple(region.polygon_px))
    fields = [*(one.field for one in told.marks), *(one.field for one in told.ignored_regions)]
    elsewhere = sum(field not in planes for field in fields)
    return MarksFile(marks, Regions(shape, regions), elsewhere)


def _check_size(field_px: tuple[int, int], shape: tuple[int, int], where: str) -> None:
    """Refuse a region of a field of another size, where it would lie over other nuclei."""
    if field_px != tuple(shape):
        drawn, here = map(as_size, (field_px, shape))
        raise ValueError(
            f"{where} was drawn in a field of {drawn} px, and the field here has {here} px; open "
            "the labels that the marks were made on"
        )

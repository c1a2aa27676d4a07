"""How large a pixel is, and how far apart planes are, as TIFF files of several programs say it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np
import tifffile

_UM = {
    "um": 1.0, "micron": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "inch": 25_400.0, "inche": 25_400.0, "in": 25_400.0,
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "pm": 1e-6, "picometer": 1e-6, "picometre": 1e-6, "\u00e5": 1e-4, "angstrom": 1e-4,
}  # fmt: skip
"""Micrometres in a unit, by its name in small letters and without the s of a plural."""
_OF_PRINT = ("cm", "centimeter", "centimetre", "inch", "inche", "in")
_COARSEST = 20.0
"""Pixels larger than this, in um, are those of print where they are told in cm or inch."""
_TAG_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
"""What the values of the tag ResolutionUnit mean."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True)
class Calibration:
    """Sizes in micrometres, None where they are not known.

    Attributes
    ----------
    pixel_size : float or None
        Edge of a pixel; the geometric mean where pixels are no squares.
    z_spacing : float or None
        Distance of neighbouring planes of a volume.
    """

    pixel_size: float | None = None
    z_spacing: float | None = None


UNKNOWN = Calibration()


def read_calibration(tiff: tifffile.TiffFile) -> Calibration:
    """Read the sizes that a file states: of MetaMorph, OME, ImageJ, or in its tags."""
    if tiff.is_stk:
        return _of_metamorph(tiff)
    if tiff.is_ome:
        return _of_ome(tiff.ome_metadata or "")
    if tiff.is_imagej:
        return _of_imagej(tiff)
    if tiff.is_metaseries:
        return _of_metaseries(tiff)
    unit = _TAG_UNITS.get(int(tiff.pages.first.resolutionunit), "")
    return Calibration(_mean(_edges(tiff, unit)))


def parse_ome(text: str) -> Element | None:
    """Parse OME-XML; None if it is none."""
    try:
        return fromstring(text)
    except ParseError:
        return None


def elements(root: Element, name: str) -> Iterator[Element]:
    """Yield the elements of a name, whatever the year of OME's schema."""
    return (one for one in root.iter() if one.tag.rpartition("}")[2] == name)


def to_um(value: Any, unit: Any) -> float | None:
    """Return a length in micrometres; None where it is none, or a printer's.

    Examples
    --------
    >>> to_um(650, "nm")
    0.65
    >>> to_um(0.65, "µm"), to_um(0.65, "Microns"), to_um(1, "pixel")
    (0.65, 0.65, None)
    """
    factor = _UM.get(_plain(str(unit)))
    try:
        length = abs(float(value)) * factor if factor else 0.0
    except (TypeError, ValueError):
        return None
    if not np.isfinite(length) or length == 0:
        return None
    return None if _plain(str(unit)) in _OF_PRINT and length > _COARSEST else length


def _plain(unit: str) -> str:
    """Spell a unit plainly: both signs of mu, ImageJ's escapes, capitals, and plurals."""
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), unit)
    text = text.strip(' \t"\0').replace("\u00c2", "")  # UTF-8 that was read as Latin-1
    text = re.sub("[\u00b5\u03bc]", "u", text).lower()
    return text if len(text) < 3 else text.removesuffix("s")


def _edges(tiff: tifffile.TiffFile, unit: Any) -> list[float | None]:
    """Return width and height of a pixel by the tags of resolution."""
    tags = (tiff.pages.first.tags.get(name) for name in ("XResolution", "YResolution"))
    values = [(0, 1) if tag is None else tag.value for tag in tags]
    return [to_um(below / above, unit) if above else None for above, below in values]


def _mean(edges: list[float | None]) -> float | None:
    """Return the edge of a square as large as a pixel; a height that is not told is the width."""
    width, height = edges
    if width is None:
        return None
    return width if height in (None, width) else float(np.sqrt(width * (height or width)))


def _of_imagej(tiff: tifffile.TiffFile) -> Calibration:
    told = tiff.imagej_metadata or {}
    unit = told.get("unit") or _TAG_UNITS.get(int(tiff.pages.first.resolutionunit), "")
    width, height = _edges(tiff, unit)
    if told.get("yunit"):
        height = _edges(tiff, told["yunit"])[1]
    size = _mean([width, height])
    is_volume = size is not None and int(told.get("slices", 1)) > 1
    spacing = to_um(told.get("spacing"), told.get("zunit") or unit) if is_volume else None
    return Calibration(size, spacing)


def _of_ome(text: str) -> Calibration:
    root = parse_ome(text)
    pixels = None if root is None else next(elements(root, "Pixels"), None)
    if pixels is None:
        return UNKNOWN
    x, y, z = (
        to_um(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um"))
        for axis in "XYZ"
    )
    return Calibration(_mean([x, y]), z if int(pixels.get("SizeZ", 1)) > 1 else None)


def _of_metamorph(tiff: tifffile.TiffFile) -> Calibration:
    told = tiff.stk_metadata or {}
    if not told.get("SpatialCalibration"):
        return UNKNOWN
    unit = told.get("CalibrationUnits")
    size = _mean([to_um(told.get(f"{axis}Calibration"), unit) for axis in "XY"])
    apart = np.unique(np.abs(np.atleast_1d(told.get("ZDistance", 0.0))))
    is_even = size is not None and len(apart) == 1
    return Calibration(size, to_um(apart[0], "um") if is_even else None)


def _of_metaseries(tiff: tifffile.TiffFile) -> Calibration:
    told = (tiff.metaseries_metadata or {}).get("PlaneInfo", {})
    if str(told.get("spatial-calibration-state", "on")).lower() in ("off", "false"):
        return UNKNOWN
    unit = told.get("spatial-calibration-units")
    return Calibration(_mean([to_um(told.get(f"spatial-calibration-{a}"), unit) for a in "xy"]))

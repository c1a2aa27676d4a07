"""Outlines as GeoJSON, as QuPath exports and imports its objects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.array_types import Ring
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.labelled import (
    NOTE,
    UINT32_LABELS,
    Labelled,
    Shape,
    note_of,
    read_note,
    shape_for,
    with_note,
)
from napari_nucseg.io.limits import BadFileError
from napari_nucseg.io.outlines import Outline, Piece, fill, trace
from napari_nucseg.io.sources import Source
from napari_nucseg.wording import counted

GEOJSON_SUFFIXES = (".geojson",)
_NUCLEUS = "nucleusGeometry"
"""Key of the nucleus of what QuPath calls a cell."""
_FOUND = ("detection", "cell")
"""Types of QuPath's objects that programs find; others are drawn, as regions are."""
_KINDS = ("Polygon", "MultiPolygon")


def write_geojson(path: Path, labelled: Labelled) -> None:
    """Write nuclei as QuPath's detections, named by their labels.

    What has a negative label is no nucleus and is left out. Planes of a stack are QuPath's z.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labelled : Labelled
        Labels of a field or a stack.
    """
    labels = labelled.labels
    head = {"type": "FeatureCollection", NOTE: note_of(labelled), "features": []}
    before, after = json.dumps(head).rsplit("[]", 1)

    def write(file: Any) -> None:
        file.write(f"{before}[".encode())
        for number, feature in enumerate(_features(labels, labels.ndim > 2)):
            comma = "," if number else ""
            file.write(f"{comma}\n{json.dumps(feature, separators=(',', ':'))}".encode())
        file.write(f"\n]{after}\n".encode())

    write_whole(path, write)


def _features(labels: np.ndarray[Any, Any], in_stack: bool) -> Iterator[dict[str, Any]]:
    for number, plane in enumerate(labels.reshape(-1, *labels.shape[-2:])):
        for label, pieces in trace(np.asarray(plane)):
            yield {
                "type": "Feature",
                "geometry": _geometry(pieces) | (_plane(number) if in_stack else {}),
                "properties": {"objectType": "detection", "name": str(label)},
            }


def _geometry(pieces: Sequence[Piece]) -> dict[str, Any]:
    polygons = [[_closed(ring) for ring in piece.rings] for piece in pieces]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _closed(ring: Ring) -> list[list[float]]:
    corners: list[list[float]] = ring.tolist()
    return [*corners, corners[0]]


def _plane(number: int) -> dict[str, Any]:
    return {"plane": {"c": -1, "z": number, "t": 0}}


def read_geojson(
    source: Source, shape: Shape | None = None, *, drawn_alone: bool = False
) -> Labelled:
    """Read outlines as labels: those of QuPath's detections, of cells the nuclei.

    Where nothing was detected, regions that were drawn are taken. Names that are numbers, each
    once, are the labels; else nuclei are numbered in order. A pixel within several outlines belongs
    to the first. What has no area is left out and told.

    Parameters
    ----------
    source : Source
        The file.
    shape : tuple of int, optional
        Height and width of the image, after the number of planes if it has several; only our own
        files say it themselves.
    drawn_alone : bool
        Whether regions that were drawn are read, and nothing that was detected.

    Raises
    ------
    ValueError
        If it is damaged, holds no outlines, or does not say how large the image is.
    """
    found = read_json(source)
    note = read_note(source, found.get(NOTE) if isinstance(found, dict) else None)
    shape = shape_for(source, note, shape)
    try:
        features, notes = (_drawn if drawn_alone else _nuclei)(_listed(found))
        numbers = _numbers(features)
        outlines = [_outline(*pair) for pair in zip(numbers, features, strict=True)]
        with_area = [one for one in outlines if one.rings]
        labels, more = fill(with_area, shape)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFileError(
            f"{source}: it is no GeoJSON as QuPath writes it ({error}); export the objects again"
        ) from error
    flat = len(outlines) - len(with_area)
    if flat:
        notes.append(f"{counted(flat, 'line or point')} without an area, and left out")
    return with_note(labels, note, notes=(*notes, *more))


def read_json(source: Source) -> Any:
    """Read a file of JSON.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return json.loads(source.read())
    except (ValueError, RecursionError) as error:
        raise BadFileError(
            f"{source}: no JSON, or cut off ({error}); export it again where it was made"
        ) from error


def _listed(found: Any) -> list[Mapping[str, Any]]:
    """Return the features of a collection, of a list as QuPath once wrote them, or of one."""
    if isinstance(found, dict) and found.get("type") == "Feature":
        return [found]
    features = found if isinstance(found, list) else found["features"]
    if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
        raise ValueError("its features are no list of objects")
    return features


def _nuclei(features: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Take what programs found, if they found anything; else what was drawn."""
    found = [one for one in features if _is_found(one)]
    notes = []
    if found and len(found) < len(features):
        drawn = counted(len(features) - len(found), "region")
        notes.append(f"{drawn} drawn around the nuclei, and left out")
    if any(one.get(_NUCLEUS) for one in features):
        notes.append("it holds cells, of which the nuclei were taken")
    return list(found or features), notes


def _drawn(features: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Leave out what programs found."""
    drawn = [one for one in features if not _is_found(one)]
    left = len(features) - len(drawn)
    return drawn, [f"{counted(left, 'detection')} within, and left out"] if left else []


def _is_found(feature: Mapping[str, Any]) -> bool:
    """Tell whether a program found it."""
    return str(_properties(feature).get("objectType", "")).lower() in _FOUND


def _properties(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = feature.get("properties") or {}
    return properties


def _shape_of(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    geometry: Mapping[str, Any] = feature.get(_NUCLEUS) or feature.get("geometry") or {}
    return geometry


def _z(feature: Mapping[str, Any]) -> int:
    plane = _shape_of(feature).get("plane") or (feature.get("geometry") or {}).get("plane") or {}
    return int(plane.get("z") or 0) or int(plane.get("t") or 0)


def _numbers(features: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the names as labels, if they are numbers and each is there once a plane."""
    names = [str(_properties(one).get("name", "")) for one in features]
    in_order = list(range(1, len(features) + 1))
    if not all(name.isascii() and name.isdecimal() and len(name) <= 10 for name in names):
        return in_order
    numbers = [int(name) for name in names]
    times = Counter(zip(numbers, map(_z, features), strict=True))
    are_labels = all(0 < one < UINT32_LABELS for one in numbers) and set(times.values()) <= {1}
    return numbers if are_labels else in_order


def _outline(label: int, feature: Mapping[str, Any]) -> Outline:
    geometry = _shape_of(feature)
    if geometry.get("type") not in _KINDS:
        return Outline(label, ())
    polygons = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        polygons = [polygons]
    rings = [_ring(ring) for polygon in polygons for ring in polygon]
    return Outline(label, rings, _z(feature))


def _ring(corners: Any) -> Ring:
    ring = np.asarray(corners, dtype=float)
    if ring.ndim != 2 or ring.shape[1] < 2 or len(ring) < 3:
        raise ValueError(f"a line of shape {ring.shape}")
    return ring[:, :2]

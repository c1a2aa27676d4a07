"""Plates of OME-Zarr as other programs write them, with drawn fields."""

from __future__ import annotations

import json

import numpy as np
import pytest

CHANNELS = ("GFP", "DAPI")
WELLS = ("B/3", "C/10", "B/10")


def put(group, told, version, **others):
    """Write OME's metadata where a version has them."""
    group.attrs.update({**told, **others} if version == "0.4" else {"ome": told, **others})


def write_image(group, data, axes, version, told=None, **others):
    """Write pixels as an image of one resolution, of half a micrometre a pixel."""
    sizes = [0.5 if axis in "yx" else 1.0 for axis in axes]
    space = {"type": "space", "unit": "micrometer"}
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    steps = [{"type": "scale", "scale": sizes}]
    scales = {
        "axes": [{"name": axis, **kinds.get(axis, space)} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    of = {"version": version}
    is_old = version == "0.4"
    put(
        group,
        {"multiscales": [of | scales], **(told or {})}
        if is_old
        else {**of, "multiscales": [scales], **(told or {})},
        version,
        **others,
    )
    keys = {"dimension_names": list(axes)}
    if is_old:
        keys = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = group.create_array("0", shape=data.shape, chunks=data.shape, dtype=data.dtype, **keys)
    array[:] = data


def write_labels(image, name, labels, version, **others):
    """Write labels into an image, and name them in its list."""
    told = {"version": version} if version == "0.5" else {}
    folder = image.require_group("labels")
    before = dict(folder.attrs).get("ome", dict(folder.attrs)).get("labels", [])
    put(folder, {**told, "labels": [*before, name]}, version)
    group = folder.create_group(name)
    write_image(group, labels.astype(np.uint32), "yx", version, {"image-label": told}, **others)


def write_plate(path, fields, version="0.4", channels=CHANNELS, labels=("nuclei",), planes=1):
    """Write a plate of three wells, of two fields the first: in the last channel are nuclei."""
    zarr = pytest.importorskip("zarr")
    group = zarr.create_group(str(path), zarr_format=2 if version == "0.4" else 3)
    told = {
        "columns": [{"name": "3"}, {"name": "10"}],
        "rows": [{"name": "B"}, {"name": "C"}],
        "wells": [
            {"path": "B/3", "rowIndex": 0, "columnIndex": 0},
            {"path": "C/10", "rowIndex": 1, "columnIndex": 1},
            {"path": "B/10", "rowIndex": 0, "columnIndex": 1},
        ],
    }
    of = {"version": version}
    plate = {**told, "name": "plate"}
    put(group, {"plate": of | plate} if version == "0.4" else {**of, "plate": plate}, version)
    drawn = iter(fields)
    for well, count in zip(WELLS, (2, 1, 1), strict=True):
        row, column = well.split("/")
        inner = group.require_group(row).create_group(column)
        images = {"images": [{"path": str(number)} for number in range(count)]}
        put(inner, {"well": of | images} if version == "0.4" else {**of, "well": images}, version)
        for number in range(count):
            field = next(drawn)
            image = inner.create_group(str(number))
            dark = [np.full_like(field.image, 5)] * (len(channels) - 1)
            data = np.stack([np.stack([*dark, field.image])] * planes, axis=1)[None]
            shown = {"color": "FFFFFF", "window": {"min": 0, "max": 255, "start": 0, "end": 255}}
            named = {"omero": {"channels": [{"label": name, **shown} for name in channels]}}
            write_image(image, data, "tczyx", version, named)
            for name in labels:
                write_labels(image, name, field.labels, version)
    return path


def change(folder, *keys, to):
    """Change an entry of the metadata of a folder of version 0.4."""
    file = folder / ".zattrs"
    entry = told = json.loads(file.read_text())
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = to
    file.write_text(json.dumps(told))


def tell_acquisitions(plate, names=("before", "after"), numbers=(0, 1)):
    """Say that the first image of each well is of the first acquisition, and the second after."""
    listed = [{"id": one, "name": name} for one, name in zip(numbers, names, strict=True)]
    change(plate, "plate", "acquisitions", to=listed)
    for well in WELLS:
        images = json.loads((plate / well / ".zattrs").read_text())["well"]["images"]
        for image, number in zip(images, numbers, strict=False):
            image["acquisition"] = number
        change(plate / well, "well", "images", to=images)
    return plate


def write_alone(path, data, version="0.4", labels=None):
    """Write an image of OME-Zarr that is in no plate, with labels in it."""
    zarr = pytest.importorskip("zarr")
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(str(path), zarr_format=2 if version == "0.4" else 3)
    write_image(group, data, "zyx"[-data.ndim :], version)
    if labels is not None:
        write_labels(group, "nuclei", labels, version)
    return path

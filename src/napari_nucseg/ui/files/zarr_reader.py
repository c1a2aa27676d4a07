"""Opening OME-Zarr in napari: label images, and images with the labels in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.io.labelled import NOTE
from napari_nucseg.io.limits import BadFileError, is_zarr, max_pixels
from napari_nucseg.io.ome_zarr import ZarrImage, open_levels, open_zarr
from napari_nucseg.io.sources import Source
from napari_nucseg.io.zarr_labels import label_images_in, read_zarr
from napari_nucseg.progress import Progress
from napari_nucseg.ui.files.labels_reader import OpenImage, labels_layer, open_images
from napari_nucseg.ui.files.opening import LayerData, Opened, read_and_wait
from napari_nucseg.ui.files.reader import Read, contrast_of
from napari_nucseg.ui.layers import FILE, IMAGE, PREDICTION, LayerRecord, prepare_colours, tag
from napari_nucseg.wording import as_size

_COLOURS = ("magenta", "green", "cyan", "yellow", "red", "blue")
"""Of the channels of an image that has several, in turn."""
_LENGTHS = {"Z": "z_spacing", "Y": "pixel_size", "X": "pixel_size"}
_SAMPLE = 1024
"""Rows and columns of the part of an image that tells its contrast."""


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return a reader for folders of OME-Zarr that are, or hold, labels; None for any other.

    Parameters
    ----------
    path : str or sequence of str
        A label image, a group of them, an image that holds labels, or several of these.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    try:
        return _read if all(is_zarr(one) and label_images_in(one) for one in paths) else None
    except (ValueError, OSError):  # zarr is not installed, or it may not be looked into
        return None


def _read(path: str | Sequence[str]) -> list[LayerData]:
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    images = open_images()  # while this is the window's own thread
    return read_and_wait(paths[0].name, partial(read_zarrs, paths, images)).told()


def read_zarrs(paths: Sequence[Path], images: Sequence[OpenImage], progress: Progress) -> Opened:
    """Read label images, and lay each over the image that holds it, or that it belongs to.

    Parameters
    ----------
    paths : sequence of Path
        Folders of OME-Zarr.
    images : sequence of OpenImage
        Images of the viewer, those first that the user looks at.
    progress : Progress
        Called with (labels read, labels in all, name of some); may raise to stop.

    Raises
    ------
    ValueError, OSError
        If nothing can be read. Labels that are damaged leave the others alone, and are named.
    """
    layers: list[LayerData] = []
    notes: list[str] = []
    failed: list[ValueError | OSError] = []
    for path in paths:
        labels, over, shape = label_images_in(path), images, None
        if path not in (labels[0], labels[0].parent):
            image = open_zarr(path)
            layers += _channels(path, image)
            shape = tuple(n for n, a in zip(image.shape, image.axes, strict=True) if a != "C")
            stem = Source(path).stem
            over = [OpenImage(stem, (stem,), shape, _placement(image))]
        for number, one in enumerate(labels):
            progress(number, len(labels), one.name)
            try:
                layer, note = _labels(one, over)
            except (ValueError, OSError) as error:
                failed.append(error)
                continue
            layers.append(layer)
            told = filter(None, (note, _size_doubt(layer, shape)))
            notes += [f"{one}: {remark}" for remark in told]
    if failed and not layers:
        raise failed[0]
    prepare_colours()
    return Opened(layers, (*map(str, failed), *notes))


def _channels(path: Path, image: ZarrImage) -> Iterator[LayerData]:
    """Return an image as it lies on the disk, in a layer for each of its channels."""
    levels, stem, axis = _levels(path, image), Source(path).stem, image.axes.find("C")
    keywords = {**_placement(image), "metadata": tag(LayerRecord(IMAGE, (stem,)))}
    for number in range(1 if axis < 0 else image.shape[axis]):
        looks: dict[str, Any] = {"name": stem}
        data = levels
        if axis >= 0:
            data = [level[(*(slice(None),) * axis, number)] for level in levels]
            looks = {"name": f"{stem} {number + 1}", "blending": "additive"}
            looks["colormap"] = _COLOURS[number % len(_COLOURS)]
        looks["contrast_limits"] = contrast_of(_middle(data[-1]))
        yield data if len(data) > 1 else data[0], {**keywords, **looks}, "image"


def _levels(path: Path, image: ZarrImage) -> list[Any]:
    """Open the levels of a pyramid without axes of length 1; no pixel is read."""
    import dask.array as da  # not above, because whoever opens another file would wait for it

    if not image.axes.endswith("YX"):
        raise BadFileError(f"{path}: its axes are {image.axes}; save it with height, width last")
    levels = open_levels(path)
    single = tuple(axis for axis, length in enumerate(levels[0].shape[:-2]) if length == 1)
    return [da.from_array(level, chunks=level.chunks).squeeze(single) for level in levels]


def _middle(data: Any) -> np.ndarray[Any, Any]:
    """Read the middle of an image, or of a stack."""
    *stack, height, width = data.shape
    rows, columns = (slice(max(0, n - _SAMPLE) // 2, (n + _SAMPLE) // 2) for n in (height, width))
    return np.asarray(data[(*(n // 2 for n in stack), rows, columns)])


def _placement(image: ZarrImage) -> dict[str, Any]:
    """Say where an image lies, or labels do, by the sizes that it states."""
    axes = image.axes.replace("C", "")
    sizes = [getattr(image.calibration, _LENGTHS.get(axis, ""), None) for axis in axes]
    return {
        "axis_labels": tuple("time" if axis == "T" else axis.lower() for axis in axes),
        "scale": tuple(size or 1.0 for size in sizes),
        "units": tuple("um" if size else "pixel" for size in sizes),
    }


def _labels(path: Path, images: Sequence[OpenImage]) -> tuple[LayerData, str]:
    """Return a label image, as `labels_layer`; one larger than memory stays on the disk."""
    found = open_zarr(path)
    if math.prod(found.shape) > max_pixels():
        return _large_labels(path, found), ""
    labelled = read_zarr(Source(path))
    if path.parent.name != "labels":
        return labels_layer(Source(path), labelled, images)
    image = Source(path.parent.parent).stem
    (data, keywords, kind), note = labels_layer(
        Source(path), replace(labelled, image=f"{image}.zarr"), images
    )
    return (data, {**keywords, "name": _name(path)}, kind), note


def _size_doubt(layer: LayerData, image: tuple[int, ...] | None) -> str:
    """Say that labels have another size than the image that holds them, if there is one."""
    data, keywords = layer[0], layer[1]
    shape = tuple((data[0] if keywords.get("multiscale") else data).shape)
    if image is None or shape == tuple(length for length in image if length > 1):
        return ""
    return (
        f"the labels have {as_size(shape)} px, and their image has {as_size(image)}. They are not "
        "scored or measured together."
    )


def _large_labels(path: Path, found: ZarrImage) -> LayerData:
    levels, made = _levels(path, found), dict(found.attributes.get(NOTE, {}))
    if len(levels) == 1:  # which napari does not take for a pyramid
        levels.append(levels[0][..., ::2, ::2])
    record = LayerRecord(PREDICTION, provenance=made, is_copy=True)
    metadata = {FILE: str(path)} | (tag(record) if made.get("model") else {})
    keywords = {**_placement(found), "name": _name(path), "metadata": metadata, "multiscale": True}
    return levels, keywords, "labels"


def _name(path: Path) -> str:
    """Name labels by themselves, and those in an image behind it, which may hold others."""
    is_within = path.parent.name == "labels"
    return f"{Source(path.parent.parent).stem} {path.name}" if is_within else Source(path).stem

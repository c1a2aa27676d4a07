"""Opening labels of other programs in napari, over the image that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import napari
import numpy as np

from napari_nucseg.batch.results_folder import RUN_FILE
from napari_nucseg.io.coco import COCO_SUFFIXES, read_coco_images
from napari_nucseg.io.label_formats import is_geojson, read_foreign, stem_of
from napari_nucseg.io.label_rules import take_labels
from napari_nucseg.io.labelled import Labelled, ShapeNeededError
from napari_nucseg.io.limits import BadFileError
from napari_nucseg.io.sources import DAMAGED, Source
from napari_nucseg.progress import Progress
from napari_nucseg.ui.files.opening import LayerData, Opened, read_ahead, read_and_wait
from napari_nucseg.ui.files.reader import Read
from napari_nucseg.ui.layer_fields import field_shape
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, list_images, placement, record_of, tag

_SIGNS = (b'"Feature', b'"annotations"', b'"images"', b'"categories"')
"""What stands near the beginning of a JSON file of outlines."""
_HEAD = 2**12
"""Bytes that are near the beginning."""


@dataclass(frozen=True)
class OpenImage:
    """An image of the viewer, as far as labels over it need it.

    Attributes
    ----------
    name : str
        Name of the layer.
    stems : tuple of str
        Names of the fields that it shows, where they are known.
    shape : tuple of int
        Shape of labels of it.
    placed : dict
        Where labels of it lie.
    """

    name: str
    stems: tuple[str, ...]
    shape: tuple[int, ...]
    placed: dict[str, Any]

    def is_called(self, stem: str) -> bool:
        """Whether it shows the image of a stem alone."""
        return stem == self.name or (stem,) == self.stems


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return a reader for labels of Cellpose, ImageJ, QuPath and COCO, and None for other files.

    Parameters
    ----------
    path : str or sequence of str
        A ``_seg.npy``, ``.geojson`` or ``.roi`` file, an archive of ``.roi`` files, a ``.json``
        file with outlines, or several of them.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    try:
        return _read if all(map(_may_hold_labels, paths)) else None
    except DAMAGED:  # other readers may know better
        return None


def _may_hold_labels(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    if suffix in COCO_SUFFIXES:
        head = Source(path).read(_HEAD)
        return path.name != RUN_FILE and any(sign in head for sign in _SIGNS)
    return True


def _read(path: str | Sequence[str]) -> list[LayerData]:
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    images = open_images()  # while this is the window's own thread
    read = partial(read_ahead, partial(read_labels_over, paths, images))
    return read_and_wait(paths[0].name, read).told()


def open_images() -> list[OpenImage]:
    """List the images of the viewer in front: the selected one first, then the topmost."""
    viewer = napari.current_viewer()
    if viewer is None:
        return []
    active = viewer.layers.selection.active
    layers = list_images(reversed(viewer.layers))
    layers.sort(key=lambda layer: layer is not active)
    records = ((layer, record_of(layer)) for layer in layers)
    return [
        OpenImage(one.name, record.stems if record else (), field_shape(one), placement(one))
        for one, record in records
    ]


def read_labels_over(
    paths: Sequence[Path], images: Sequence[OpenImage], progress: Progress
) -> Opened:
    """Read labels of other programs, and lay each over the image that it belongs to.

    That is the image of the name that the file says, else of the file's own name, else the first
    of the same size.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    images : sequence of OpenImage
        Images of the viewer, those first that the user looks at.
    progress : Progress
        Called with (files done, files in all, name of one); may raise to stop.

    Raises
    ------
    ValueError, OSError
        If a file is damaged, or it has to be known first which image it belongs to.
    """
    layers: list[LayerData] = []
    notes: list[str] = []
    for number, path in enumerate(paths):
        progress(number, len(paths), path.name)
        source = Source(path)
        is_coco = source.suffix in COCO_SUFFIXES and not is_geojson(source)
        found = _read_coco(source, images) if is_coco else [_read_one(source, images)]
        for labelled in found:
            layer, note = labels_layer(source, labelled, images)
            layers.append(layer)
            notes += [f"{path}: {one}" for one in filter(None, (*labelled.notes, note))]
    return Opened(layers, tuple(notes))


def _read_one(source: Source, images: Sequence[OpenImage]) -> Labelled:
    """Read labels; where they do not say how large their image is, the viewer's tells."""
    try:
        found = read_foreign(source)
    except ShapeNeededError as error:
        named = (one for one in images if one.is_called(stem_of(source.path)))
        image = next(named, images[0] if images else None)
        if image is None:
            raise BadFileError(
                f"{source}: it holds outlines, and does not say how large their image is; open "
                "the image first, then this file again"
            ) from error
        found = read_foreign(source, image.shape)
    if found is None:
        raise BadFileError(f"{source}: no labels of Cellpose, ImageJ, QuPath or COCO")
    return found


def _read_coco(source: Source, images: Sequence[OpenImage]) -> list[Labelled]:
    """Read the labels of a file with one image, or of those images that are open."""
    first, count, found = None, 0, list[Labelled]()
    for one in read_coco_images(source):
        first, count = first or one, count + 1
        if any(image.is_called(Path(one.image).stem) for image in images):
            found.append(one)
    if first is not None and count == 1:
        return [first]
    if not found:
        such = "" if first is None else f", such as {first.image}"
        raise BadFileError(
            f"{source}: it holds the nuclei of {count} images; open one of the images first{such}, "
            "then this file again"
        )
    return found


def labels_layer(
    source: Source, labelled: Labelled, images: Iterable[OpenImage]
) -> tuple[LayerData, str]:
    """Lay labels over their image, and tell where that has another name than their file says.

    Parameters
    ----------
    source : Source
        The file that holds them.
    labelled : Labelled
        What was read from it.
    images : iterable of OpenImage
        Images of the viewer, those first that the user looks at.
    """
    try:
        labels = take_labels(labelled.labels).data
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error
    stem = Path(labelled.image).stem or stem_of(source.path)
    fitting = [one for one in images if one.shape == labels.shape]
    image = next((one for one in fitting if one.is_called(stem)), next(iter(fitting), None))
    model = str(labelled.made.get("model", ""))
    named = f"{stem if image is None else image.name} {model or 'labels'}"
    placed = _placement(labelled) if image is None else image.placed
    stems = () if image is None else image.stems
    record = LayerRecord(PREDICTION, stems, provenance=labelled.made)
    made = {"metadata": tag(record)} if model else {}
    dtype = np.int32 if labels.max(initial=0) < 2**31 else np.int64
    data = labels.astype(dtype, copy=False)
    return (data, {"name": named, **placed, **made}, "labels"), _doubt(labelled, image)


def _doubt(labelled: Labelled, image: OpenImage | None) -> str:
    """Say where labels lie over an image that is as large, but not called as they say."""
    said = labelled.image
    if (
        image is None
        or not said
        or image.is_called(said)
        or image.is_called(Source(Path(said)).stem)
    ):
        return ""
    return (
        f"its labels are of {said}. No image of that name and size is open, so they lie over "
        f"{image.name}, which is as large."
    )


def _placement(labelled: Labelled) -> dict[str, Any]:
    """Say where labels lie by what their file says of sizes, without an image."""
    ndim, sizes = labelled.labels.ndim, labelled.sizes
    axes = ("time" if labelled.stack == "T" else "z", "y", "x")[-ndim:]
    if sizes.pixel_size is None or ndim > len(axes):
        return {"axis_labels": axes} if ndim <= len(axes) else {}
    depth = sizes.z_spacing if axes[0] == "z" else None
    scale = (depth or 1.0, sizes.pixel_size, sizes.pixel_size)[-ndim:]
    units = ("pixel" if depth is None else "um", "um", "um")[-ndim:]
    return {"axis_labels": axes, "scale": scale, "units": units}

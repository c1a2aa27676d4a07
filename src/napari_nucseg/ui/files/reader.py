"""Opening a dataset in napari: one field, or all of them as lazy stacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.io.datasets import find_field, open_dataset
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import read_labels_header
from napari_nucseg.io.label_rules import separate_components
from napari_nucseg.io.layouts import IMAGE_SUFFIXES, holds_dataset, is_truth, stem_of_truth
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import Header
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.ui.files.field_groups import (
    FieldGroup,
    describe_groups,
    group_fields,
    stack_lazily,
)
from napari_nucseg.ui.files.opening import LayerData, Opened, read_ahead, read_and_wait
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag

_CONTRAST_PERCENTILES = (0.5, 99.8)
Read = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return a reader for files and folders of datasets, and None for other folders.

    Parameters
    ----------
    path : str or sequence of str
        A field's image or ground truth, several of them, a split file, an archive, or a folder.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    try:
        return _read if all(holds_dataset(one) for one in paths if one.is_dir()) else None
    except OSError:  # a folder may not be looked into; napari's reader says so
        return None


def _read(path: str | Sequence[str]) -> list[LayerData]:
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    read = partial(read_ahead, partial(_read_all, paths))
    return read_and_wait(paths[0].name, read).told()


def _read_all(paths: Sequence[Path], progress: Progress) -> Opened:
    parts = [_read_one(path, progress) for path in paths]
    layers = [layer for part in parts for layer in part.layers]
    return Opened(layers, tuple(note for part in parts for note in part.notes))


def _read_one(path: Path, progress: Progress) -> Opened:
    if not path.is_file() or path.suffix.lower() not in IMAGE_SUFFIXES:
        return read_dataset(open_dataset(path), progress)
    if not is_truth(path):
        return read_field(find_field(path))
    field = Field(stem_of_truth(path.stem), mask=Source(path))
    return _open_truth(field, None, read_labels_header(Source(path)))


def read_field(field: Field) -> Opened:
    """Image and, where there is one, ground truth of a field, as layer data."""
    image = field.read_image()
    layer = image_layer(image.data, field.name, image.header, [field], image.data)
    notes = tuple(f"{field.image}: {note}" for note in image.notes)
    if field.mask is None:
        return Opened([layer], notes)
    truth = _open_truth(field, image.header, image.header)
    return Opened([layer, *truth.layers], truth.notes + notes)


def _open_truth(field: Field, image: Header | None, sizes: Header) -> Opened:
    """Return the ground truth of a field; of a binary mask its components, too, but hidden.

    The first header is the image's, if there is one; the second says how large pixels are.
    """
    found = field.read_truth_image(image)
    layer = _labels_layer(found.data, field.name, sizes, [field])
    if not found.is_binary:
        return Opened([layer])
    name = f"{field.name} components"
    keywords = {"name": name, "visible": False, **_placement(found.data.ndim, sizes)}
    note = (
        f"{'; '.join(found.notes)}. Where each piece is a nucleus, use the hidden layer "
        f"{name!r} instead."
    )
    return Opened([(separate_components(found.data), keywords, "labels"), layer], (note,))


def read_dataset(dataset: Dataset, progress: Progress = ignore) -> Opened:
    """Images and ground truth of a dataset as stacks that are read field by field when shown.

    Fields of another size or pixel type have stacks of their own. Those of the kind that most
    fields are of are shown, the others are there but hidden.

    Parameters
    ----------
    dataset : Dataset
        Dataset whose fields are shown.
    progress : Progress, optional
        Called with (fields looked at, fields in all, name of one); may raise to stop.

    Raises
    ------
    ValueError, OSError
        If a field cannot be read, or there are too many kinds of fields.
    """
    missing, notes = dataset.without_mask, []
    if missing and len(missing) < len(dataset.fields):
        notes.append(
            f"{dataset.name}: {len(missing)} of {len(dataset.fields)} fields have no mask, the "
            f"first is {missing[0].stem}. No ground truth is shown. Add the masks and open the "
            "dataset again."
        )
    groups = group_fields(dataset, progress=progress)
    notes += describe_groups(dataset.name, groups)
    layers = []
    for group in groups:
        found = read_group(group, with_truth=not missing)
        for _, keywords, _ in found.layers:
            keywords["visible"] = group is groups[-1]
        layers += found.layers
        notes += found.notes
    return Opened(layers, tuple(notes))


def read_group(
    group: FieldGroup,
    no_image: Collection[str] = (),
    no_truth: Collection[str] = (),
    *,
    with_truth: bool = True,
) -> Opened:
    """Images, if there are any, and ground truth of fields of one kind, as stacks.

    Parameters
    ----------
    group : FieldGroup
        Fields of one size and pixel type.
    no_image, no_truth : collection of str
        Stems of fields whose image or ground truth is blank.
    with_truth : bool
        Whether all other fields have their ground truth.
    """
    fields, header = group.fields, group.header
    layers: list[LayerData] = []
    notes: tuple[str, ...] = ()
    if all(field.image is not None for field in fields):
        readers = [
            _blank(header) if field.stem in no_image else partial(_read_image, field, group)
            for field in fields
        ]
        images = stack_lazily(readers, header.shape, header.dtype)
        sample = next(n for n, field in enumerate(fields) if field.stem not in no_image)
        layers.append(image_layer(images, group.name, header, fields, images[sample]))
    if with_truth:
        kind = replace(header, dtype=np.dtype(np.int32))
        readers = [
            _blank(kind) if field.stem in no_truth else partial(_read_truth, field, group)
            for field in fields
        ]
        truths = stack_lazily(readers, kind.shape, kind.dtype)
        layers.append(_labels_layer(truths, group.name, kind, fields))
        notes = _say_binary([field for field in fields if field.stem not in no_truth][:1])
    return Opened(layers, notes)


def _say_binary(fields: Sequence[Field]) -> tuple[str, ...]:
    """Say so where the ground truth of a field is a binary mask."""
    return tuple(
        f"{'; '.join(found.notes)}. Other fields may be such masks, too. Number the nuclei in "
        "them. Or open a mask by itself: each of its pieces is a nucleus of a hidden layer."
        for found in (field.read_truth_image() for field in fields)
        if found.is_binary
    )


def _read_image(field: Field, group: FieldGroup) -> np.ndarray:
    data = field.read_image().data
    group.require_same(field.image, data.shape, data.dtype)
    return data


def _read_truth(field: Field, group: FieldGroup) -> np.ndarray:
    data = field.read_truth()
    group.require_same(field.mask, data.shape, group.header.dtype)
    return data


def _blank(header: Header) -> Callable[[], np.ndarray]:
    return partial(np.zeros, header.shape, header.dtype)


def image_layer(
    data: Any,
    name: str,
    header: Header,
    fields: Sequence[Field],
    sample: Any,
    *,
    in_colour: bool = False,
) -> LayerData:
    """Return the layer data of an image or a stack of them.

    Parameters
    ----------
    data : array
        Pixels, in memory or lazy.
    name : str
        Name of the layer.
    header : Header
        Says how large pixels are.
    fields : sequence of Field
        Fields that are shown, one a plane.
    sample : array
        One of the fields, for the contrast.
    in_colour : bool
        Whether the last axis holds red, green and blue.
    """
    looks = {"rgb": True} if in_colour else {"contrast_limits": contrast_of(sample)}
    keywords = {
        "name": name,
        **looks,
        **_placement(data.ndim - in_colour, header),
        **_metadata(IMAGE, fields),
    }
    return data, keywords, "image"


def contrast_of(field: Any) -> tuple[float, float]:
    """Return limits at which nuclei are seen: a few bright specks would leave them dark."""
    low, high = np.nanpercentile(np.asarray(field), _CONTRAST_PERCENTILES)
    return float(low), float(high if high > low else low + 1)


def _labels_layer(
    data: Any, name: str, header: Header | None, fields: Sequence[Field]
) -> LayerData:
    keywords = {
        "name": f"{name} {GROUND_TRUTH}",
        **_placement(data.ndim, header),
        **_metadata(GROUND_TRUTH, fields),
    }
    return data, keywords, "labels"


def _placement(ndim: int, header: Header | None) -> dict[str, Any]:
    size = header.pixel_size if header else None
    planes = ndim - 2
    axes = (*("field", "z")[:planes], "y", "x")
    if header is None or size is None:
        return {"axis_labels": axes}
    scale, units = (1.0,) * planes + (size, size), ("pixel",) * planes + ("um", "um")
    if header.z_spacing is not None and len(header.shape) == 3:
        scale = (*scale[: planes - 1], header.z_spacing, size, size)
        units = (*units[: planes - 1], "um", "um", "um")
    return {"axis_labels": axes, "scale": scale, "units": units}


def _metadata(role: str, fields: Sequence[Field]) -> dict[str, Any]:
    record = LayerRecord(role, stems=tuple(field.stem for field in fields))
    described = {
        "names": [field.name for field in fields],
        "wells": [field.well for field in fields],
        "sites": [field.site for field in fields],
        "splits": [field.split for field in fields],
    }
    return {"metadata": tag(record) | described}

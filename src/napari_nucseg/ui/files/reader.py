"""Opening BBBC039 in napari: one field, or a whole dataset as lazy stacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from napari.utils.notifications import show_warning

from napari_nucseg.core.bbbc039 import PARTS, find_field, open_dataset
from napari_nucseg.core.fields import Dataset, Field
from napari_nucseg.core.images import (
    TIFF_SUFFIXES,
    read_image_header,
    read_mask,
    read_mask_shape,
)
from napari_nucseg.core.sources import Source
from napari_nucseg.core.tiffs import Header
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag

_CONTRAST_PERCENTILES = (0.5, 99.8)
LayerData = tuple[Any, dict[str, Any], str]
Read = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return a reader for files and folders of BBBC039, and None for anything else.

    Parameters
    ----------
    path : str or sequence of str
        A field's TIFF or mask PNG, several of them, a split file, an archive, or a folder.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if len(paths) == 1 and paths[0].is_dir():
        return _read if _looks_like_dataset(paths[0]) else None
    return _read


def _read(path: str | Sequence[str]) -> list[LayerData]:
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    return [layer for one in paths for layer in _read_one(one)]


def _read_one(path: Path) -> list[LayerData]:
    if path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        return read_field(find_field(path))
    if path.is_file() and path.suffix.lower() == ".png":
        field = Field(path.stem, mask=Source(path))
        return [_labels_layer(read_mask(Source(path)), field.name, None, [field])]
    return read_dataset(open_dataset(path))


def read_field(field: Field) -> list[LayerData]:
    """Image and, where there is one, ground truth of a field, as layer data."""
    image = field.read_image()
    header = Header(image.data.shape, image.data.dtype, image.pixel_size)
    truth = None if field.mask is None else field.read_truth()
    layers = [_image_layer(image.data, field.name, header, [field], image.data)]
    if truth is not None:
        layers.append(_labels_layer(truth, field.name, header, [field]))
    return layers


def read_dataset(
    dataset: Dataset, no_image: Collection[str] = (), no_truth: Collection[str] = ()
) -> list[LayerData]:
    """Images and ground truth of a dataset as stacks that are read field by field when shown.

    Parameters
    ----------
    dataset : Dataset
        Its fields.
    no_image, no_truth : collection of str
        Stems of fields whose image or ground truth cannot be read, and is blank.

    Raises
    ------
    ValueError, OSError
        If another field cannot be read, or is of another kind than the first.
    """
    fields = dataset.fields
    layers: list[LayerData] = []
    header = None
    if dataset.has_images:
        header = _common_header([field for field in fields if field.stem not in no_image])
        readers = [
            _blank(header) if field.stem in no_image else _lazy_image(field, header)
            for field in fields
        ]
        images = stack_lazily(readers, header.shape, header.dtype)
        sample = next(n for n, field in enumerate(fields) if field.stem not in no_image)
        layers.append(_image_layer(images, dataset.name, header, fields, images[sample]))
    missing = [field for field in dataset.without_mask if field.stem not in no_truth]
    if len(missing) < len(fields):
        if missing:
            show_warning(
                f"{dataset.name}: {len(missing)} of {len(fields)} fields have no mask, the first "
                f"is {missing[0].stem}; no ground truth is shown. Add the masks and open it again."
            )
        else:
            kind = Header(header.shape if header else _mask_shape(fields[0]), np.dtype(np.int32))
            readers = [_blank(kind) if f.stem in no_truth else f.read_truth for f in fields]
            truths = stack_lazily(readers, kind.shape, kind.dtype)
            layers.append(_labels_layer(truths, dataset.name, header, fields))
    return layers


def _looks_like_dataset(folder: Path) -> bool:
    if folder.name in PARTS or any((folder / part).is_dir() for part in PARTS):
        return True
    if (folder / "images.zip").is_file():
        return True
    names = [path.name for path in folder.iterdir()]
    return not names or any(Field(Path(name).stem).well for name in names)


def _common_header(fields: Sequence[Field]) -> Header:
    """Check every field against the first, so that a bad file is refused before it is shown."""
    first: Header | None = None
    for field in fields:
        assert field.image is not None
        if field.image.member is not None and first is not None:
            continue  # a whole archive would have to be unpacked; its fields are checked when shown
        header = read_image_header(field.image)
        first = first or header
        _require_same(field, header, first)
        field.check_shape(header)
    assert first is not None
    return first


def _mask_shape(field: Field) -> tuple[int, int]:
    assert field.mask is not None
    return read_mask_shape(field.mask)


def _require_same(field: Field, found: Header, expected: Header) -> None:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"{field.image}: {found.shape} px of {found.dtype}, but the first field has "
            f"{expected.shape} px of {expected.dtype}; a stack needs fields of one kind, open them "
            "one by one"
        )


def _lazy_image(field: Field, expected: Header) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        data = field.read_image().data
        _require_same(field, Header(data.shape, data.dtype), expected)
        return data

    return read


def _blank(header: Header) -> Callable[[], np.ndarray]:
    return partial(np.zeros, header.shape, header.dtype)


def stack_lazily(
    readers: Sequence[Callable[[], Any]], shape: tuple[int, ...], dtype: np.dtype
) -> da.Array:
    """Stack fields that are read when they are shown."""
    planes = [
        da.from_delayed(dask.delayed(read, pure=False)(), shape, dtype)[None] for read in readers
    ]
    return da.concatenate(planes)


def _image_layer(
    data: Any, name: str, header: Header, fields: Sequence[Field], sample: Any
) -> LayerData:
    keywords = {
        "name": name,
        "contrast_limits": _contrast(sample),
        **_placement(data.ndim, header),
        **_metadata(IMAGE, fields),
    }
    return data, keywords, "image"


def _contrast(field: Any) -> tuple[float, float]:
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
    axes = ("field", "y", "x") if planes == 1 else ("y", "x")
    if size is None:
        return {"axis_labels": axes}
    return {
        "axis_labels": axes,
        "scale": (1.0,) * planes + (size, size),
        "units": ("pixel",) * planes + ("um", "um"),
    }


def _metadata(role: str, fields: Sequence[Field]) -> dict[str, Any]:
    record = LayerRecord(role, stems=tuple(field.stem for field in fields))
    described = {
        "names": [field.name for field in fields],
        "wells": [field.well for field in fields],
        "sites": [field.site for field in fields],
        "splits": [field.split for field in fields],
    }
    return {"metadata": tag(record) | described}

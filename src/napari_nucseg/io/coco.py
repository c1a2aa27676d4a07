"""Instances as JSON of COCO: the nuclei of one image, or of several, in one file.

References
----------
.. [1] https://cocodataset.org/#format-data and the module ``pycocotools.mask``.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels, pixels_within
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.geojson import read_json
from napari_nucseg.io.labelled import (
    NOTE,
    UINT32_LABELS,
    Labelled,
    Shape,
    note_of,
    read_note,
    refuse_beyond,
    with_note,
)
from napari_nucseg.io.limits import BadFileError, refuse_large
from napari_nucseg.io.sources import Source
from napari_nucseg.wording import as_size, counted

COCO_SUFFIXES = (".json",)
_LABEL = "label"
"""Key of a nucleus's label in our own files; numbers of COCO are those of the whole file."""
_CATEGORY = {"id": 1, "name": "nucleus", "supercategory": "cell"}
_BITS, _MORE, _SIGN = 0x1F, 0x20, 0x10
"""Of a letter of COCO's packed numbers: five bits, whether more follow, and the sign."""
_ZERO = 48


def write_coco(path: Path, fields: Iterable[Labelled]) -> None:
    """Write the nuclei of fields, each as a mask that keeps every pixel (run lengths).

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    fields : iterable of Labelled
        Labels of shape (height, width), which are asked for one after the other.

    Raises
    ------
    ValueError
        If a label is negative or needs more than 32 bits.
    """

    def write(file: Any) -> None:
        images: list[dict[str, Any]] = []
        file.write(b'{"annotations":[')
        count = 0
        for number, one in enumerate(fields, start=1):
            refuse_beyond(path, one.labels, UINT32_LABELS)
            height, width = one.labels.shape
            name = one.image or path.stem
            size = {"width": width, "height": height}
            images.append({"id": number, "file_name": name, **size, NOTE: note_of(one)})
            for label, flat in _places(one.labels):
                comma = "," if count else ""
                count += 1
                row = {"id": count, "image_id": number, **_instance(label, flat, (height, width))}
                file.write(f"{comma}\n{json.dumps(row, separators=(',', ':'))}".encode())
        rest = {"info": {"description": "Nuclei"}, "images": images, "categories": [_CATEGORY]}
        file.write(f"\n],{json.dumps(rest)[1:]}\n".encode())

    write_whole(path, write)


def _places(labels: Labels) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each label and its pixels, counted down the columns from the left, ascending."""
    flat = labels.T.ravel()
    order = np.argsort(flat, kind="stable")
    ids, first = np.unique(flat[order], return_index=True)
    for label, places in zip(ids.tolist(), np.split(order, first[1:]), strict=True):
        if label:
            yield label, places


def _instance(label: int, flat: NDArray[np.int64], shape: tuple[int, int]) -> dict[str, Any]:
    height, width = shape
    columns, rows = np.divmod(flat, height)
    breaks = np.flatnonzero(np.diff(flat) > 1)
    starts, stops = flat[np.append(0, breaks + 1)], flat[np.append(breaks, -1)] + 1
    turns = np.column_stack([starts, stops]).ravel()
    counts = np.diff(turns, prepend=0, append=height * width)
    left, top = int(columns.min()), int(rows.min())
    return {
        "category_id": _CATEGORY["id"],
        _LABEL: label,
        "segmentation": {"size": [height, width], "counts": counts.tolist()},
        "area": len(flat),
        "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
        "iscrowd": 0,
    }


def read_coco(source: Source, shape: Shape | None = None) -> Labelled:
    """Read the instances of a file with one image as labels; see `read_coco_images`."""
    fields = list(read_coco_images(source))
    if len(fields) != 1:
        raise BadFileError(
            f"{source}: it holds the nuclei of {len(fields)} images; make a label image of each "
            f"first: napari-nucseg convert '{source.name}' --to tiff --out FOLDER"
        )
    if shape is not None and fields[0].labels.shape != shape:
        raise BadFileError(
            f"{source}: its image has {as_size(fields[0].labels.shape)} pixels, and "
            f"the one given {as_size(shape)}; give the image that it belongs to"
        )
    return fields[0]


def read_coco_images(source: Source) -> Iterator[Labelled]:
    """Read the instances of each image as labels.

    Our own files have their labels; else nuclei are numbered in order. A pixel of several belongs
    to the first. Instances of all categories are taken, but for crowds, which are told.

    Raises
    ------
    ValueError
        If it is damaged, or no file of COCO's instances.
    """
    found = read_json(source)
    try:
        by_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for one in found["annotations"]:
            by_image[one["image_id"]].append(one)
        images = list(found["images"])
        if not images:
            raise ValueError("no image is listed")
        stray = sum(map(len, by_image.values())) - sum(len(by_image[one["id"]]) for one in images)
        for image in images:
            read = _read_image(source, image, by_image[image["id"]])
            if stray > 0 and image is images[0]:
                told = f"{counted(stray, 'nucleus')} of images that are not listed, and left out"
                read = replace(read, notes=(*read.notes, f"{source.name}: {told}"))
            yield read
    except BadFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadFileError(
            f"{source}: these are no instances as COCO has them ({type(error).__name__}: {error}); "
            "export them again where they were made"
        ) from error


def _read_image(
    source: Source, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]
) -> Labelled:
    shape = int(image["height"]), int(image["width"])
    refuse_large(source, shape)
    if min(shape) < 1:
        raise ValueError(f"an image of {shape[0]} x {shape[1]} pixels")
    name = _name_of(image)
    single = [one for one in annotations if not one.get("iscrowd")]
    labels = np.zeros(shape, np.uint32)
    shared = empty = 0
    for label, one in zip(_labels_of(single), single, strict=True):
        rows, columns = _pixels(one["segmentation"], shape)
        free = labels[rows, columns] == 0
        empty += not len(free)
        shared += len(free) - int(np.count_nonzero(free))
        labels[rows[free], columns[free]] = label
    notes = []
    if shared:
        notes.append(f"{counted(shared, 'pixel')} of several nuclei, and given to the first")
    if empty:
        notes.append(f"{counted(empty, 'nucleus')} without a pixel in the image, and left out")
    if len(single) < len(annotations):
        notes.append(f"{counted(len(annotations) - len(single), 'crowd')} left out")
    told = tuple(f"{name}: {one}" for one in notes)
    data = labels.view(np.int32) if labels.max() < 2**31 else labels
    return with_note(data, read_note(source, image.get(NOTE)), name, told)


def _name_of(image: Mapping[str, Any]) -> str:
    """Return the name of an image without folders, which a file can have."""
    name = Path(str(image["file_name"])).name
    try:
        is_name = bool(os.fsencode(name).strip(b".")) and "\0" not in name
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise ValueError(f"an image of the name {name!r}, which no file can have")
    return name


def _labels_of(annotations: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the labels where all nuclei have one of their own, else numbers in order."""
    labels = [one.get(_LABEL) for one in annotations]
    whole = [one for one in labels if type(one) is int and 0 < one < UINT32_LABELS]
    if len(set(whole)) == len(annotations):
        return whole
    return list(range(1, len(annotations) + 1))


def _pixels(segmentation: Any, shape: tuple[int, int]) -> tuple[Labels, Labels]:
    """Find the rows and columns of an instance's pixels."""
    if isinstance(segmentation, list):
        rings = [np.asarray(ring, float).reshape(-1, 2) for ring in segmentation]
        found = [pixels_within([ring], shape) for ring in rings if len(ring) > 2]
        if not found:
            return np.zeros(0, int), np.zeros(0, int)
        both = np.unique(np.concatenate([np.column_stack(one) for one in found]), axis=0)
        return both[:, 0], both[:, 1]
    if tuple(segmentation["size"]) != shape:
        raise ValueError(f"a mask of size {segmentation['size']} in an image of {list(shape)}")
    counts = segmentation["counts"]
    runs = np.asarray(unpack(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    turns = np.cumsum(runs)
    if runs.min(initial=0) < 0 or turns.max(initial=0) > shape[0] * shape[1]:
        raise ValueError("run lengths that go beyond their image")
    starts, stops = turns[:-1:2], turns[1::2]
    lengths = stops - starts
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = np.repeat(starts, lengths) + np.arange(lengths.sum()) - before
    columns, rows = np.divmod(flat, shape[0])
    return rows, columns


def unpack(text: str) -> list[int]:
    """Unpack run lengths that COCO writes as letters of five bits, from the fourth on differences.

    Examples
    --------
    >>> unpack("051")
    [0, 5, 1]
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        bits = letter - _ZERO
        if not 0 <= bits < 2 * _MORE:
            raise ValueError("letters that are no run lengths")
        value |= (bits & _BITS) << shift
        shift += 5
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths that are cut off")
    return runs

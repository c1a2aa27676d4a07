"""Fields of one kind: only those of equal size and pixel type make a stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from timeit import default_timer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from napari.utils import resize_dask_cache

from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import read_labels_shape
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff import Header
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.wording import as_size

MAX_GROUPS = 12
"""Kinds of fields that a dataset is opened with; each has layers of its own."""
ShapeAndType = tuple[tuple[int, ...], np.dtype]
"""Shape and pixel type."""

if TYPE_CHECKING:
    from dask.array import Array


@dataclass(frozen=True)
class FieldGroup:
    """Fields of a dataset that make a stack.

    Attributes
    ----------
    name : str
        Name for the screen: the dataset's and the kind.
    kind : str
        Size and pixel type where these differ within the dataset, else empty.
    fields : tuple of Field
        Fields of the group, in the order of the dataset.
    numbers : tuple of int
        Numbers of these fields in the dataset.
    header : Header
        Size and pixel type of each image, or of each ground truth if the dataset has no images.
    """

    name: str
    kind: str
    fields: tuple[Field, ...]
    numbers: tuple[int, ...]
    header: Header

    def require_same(self, source: Source | None, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Refuse what is of another kind, such as a file in an archive when it is first opened.

        Raises
        ------
        ValueError
            Naming the file.
        """
        if (shape, dtype) != (self.header.shape, self.header.dtype):
            is_packed = source is not None and source.member is not None
            remedy = "unpack the archive and open its folder" if is_packed else "open it again"
            raise ValueError(
                f"{source}: {as_size(shape)} px of {dtype}, but the stack is of "
                f"{as_size(self.header.shape)} px of {self.header.dtype}; all fields of a stack "
                f"need the same size and pixel type; {remedy}"
            )


def group_fields(
    dataset: Dataset, blank: Collection[str] = (), progress: Progress = ignore
) -> list[FieldGroup]:
    """Group the fields of a dataset by size and pixel type, the largest group last.

    Parameters
    ----------
    dataset : Dataset
        Dataset whose fields are grouped.
    blank : collection of str
        Stems of fields that cannot be read; they go to the largest group.
    progress : Progress, optional
        Called with (fields looked at, fields in all, name of one); may raise to stop.

    Raises
    ------
    ValueError, OSError
        If another field cannot be read, or there are too many kinds of fields.
    """
    return group_by_header(dataset, _read_headers(dataset, blank, progress))


def group_by_header(dataset: Dataset, headers: Mapping[int, Header]) -> list[FieldGroup]:
    """Group the fields of a dataset, the largest group last.

    Parameters
    ----------
    dataset : Dataset
        Dataset whose fields are grouped.
    headers : mapping of int to Header
        Size and pixel type of fields by their number; fields without go to the largest group.

    Raises
    ------
    ValueError
        If there are too many kinds of fields.
    """
    kinds: dict[ShapeAndType, list[int]] = {}
    for number, header in headers.items():
        kinds.setdefault((header.shape, header.dtype), []).append(number)
    if len(kinds) > MAX_GROUPS:
        raise ValueError(
            f"{dataset.name}: its fields have {len(kinds)} different sizes or pixel types, and at "
            f"most {MAX_GROUPS} stacks are opened at once; open single fields, or a list of some "
            "fields (a text file of names in the dataset's folder)"
        )
    ordered = sorted(kinds.items(), key=lambda item: len(item[1]))
    unread = [number for number in range(len(dataset.fields)) if number not in headers]
    groups = []
    for kind, numbers in ordered:
        chosen = sorted(numbers + unread) if kind == ordered[-1][0] else numbers
        fields = tuple(dataset.fields[number] for number in chosen)
        told = _tell_apart(kind, kinds)
        name = f"{dataset.name} {told}".rstrip()
        groups.append(FieldGroup(name, told, fields, tuple(chosen), headers[numbers[0]]))
    return groups


def describe_groups(name: str, groups: Sequence[FieldGroup]) -> list[str]:
    """Say of what sizes the fields of a dataset are, if of several, and which are shown."""
    if len(groups) == 1:
        return []
    return [
        f"{name}: fields of {len(groups)} sizes or pixel types, so there is a stack for each. The "
        f"{len(groups[-1].fields)} of {groups[-1].kind} are shown. Click the eyes of the other "
        "layers to see the others."
    ]


def _read_headers(
    dataset: Dataset, blank: Collection[str], progress: Progress
) -> dict[int, Header]:
    """Read what each field is, so that a bad file is refused before it is shown.

    Of the fields in an archive the first speaks for all: the whole of it would have to be unpacked.
    They are checked when they are shown.
    """
    headers: dict[int, Header] = {}
    packed: Header | None = None
    for number, field in enumerate(dataset.fields):
        progress(number, len(dataset.fields), field.name)
        if field.stem in blank:
            continue
        source = field.image if dataset.has_images else field.mask
        assert source is not None
        if source.member is not None and packed is not None:
            headers[number] = packed
            continue
        if dataset.has_images:
            headers[number] = field.read_image_header()
            field.check_shape(headers[number])
        else:
            headers[number] = Header(read_labels_shape(source), np.dtype(np.int32))
        packed = headers[number] if source.member is not None else None
    return headers


def _tell_apart(kind: ShapeAndType, kinds: Collection[ShapeAndType]) -> str:
    """Tell a kind from the others by what differs."""
    shape, dtype = kind
    words = []
    if len({one for one, _ in kinds}) > 1:
        words.append(as_size(shape))
    if len({one for _, one in kinds}) > 1:
        words.append(str(dtype))
    return " ".join(words)


def stack_lazily(
    readers: Sequence[Callable[[], Any]], shape: tuple[int, ...], dtype: np.dtype
) -> Array:
    """Stack fields that are read when they are shown, as the type that the stack declares."""

    def plane(read: Callable[[], Any]) -> Any:
        return read().astype(dtype, casting="same_kind", copy=False)[None]

    from dask.array import Array  # not above: the window would wait for it when a panel opens

    # Napari's cache forgets when tasks began as soon as any thread has read, and others fail then
    resize_dask_cache().starttimes = defaultdict(default_timer)
    name, inside = f"fields-{uuid4().hex}", (0,) * len(shape)
    tasks = {(name, n, *inside): (plane, read) for n, read in enumerate(readers)}
    return Array(tasks, name, ((1,) * len(readers), *((size,) for size in shape)), dtype)


def fetch(stack: Any) -> None:
    """Read those fields of a lazy stack that napari shows first, and leave them in its cache.

    Those that cannot be read are left out: who looks at them is told why.

    Parameters
    ----------
    stack : array
        A stack of `stack_lazily`; of an array in memory there is nothing to read.
    """
    if isinstance(stack, np.ndarray):
        return
    from dask.threaded import get

    inside = (0,) * (stack.ndim - 1)
    with resize_dask_cache():
        for plane in sorted({0, (len(stack) - 1) // 2, len(stack) // 2}):
            key = (stack.name, plane, *inside)
            with suppress(ValueError, OSError):
                get({key: stack.dask[key]}, key)

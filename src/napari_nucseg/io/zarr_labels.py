"""Labels as OME-Zarr: a folder that holds a label image, or an image with labels in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Labels, whole_box
from napari_nucseg.io.atomic import explained, replace_folder
from napari_nucseg.io.labelled import NOTE, UINT32_LABELS, Labelled, check_made, refuse_beyond
from napari_nucseg.io.limits import BadFileError, is_zarr, refuse_large
from napari_nucseg.io.ome_zarr import (
    import_zarr,
    open_zarr,
    read_ome,
    write_zarr_labels,
)
from napari_nucseg.io.sources import Source

ZARR_SUFFIXES = (".ome.zarr", ".zarr")


@dataclass(frozen=True)
class _InMemory:
    """Labels of which parts are read as if they were in a file."""

    labels: Labels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    def read(self, box: Box, /) -> NDArray[Any]:
        return self.labels[box]


def write_zarr(path: Path, labelled: Labelled, version: str = "0.5") -> None:
    """Write labels as an OME-Zarr label image, with a pyramid.

    Parameters
    ----------
    path : Path
        Folder; one of Zarr that exists is replaced.
    labelled : Labelled
        Labels of a field or a volume.
    version : str
        Version of OME's metadata, 0.4 or 0.5.

    Raises
    ------
    ValueError
        If a label does not fit, or zarr is not installed.
    FileExistsError
        If something else has this name.
    """
    import_zarr()
    refuse_beyond(path, labelled.labels, UINT32_LABELS)
    if path.exists() and not is_zarr(path):
        raise FileExistsError(f"{path}: it is no folder of Zarr; choose another name")
    stage = path.with_name(f".{path.name}.partial")
    made = {**labelled.made, "image": labelled.image or labelled.made.get("image", "")}
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        try:
            array = _InMemory(labelled.labels)
            write_zarr_labels(stage, array, made, labelled.sizes, version, labelled.stack)
            replace_folder(path, stage)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def write_zarr_into(image: Path, name: str, labelled: Labelled, *, overwrite: bool) -> None:
    """Write labels into an image of OME-Zarr, as one of its label images.

    Parameters
    ----------
    image : Path
        Folder of the image, such as that of a field of a plate.
    name : str
        Name of the label image.
    labelled : Labelled
        Labels of the image. Those that were written before and have the same checksum stay.
    overwrite : bool
        Whether other labels of this name are replaced.

    Raises
    ------
    ValueError
        If a label does not fit, the name is no folder's, or zarr is not installed.
    FileExistsError
        If the image has other labels of this name.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"{name!r} is no name of labels; choose letters and numbers, as nuclei")
    path, version = image / "labels" / name, "0.5" if (image / "zarr.json").is_file() else "0.4"
    if path.exists() and not overwrite:
        sha256 = labelled.made.get("labels_sha256")
        if sha256 is None or _made_of(path).get("labels_sha256") != sha256:
            raise FileExistsError(
                f"{path}: the image has labels of this name, and they are kept; choose another "
                "name, or replace them by --overwrite"
            )
    else:
        write_zarr(path, labelled, version)
    _list_labels(path.parent, name, version)


def _made_of(path: Path) -> dict[str, Any]:
    """Return how labels that are there were made; empty if they do not say."""
    try:
        return dict(open_zarr(path).attributes.get(NOTE, {}))
    except BadFileError:
        return {}


def _list_labels(folder: Path, name: str, version: str) -> None:
    """Name labels in the list that an image has of its own."""
    is_old = version == "0.4"
    group = import_zarr().open_group(str(folder), mode="a", zarr_format=2 if is_old else 3)
    told = dict(group.attrs) if is_old else dict(group.attrs.get("ome", {}))
    names = [*told.get("labels", ())]
    if name not in names:
        told |= {"labels": [*names, name]}
        group.attrs.update(told if is_old else {"ome": {"version": version, **told}})


def labels_within(path: Path) -> Path:
    """Return the first label image in an image of OME-Zarr; of any other the folder itself."""
    inner = path / "labels"
    found = _listed_labels(inner) if is_zarr(inner) else [path]
    if not found:
        raise BadFileError(f"{inner}: it lists no labels; give the folder of the labels")
    return found[0]


def truth_within(image: Source | None) -> Source | None:
    """Return the first label image in an image of OME-Zarr; None of any other image.

    Labels that this program has made itself are no ground truth.
    """
    inner = None if image is None else image.path / "labels"
    found = [] if inner is None or not is_zarr(inner) else _listed_labels(inner)
    return next((Source(path) for path in found if not _made_of(path)), None)


def _listed_labels(folder: Path) -> list[Path]:
    """List the label images of an image of OME-Zarr, as its folder of labels names them."""
    import_zarr()
    try:
        return [folder / str(name) for name in read_ome(folder)["labels"]]
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise BadFileError(
            f"{folder}: it does not say which labels it holds; give the folder of the labels"
        ) from error


def label_images_in(path: Path) -> list[Path]:
    """List the label images of a folder of OME-Zarr: itself, or those in it or in its labels.

    Raises
    ------
    ValueError
        If zarr is not installed, or the folder is damaged.
    """
    try:
        told = read_ome(path)
        inner = path if "labels" in told else path / "labels"
        if "image-label" in told or not is_zarr(inner):
            return [path] if "image-label" in told else []
        return _listed_labels(inner)
    except (LookupError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise BadFileError(f"{path}: no group of OME-Zarr ({error})") from error


def read_zarr(source: Source) -> Labelled:
    """Read a label image at full resolution, or the first one in an image.

    Raises
    ------
    ValueError
        If the folder is damaged, holds no labels of a field or a volume, or zarr is not installed.
    """
    import_zarr()
    if not is_zarr(source.path):
        raise BadFileError(f"{source}: no folder of Zarr; export the labels as OME-Zarr again")
    try:
        image = open_zarr(labels_within(source.path))
        refuse_large(source, image.shape)
        if image.dtype.kind not in "biu":
            raise ValueError(f"{image.dtype} values, which are no labels")
        if len(image.shape) > 2 and image.axes[0] not in "ZT":
            raise ValueError(f"axes {image.axes}, which are no field, volume or time series")
        labels = image.read(whole_box(image.shape))
        made: Any = image.attributes.get(NOTE, {})
        check_made(made)
    except BadFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
        raise BadFileError(
            f"{source}: it holds no label image of OME-Zarr ({error}); export the labels again"
        ) from error
    stack = image.axes[:-2] if image.axes.endswith("YX") else ""
    name = str(made.get("image", ""))
    return Labelled(np.asarray(labels), name, made, image.calibration, stack=stack)

"""The metadata of plates of OME-Zarr: which wells, images, channels and labels they tell of.

They are read as the JSON that they are, so that a plate is listed without its arrays.

References
----------
.. [1] OME-NGFF 0.4 and 0.5, high-content screening, https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_nucseg.io.fields import Position
from napari_nucseg.io.labelled import NOTE
from napari_nucseg.io.limits import BadFileError, is_zarr
from napari_nucseg.io.sources import ZARR_SUFFIX, Source


@dataclass(frozen=True)
class PlateImage:
    """An image of a plate as its metadata tell of it.

    Attributes
    ----------
    path : Path
        Folder of the image.
    position : Position
        Well, and number of the image in it.
    channels : tuple of str
        Names of its channels, as far as they are known.
    labels : mapping
        Name of each of its label images to whether this program has made it.
    """

    path: Path
    position: Position
    channels: tuple[str, ...]
    labels: Mapping[str, bool]

    @property
    def stem(self) -> str:
        """Name of the field."""
        return f"{self.position.well}_s{self.position.site}"

    @property
    def source(self) -> Source:
        """The image as a file is one."""
        return Source(self.path, title=self.stem + ZARR_SUFFIX)

    def truth(self, name: str) -> Source | None:
        """Return labels of the image, if it has such."""
        path = self.path / "labels" / name
        return Source(path, title=self.stem + ZARR_SUFFIX) if name in self.labels else None


def is_plate(path: Path) -> bool:
    """Whether a folder is a plate of OME-Zarr.

    Raises
    ------
    ValueError
        If it is a folder of Zarr whose metadata are damaged.
    """
    return is_zarr(path) and "plate" in _attributes(path)


def read_plate(path: Path) -> tuple[list[PlateImage], tuple[str, ...]]:
    """List the images of a plate by well and site, and the names of those that are not there."""
    try:
        places = list(_places(path))
        found = [_read_image(*one) for one in places if is_zarr(one[0])]
    except BadFileError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadFileError(
            f"{path}: the metadata of the plate are damaged ({error!r}); write it again"
        ) from error
    if not found:
        raise BadFileError(f"{path}: a plate without images; copy it again, with its wells")
    absent = [f"{at.well}_s{at.site}" for one, at in places if not is_zarr(one)]
    return found, tuple(absent)


def _attributes(folder: Path) -> Mapping[str, Any]:
    """Read OME's metadata of a folder of Zarr; empty if it has none."""
    for name in ("zarr.json", ".zattrs"):
        file = folder / name
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_bytes())
            told = found.get("attributes", {}) if name == "zarr.json" else found
            return {**told, **told.get("ome", {})}
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadFileError(
                f"{file}: its metadata are damaged ({error}); write the folder again"
            ) from error
    return {}


def _places(path: Path) -> Iterator[tuple[Path, Position]]:
    """Yield where each image of a plate is, and its well and site."""
    wells = {}
    for one in _attributes(path)["plate"]["wells"]:
        row, column = PurePosixPath(one["path"]).parts
        wells[len(row), row, len(column), column] = _within(path, one["path"])
    for (_, row, _, column), folder in sorted(wells.items()):
        name = f"{row}{column:0>2}"
        images = _attributes(folder).get("well", {}).get("images", [{"path": "0"}])
        for number, image in enumerate(images, 1):
            yield _within(folder, image["path"]), Position(name, number)


def _within(folder: Path, inner: str) -> Path:
    """Return a folder in another one, and refuse what leads out of it."""
    if PurePosixPath(inner).is_absolute() or ".." in PurePosixPath(inner).parts:
        raise BadFileError(f"{folder}: its metadata lead outside the folder, to {inner}")
    return folder / inner


def _read_image(path: Path, position: Position) -> PlateImage:
    told = _attributes(path)
    channels = [str(one.get("label", "")) for one in told.get("omero", {}).get("channels", ())]
    labels = {
        str(name): bool(_attributes(_within(path / "labels", str(name))).get(NOTE))
        for name in _attributes(path / "labels").get("labels", ())
    }
    return PlateImage(path, position, tuple(channels), labels)

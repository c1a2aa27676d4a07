"""The metadata of plates of OME-Zarr: which wells, images, channels and labels they tell of.

They are read as the JSON that they are, so that a plate is listed without its arrays.

References
----------
.. [1] OME-NGFF 0.4 and 0.5, high-content screening, https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
        Well, and number of the image in it, counted through all acquisitions.
    acquisition : str
        Number of the acquisition that it was taken in; empty if that is not told.
    channels : tuple of str
        Names of its channels, as far as they are known.
    labels : mapping
        Name of each of its label images to whether this program has made it.
    """

    path: Path
    position: Position
    acquisition: str
    channels: tuple[str, ...] = ()
    labels: Mapping[str, bool] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Plate:
    """The images of a plate, by well and site.

    Attributes
    ----------
    images : tuple of PlateImage
        Those that there are.
    absent : tuple of PlateImage
        Those that the metadata list and that are not there.
    names : mapping
        Number of each acquisition that the plate lists to its name, which may be empty.
    """

    images: tuple[PlateImage, ...]
    absent: tuple[PlateImage, ...]
    names: Mapping[str, str]

    @property
    def acquisitions(self) -> dict[str, str]:
        """Number of each acquisition that images are of to its name."""
        numbers = dict.fromkeys(one.acquisition for one in self.images if one.acquisition)
        return {one: self.names.get(one, "") for one in sorted(numbers, key=lambda n: (len(n), n))}

    def of(self, acquisition: str) -> Plate:
        """Keep the images of one acquisition."""
        images, absent = (
            tuple(one for one in some if one.acquisition == acquisition)
            for some in (self.images, self.absent)
        )
        return replace(self, images=images, absent=absent)


def is_plate(path: Path) -> bool:
    """Whether a folder is a plate of OME-Zarr.

    Raises
    ------
    ValueError
        If it is a folder of Zarr whose metadata are damaged.
    """
    return is_zarr(path) and "plate" in _attributes(path)


def read_plate(path: Path) -> Plate:
    """List the images of a plate of OME-Zarr.

    Raises
    ------
    ValueError
        If its metadata are damaged or contradict one another, or there is no image.
    """
    try:
        told = _attributes(path)["plate"]
        listed = told.get("acquisitions", ())
        names = {str(one["id"]): str(one.get("name") or "") for one in listed}
        places = list(_places(path, told["wells"], names))
        found = tuple(_read_image(one) for one in places if is_zarr(one.path))
    except BadFileError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadFileError(
            f"{path}: the metadata of the plate are damaged ({error!r}); write it again"
        ) from error
    if not found:
        raise BadFileError(f"{path}: a plate without images; copy it again, with its wells")
    untold = next((one for one in places if not one.acquisition), None)
    if untold is not None and (len(names) > 1 or any(one.acquisition for one in places)):
        raise BadFileError(
            f"{untold.path}: its well does not tell its acquisition, though the plate has some; "
            "write the metadata of the well again"
        )
    return Plate(found, tuple(one for one in places if not is_zarr(one.path)), names)


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


def _places(path: Path, wells: Sequence[Any], names: Mapping[str, str]) -> Iterator[PlateImage]:
    """Yield where each image of a plate is, its well and site, and its acquisition."""
    folders = {}
    for one in wells:
        row, column = PurePosixPath(one["path"]).parts
        folders[len(row), row, len(column), column] = _within(path, one["path"])
    only, taken = next(iter(names)) if len(names) == 1 else "", dict[str, Path]()
    for (_, row, _, column), folder in sorted(folders.items()):
        name = f"{row}{column:0>2}"
        other = taken.setdefault(name.upper(), folder)  # files may not differ by capitals alone
        if other != folder:
            raise BadFileError(
                f"{other} and {folder}: both are well {name}; leave one out of the metadata of the "
                "plate"
            )
        images = _attributes(folder).get("well", {}).get("images", [{"path": "0"}])
        if len({image["path"] for image in images}) < len(images):
            raise BadFileError(f"{folder}: its metadata list an image twice; write them again")
        for number, image in enumerate(images, 1):
            acquisition = image.get("acquisition")
            yield PlateImage(
                _within(folder, image["path"]),
                Position(name, number),
                only if acquisition is None else str(acquisition),
            )


def _within(folder: Path, inner: str) -> Path:
    """Return a folder in another one, and refuse what leads out of it."""
    if PurePosixPath(inner).is_absolute() or ".." in PurePosixPath(inner).parts:
        raise BadFileError(f"{folder}: its metadata lead outside the folder, to {inner}")
    return folder / inner


def _read_image(place: PlateImage) -> PlateImage:
    """Complete an image by the names of its channels and labels."""
    told = _attributes(place.path)
    channels = [str(one.get("label", "")) for one in told.get("omero", {}).get("channels", ())]
    folder = place.path / "labels"
    labels = {
        str(name): bool(_attributes(_within(folder, str(name))).get(NOTE))
        for name in _attributes(folder).get("labels", ())
    }
    return replace(place, channels=tuple(channels), labels=labels)

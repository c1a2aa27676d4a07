"""Label files turned into other programs' formats, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from napari_nucseg.batch.image_measures import count_nuclei
from napari_nucseg.batch.image_task import Failed
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.coco import COCO_SUFFIXES, read_coco_images, write_coco
from napari_nucseg.io.images import read_image_header, read_label_image, read_labels_header
from napari_nucseg.io.label_formats import (
    COCO,
    FORMATS,
    LabelFormat,
    format_of,
    is_geojson,
    read_foreign,
    refuse_stack,
    stem_of,
)
from napari_nucseg.io.label_rules import take_labels
from napari_nucseg.io.labelled import UINT32_LABELS, Labelled, Shape, refuse_beyond
from napari_nucseg.io.layouts import stem_of_truth
from napari_nucseg.io.limits import BadFileError, is_zarr
from napari_nucseg.io.ome_zarr import list_zarrs, open_zarr
from napari_nucseg.io.pictures import PNG_SUFFIXES, TIFF_SUFFIXES
from napari_nucseg.io.sources import Source, refuse_truth
from napari_nucseg.io.tiff import stack_axes
from napari_nucseg.io.writers import known_provenance
from napari_nucseg.progress import Progress

TOGETHER = "instances"
"""Stem of the file of COCO that several fields are in."""
_PICTURES = (*TIFF_SUFFIXES, *PNG_SUFFIXES)


@dataclass(frozen=True)
class Conversion:
    """What label files become.

    Attributes
    ----------
    to : LabelFormat
        The format.
    out : Path
        Folder of the new files.
    images : Path or None
        The image of the labels, or a folder of images with their stems: for outlines that do not
        say how large their image is, and for the image's name in the new file.
    overwrite : bool
        Whether files that exist are replaced; those of a dataset never are.
    components : bool
        Whether the pieces of a binary mask are nuclei of their own.
    """

    to: LabelFormat
    out: Path
    images: Path | None = None
    overwrite: bool = False
    components: bool = False


@dataclass(frozen=True)
class Converted:
    """Labels in a new file.

    Attributes
    ----------
    name : str
        Name of the file that was read; of several images in one, with the image's.
    path : Path
        The new file.
    count : int
        Nuclei.
    notes : tuple of str
        What the user should know of how the labels were read.
    """

    name: str
    path: Path
    count: int
    notes: tuple[str, ...] = ()


def find_label_files(inputs: Sequence[Path]) -> tuple[Path, ...]:
    """List label files: those given, and those directly in the folders given.

    Raises
    ------
    FileNotFoundError
        If an input does not exist.
    ValueError
        If a folder holds none.
    """
    files: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        found = [path]
        if path.is_dir() and not is_zarr(path) and format_of(path) is None:
            listed = sorted(one for one in path.iterdir() if not one.name.startswith("."))
            found = [one for one in listed if format_of(one) is not None]
        if not found:
            endings = ", ".join(dict.fromkeys(one.endings[0] for one in FORMATS))
            raise ValueError(f"{path}: no label files here ({endings}); give another folder")
        files += found
    return tuple(dict.fromkeys(files))


def convert_files(
    files: Sequence[Path], how: Conversion, progress: Progress
) -> list[Converted | Failed]:
    """Convert label files; one that cannot be read or written does not stop the others.

    Of several, COCO has one file, ``instances.json``; else there is a file for each image.

    Parameters
    ----------
    files : sequence of Path
        The files, as `find_label_files` lists them.
    how : Conversion
        What they become.
    progress : Progress
        Called with (files done, files in all, name of one); may raise to stop.

    Raises
    ------
    FileExistsError
        If the one file of several exists.
    """
    work = _Work(files, how)
    if how.to is COCO and len(files) > 1:
        work.write_together(progress)
    else:
        for path, stem, labelled in work.read_all(progress):
            work.save(path, how.to.file_of(how.out, stem), labelled)
    return work.found


class _Work:
    """The files that are converted, and what became of them so far."""

    def __init__(self, files: Sequence[Path], how: Conversion) -> None:
        self.found: list[Converted | Failed] = []
        self._files = files
        self._how = how
        self._read_from = {os.path.realpath(path) for path in files}
        self._made_of: dict[Path, Path] = {}

    def read_all(self, progress: Progress) -> Iterator[tuple[Path, str, Labelled]]:
        """Yield each file, the stem of an image in it, and its labels."""
        for number, path in enumerate(self._files):
            progress(number, len(self._files), path.name)
            try:
                yield from _read(path, self._how)
            except (ValueError, OSError) as error:
                self._blame(path, error)
        progress(len(self._files), len(self._files), "")

    def save(self, path: Path, target: Path, labelled: Labelled) -> None:
        """Write the labels of a file to another."""
        first = self._made_of.get(target)
        try:
            if first is not None:
                raise FileExistsError(
                    f"{path}: {target.name} was made of {first} already; convert them into two "
                    "folders"
                )
            self._check_target(target)
            self._how.to.save(target, labelled)
        except (ValueError, OSError) as error:
            self._blame(path, error)
            return
        self._made_of[target] = path
        self._note(path, target, labelled)

    def write_together(self, progress: Progress) -> None:
        """Write the labels of all files to one."""
        target = self._how.to.file_of(self._how.out, TOGETHER)
        self._check_target(target)
        fields = self._fitting(target, progress)
        first = next(fields, None)
        if first is not None:
            write_coco(target, chain([first], fields))

    def _fitting(self, target: Path, progress: Progress) -> Iterator[Labelled]:
        """Yield the labels that fit into a file, and note what becomes of each."""
        stems: dict[str, Path] = {}
        for path, stem, labelled in self.read_all(progress):
            try:
                if stem in stems:
                    raise ValueError(
                        f"{path}: the nuclei of {stem} are those of {stems[stem]} already; convert "
                        "them into two folders"
                    )
                refuse_stack(self._how.to, target, labelled)
                refuse_beyond(path, labelled.labels, UINT32_LABELS)
            except ValueError as error:
                self._blame(path, error)
            else:
                stems[stem] = path
                self._note(path, target, labelled)
                yield labelled

    def _check_target(self, target: Path) -> None:
        """Refuse to replace what is not to be replaced."""
        if os.path.realpath(target) in self._read_from:
            raise FileExistsError(
                f"{target}: it would replace a file that is read; choose another --out"
            )
        refuse_truth(target)
        if target.exists() and not self._how.overwrite:
            raise FileExistsError(
                f"{target} already exists; choose another --out, or replace it by --overwrite"
            )

    def _note(self, path: Path, target: Path, labelled: Labelled) -> None:
        count = count_nuclei(labelled.labels, labelled.made.get("depth") or {})
        notes = tuple(one if str(path) in one else f"{path}: {one}" for one in labelled.notes)
        self.found.append(Converted(path.name, target, count, notes))

    def _blame(self, path: Path, error: Exception) -> None:
        reason = describe_error(error)
        named = reason if str(path) in reason else f"{path}: {reason}"
        self.found.append(Failed(path.name, named))


def _read(path: Path, how: Conversion) -> Iterator[tuple[Path, str, Labelled]]:
    source = Source(path)
    if source.suffix in COCO_SUFFIXES and not is_geojson(source):
        for one in read_coco_images(source):
            yield path, Path(one.image).stem, one
        return
    stem = stem_of_truth(stem_of(path))
    image = _image_of(how.images, stem)
    shape = None if image is None else _shape_of(image)
    yield path, stem, _labelled(source, how, image, shape)


def _labelled(source: Source, how: Conversion, image: Path | None, shape: Shape | None) -> Labelled:
    """Read labels and all that is known of them."""
    foreign = read_foreign(source, shape)
    stem = stem_of_truth(stem_of(source.path))
    named = "" if image is None else image.name
    if foreign is not None:
        name = named or foreign.image or f"{stem}.tif"
        if is_zarr(source.path):  # which may as well be an image
            foreign = _refuse_image(source, foreign, how.components)
        return replace(foreign, image=name)
    found = read_label_image(source, components=how.components)
    if shape is not None and found.data.shape != shape:
        raise ValueError(
            f"{source}: its shape is {found.data.shape}, and that of {image} {shape}; give the "
            "image that it belongs to"
        )
    made = known_provenance(source.path)
    header = read_labels_header(source)
    name = named or str(made.get("image") or f"{stem}.tif")
    sizes = Calibration(header.pixel_size, header.z_spacing)
    return Labelled(found.data, name, made, sizes, found.notes, stack_axes(source))


def _refuse_image(source: Source, labelled: Labelled, components: bool) -> Labelled:
    """Return labels of which it is known that they are none of an image's intensities."""
    try:
        found = take_labels(labelled.labels, components=components)
    except ValueError as error:
        raise BadFileError(f"{source}: {error}") from error
    return replace(labelled, labels=found.data, notes=(*labelled.notes, *found.notes))


def _image_of(images: Path | None, stem: str) -> Path | None:
    """Find the image of a stem: the one that was given, or that of a folder."""
    if images is None or not images.is_dir() or is_zarr(images):
        return images
    found = [one for one in sorted(images.iterdir()) if one.suffix.lower() in _PICTURES]
    found += list_zarrs(images)
    fitting = [one for one in found if stem in (one.stem, stem_of(one))]
    if not fitting:
        told = f"there is no image {stem} (TIFF, PNG or OME-Zarr) here; give its folder"
        raise ValueError(f"{images}: {told}")
    return fitting[0]


def _shape_of(image: Path) -> Shape:
    """Read the shape of the labels of an image: without its channels."""
    if not is_zarr(image):
        return read_image_header(Source(image)).shape
    found = open_zarr(image)
    axes = zip(found.axes, found.shape, strict=True)
    return tuple(length for letter, length in axes if letter != "C")

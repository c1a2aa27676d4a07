"""Images that need not belong to a dataset: which files, and segmenting them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari_nucseg.array_types import Labels
from napari_nucseg.batch.field_task import Executor, run_serially
from napari_nucseg.batch.image_measures import count_nuclei, table_of
from napari_nucseg.batch.image_task import Failed, ImageTask, Saved, labels_file
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.images import read_image_header, read_labels
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.large_images import read_made
from napari_nucseg.io.layouts import PICTURE_SUFFIXES, stem_of_truth
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.ome_zarr import list_zarrs
from napari_nucseg.io.pictures import JPEG_SUFFIXES, PNG_SUFFIXES, TIFF_SUFFIXES, others_in
from napari_nucseg.io.plate_metadata import is_plate
from napari_nucseg.io.plates import plate_images
from napari_nucseg.io.sources import ZARR_SUFFIX, Source, list_folder
from napari_nucseg.io.writers import checksum, known_provenance, read_provenance
from napari_nucseg.io.zarr_labels import write_zarr_into
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.parameters import completed
from napari_nucseg.system_info import versions
from napari_nucseg.wording import counted


def find_images(
    inputs: Sequence[Path], acquisition: str = ""
) -> tuple[tuple[Source, ...], dict[Path, ValueError | OSError]]:
    """List images: the files given, and those directly in the folders given.

    Of a folder, labels are left out: those that were saved there, and ground truth by its name.
    Of a plate of OME-Zarr with several acquisitions, one has to be named.

    Returns
    -------
    (tuple of Source, dict)
        The images, and of each input without any what is wrong with it: it does not exist, may
        not be read, or is a folder that holds none.
    """
    sources: list[Source] = []
    refused: dict[Path, ValueError | OSError] = {}
    for path in inputs:
        try:
            sources += _images_of(path, acquisition)
        except (ValueError, OSError) as error:
            refused[path] = error
    return tuple(dict.fromkeys(sources)), refused


def _images_of(path: Path, acquisition: str) -> list[Source]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if is_zarr(path):
        return plate_images(path, acquisition) if is_plate(path) else [Source(path)]
    found = _images_in(path) if path.is_dir() else [Source(path)]
    if not found:
        raise ValueError(f"{path}: no TIFF, PNG or JPEG image here{others_in(path)}")
    return found


def find_clashes(sources: Sequence[Source], out: Path) -> dict[Source, str]:
    """Find the images that cannot be segmented into a folder, and say why.

    Labels of two would have one name, or labels would replace one of the images.
    """
    targets = {os.path.realpath(labels_file(source, out)) for source in sources}
    clashes = {
        source: f"{source}: labels would replace this image; choose another --out"
        for source in sources
        if os.path.realpath(source.path) in targets  # resolve() fails at links to themselves
    }
    taken: dict[Path, Source] = {}
    for source in sources:
        target = labels_file(source, out)
        first = taken.setdefault(target, source)
        if first != source:
            both = f"both would be saved as {target.name}; segment them into two folders, or"
            for one, other in ((first, source), (source, first)):
                clashes[one] = f"{one} and {other}: {both} move one of them away"
    return clashes


def _images_in(folder: Path) -> list[Source]:
    suffixes = TIFF_SUFFIXES + PNG_SUFFIXES + JPEG_SUFFIXES
    listed = list_folder(folder, suffixes, broken_links=True)
    listed += map(Source, list_zarrs(folder))
    images = [source for source in listed if not _is_labels(source)]
    exact = {source.stem for source in images if source.suffix not in JPEG_SUFFIXES}
    return [one for one in images if one.suffix not in JPEG_SUFFIXES or one.stem not in exact]


def _is_labels(source: Source) -> bool:
    """Whether a file of a folder holds labels of an image beside it, or some that were saved."""
    stem = stem_of_truth(source.stem)
    suffixes = (*PICTURE_SUFFIXES, f".ome{ZARR_SUFFIX}")
    beside = (source.path.with_name(stem + suffix) for suffix in suffixes)
    if stem != source.stem and any(path.exists() for path in beside):
        return True
    try:
        return bool(read_made(source.path))
    except (ValueError, OSError):
        return False


def passed_over(inputs: Sequence[Path], found: Sequence[Source]) -> tuple[str, ...]:
    """Say which files of folders are not among the images found, a line a folder and kind."""
    folders = [path for path in inputs if path.is_dir() and not is_zarr(path)]
    images = set(found)
    told = ((path, others_in(path)) for path in folders)
    lines = [f"{path}{others}".replace("; ", ": ", 1) for path, others in told if others]
    for path in folders:
        listed = list_folder(path, TIFF_SUFFIXES + PNG_SUFFIXES)
        listed += map(Source, list_zarrs(path))
        labels = [source for source in listed if source not in images]
        if labels:
            count = counted(len(labels), "file")
            lines.append(f"{path}: {count} of labels left out, the first is {labels[0].name}")
        copies = [source for source in list_folder(path, JPEG_SUFFIXES) if source not in images]
        if copies:
            count = counted(len(copies), "JPEG")
            lines.append(f"{path}: {count} beside an image left out, the first is {copies[0].name}")
    return tuple(lines)


def refuse_overwriting(sources: Sequence[Source], out: Path) -> None:
    """Refuse a folder of results in which labels would replace an image, or one another.

    Raises
    ------
    ValueError
        Naming the first image.
    """
    for reason in find_clashes(sources, out).values():
        raise ValueError(reason)


def describe(saved: Saved) -> str:
    """Tell in a line what was found, and where it is."""
    of = f" in {saved.channel}" if saved.channel else ""
    size = "" if saved.estimate is None else f", diameter {saved.estimate:.0f} px (estimated)"
    there = " (already exists)" if saved.is_old else ""
    return f"{counted(saved.count, 'nucleus')}{of}{size}, {saved.path}{there}"


def put_into_plates(
    sources: Sequence[Source], saved: Sequence[Saved], name: str, overwrite: bool
) -> list[Failed]:
    """Write saved labels into the plates that their images are of, too.

    Parameters
    ----------
    sources : sequence of Source
        The images.
    saved : sequence of Saved
        Their labels.
    name : str
        Name that the labels have in the plate.
    overwrite : bool
        Whether other labels of this name are replaced.

    Returns the images whose labels could not be written there, and why.
    """
    fields, failed = {source.name: source for source in sources if source.title}, []
    for one in saved:
        try:
            if one.name in fields:
                _put_into_plate(fields[one.name], one.path, name, overwrite)
        except (ValueError, OSError) as error:
            failed.append(Failed(one.name, describe_error(error)))
    return failed


def _put_into_plate(source: Source, path: Path, name: str, overwrite: bool) -> None:
    labels, header = read_labels(Source(path)), read_image_header(source)
    made = {**read_provenance(path), "labels_sha256": checksum(labels)}  # it may have been edited
    sizes = Calibration(header.pixel_size, header.z_spacing)
    labelled = Labelled(labels, source.name, made, sizes)
    write_zarr_into(source.path, name, labelled, overwrite=overwrite)


def segment_images(
    sources: Sequence[Source], work: ImageTask, progress: Progress, cluster: Executor | None = None
) -> Iterator[Saved | Failed]:
    """Segment images, but for those whose labels already exist, which come first.

    Parameters
    ----------
    sources : sequence of Source
        The images.
    work : ImageTask
        What is done with each.
    progress : Progress
        Called with (images done, images in all, name of one) now and then; may raise to stop.
    cluster : callable, optional
        Segments images elsewhere; None to segment them in this process.

    Yields
    ------
    Saved or Failed
        What became of each image; an image that cannot be segmented does not stop the others.
    """
    left: list[Source] = []
    for number, source in enumerate(sources):
        progress(number - len(left), len(sources), source.name)
        try:
            there = find_saved(source, work)
        except OSError as error:  # the image has gone since
            there = work.blame(source, describe_error(error))
        if there is None:
            left.append(source)
        else:
            yield there
    before = len(sources) - len(left)

    def tell(done: int, _: int, name: str = "", /) -> None:
        progress(before + done, len(sources), name)

    if cluster is None:
        yield from run_serially(work, left, tell)
        return
    work = replace(work, out=work.out.absolute())  # other processes have other working folders
    left = [replace(source, path=source.path.absolute()) for source in left]
    yield from cluster(work, left, tell)


def find_saved(source: Source, work: ImageTask) -> Saved | Failed | None:
    """Find what stands where an image's labels belong, if it is to stay.

    Labels that would come out the same again stay. So does whatever this has not written itself:
    labels that were edited since, and files of others.

    Returns
    -------
    Saved, Failed or None
        The labels that stay; why the image is not segmented; None if it is to be.
    """
    path = labels_file(source, work.out)
    if not path.exists():
        return None
    made, labels = known_provenance(path), _labels_in(path)
    if labels is not None:
        made |= {"nuclei": count_nuclei(labels, made.get("depth", {}))}
    is_measured = not work.measures or (bool(made.get("is_measured")) and table_of(path).exists())
    if labels is not None and made.get("labels_sha256") == checksum(labels):
        is_whole = is_measured and (
            is_same_setup(made, work) and made.get("image_sha256") == source.sha256()
        )
        return Saved.of(path, made, is_old=True) if is_whole else None
    if work.overwrite:
        return None
    if labels is not None and "labels_sha256" in made and made.get("image") == source.name:
        if work.measures:
            try:
                work.measure_kept(source, labels)
            except (ValueError, OSError) as error:
                return work.blame(source, describe_error(error))
        return keep_edited(path, made, work)
    return work.blame_foreign(source, path)


def keep_edited(path: Path, made: Mapping[str, Any], work: ImageTask) -> Saved:
    """Tell of labels that stay because they were edited since they were made."""
    anew = (
        "without their file, they are made anew" if work.in_run else "--overwrite makes them anew"
    )
    edited = f"its labels were edited since, and are kept; {anew}"
    return replace(Saved.of(path, {**made, "suspect": ()}, is_old=True), read_as=(edited,))


def _labels_in(path: Path) -> Labels | None:
    """Read the labels of a file; None if it holds none that are whole."""
    try:
        return read_labels(Source(path))
    except (ValueError, OSError):
        return None


def is_same_setup(made: Mapping[str, Any], work: ImageTask) -> bool:
    """Whether labels of the same image would come out as those that were made so."""
    setup = work.setup
    before = made.get("versions", {})
    now = versions(before)
    return bool(
        made.get("model") == setup.model
        and made.get("weights_sha256") in ("", *setup.weights.values())
        and completed(made.get("parameters", {})) == asdict(setup.params)
        and made.get("choice") == asdict(work.choice)
        and all(now.get(name) == number for name, number in before.items())
    )

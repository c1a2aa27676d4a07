"""Plates of OME-Zarr: which wells and fields there are, and which of their labels are the truth.

A plate of OME-Zarr is a folder of wells, and a well one of images, each of which may have labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nucseg.io.channels import MEAN, Channel
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.layouts import explain_no_truth
from napari_nucseg.io.ome_zarr import open_zarr
from napari_nucseg.io.plate_metadata import Plate, PlateImage, is_plate, read_plate
from napari_nucseg.io.sources import ZARR_SUFFIX, Source, root_of


@dataclass(frozen=True)
class PlateOptions:
    """What is taken of a plate, or of files that are named by their wells.

    Attributes
    ----------
    channel : str
        Name or number of the channel of the nuclei; empty where there is one channel.
    truth_labels : str
        Name of the labels in a plate of OME-Zarr that are the ground truth; empty for the only
        ones that this program has not made itself.
    pattern : str
        Names of files as `well_names.keep_matching` takes them; empty for a plate of OME-Zarr.
    acquisition : str
        Name or number of the acquisition of a plate of OME-Zarr; empty where there is one.
    """

    channel: str = ""
    truth_labels: str = ""
    pattern: str = ""
    acquisition: str = ""


NO_PLATE = PlateOptions()
"""Nothing is said of a plate."""


class ChoiceNeededError(ValueError):
    """A plate of which an attribute of `PlateOptions` has to be chosen, among some names."""

    def __init__(self, reason: str, option: str, choices: Sequence[str]) -> None:
        super().__init__(f"{reason}: {', '.join(choices)}")
        self.reason, self.option, self.choices = reason, option, tuple(choices)


def open_plate(path: Path, options: PlateOptions = NO_PLATE) -> Dataset:
    """Find the fields of a plate of OME-Zarr without reading any pixel.

    Fields are named by well and site, such as ``B03_s1``.

    Raises
    ------
    ValueError
        If it is damaged or empty, or it cannot be told which acquisition is meant, which channel
        shows the nuclei or which labels are the ground truth; the message lists those that there
        are.
    """
    plate = _read_chosen(path, options.acquisition)
    images = plate.images
    channel = _find_channel(path, images, options.channel)
    truth = _find_truth(path, images, options.truth_labels)
    fields = [
        Field(one.stem, one.source, one.truth(truth), channel=channel, position=one.position)
        for one in images
    ]
    name = path.absolute().name.removesuffix(ZARR_SUFFIX).removesuffix(".ome")
    return Dataset(name, tuple(fields), tuple(one.stem for one in plate.absent))


def plate_images(path: Path, acquisition: str = "") -> list[Source]:
    """List the images of a plate of OME-Zarr, of one acquisition if it has several.

    Raises
    ------
    ValueError
        If it is damaged or empty, or which acquisition is meant cannot be told.
    """
    return [one.source for one in _read_chosen(path, acquisition).images]


def find_channel(plates: Sequence[Path], options: PlateOptions) -> Channel | None:
    """Find the channel that is chosen of plates; None if they have one channel alone.

    Raises
    ------
    ValueError
        If there is none, or it is not the same one in all plates.
    """
    found = {
        _find_channel(path, _read_chosen(path, options.acquisition).images, options.channel): path
        for path in plates
    }
    if len(found) > 1:
        first, second, *_ = found.values()
        raise ValueError(
            f"{first} and {second}: their channels are in another order; segment one after the "
            "other"
        )
    return next(iter(found))


def holder_of(source: Source) -> Path:
    """Return the folder of the dataset, or the plate, that a file belongs to."""
    return source.path.parents[2] if source.title else root_of(source.path.parent)


def options_of(dataset: Dataset, path: Path) -> PlateOptions:
    """Return what takes the same channel, labels and acquisition of a plate that was moved."""
    first = dataset.fields[0]
    labels = first.mask.path.name if first.mask is not None and first.mask.title else ""
    images = read_plate(path).images if is_plate(path) else ()
    acquisition = next((one.acquisition for one in images if one.stem == first.stem), "")
    channel = "" if first.channel is None else first.channel.name
    return PlateOptions(channel, labels, acquisition=acquisition)


def explain_unscored(root: Path) -> str:
    """Say why a dataset or a plate has no ground truth, and what to do."""
    if not is_plate(root):
        return explain_no_truth(root)
    names = sorted({name for one in read_plate(root).images for name in one.labels})
    if names:
        return f"say which labels of the plate are the ground truth: {', '.join(names)}"
    return "write labels into the plate beside its images, as OME-Zarr has them"


def _read_chosen(path: Path, wanted: str) -> Plate:
    """Read a plate, and keep the images of the acquisition that is wanted of it."""
    plate = read_plate(path)
    names = plate.acquisitions
    if not wanted and len(names) < 2:
        return plate
    numbers, called = list(names), list(names.values())
    is_clear = len({*called} - {"", *numbers}) == len(called)
    choices = called if is_clear else numbers
    if not wanted:
        also = f", called {', '.join(called)}" if any(called) and not is_clear else ""
        told = f"{path}: its fields are of {len(names)} acquisitions{also}; say which to take"
        raise ChoiceNeededError(told, "acquisition", choices)
    if wanted in names:
        return plate.of(wanted)
    number = _number(called, wanted)
    if number is None:
        there = f"choose one of {', '.join(choices)}" if names else "it tells of none"
        raise ValueError(f"{path}: it has no acquisition {wanted}; {there}")
    return plate.of(numbers[number - 1])


def _find_channel(path: Path, images: Sequence[PlateImage], wanted: str) -> Channel | None:
    """Find the channel that is wanted of all images; None if each has one alone."""
    count = _count_channels(images[0])
    names = _names_of(images[0], count) or [""] * count
    unique = [names.count(name) == 1 and name for name in names]
    numbers = [str(number) for number in range(1, count + 1)]
    if any(one in numbers and one != number for one, number in zip(names, numbers, strict=True)):
        called, choices = f", called {', '.join(names)} and here counted from 1", numbers
    else:
        called, choices = "", [one or number for one, number in zip(unique, numbers, strict=True)]
    if len(images[0].channels) not in (0, count):
        called = f", and its metadata name {len(images[0].channels)}"
    if not wanted and count > 1:
        told = f"{path}: its images have {count} channels{called}; say which shows the nuclei"
        raise ChoiceNeededError(told, "channel", choices)
    if wanted in ("", MEAN, *numbers):
        return Channel(wanted) if count > 1 else None
    found = {_number(_names_of(one, count), wanted): one for one in reversed(images)}
    if None in found:
        lacking, why = found[None], ""
        if lacking.channels and not _names_of(lacking, count):
            named, there = len(lacking.channels), _count_channels(lacking)
            why = f" by name, as it has {there} and its metadata name {named}"
        raise ValueError(
            f"{lacking.path}: it has no channel {wanted}{why}; choose one of "
            f"{', '.join(choices)}, or {MEAN}"
        )
    if len(found) > 1:
        one, other, *_ = found.values()
        raise ValueError(
            f"{one.path} and {other.path}: channel {wanted} is another one in each; choose it by "
            "its number"
        )
    return Channel(str(next(iter(found)))) if count > 1 else None


def _count_channels(image: PlateImage) -> int:
    """Count the channels that an image has, whatever is told of them."""
    found = open_zarr(image.path)
    return found.shape[found.axes.index("C")] if "C" in found.axes else 1


def _names_of(image: PlateImage, count: int) -> Sequence[str]:
    """Return the names of an image's channels; none if more or fewer are named than it has.

    An image is opened to count them only where they are not as many as images usually have.
    """
    is_usual = len(image.channels) in (0, count)
    return image.channels if is_usual or len(image.channels) == _count_channels(image) else ()


def _number(names: Sequence[str], wanted: str) -> int | None:
    """Return the number of a name, from 1; capitals count only where names differ by them."""
    if names.count(wanted) == 1:
        return names.index(wanted) + 1
    lower = [name.lower() for name in names]
    return lower.index(wanted.lower()) + 1 if lower.count(wanted.lower()) == 1 else None


def _find_truth(path: Path, images: Sequence[PlateImage], wanted: str) -> str:
    """Name the labels that are the ground truth; empty if there are none."""
    names = {name for one in images for name in one.labels}
    if wanted and wanted not in names:
        there = f"there are {', '.join(sorted(names))}" if names else "there are none"
        raise ValueError(f"{path}: no image has labels {wanted}; {there}")
    others = sorted({name for one in images for name, is_made in one.labels.items() if not is_made})
    if not wanted and len(others) > 1:
        told = f"{path}: its images have several labels; say which are the ground truth"
        raise ChoiceNeededError(told, "truth_labels", others)
    return wanted or (others[0] if others else "")

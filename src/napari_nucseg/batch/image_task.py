"""What is done with each image that need not belong to a dataset, on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels
from napari_nucseg.batch.field_task import (
    MODEL_TURN,
    check_versions,
    check_weights,
    describe_failure,
)
from napari_nucseg.batch.image_measures import (
    count_nuclei,
    measure_image,
    measure_labels,
    read_channels,
    refuse_foreign,
    table_of,
    write_nuclei,
)
from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.channels import Channel, ChannelNeededError
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import Image, read_image
from napari_nucseg.io.large_images import OpenImage
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import checksum, write_labels
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters.api import Segmentation, Segmenter, VolumeSegmentation, check_image
from napari_nucseg.segmenters.parameters import Depth, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume

Found = Segmentation | VolumeSegmentation
_NO_DEPTH = {"T": "times", "C": "channels"}
"""What axes hold whose planes are no neighbours in depth."""


@dataclass(frozen=True)
class Choice:
    """What of a file is segmented, and how.

    Attributes
    ----------
    channel : Channel or None
        Channel of a colour image that is segmented.
    depth : Depth or None
        How the planes of a stack belong together; None if there are no stacks.
    volume : VolumeParams
        Parameters for stacks.
    takes_spacing : bool
        Whether a stack that states the distance of its planes has the anisotropy that follows,
        as in the panel, not that of `volume`.
    """

    channel: Channel | None = None
    depth: Depth | None = None
    volume: VolumeParams = field(default_factory=VolumeParams)
    takes_spacing: bool = False

    def volume_of(self, told: Calibration) -> VolumeParams:
        """Say how the planes of an image belong together, whose file states these sizes."""
        if not self.takes_spacing or told.z_spacing is None or told.pixel_size is None:
            return self.volume
        spec = specs_of(VolumeParams)["anisotropy"]
        measured = round(told.z_spacing / told.pixel_size, 1)
        return replace(self.volume, anisotropy=min(max(measured, spec.low), spec.high))


@dataclass(frozen=True)
class Saved:
    """Labels in a file.

    Attributes
    ----------
    name : str
        Name of the image's file.
    count : int
        Nuclei.
    path : Path
        The file.
    channel : str
        Channel that was segmented; empty for a grey image.
    estimate : float or None
        Diameter of nuclei, in pixels, that was found in the image and used.
    suspect : tuple of str
        Signs that the model does not suit the image.
    is_old : bool
        Whether they existed already.
    read_as : tuple of str
        What the user should know of how the image was read, or of labels that were there.
    """

    name: str
    count: int
    path: Path
    channel: str
    estimate: float | None = None
    suspect: tuple[str, ...] = ()
    is_old: bool = False
    read_as: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, made: Mapping[str, Any], *, is_old: bool = False) -> Saved:
        """Tell of labels in a file what is written there of how they were made."""
        estimate = made.get("diameter") if made.get("is_estimated") else None
        return cls(
            made["image"],
            made["nuclei"],
            path,
            made.get("channel") or "",
            estimate,
            tuple(made.get("suspect", ())),
            is_old,
            tuple(made.get("read_as", ())),
        )


@dataclass(frozen=True)
class Failed:
    """An image, by the name of its file, that cannot be segmented, and why."""

    name: str
    error: str


@dataclass(frozen=True)
class ImageTask:
    """A function of an image that can be sent to other processes.

    Attributes
    ----------
    setup : Setup
        How it is segmented.
    out : Path
        Folder of the labels; all machines have to see it under the same name.
    choice : Choice
        What of it is segmented.
    overwrite : bool
        Whether to replace a file that is not exactly what this has written.
    measures : bool
        Whether a table of its nuclei is written beside the labels.
    progress : Progress
        Called with (parts done, parts in all) of the image at work: its planes or tiles.
    in_run : bool
        Whether it is a field of a run over a dataset, which takes no stacks and replaces nothing.
    """

    setup: Setup
    out: Path
    choice: Choice
    overwrite: bool = False
    measures: bool = False
    progress: Progress = ignore
    in_run: bool = False

    def __call__(self, source: Source) -> Saved | Failed:
        """Segment an image, and write its labels; what fails with it is told by its name."""
        with MODEL_TURN:
            segmenter = self.setup.load()
            try:
                check_versions(self.setup)
                image, result = self._segment(source, segmenter)
                check_weights(self.setup, result.provenance)
            except Exception as error:  # noqa: BLE001 - it is told, and the other images go on
                return self.blame(source, describe_failure(error))
        try:
            if self.measures:  # before the labels, which tell that all of it is there
                channels = read_channels(source, self.choice.channel)
                self._write(source, measure_image(image, result, self.choice.depth, channels))
            return _save(source, image, result, self)
        except (OSError, ValueError) as error:
            return self.blame(source, describe_failure(error))

    def measure_kept(self, source: Source, labels: Labels) -> None:
        """Measure labels that were edited since they were made; their doubt is not known."""
        image = _read(source, self.choice)
        channels = read_channels(source, self.choice.channel)
        self._write(source, measure_labels(image, labels, self.choice.depth, channels))

    def _write(self, source: Source, nuclei: Nuclei) -> None:
        table = table_of(labels_file(source, self.out))
        refuse_foreign(table, self.overwrite)
        write_nuclei(table, Field(source.stem, source), nuclei, source.name)

    def _segment(self, source: Source, segmenter: Segmenter) -> tuple[Image, Found]:
        params, depth = self.setup.params, self.choice.depth
        if self.in_run:
            image = Field(source.stem, source, channel=self.choice.channel).read_plane()
        else:
            image = _read(source, self.choice)
        if depth is not None and image.data.ndim == 3:
            image = _take_for_depth(source, image, depth)
            volume = self.choice.volume_of(Calibration(image.pixel_size, image.z_spacing))
            found = segment_volume(segmenter, image.data, params, depth, volume, self.progress)
            return image, found
        if image.data.ndim != 2:
            raise ValueError(f"{source}: {_explain_stack(image)}")
        check_image(image.data, str(source))
        return image, segmenter(image.data, params, self.progress)

    def blame(self, source: Source, reason: str) -> Failed:
        """Tell of an image that cannot be segmented, by its name."""
        named = reason if str(source) in reason else f"{source}: {reason}"
        return Failed(source.name, named)

    def blame_foreign(self, source: Source, path: Path) -> Failed:
        """Tell of an image whose labels would replace what this has not written."""
        hint = "another --out, or replace it by --overwrite"
        if self.in_run:
            hint = "another folder of results, or move the file away"
        kept = f"{path} already exists, and is not what this command has written; it is kept"
        return self.blame(source, f"{kept}. Choose {hint}")


def labels_file(source: Source, out: Path) -> Path:
    """Name the file of an image's labels, or the folder for one of OME-Zarr that is no field."""
    if isinstance(source, OpenImage):
        return out / source.labels
    if is_zarr(source.path) and not source.title:
        return out / f"{source.stem.removesuffix('.ome')}.ome.zarr"
    return out / f"{source.stem}.tif"


def _read(source: Source, choice: Choice) -> Image:
    """Read an image; where a channel has to be chosen, say by which option."""
    as_stack = choice.depth is not None and choice.channel is None
    try:
        return read_image(source, choice.channel, as_stack=as_stack)
    except ChannelNeededError as error:
        hint = f"; try --channel {error.proposal}" if error.proposal else ""
        if not as_stack and _may_be_stack(source):
            hint += "; if its planes are a stack, say how to take it by --volume"
        raise ValueError(f"{error}, or choose it by --channel {error.choices}{hint}") from error


def _may_be_stack(source: Source) -> bool:
    """Whether what a file calls colours are planes of their own."""
    try:
        return read_image(source, as_stack=True).data.ndim == 3
    except ChannelNeededError:
        return False


def _save(source: Source, image: Image, result: Found, work: ImageTask) -> Saved:
    path = labels_file(source, work.out)
    made = {
        **result.provenance.as_dict(),
        "image": source.name,
        "image_sha256": source.sha256(),
        "channel": image.channel,
        "read_as": list(image.notes),
        "choice": asdict(work.choice),
        "is_measured": work.measures,  # else a table beside them is one of earlier labels
        "nuclei": count_nuclei(result.labels, result.provenance.depth),
        "labels_sha256": checksum(result.labels),
    }
    sizes = Calibration(image.pixel_size, image.z_spacing)
    write_labels(path, result.labels, made, sizes, image.stack)
    return Saved.of(path, made)


def _take_for_depth(source: Source, image: Image, depth: Depth) -> Image:
    """Refuse planes of which it is not known which are neighbours, and tell of other doubts."""
    if len(image.stack) > 1:
        raise ValueError(f"{source}: {_explain_stack(image)}")
    if depth is Depth.PLANES:
        return image
    return replace(image, notes=(*image.notes, *note_of_planes(image.stack)))


def _explain_stack(image: Image) -> str:
    """Say what has to be known to segment an image of several planes."""
    if "C" in image.stack:
        told = "its file says that it holds channels; choose that of the nuclei by --channel"
        if image.stack == "C":
            return f"{told}, or if they are planes, say how to take them by --volume"
        return f"{told}, and say how to take the other planes by --volume"
    if len(image.stack) > 1:
        return f"several axes, {image.stack} before height and width; save each volume by itself"
    return (
        f"a stack of {len(image.data)} planes; say how to take it: as planes, stitched or 3d "
        "(--volume), or as channels (--channel)"
    )


def note_of_planes(stack: str) -> tuple[str, ...]:
    """Tell of planes that are taken for neighbours in depth, where a file calls them otherwise."""
    held = _NO_DEPTH.get(stack)
    told = f"its file says that its planes are {held}; they were taken for neighbours in depth"
    return () if held is None else (told,)

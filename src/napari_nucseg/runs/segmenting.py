"""Images that need not belong to a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from napari_nucseg.core.channels import Channel
from napari_nucseg.core.images import PNG_SUFFIXES, TIFF_SUFFIXES, Image, read_image
from napari_nucseg.core.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.core.segmenting import Segmentation, Segmenter, VolumeSegmentation, check_image
from napari_nucseg.core.sources import Source, list_folder
from napari_nucseg.runs.saving import write_labels
from napari_nucseg.segmenters.volumes import segment_volume


def find_images(inputs: Sequence[Path]) -> tuple[Source, ...]:
    """List images: the files given, and those directly in the folders given.

    Raises
    ------
    ValueError
        If a folder holds none, or two would give a result of the same name.
    FileNotFoundError
        If an input is not there.
    """
    sources: list[Source] = []
    for path in inputs:
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        found = list_folder(path, TIFF_SUFFIXES + PNG_SUFFIXES) if path.is_dir() else [Source(path)]
        if not found:
            raise ValueError(f"{path}: no TIFF or PNG image here")
        sources += found
    stems: dict[str, Source] = {}
    for source in sources:
        if source.stem in stems:
            raise ValueError(
                f"{source} and {stems[source.stem]}: both would be saved as {source.stem}.tif; "
                "segment them into two folders"
            )
        stems[source.stem] = source
    return tuple(sources)


def refuse_overwriting(sources: Sequence[Source], out: Path) -> None:
    """Refuse a folder of results in which labels would replace an image.

    Raises
    ------
    ValueError
        Naming the first image.
    """
    targets = {(out / f"{source.stem}.tif").resolve() for source in sources}
    for source in sources:
        if source.path.resolve() in targets:
            raise ValueError(f"{source}: labels would replace this image; choose another --out")


@dataclass(frozen=True)
class Choice:
    """What of a file is segmented, and how.

    Attributes
    ----------
    channel : Channel or None
        Of a colour image.
    depth : Depth or None
        How the planes of a stack belong together; None if there are no stacks.
    volume : VolumeParams
        For stacks.
    """

    channel: Channel | None = None
    depth: Depth | None = None
    volume: VolumeParams = field(default_factory=VolumeParams)


@dataclass(frozen=True)
class Saved:
    """Labels in a file: how many nuclei, where, and of which channel; empty for a grey image."""

    count: int
    path: Path
    channel: str


def segment_image(
    source: Source,
    segmenter: Segmenter,
    params: SegmentParams,
    out: Path,
    choice: Choice = Choice(),
) -> Saved:
    """Segment an image or a stack, and write ``<stem>.tif``.

    Raises
    ------
    ValueError
        If the file cannot be read, or is a stack and it was not said how to take it; the message
        names it.
    """
    image = read_image(source, choice.channel)
    result: Segmentation | VolumeSegmentation
    if choice.depth is not None and image.data.ndim == 3:
        _check_stack(source, image)
        with _named(source):
            result = segment_volume(
                segmenter, image.data, params, choice.depth, choice.volume, _ignore
            )
    else:
        if image.data.ndim != 2:
            raise ValueError(
                f"{source}: a stack of {len(image.data)} planes; say how to take it: as planes, "
                "stitched or 3d (segment --volume), or as channels (segment --channel)"
            )
        check_image(image.data, str(source))
        result = segmenter(image.data, params, _ignore)
    path = out / f"{source.stem}.tif"
    made = {**result.provenance.as_dict(), "image": source.name, "channel": image.channel}
    write_labels(path, result.labels, made)
    return Saved(int(result.labels.max(initial=0)), path, image.channel)


def _check_stack(source: Source, image: Image) -> None:
    """Refuse planes of which it is not known which are neighbours."""
    if len(image.stack) > 1:
        raise ValueError(
            f"{source}: a stack of several axes, {image.stack} before height and width; save each "
            "volume by itself"
        )


@contextmanager
def _named(source: Source) -> Iterator[None]:
    """Put the name of the file before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _ignore(done: int, total: int) -> None:
    """Take no notice of progress within an image."""

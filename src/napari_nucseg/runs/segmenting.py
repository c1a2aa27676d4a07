"""Images that need not belong to a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from napari_nucseg.core.channels import Channel
from napari_nucseg.core.images import PNG_SUFFIXES, TIFF_SUFFIXES, Image, read_image
from napari_nucseg.core.parameters import Depth, VolumeParams
from napari_nucseg.core.segmenting import Segmentation, VolumeSegmentation, check_image
from napari_nucseg.core.sources import Source, list_folder
from napari_nucseg.runs.plan import Setup, versions
from napari_nucseg.runs.saving import read_provenance, write_labels
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
    targets = {labels_file(source, out).resolve() for source in sources}
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
    """Labels in a file.

    Attributes
    ----------
    count : int
        Nuclei.
    path : Path
        The file.
    channel : str
        Which was segmented; empty for a grey image.
    is_old : bool
        Whether they were there already.
    """

    count: int
    path: Path
    channel: str
    is_old: bool = False


def describe(saved: Saved) -> str:
    """Tell in a line what was found, and where it is."""
    of = f" in {saved.channel}" if saved.channel else ""
    return f"{saved.count} nuclei{of}, {saved.path}{' (there already)' if saved.is_old else ''}"


def segment_images(
    sources: Sequence[Source], setup: Setup, out: Path, choice: Choice = Choice()
) -> Iterator[Saved | Exception]:
    """Segment images one after the other, but for those whose labels are there already.

    Yields
    ------
    Saved or Exception
        What became of each image; an image that cannot be segmented does not stop the others.

    Raises
    ------
    OSError
        If labels cannot be written.
    """
    for source in sources:
        saved = find_saved(source, setup, out, choice)
        if saved is not None:
            yield saved
            continue
        try:
            image, result = _segment(source, setup, choice)
        except (ValueError, OSError) as error:
            yield error
            continue
        yield _save(source, image, result, out, choice)


def find_saved(source: Source, setup: Setup, out: Path, choice: Choice = Choice()) -> Saved | None:
    """Find labels of an image that would come out the same again."""
    path = labels_file(source, out)
    try:
        made = read_provenance(path)
    except (ValueError, FileNotFoundError):
        return None
    now = versions()
    is_same = (
        made.get("model") == setup.model
        and made.get("weights_sha256") in ("", *setup.weights.values())
        and made.get("parameters") == asdict(setup.params)
        and made.get("choice") == asdict(choice)
        and all(now.get(name) == number for name, number in made.get("versions", {}).items())
        and made.get("image_sha256") == source.sha256()
    )
    return Saved(made["nuclei"], path, made["channel"], is_old=True) if is_same else None


def labels_file(source: Source, out: Path) -> Path:
    """Name the file of an image's labels."""
    return out / f"{source.stem}.tif"


def _segment(
    source: Source, setup: Setup, choice: Choice
) -> tuple[Image, Segmentation | VolumeSegmentation]:
    image, segmenter = read_image(source, choice.channel), setup.load()
    if choice.depth is not None and image.data.ndim == 3:
        _check_stack(source, image)
        with _named(source):
            return image, segment_volume(
                segmenter, image.data, setup.params, choice.depth, choice.volume, _ignore
            )
    if image.data.ndim != 2:
        raise ValueError(
            f"{source}: a stack of {len(image.data)} planes; say how to take it: as planes, "
            "stitched or 3d (segment --volume), or as channels (segment --channel)"
        )
    check_image(image.data, str(source))
    return image, segmenter(image.data, setup.params, _ignore)


def _save(
    source: Source,
    image: Image,
    result: Segmentation | VolumeSegmentation,
    out: Path,
    choice: Choice,
) -> Saved:
    path, count = labels_file(source, out), int(result.labels.max(initial=0))
    made = {
        **result.provenance.as_dict(),
        "image": source.name,
        "image_sha256": source.sha256(),
        "channel": image.channel,
        "choice": asdict(choice),
        "nuclei": count,
    }
    write_labels(path, result.labels, made)
    return Saved(count, path, image.channel)


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

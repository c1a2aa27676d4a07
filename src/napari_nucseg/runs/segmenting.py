"""Images that need not belong to a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_nucseg.core.images import PNG_SUFFIXES, TIFF_SUFFIXES, read_image
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Segmenter, check_image
from napari_nucseg.core.sources import Source, list_folder
from napari_nucseg.runs.saving import write_labels


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


def segment_image(
    source: Source, segmenter: Segmenter, params: SegmentParams, out: Path
) -> tuple[int, Path]:
    """Segment an image and write ``<stem>.tif``.

    Returns
    -------
    count : int
        Nuclei found.
    path : Path
        The label TIFF.

    Raises
    ------
    ValueError
        If the image is a stack or cannot be read; the message names it.
    """
    image = read_image(source).data
    if image.ndim != 2:
        raise ValueError(f"{source}: a stack of {len(image)} planes; save its planes one by one")
    check_image(image, str(source))
    result = segmenter(image, params, lambda done, total: None)
    path = out / f"{source.stem}.tif"
    write_labels(path, result.labels, {**result.provenance.as_dict(), "image": source.name})
    return int(result.labels.max(initial=0)), path

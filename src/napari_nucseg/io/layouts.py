"""Which files of a dataset's folder are images, and which are their ground truth.

Known are two layouts. Images lie in ``images/`` and ground truth with the same stems in ``masks/``
or ``labels/``, each folder unpacked, within one of its own name, or a zip archive, as BBBC039 is
published. Or all lies in one folder: ``a.tif`` with ``a_masks.tif`` or ``a_masks.png``, as Cellpose
has it, or the images of BBBC039 with their masks, ``a.tif`` with ``a.png``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_nucseg.io.fields import Field
from napari_nucseg.io.pictures import PNG_SUFFIXES, TIFF_SUFFIXES
from napari_nucseg.io.sources import Source, list_archive, list_folder

IMAGES, LISTS = "images", "metadata"
TRUTHS = ("masks", "labels")
PARTS = (IMAGES, *TRUTHS, LISTS)
"""Names of the folders, or archives, that a dataset has."""
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PNG_SUFFIXES)
CELLPOSE_TRUTH = "_masks"
"""What Cellpose puts behind an image's stem for its ground truth."""
_CELLPOSE_OUTPUT = ("_cp_masks", "_cp_output", "_flows", "_cellprob")
"""What Cellpose puts behind it for what it has made of the image itself."""


@dataclass(frozen=True)
class Files:
    """Images and ground truth of a dataset, both by the stem of their field.

    Attributes
    ----------
    images, truths : mapping of str to Source
        A field need not have both.
    """

    images: Mapping[str, Source]
    truths: Mapping[str, Source]

    @property
    def stems(self) -> frozenset[str]:
        """Stems of all fields that something is known of."""
        return frozenset({*self.images, *self.truths})


def root_of(folder: Path) -> Path:
    """Return the dataset's folder, given it or one of its subfolders."""
    folder = Path(os.path.abspath(folder))  # a link's own neighbours count, not its target's
    root = folder
    while root.name in PARTS:
        root = root.parent
    # The results of a run have a folder labels/, too, but no images
    return folder if folder.name == "labels" and not _has_images(root) else root


def part_folder(root: Path, part: str) -> Path:
    """Return one of the folders of a dataset, which may lie within one of the same name."""
    nested = root / part / part
    return nested if nested.is_dir() else root / part


def list_part(root: Path, part: str, suffixes: tuple[str, ...]) -> list[Source]:
    """List the files of one of the folders of a dataset, unpacked or in its archive."""
    folder, archive = part_folder(root, part), root / f"{part}.zip"
    unpacked = list_folder(folder, suffixes) if folder.is_dir() else []
    if not unpacked and archive.is_file():
        return list_archive(archive, suffixes)
    return unpacked


def find_files(root: Path) -> Files:
    """Find the images and the ground truth of a dataset, without opening any.

    Parameters
    ----------
    root : Path
        The dataset's folder.

    Raises
    ------
    ValueError
        If a field has two images or two ground truths; the message names both.
    OSError
        If a folder or archive cannot be read.
    """
    images = list_part(root, IMAGES, IMAGE_SUFFIXES)
    truths = _list_truths(root)
    if not truths:
        return _of_one_folder(images or list_folder(root, IMAGE_SUFFIXES))
    return Files(_by_stem(images, "images"), _by_stem(truths, "ground truths"))


def find_truth(image: Path) -> Source | None:
    """Find the ground truth of an image where it lies.

    Parameters
    ----------
    image : Path
        The file. A PNG beside it is taken for its mask only if BBBC039 has named it.

    Raises
    ------
    ValueError
        If there are two; the message names both.
    """
    stem = image.stem
    found = [source for source in _list_truths(root_of(image.parent)) if source.stem == stem]
    if not found:
        named = [image.with_name(stem + CELLPOSE_TRUTH + suffix) for suffix in IMAGE_SUFFIXES]
        found = [Source(path) for path in named if path.is_file()]
    beside = image.with_suffix(".png")
    if not found and Field(stem).well is not None and beside.is_file():
        found = [Source(beside)]
    of_others = [source for source in found if source != Source(image)]
    return _by_field(dict.fromkeys(of_others, stem), "ground truths").get(stem)


def stem_of_truth(stem: str) -> str:
    """Return the stem of the image that a ground truth is of, by the ground truth's own stem."""
    return stem.removesuffix(CELLPOSE_TRUTH)


def is_truth(path: Path) -> bool:
    """Whether a TIFF or PNG is ground truth and no image, by its name and where it lies."""
    if path.stem.endswith(CELLPOSE_TRUTH) or path.parent.name == "masks":
        return True
    if path.parent.name == "labels" and _has_images(root_of(path.parent)):
        return True
    is_image = path.suffix.lower() in TIFF_SUFFIXES or path.parent.name == IMAGES
    return not is_image and find_truth(path) is None


def holds_dataset(folder: Path) -> bool:
    """Whether a folder looks like a dataset, or like a part of one, by names alone."""
    root = root_of(folder)
    if any((root / part).is_dir() for part in PARTS if part != "labels"):
        return True
    if (folder / f"{IMAGES}.zip").is_file():
        return True
    stems = {path.stem for path in folder.iterdir()}
    masked = {stem_of_truth(stem) for stem in stems if stem.endswith(CELLPOSE_TRUTH)}
    return not stems or any(Field(stem).well for stem in stems) or not stems.isdisjoint(masked)


def _has_images(root: Path) -> bool:
    return (root / IMAGES).is_dir() or (root / f"{IMAGES}.zip").is_file()


def _list_truths(root: Path) -> list[Source]:
    return [source for part in TRUTHS for source in list_part(root, part, IMAGE_SUFFIXES)]


def _of_one_folder(sources: Iterable[Source]) -> Files:
    """Tell images from ground truth that lies among them."""
    there = [source for source in sources if not source.stem.endswith(_CELLPOSE_OUTPUT)]
    stems = {source.stem for source in there}
    truths = [s for s in there if s.stem.endswith(CELLPOSE_TRUTH)]
    if stems.isdisjoint(stem_of_truth(source.stem) for source in truths):
        return _of_two_endings(there)
    images = [source for source in there if source not in truths]
    of_fields = {source: stem_of_truth(source.stem) for source in truths}
    return Files(_by_stem(images, "images"), _by_field(of_fields, "ground truths"))


def _of_two_endings(sources: list[Source]) -> Files:
    """Take PNG files for ground truth beside TIFF images, or if BBBC039 has named them."""
    tiffs = [source for source in sources if source.suffix in TIFF_SUFFIXES]
    pngs = [source for source in sources if source.suffix in PNG_SUFFIXES]
    if not tiffs and not any(Field(source.stem).well for source in pngs):
        return Files(_by_stem(pngs, "images"), {})
    return Files(_by_stem(tiffs, "images"), _by_stem(pngs, "ground truths"))


def _by_stem(sources: Iterable[Source], kind: str) -> dict[str, Source]:
    return _by_field({source: source.stem for source in sources}, kind)


def _by_field(stems: Mapping[Source, str], kind: str) -> dict[str, Source]:
    """Turn files and their fields' stems about, and refuse two files of one field."""
    found: dict[str, Source] = {}
    for source, stem in stems.items():
        other = found.setdefault(stem, source)
        if other != source:
            raise ValueError(
                f"{other} and {source}: two {kind} of one field, {stem}; move one of them away"
            )
    return found

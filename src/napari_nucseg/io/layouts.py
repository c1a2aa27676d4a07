"""Which files of a dataset's folder are images, and which are their ground truth.

Images lie in ``images/`` and ground truth with the same stems in ``masks/`` or ``labels/``, each
folder unpacked, within one of its own name, or a zip archive, as BBBC039 is published. Or all lies
in one folder: ``a.tif`` with ``a_masks.tif``, ``a_cp_masks.png``, ``a_label.tif`` or ``a_seg.npy``,
as Cellpose and others have it, or the images of BBBC039 with their masks, ``a.tif`` with ``a.png``.
Or two folders hold images and ground truth, whatever the folders are called. Or each field has a
folder of its name, with its image in ``images/`` and a mask a nucleus in ``masks/``, as the Data
Science Bowl 2018 was published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nucseg.io.fields import Field
from napari_nucseg.io.label_rules import NPY_SUFFIXES, SEG, is_seg
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.pictures import JPEG_SUFFIXES, PNG_SUFFIXES, TIFF_SUFFIXES
from napari_nucseg.io.sources import (
    IMAGES,
    TRUTHS,
    ZARR_SUFFIX,
    Source,
    describe_folder,
    has_images,
    list_folder,
    list_part,
    part_archive,
    part_folder,
    root_of,
)

IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PNG_SUFFIXES)
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *JPEG_SUFFIXES, ZARR_SUFFIX)
"""Endings of images of a dataset; labels in JPEG would have other numbers."""
TRUTH_SUFFIXES = (*IMAGE_SUFFIXES, *NPY_SUFFIXES, ZARR_SUFFIX)
ALL_SUFFIXES = (*PICTURE_SUFFIXES, *NPY_SUFFIXES)
_CELLPOSE_TRUTH = "_masks"
_CELLPOSE_OWN = "_cp_masks"
"""What Cellpose calls its own labels of an image, which count where there are no others."""
_TRUTH_ENDINGS = (_CELLPOSE_OWN, _CELLPOSE_TRUTH, "_mask", "_labels", "_label", SEG)
"""What programs put behind an image's stem for its labels; none is an ending of one before it."""
_CELLPOSE_OUTPUT = ("_cp_output", "_flows", "_cellprob")
"""What Cellpose puts behind it for what else it has made of the image itself."""


@dataclass(frozen=True)
class Files:
    """Images and ground truth of a dataset, both by the stem of their field.

    Attributes
    ----------
    images, truths : dict of str to Source
        A field need not have both.
    """

    images: dict[str, Source]
    truths: dict[str, Source]

    @property
    def stems(self) -> frozenset[str]:
        """Stems of all fields that something is known of."""
        return frozenset({*self.images, *self.truths})


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
    """
    images = list_part(root, IMAGES, PICTURE_SUFFIXES)
    by_folder = None if images else _find_by_folder(root)
    if by_folder is not None and by_folder.images:
        return by_folder
    truths = _list_truths(root)
    if not truths:
        return find_files_of_one(images or list_folder(root, ALL_SUFFIXES))
    return pair_up(images, truths)


def _find_by_folder(root: Path) -> Files:
    """Find the fields that each have a folder with one image and its masks, or neither.

    Folders of several images are datasets of their own.
    """
    files = Files({}, {})
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        images, masks = part_folder(folder, IMAGES), part_folder(folder, "masks")
        found = list_folder(images, PICTURE_SUFFIXES) if images.is_dir() else []
        if len(found) == 1:
            files.images[folder.name] = found[0]
            if masks.is_dir():
                files.truths[folder.name] = _labels_or_masks(masks, found[0])
    return files


def _labels_or_masks(folder: Path, image: Source) -> Source:
    """Return the one label image of a folder if it is named like an image, else its masks."""
    there = list_folder(folder, IMAGE_SUFFIXES)
    is_named = len(there) == 1 and stem_of_truth(there[0].stem) == image.stem
    return there[0] if is_named else Source(folder)


def pair_up(images: Iterable[Source], truths: Iterable[Source]) -> Files:
    """Pair images with ground truth of the same stem, or of one that tells what it is.

    Raises
    ------
    ValueError
        If a field has two images or two ground truths; the message names both.
    """
    by_stem = _by_stem(images, "images")
    stems = {s: s.stem if s.stem in by_stem else stem_of_truth(s.stem) for s in truths}
    return Files(by_stem, _by_field(stems, "ground truths"))


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
    stem = Source(image).stem
    found = [source for source in _list_truths(root_of(image.parent)) if source.stem == stem]
    if not found:
        found = _without_own(_beside(image))
    beside = image.with_suffix(".png")
    if not found and Field(stem).well is not None and beside.is_file():
        found = [Source(beside)]
    of_others = [source for source in found if source != Source(image)]
    return _by_field(dict.fromkeys(of_others, stem), "ground truths").get(stem)


def stem_of_truth(stem: str) -> str:
    """Return the stem of the image that a ground truth is of, by the ground truth's own stem.

    Examples
    --------
    >>> stem_of_truth("a_cp_masks"), stem_of_truth("a")
    ('a', 'a')
    """
    ending = next((one for one in _TRUTH_ENDINGS if stem.endswith(one)), "")
    return stem.removesuffix(ending)


def is_truth(path: Path) -> bool:
    """Whether a TIFF or PNG is ground truth and no image, by its name and where it lies."""
    where = path.parent.name.lower()
    if path.stem.endswith(_CELLPOSE_TRUTH) or where == "masks":
        return True
    if where == "labels" and has_images(root_of(path.parent)):
        return True
    image = stem_of_truth(path.stem)
    if image != path.stem and any(
        path.with_name(image + suffix).is_file() for suffix in PICTURE_SUFFIXES
    ):
        return True
    is_image = path.suffix.lower() in TIFF_SUFFIXES or where == IMAGES
    return not is_image and find_truth(path) is None


def explain_no_truth(root: Path) -> str:
    """Say why no ground truth was found in a dataset's folder, and what to do."""
    for part in TRUTHS:
        folder, archive = part_folder(root, part), part_archive(root, part)
        name = f"{part}/" if folder.is_dir() else archive.name
        if list_part(root, part, IMAGE_SUFFIXES):
            return f"no file of {name} is named like an image; name each like its image"
        if folder.is_dir():
            return f"{name}: {describe_folder(folder)}"
        if archive.is_file():
            return f"{name} holds no TIFF or PNG files"
    return (
        "add masks/ or labels/, or put labels beside the images, such as a_masks.tif beside a.tif"
    )


def explain_no_images(root: Path) -> str:
    """Say why no image was found in a dataset's folder, and what to do."""
    folder = part_folder(root, IMAGES)
    if folder.is_dir():
        return f"no images here; {IMAGES}/: {describe_folder(folder)}"
    if has_images(root):
        return f"no images here; {part_archive(root, IMAGES).name} holds none"
    if _list_truths(root):
        return f"no image; add the folder {IMAGES}/"
    return (
        "no images here; open the folder that holds images/ and masks/ or labels/, images.zip, or "
        "a.tif with a_masks.tif"
    )


def holds_dataset(folder: Path) -> bool:
    """Whether a folder is a dataset, or a part of one, by names alone; False for plain images."""
    root = root_of(folder)
    if part_archive(root, IMAGES).is_file():
        return True
    parts = (part_folder(root, part) for part in (IMAGES, "masks"))
    if any(part.is_dir() and list_folder(part, PICTURE_SUFFIXES) for part in parts):
        return True
    files = _find_by_folder(root)
    folders = [one for one in root.iterdir() if one.is_dir()] if files.images else []
    if files.truths or 1 < len(files.images) == len(folders):  # else it is any folder in images/
        return True
    here = list_folder(folder, ALL_SUFFIXES)
    truths = {stem_of_truth(source.stem) for source in here if _is_named_truth(source)}
    return any(Field(source.stem).well or source.stem in truths for source in here)


def _list_truths(root: Path) -> list[Source]:
    found = [source for part in TRUTHS for source in list_part(root, part, TRUTH_SUFFIXES)]
    return [source for source in found if is_truth_kind(source)]


def is_truth_kind(source: Source) -> bool:
    """Whether labels of this kind are read: of NumPy's files only those of Cellpose's window."""
    return source.suffix not in NPY_SUFFIXES or is_seg(source)


def _is_named_truth(source: Source) -> bool:
    """Whether a file is ground truth by its name."""
    if source.suffix in JPEG_SUFFIXES or not source.stem.endswith(_TRUTH_ENDINGS):
        return False
    return is_seg(source) or not source.stem.endswith(SEG)


def _beside(image: Path) -> list[Source]:
    """List the files beside an image that are its ground truth by their names."""
    stem = image.stem.removesuffix(".ome") if is_zarr(image) else image.stem
    suffixes = (*TRUTH_SUFFIXES, f".ome{ZARR_SUFFIX}")
    names = (stem + ending + suffix for ending in _TRUTH_ENDINGS for suffix in suffixes)
    found = [Source(image.with_name(name)) for name in names]
    return [s for s in found if _is_named_truth(s) and s.path.exists()]


def _without_own(truths: Sequence[Source]) -> list[Source]:
    """Leave out Cellpose's own labels of images that have others."""
    own = {source for source in truths if source.stem.endswith(_CELLPOSE_OWN)}
    others = {stem_of_truth(source.stem) for source in truths if source not in own}
    return [s for s in truths if s not in own or stem_of_truth(s.stem) not in others]


def find_files_of_one(sources: Iterable[Source]) -> Files:
    """Tell images from ground truth that lies among them."""
    there = [
        source
        for source in sources
        if not source.stem.endswith(_CELLPOSE_OUTPUT)
        and (is_seg(source) or source.suffix not in NPY_SUFFIXES)
    ]
    stems = {source.stem for source in there}
    truths = [source for source in there if _is_named_truth(source)]
    if stems.isdisjoint(stem_of_truth(source.stem) for source in truths):
        return _of_two_endings([source for source in there if not is_seg(source)])
    images = [source for source in there if source not in truths]
    of_fields = {source: stem_of_truth(source.stem) for source in _without_own(truths)}
    return Files(_by_stem(images, "images"), _by_field(of_fields, "ground truths"))


def _of_two_endings(sources: list[Source]) -> Files:
    """Take PNG files for ground truth beside TIFF or JPEG images, or if BBBC039 has named them."""
    tiffs = [source for source in sources if source.suffix not in PNG_SUFFIXES]
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

"""The one list of formats that labels are written in and read from.

An entry here is a choice of ``napari-nucseg convert --to``, of the panel's *Save labels...* and,
with a line in ``napari.yaml``, of napari's *Save Selected Layers*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.bbbc039 import write_mask
from napari_nucseg.io.cellpose_seg import read_seg, write_seg
from napari_nucseg.io.coco import COCO_SUFFIXES, read_coco, write_coco
from napari_nucseg.io.geojson import GEOJSON_SUFFIXES, read_geojson, write_geojson
from napari_nucseg.io.imagej_rois import ROI_SUFFIXES, read_rois, write_rois
from napari_nucseg.io.label_rules import NPY_SUFFIXES, is_seg
from napari_nucseg.io.labelled import UINT16_LABELS, Labelled, Shape, refuse_beyond, refuse_shape
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import OME_SUFFIXES, write_labels
from napari_nucseg.io.zarr_labels import ZARR_SUFFIXES, read_zarr, write_zarr

FOREIGN_SUFFIXES = (*NPY_SUFFIXES, *ROI_SUFFIXES, *GEOJSON_SUFFIXES, *COCO_SUFFIXES)
"""Endings of files that may be of other programs; see `read_foreign`, which takes folders, too."""
_HEAD = 2**12
"""Bytes at the beginning of a JSON file by which GeoJSON is told from COCO's."""


@dataclass(frozen=True)
class LabelFormat:
    """A format that labels are written in.

    Attributes
    ----------
    name : str
        Name on the command line.
    title : str
        Name in menus: the program, and what it calls the file.
    endings : tuple of str
        What stands behind the stem of an image; the first is written, all are kept.
    write : callable
        Writes a file, replacing one that exists; raises ValueError where labels do not fit.
    in_stacks : bool
        Whether it holds stacks and volumes; else labels have one plane.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    write: Callable[[Path, Labelled], None]
    in_stacks: bool = True

    def file_of(self, folder: Path, stem: str) -> Path:
        """Name the file of an image's labels."""
        return folder / f"{stem}{self.endings[0]}"

    def has_ending(self, path: Path) -> bool:
        """Whether a file is named as this format's are."""
        return path.name.lower().endswith(self.endings)

    def save(self, path: Path, labelled: Labelled) -> None:
        """Write labels to a file, replacing one that exists.

        Raises
        ------
        ValueError
            If the format cannot hold them; the message says what to choose instead.
        """
        refuse_stack(self, path, labelled)
        self.write(path, labelled)


def refuse_stack(form: LabelFormat, path: Path, labelled: Labelled) -> None:
    """Refuse labels of several planes for a format that holds one.

    Raises
    ------
    ValueError
        Naming the formats that hold them.
    """
    if labelled.labels.ndim > 2 and not form.in_stacks:
        able = ", ".join(one.name for one in FORMATS if one.in_stacks)
        raise ValueError(
            f"{path}: {form.title} holds one plane, and these labels have "
            f"{len(labelled.labels)}; choose {able}"
        )


def _write_tiff(path: Path, labelled: Labelled) -> None:
    made = dict(labelled.made) or {"image": labelled.image}
    write_labels(path, labelled.labels, made, labelled.sizes, labelled.stack)


def _write_png(path: Path, labelled: Labelled) -> None:
    """Write numbers as grey of 16 bits."""
    refuse_beyond(path, labelled.labels, UINT16_LABELS)
    picture = Image.fromarray(labelled.labels.astype(np.uint16))
    write_whole(path, lambda file: picture.save(file, format="PNG"))


def _write_bbbc039(path: Path, labelled: Labelled) -> None:
    write_mask(path, labelled.labels)


def _write_one_of_coco(path: Path, labelled: Labelled) -> None:
    write_coco(path, [labelled])


TIFF = LabelFormat("tiff", "Label image (with how it was made)", (".tif", ".tiff"), _write_tiff)
MASK = LabelFormat("bbbc039", "BBBC039 mask", (".png",), _write_bbbc039, in_stacks=False)
COCO = LabelFormat("coco", "COCO instances", COCO_SUFFIXES, _write_one_of_coco, in_stacks=False)
CELLPOSE = LabelFormat("cellpose", "Cellpose _seg.npy", ("_seg.npy",), write_seg)
FORMATS = (
    TIFF,
    LabelFormat("ome-tiff", "OME-TIFF", OME_SUFFIXES, _write_tiff),
    LabelFormat("png", "Label PNG of 16 bits", (".png",), _write_png, in_stacks=False),
    MASK,
    CELLPOSE,
    LabelFormat("imagej", "ImageJ ROIs", (".zip",), write_rois),
    LabelFormat("qupath", "QuPath GeoJSON", GEOJSON_SUFFIXES, write_geojson),
    COCO,
    LabelFormat("ome-zarr", "OME-Zarr labels", ZARR_SUFFIXES, write_zarr),
)
"""All formats, in the order that they are offered in."""


def find_format(name: str) -> LabelFormat:
    """Look up a format by its name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    known = {one.name: one for one in FORMATS}
    if name not in known:
        raise ValueError(f"there is no format {name!r}; choose {', '.join(known)}")
    return known[name]


def format_of(path: Path, among: Sequence[LabelFormat] = FORMATS) -> LabelFormat | None:
    """Return the format that a file's name tells, the longest ending first; None if none does."""
    fitting = [one for one in among if one.has_ending(path)]
    return max(fitting, key=lambda one: _length(one, path), default=None)


def stem_of(path: Path) -> str:
    """Return a label file's name without the ending of its format.

    Examples
    --------
    >>> stem_of(Path("a_seg.npy")), stem_of(Path("b.ome.tif")), stem_of(Path("c.v2.geojson"))
    ('a', 'b', 'c.v2')
    """
    form = format_of(path)
    return path.stem if form is None else path.name[: -_length(form, path)]


def _length(form: LabelFormat, path: Path) -> int:
    name = path.name.lower()
    return max((len(one) for one in form.endings if name.endswith(one)), default=0)


def read_foreign(source: Source, shape: Shape | None = None) -> Labelled | None:
    """Read labels of another program; None for TIFFs, PNGs and folders of masks.

    Parameters
    ----------
    source : Source
        The file, which is told by its ending.
    shape : tuple of int, optional
        Shape of the image, for outlines that do not say it.

    Raises
    ------
    ValueError
        If it is damaged, or does not say how large its image is.
    """
    if is_seg(source):
        return refuse_shape(source, read_seg(source), shape)
    if is_zarr(source.path) or source.path.name.lower().endswith(ZARR_SUFFIXES):
        return refuse_shape(source, read_zarr(source), shape)
    if source.suffix in ROI_SUFFIXES and source.member is None:
        return read_rois(source, shape)
    if source.suffix in GEOJSON_SUFFIXES:
        return read_geojson(source, shape)
    if source.suffix in COCO_SUFFIXES:
        return read_geojson(source, shape) if is_geojson(source) else read_coco(source, shape)
    return None


def is_geojson(source: Source) -> bool:
    """Whether a JSON file holds GeoJSON, and not COCO's instances, by its beginning."""
    return b'"Feature' in source.read(_HEAD)


def find_areas(folder: Path, datasets: Sequence[Sequence[str]]) -> dict[str, Source]:
    """Find files of areas by the fields that they are named as.

    Parameters
    ----------
    folder : Path
        Folder of GeoJSON files or ImageJ's ROIs.
    datasets : sequence of sequence of str
        Names of the fields of each dataset, some of which have areas.

    Raises
    ------
    ValueError
        If a dataset has none, or a name is that of several files or several fields.
    """
    found: dict[str, Source] = {}
    for stems in datasets:
        own = {stem: path for stem in stems for path in _areas(folder, stem)}
        if not own:
            raise ValueError(
                f"{folder}: no file of areas is named as one of the fields is; save GeoJSON or "
                f"ImageJ's ROIs there, such as {stems[0]}.geojson"
            )
        if shared := own.keys() & found.keys():
            raise ValueError(
                f"{found[min(shared)]}: several fields have this name; rename the fields, or "
                "learn from one dataset alone"
            )
        found |= {stem: Source(path) for stem, path in own.items()}
    return found


def _areas(folder: Path, stem: str) -> list[Path]:
    places = (folder / f"{stem}{ending}" for ending in (*GEOJSON_SUFFIXES, *ROI_SUFFIXES))
    found = [place for place in places if place.is_file()]
    if len(found) > 1:
        raise ValueError(f"{found[0]}: {found[1].name} is there, too; keep one of them")
    return found


def read_areas(source: Source, shape: Shape) -> Labelled:
    """Read areas that were drawn on an image; in GeoJSON nothing that was detected is one.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    if source.suffix in GEOJSON_SUFFIXES:
        return read_geojson(source, shape, drawn_alone=True)
    return read_rois(source, shape)

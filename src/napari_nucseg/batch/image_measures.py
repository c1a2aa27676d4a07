"""Measures of the nuclei of images that are segmented without a viewer, a row a nucleus."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei, measure, measure_nuclei, measure_volume
from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.channels import COLOURS, Channel, count_colours, find_axis
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import Image, read_labels
from napari_nucseg.io.pictures import look_into, read_picture
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import checksum, read_provenance, write_columns
from napari_nucseg.segmenters.api import Segmentation, VolumeSegmentation
from napari_nucseg.segmenters.parameters import Depth

TABLE = "measurements.csv"
"""The table of all images."""
_BEHIND = "_nuclei.csv"
_FIRST = ("image", "index")
"""Columns that each of our own tables begins with."""
CELLPROFILER = {
    "image": "FileName",
    "index": "ObjectNumber",
    "well": "Metadata_Well",
    "row": "Metadata_Row",
    "column": "Metadata_Column",
    "site": "Metadata_Site",
    "plane": "Metadata_Plane",
    "area_px": "AreaShape_Area",
    "area_um2": "AreaShape_Area_um2",
    "volume_voxels": "AreaShape_Volume",
    "volume_um3": "AreaShape_Volume_um3",
    "planes": "AreaShape_Planes",
    "centroid_x": "AreaShape_Center_X",
    "centroid_y": "AreaShape_Center_Y",
    "centroid_z": "AreaShape_Center_Z",
    "eccentricity": "AreaShape_Eccentricity",
    "solidity": "AreaShape_Solidity",
    "longest_axis_um": "AreaShape_MajorAxisLength_um",
    "shortest_axis_um": "AreaShape_MinorAxisLength_um",
    "touches_border": "AreaShape_TouchesBorder",
    "flow_error": "Doubt_FlowError",
    "cellprob_logit": "Doubt_CellProbability",
}
"""Columns by names as CellProfiler has them; those of intensities are made by `as_cellprofiler`."""
_INTENSITIES = {
    "intensity_mean": "Intensity_MeanIntensity",
    "intensity_sum": "Intensity_IntegratedIntensity",
    "intensity_background": "Intensity_BackgroundIntensity",
}


def count_nuclei(labels: Labels, depth: Mapping[str, Any]) -> int:
    """Count nuclei: planes that were labelled each by itself number theirs anew.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width) or (planes, height, width)
        0 is background.
    depth : mapping
        How planes were put together, as in `Provenance`; empty for a plane by itself.

    Examples
    --------
    >>> planes = np.array([[[0, 1, 2]], [[1, 0, 0]]])
    >>> count_nuclei(planes, {"method": "planes"}), count_nuclei(planes, {"method": "stitched"})
    (3, 2)
    """
    by_plane = labels.ndim > 2 and depth.get("method") == Depth.PLANES
    parts = labels if by_plane else [labels]
    return sum(int(np.count_nonzero(np.unique(part))) for part in parts)


def table_of(labels: Path) -> Path:
    """Name the table beside a file of labels."""
    return labels.with_name(labels.stem + _BEHIND)


def as_cellprofiler(column: str) -> str:
    """Name a column as CellProfiler does, or much like it.

    Intensities keep the image's own scale, where CellProfiler's run from 0 to 1.

    Examples
    --------
    >>> as_cellprofiler("area_px"), as_cellprofiler("intensity_mean_red")
    ('AreaShape_Area', 'Intensity_MeanIntensity_red')
    """
    for name, named in _INTENSITIES.items():
        if column == name or column.startswith(f"{name}_"):
            return named + column[len(name) :]
    return CELLPROFILER.get(column, column)


def read_channels(source: Source, channel: Channel | None) -> dict[str, NDArray[Any]]:
    """Read all channels of an image by their names; none of a grey one.

    Parameters
    ----------
    source : Source
        The file.
    channel : Channel or None
        The channel that is segmented, which tells where the channels lie.
    """
    if channel is None:
        return {}
    picture = read_picture(source, look_into(source))
    axis = find_axis(picture.data.shape, picture.axes, channel, picture.data)
    if axis is None:
        return {}
    count = count_colours(picture.data.shape[axis], picture.axes[axis])
    is_colour = picture.axes[axis] == "S" and count == len(COLOURS)
    names = COLOURS if is_colour else [str(number) for number in range(1, count + 1)]
    return {name: picture.data.take(number, axis) for number, name in enumerate(names)}


def measure_image(
    image: Image,
    result: Segmentation | VolumeSegmentation,
    depth: Depth | None,
    channels: Mapping[str, NDArray[Any]],
) -> Nuclei:
    """Measure all nuclei of an image that was segmented.

    Of a volume whose planes belong together a row is a nucleus in 3-D; of planes by themselves
    there is a column for the number of the plane, from 0.

    Parameters
    ----------
    image : Image
        The channel that was segmented.
    result : Segmentation or VolumeSegmentation
        Its labels; where a network made those of a plane, their doubt is told, too.
    depth : Depth or None
        How the planes of a stack belong together; None for a plane.
    channels : mapping of str to ndarray
        Intensities of each channel by its name, where there are several.
    """
    if isinstance(result, Segmentation):
        return measure_nuclei(result, image.data, image.pixel_size, channels)
    return measure_labels(image, result.labels, depth, channels)


def measure_labels(
    image: Image, labels: NDArray[Any], depth: Depth | None, channels: Mapping[str, NDArray[Any]]
) -> Nuclei:
    """Measure all nuclei of an image without their doubt; see `measure_image`."""
    size = image.pixel_size
    if labels.ndim == 2:
        return measure(labels, image.data, pixel_size=size, channels=channels)
    if depth is Depth.PLANES:
        return measure_planes(labels, image, channels)
    sizes = {"pixel_size": size, "z_spacing": image.z_spacing}
    return measure_volume(labels, image.data, **sizes, channels=channels)


def measure_planes(
    labels: NDArray[Any], image: Image, channels: Mapping[str, NDArray[Any]]
) -> Nuclei:
    """Measure the nuclei of planes that are numbered each by itself."""
    tables = []
    for number, plane in enumerate(labels):
        ofs = {name: one[number] for name, one in channels.items()}
        nuclei = measure(plane, image.data[number], pixel_size=image.pixel_size, channels=ofs)
        count = len(nuclei["index"])
        tables.append({"index": nuclei["index"], "plane": np.full(count, number), **nuclei})
    return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}


def write_nuclei(path: Path, field: Field, nuclei: Nuclei, name: str = "") -> None:
    """Write the measures of a field's nuclei, behind its stem, or another name of its image."""
    table: dict[str, Any] = {"image": [name or field.stem] * len(nuclei["index"]), **nuclei}
    write_columns(path, field.placed(table, after=len(_FIRST)) if field.well else table)


def refuse_foreign(path: Path, overwrite: bool) -> None:
    """Refuse to replace a table that is not one of measures.

    Raises
    ------
    FileExistsError
        Naming it.
    """
    if path.exists() and not overwrite and _header_of(path)[:2] not in (_FIRST, _FIRST_FOREIGN):
        raise FileExistsError(
            f"{path} already exists, and is no table of measures; choose another --out, or replace "
            "it by --overwrite"
        )


_FIRST_FOREIGN = tuple(map(as_cellprofiler, _FIRST))


def _header_of(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return tuple(next(csv.reader(file), ()))


def find_tables(out: Path, now: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Find the tables of all images of a folder, of those too that earlier calls have measured.

    Parameters
    ----------
    out : Path
        Folder of labels.
    now : sequence of Path
        Tables that were written, or found to be up to date, just now.

    Returns
    -------
    tables : list of Path
        Sorted by name.
    outdated : list of Path
        Labels that were changed since they were measured, whose tables are left out.
    """
    tables, outdated = set(now), list[Path]()
    for table in sorted(set(out.glob(f"*{_BEHIND}")) - tables):
        labels = table.with_name(table.name.removesuffix(_BEHIND) + ".tif")
        try:
            made = read_provenance(labels)
            is_measured = bool(made.get("is_measured")) and _header_of(table)[:2] == _FIRST
            if is_measured and made.get("labels_sha256") != checksum(read_labels(Source(labels))):
                is_measured = table.stat().st_mtime > labels.stat().st_mtime  # after the change
        except (ValueError, OSError):
            continue  # a table of others, or of labels that are gone
        if is_measured:
            tables.add(table)
        else:
            outdated.append(labels)
    return sorted(tables), outdated


def join_tables(path: Path, tables: Sequence[Path], *, cellprofiler: bool = False) -> int:
    """Put the tables of images under one another; columns that one lacks are empty there.

    Parameters
    ----------
    path : Path
        The table of all, replaced if it exists.
    tables : sequence of Path
        Tables as `write_nuclei` writes them.
    cellprofiler : bool
        Whether columns are named as CellProfiler does, and images are numbered.

    Returns
    -------
    int
        Number of nuclei.
    """
    columns = list(dict.fromkeys(name for one in tables for name in _header_of(one)))
    named = [as_cellprofiler(name) for name in columns] if cellprofiler else columns
    before = ["ImageNumber"] if cellprofiler else []
    count = 0

    def write(file: BinaryIO) -> None:
        nonlocal count
        text = TextIOWrapper(file, "utf-8", newline="")
        lines = csv.writer(text, lineterminator="\n")  # cells are as `write_columns` wrote them
        lines.writerow([*named[:2], *before, *named[2:]])
        for number, table in enumerate(tables, start=1):
            with table.open(encoding="utf-8", newline="") as one:
                for row in csv.DictReader(one):
                    count += 1
                    cells = [row.get(name, "") for name in columns]
                    lines.writerow([*cells[:2], *([number] if cellprofiler else []), *cells[2:]])
        text.flush()
        text.detach()

    write_whole(path, write)
    return count

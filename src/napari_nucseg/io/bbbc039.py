"""BBBC039: its published archives, and masks as it publishes them.

In masks nuclei that touch have different colours; `napari_nucseg.io.label_rules.decode_colouring`
makes labels of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.array_types import Labels
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.download import PATIENCE, RemoteFile, fetch, is_complete
from napari_nucseg.system_info import cache_folder

_SERVER = "https://data.broadinstitute.org/bbbc/BBBC039/"
ARCHIVES = (
    RemoteFile(
        "images.zip",
        _SERVER + "images.zip",
        77_915_748,
        "6f30a5d4fe38c928ded972704f085975f8dc0d65d9aa366df00e5a9d449fddd7",
    ),
    RemoteFile(
        "masks.zip",
        _SERVER + "masks.zip",
        2_753_811,
        "f9e6043d8ca56344a4886f96a700d804d6ee982f31e2b2cd3194af2a053c2710",
    ),
    RemoteFile(
        "metadata.zip",
        _SERVER + "metadata.zip",
        17_816,
        "a2c1f900bed9ba92a99553efd4c2ae98598433691c7401d818653ab61110deb2",
    ),
)
"""Published sizes and checksums; the dataset is CC0."""
WANTED_COLOURS = 3
"""Colours besides the background in the published masks."""
_STRATEGIES = (("DSATUR", False), ("smallest_last", True), ("largest_first", True))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def dataset_folder() -> Path:
    """Folder that a download of BBBC039 goes to unless another is chosen."""
    return cache_folder() / "BBBC039"


def missing_archives(folder: Path) -> tuple[RemoteFile, ...]:
    """List the archives that are not yet whole in the folder."""
    return tuple(archive for archive in ARCHIVES if not is_complete(archive, folder))


def download_dataset(
    folder: Path, report: Callable[[int, int], None], timeout: float = PATIENCE
) -> Path:
    """Fetch the archives that are missing, and go on where an earlier call was interrupted.

    Parameters
    ----------
    folder : Path
        Where to put them.
    report : callable
        Called with (bytes done, bytes in all) over all missing archives; may raise to stop.
    timeout : float
        Seconds without a single byte after which a connection counts as cut.

    Returns
    -------
    Path
        The folder, for `napari_nucseg.io.datasets.open_dataset`.

    Raises
    ------
    DownloadError
        If they cannot be had; the message says what to do.
    """
    missing = missing_archives(folder)
    total = sum(archive.size or 0 for archive in missing)
    before = 0
    for archive in missing:

        def follow(done: int, of: int | None, before: int = before) -> None:
            report(before + done, total)

        fetch(archive, folder, report=follow, timeout=timeout)
        before += archive.size or 0
    return folder


def colour(labels: Labels) -> NDArray[np.uint8]:
    """Give objects that touch, corners included, different small values.

    Three values are enough for most fields and four for nearly all; where objects surround one
    another more are used, and the mask can be decoded all the same.

    Parameters
    ----------
    labels : ndarray of integers, shape (height, width)
        0 is background.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        0 is background; the 8-connected regions of equal value are the objects.

    Raises
    ------
    ValueError
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
    """
    from networkx import Graph, greedy_color

    ids, indices = np.unique(labels, return_inverse=True)
    require_whole(labels)
    graph = Graph()
    graph.add_nodes_from(ids[ids != 0].tolist())
    graph.add_edges_from(touching(labels).tolist())
    colours: dict[int, int] = {}
    for strategy, interchange in _STRATEGIES:
        found = greedy_color(graph, strategy, interchange=interchange)
        if not colours or max(found.values()) < max(colours.values()):
            colours = found
        if max(colours.values(), default=0) < WANTED_COLOURS:
            break
    values = [0 if label == 0 else colours[label] + 1 for label in ids.tolist()]
    return np.asarray(values, dtype=np.uint8)[indices].reshape(labels.shape)


def touching(labels: Labels) -> NDArray[np.integer]:
    """Find the pairs of objects that are neighbours, corners included.

    Returns
    -------
    ndarray, shape (pairs, 2)
        Labels, the smaller first.
    """
    height, width = labels.shape
    found = []
    for down, right in _NEIGHBOURS:
        one = labels[: height - down, max(0, -right) : width - max(0, right)]
        other = labels[down:, max(0, right) : width - max(0, -right)]
        differ = (one != other) & (one != 0) & (other != 0)
        found.append(np.stack([one[differ], other[differ]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def require_whole(labels: Labels) -> None:
    """Refuse labels that no colouring keeps apart.

    Raises
    ------
    ValueError
        If a label is negative, or an object is in several pieces, which would be decoded as
        several objects.
    """
    from skimage.measure import label

    if labels.min(initial=0) < 0:
        raise ValueError(
            f"label {labels.min()} is negative; give these pixels 0 if they are background, or a "
            "number of their own"
        )
    pieces = label(labels, connectivity=2)
    first = np.unique(pieces, return_index=True)[1]
    owners, counts = np.unique(labels.ravel()[first], return_counts=True)
    torn = owners[(counts > 1) & (owners != 0)]
    if torn.size:
        raise ValueError(
            f"{torn.size} objects are in several pieces, the first is {torn[0]}; a mask would "
            "make each piece an object: erase or relabel the pieces, or save a TIFF"
        )


def write_mask(path: Path, labels: Labels) -> None:
    """Write labels as the masks of BBBC039 are: a colouring in the red of an RGBA PNG.

    `napari_nucseg.io.images.read_labels` gives back the same objects, numbered by place.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists.
    labels : ndarray of integers, shape (height, width)
        0 is background; every object in one piece.

    Raises
    ------
    ValueError
        If an object is in several pieces.
    """
    rgba = np.zeros((*labels.shape, 4), dtype=np.uint8)
    rgba[..., 0] = colour(labels)
    rgba[..., 3] = 255
    write_whole(path, lambda file: Image.fromarray(rgba).save(file, format="PNG"))

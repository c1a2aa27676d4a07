"""The published archives of BBBC039."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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

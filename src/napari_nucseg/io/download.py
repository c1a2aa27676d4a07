"""Fetch published files, such as model weights and data sets, and keep only whole ones.

A file is received under a temporary name and takes its own only once its size and SHA-256 are
right, so whatever bears its name and has its size can be used as it is.

Pooch, which others use for this, cannot take up a download where it was cut, be cancelled, or
notice before the end that the size is wrong or the disk too small.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_nucseg.io import http
from napari_nucseg.io.sources import sha256

if TYPE_CHECKING:
    import requests

PATIENCE = 15.0
"""Seconds without a single byte after which a connection counts as cut."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes
    ----------
    name : str
        Name of the file on disk.
    url : str
        Where it is published.
    size : int or None
        Its size in bytes; None where it is not known.
    sha256 : str or None
        Its SHA-256 in hexadecimal digits. Where it is None, the one counts that the server states
        in an ``X-Linked-ETag`` or ``ETag`` header, as Hugging Face does; else only the size does.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


class DownloadError(OSError):
    """A file could not be fetched; the message says why and what to do."""


def is_complete(file: RemoteFile, folder: Path) -> bool:
    """Tell whether a file is there and has the right size; hashing it would take seconds.

    Parameters
    ----------
    file : RemoteFile
        The file; where its size is not known, any file that is not empty counts as complete.
    folder : Path
        The folder it belongs in.
    """
    path = folder / file.name
    size = path.stat().st_size if path.is_file() else 0
    return size > 0 and file.size in (None, size)


def fetch(
    file: RemoteFile,
    folder: Path,
    *,
    report: Callable[[int, int | None], None] = lambda done, total: None,
    timeout: float = PATIENCE,
) -> Path:
    """Return the path of a published file, fetching it first unless it is already there.

    A file of the right name and size is taken as it is, without hashing it; one of another size is
    replaced once the right one is here. A cut connection is taken up again as long as each few
    bring progress. What has arrived when a download fails or is stopped stays beside the target
    under a temporary name, and the next call goes on from there if the result can be checked by
    its SHA-256.

    Parameters
    ----------
    file : RemoteFile
        What to fetch.
    folder : Path
        Where to put it; made if it does not exist.
    report : callable
        Called with the bytes done and the bytes in total (None if unknown) at the start and after
        each chunk. Whatever it raises ends the download and is passed on unchanged.
    timeout : float
        Seconds without a single byte after which a connection counts as cut.

    Returns
    -------
    Path
        The whole file.

    Raises
    ------
    DownloadError
        If the file cannot be had, is not the expected one, or cannot be written.
    """
    if not is_complete(file, folder):
        _Download(file, folder, report, timeout).run()
    return folder / file.name


@dataclass
class _Download:
    """One download of one file, over as many connections as it takes."""

    file: RemoteFile
    folder: Path
    report: Callable[[int, int | None], None]
    timeout: float

    def __post_init__(self) -> None:
        self.target = self.folder / self.file.name
        self.partial = self.folder / f"{self.file.name}.part"
        self.builds_on_earlier_run = self.partial.exists()
        self.can_be_checked = self.file.sha256 is not None

    def run(self) -> None:
        """Receive, check and name the file, unless somebody else is at it."""
        with contextlib.ExitStack() as stack:
            with self._disk_errors_explained():
                self.folder.mkdir(parents=True, exist_ok=True)
                mine = stack.enter_context(http.alone_with(self.partial))
            if not mine:
                busy = f"{self.file.name} is on its way to {self.folder} already: wait for it."
                raise DownloadError(busy)
            self._receive_and_name()

    def _receive_and_name(self) -> None:
        import requests

        self._require_space(self.file.size)
        with requests.Session() as session:
            try:
                http.insist(lambda: self._check_hash(self._receive(session)), self._bytes_present)
            except http.NoAnswer as failure:
                raise self._error(str(failure)) from failure
        with self._disk_errors_explained():
            os.replace(self.partial, self.target)

    def _receive(self, session: requests.Session) -> str | None:
        """Complete the partial file over one connection; return the SHA-256 it should have."""
        if self.file.sha256 is not None and self._bytes_present() == self.file.size:
            return self.file.sha256
        response, start = self._open(session)
        with response:
            total = http.stated_size(response) or self.file.size
            self._require_size(total)
            self._require_space(total)
            self.report(start, total)
            with contextlib.closing(self._written(response, start)) as written:
                for done in written:
                    self.report(done, total)
                    if done > (total or done):
                        break
            present = self._bytes_present()
            if total is not None and present < total:
                raise http.TryAgain(f"the connection was cut at {present:,} of {total:,} bytes")
            self._require_size(present)
            if not present:
                raise self._unexpected("it is empty")
            return self.file.sha256 or http.stated_sha256(response)

    def _open(self, session: requests.Session) -> tuple[requests.Response, int]:
        """Ask for the missing bytes, or for all where they do not fit; tell where they start."""
        present = self._bytes_present()
        response = http.ask(session, self.file.url, present, self.timeout)
        self.can_be_checked = bool(self.file.sha256 or http.stated_sha256(response))
        if response.status_code == 200:
            return response, 0
        fits = self.can_be_checked or not self.builds_on_earlier_run
        if fits and http.starts_at(response, present):
            return response, present
        response.close()
        return http.ask(session, self.file.url, 0, self.timeout), 0

    def _written(self, response: requests.Response, start: int) -> Generator[int, None, None]:
        """Write an answer; a generator, so that it explains no errors of the report as its own."""
        if start == 0:
            self.builds_on_earlier_run = False
        with self._disk_errors_explained():
            yield from http.write(response, self.partial, start)

    def _check_hash(self, expected: str | None) -> None:
        """Discard the partial file unless it has the expected SHA-256."""
        if expected is None:
            return
        with self._disk_errors_explained():
            found = sha256(self.partial)
            if found == expected.lower():
                return
            self.partial.unlink()
        mismatch = f"its SHA-256 is {found} where {expected} is expected"
        if self.builds_on_earlier_run:
            self.builds_on_earlier_run = False
            raise http.TryAgain(mismatch)
        raise self._unexpected(mismatch)

    def _require_size(self, size: int | None) -> None:
        if self.file.size is not None and size != self.file.size:
            raise self._unexpected(f"it has {size:,} bytes where {self.file.size:,} are expected")

    def _require_space(self, size: int | None) -> None:
        free = shutil.disk_usage(self.folder).free
        needed = (size or 0) - self._bytes_present()
        if needed > free:
            raise DownloadError(
                f"{self.file.name} needs {needed / 1e6:,.0f} MB on the disk of {self.folder}, "
                f"where {free / 1e6:,.0f} MB are free. Free some space and try again."
            )

    def _bytes_present(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    @contextlib.contextmanager
    def _disk_errors_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"could not be written to {self.folder}: {error.strerror or error}."
            raise DownloadError(f"{self.file.name} {reason}") from error

    def _unexpected(self, mismatch: str) -> DownloadError:
        return DownloadError(
            f"{self.file.name} from {self.file.url} was not kept because {mismatch}. It was "
            "altered on the way or published anew: try again later, or look for a new version."
        )

    def _error(self, reason: str) -> DownloadError:
        goes_on = "What has arrived is kept: the same command or click goes on where it stopped. "
        return DownloadError(
            f"{self.file.name} could not be fetched from {urlsplit(self.file.url).netloc}: "
            f"{reason}. {goes_on if self.can_be_checked and self._bytes_present() else ''}"
            f"Download {self.file.url} in a browser and put it at {self.target}."
        )

"""Fetch published files, such as model weights and data sets, and keep only whole ones.

A file is received under a temporary name and takes its own only once its size and SHA-256 are
right, so whatever bears its name and has its size can be used as it is. TLS certificates are
always verified, by requests, whatever other packages do to the standard library's context, and
an address with TLS never leads to one without. A body ends by its size and by a least rate.

Pooch cannot take up a download where it was cut, be cancelled, or notice before the end that the
size is wrong or the disk too small; the retries of requests end where an answer begins.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_nucseg.io import answers
from napari_nucseg.io.answers import TryAgain
from napari_nucseg.io.atomic import alone_with, explained
from napari_nucseg.io.sources import sha256

if TYPE_CHECKING:
    import requests

PATIENCE = 15.0
"""Seconds without a single byte after which a connection counts as cut."""
_CONNECT_TIMEOUT = 5.0  # so that being offline is noticed soon
_TRIES = 3  # how often connections may be cut, one after the other, without progress
_LARGEST = 10**10  # bytes; a file of whose size nothing is known has at most twice as many
_PAGE = "it answered with a web page, as networks do that ask to log in first"
CHUNK = 256 * 1024  # bytes between two reports, at most
_INTERVAL = 0.05  # seconds between two reports, at most


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes
    ----------
    name, url : str
        Name of the file on disk, and where it is published.
    size : int or None
        Its size in bytes, where it is known.
    sha256 : str or None
        Its SHA-256 in hexadecimal digits. Where it is None, the one counts that the server states
        in an ``X-Linked-ETag`` or ``ETag`` header, as Hugging Face does; else only the size does.
    rough_size : int or None
        Its rough size in bytes, where `size` is not known: files of less than half of it or more
        than twice are refused.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    rough_size: int | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the largest size that it may have, in bytes."""
        if self.size is not None:
            return self.size, self.size
        return max(1, (self.rough_size or 0) // 2), 2 * (self.rough_size or _LARGEST)


class DownloadError(OSError):
    """A file could not be fetched; the message says why and what to do."""


def is_complete(file: RemoteFile, folder: Path) -> bool:
    """Tell whether a folder has a file of a size that it may have."""
    path, (least, largest) = folder / file.name, file.sizes
    return path.is_file() and least <= path.stat().st_size <= largest


def fetch(
    file: RemoteFile,
    folder: Path,
    *,
    report: Callable[[int, int | None], None] = lambda done, total: None,
    timeout: float = PATIENCE,
) -> Path:
    """Return the path of a published file, fetching it first unless it is already there.

    A cut connection is taken up again as long as one try in three brings progress. What has
    arrived when a download fails or is stopped stays in the folder under a temporary name; the
    next call goes on from there if a SHA-256 can tell whether the result is right.

    Parameters
    ----------
    file, folder : RemoteFile, Path
        What to fetch, and where to put it; the folder is made if it does not exist.
    report : callable
        Called with the bytes done and the bytes in total (None if unknown) at the start and after
        each chunk. Whatever it raises ends the download and is passed on unchanged.
    timeout : float
        Seconds without a single byte after which a connection counts as cut.

    Raises
    ------
    DownloadError
        If the file cannot be had, or is not the expected one, or if a larger one has its name:
        that is none that was cut off, and may be the user's.
    OSError
        If it cannot be written, or another program or thread is at it.
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
        import requests

        self._spare_others()
        with alone_with(self.partial), requests.Session() as session:
            if self.file.url.startswith("https:"):
                del session.adapters["http://"]
            self._require_space(self.file.size)
            self._insist(session)
            with explained(self.target):
                os.replace(self.partial, self.target)

    def _insist(self, session: requests.Session) -> None:
        """Receive what is missing, as long as one connection in three brings progress."""
        furthest = fruitless = 0
        while True:
            try:
                return self._check_hash(self._receive(session))
            except TryAgain as failure:
                fruitless += 1
                if self._bytes_present() >= furthest + answers.PROGRESS:
                    furthest, fruitless = self._bytes_present(), 0
                if fruitless == _TRIES:
                    reason = f"{failure}, after {_TRIES} tries without progress"
                    raise self._error(reason) from failure

    def _receive(self, session: requests.Session) -> str | None:
        """Complete the partial file over one connection; return the SHA-256 it should have."""
        if self.file.sha256 is not None and self._bytes_present() == self.file.size:
            return self.file.sha256
        response, start = self._open(session, self._bytes_present())
        with response:
            stated = response.headers.get("Content-Range" if start else "Content-Length", "")
            size = re.search(r"\d+$", stated)
            total = (int(size[0]) if size else 0) or self.file.size
            if total is not None:
                self._require_size(total)
            self._require_same(answers.stated_sha256(response))
            self._require_space(total)
            self.report(start, total)
            with contextlib.closing(self._written(response, start)) as written:
                for done in written:
                    self.report(done, total)
                    if done > (total or self.file.sizes[1]):
                        break
            if (present := self._bytes_present()) < (total or 0):
                raise TryAgain(f"the connection was cut at {present:,} of {total:,} bytes")
            self._require_content(present)
            return self.file.sha256 or answers.stated_sha256(response)

    def _open(self, session: requests.Session, start: int) -> tuple[requests.Response, int]:
        """Ask for the bytes from one on, or for all if those do not fit; tell where they start."""
        import requests

        # A compressed transfer would make sizes and ranges count other bytes than those on disk.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        wait = min(self.timeout, _CONNECT_TIMEOUT), self.timeout
        try:
            response = session.get(self.file.url, headers=headers, stream=True, timeout=wait)
        except requests.RequestException as error:
            reason, may_mend = answers.why_not(error)
            raise TryAgain(reason) if may_mend else self._error(reason) from error
        if response.status_code not in ({200, 206, 416} if start else {200}):  # 416: nothing there
            response.close()
            raise self._error(f"HTTP status {response.status_code} {response.reason or ''}".strip())
        if response.status_code != 416 and answers.is_page(response):
            response.close()
            raise self._error(_PAGE)
        self.can_be_checked = bool(self.file.sha256 or answers.stated_sha256(response))
        if response.status_code == 200:
            return response, 0
        fits = self.can_be_checked or not self.builds_on_earlier_run
        if fits and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return response, start
        response.close()
        return self._open(session, 0)

    def _written(self, response: requests.Response, start: int) -> Generator[int, None, None]:
        """Write an answer as it arrives; yield the bytes so far, so that reports fail elsewhere."""
        with explained(self.target):
            if start == 0:
                self.builds_on_earlier_run = False
                # Truncating it would leave a hole in the file of a second process that writes it.
                self.partial.unlink(missing_ok=True)
            with open(self.partial, "r+b" if start else "xb") as stream:
                done = told = stream.seek(start)
                due = 0.0
                for piece in answers.pieces(response, self.timeout):
                    done += stream.write(piece)
                    if done > told + CHUNK - answers.PIECE or time.monotonic() >= due:
                        yield (told := done)
                        due = time.monotonic() + _INTERVAL
                if done > told:
                    yield done
                stream.flush()
                os.fsync(stream.fileno())

    def _check_hash(self, expected: str | None) -> None:
        """Discard the partial file unless it has the expected SHA-256."""
        if expected is None or (found := sha256(self.partial)) == expected.lower():
            return
        self.partial.unlink()
        mismatch = f"its SHA-256 is {found} where {expected} is expected"
        is_leftover, self.builds_on_earlier_run = self.builds_on_earlier_run, False
        raise TryAgain(mismatch) if is_leftover else self._unexpected(mismatch)

    def _require_content(self, size: int) -> None:
        """Discard what came if it cannot be the file."""
        try:
            self._require_size(size)
            if answers.holds_page(self.partial):
                raise self._error(_PAGE)
        except DownloadError:
            self.partial.unlink()
            raise

    def _require_size(self, size: int) -> None:
        least, largest = self.file.sizes
        if not least <= size <= largest:
            expected = " to ".join(f"{bound:,}" for bound in sorted({least, largest}))
            raise self._unexpected(f"it has {size:,} bytes where {expected} are expected")

    def _require_same(self, stated: str | None) -> None:
        """Refuse a file of which the server states another SHA-256 than the one that is known."""
        known = self.file.sha256
        if known is not None and stated is not None and stated.lower() != known.lower():
            raise DownloadError(
                f"{self.file.name}: the file at {self.file.url} has changed: its SHA-256 is "
                f"{stated} where {known} is expected. Look for a new version of this program, or "
                "fetch the file in a browser and use it by its path."
            )

    def _spare_others(self) -> None:
        """Refuse to replace a file that is too large to be one that was cut off."""
        if self.target.is_file() and (size := self.target.stat().st_size) > self.file.sizes[1]:
            raise DownloadError(
                f"{self.target} has {size:,} bytes and so is not the published file: move it "
                "elsewhere and try again. It can be used by its path."
            )

    def _require_space(self, size: int | None) -> None:
        needed = (size or 0) - self._bytes_present()
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise DownloadError(
                f"{self.file.name} needs {needed / 1e6:,.0f} MB on the disk of {self.folder}, "
                f"where {free / 1e6:,.0f} MB are free. Free some space and try again."
            )

    def _bytes_present(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _unexpected(self, mismatch: str) -> DownloadError:
        return DownloadError(
            f"{self.file.name} from {self.file.url} was not kept because {mismatch}. The file was "
            "damaged on the way, or a new version was published: try again later, or look for one."
        )

    def _error(self, reason: str) -> DownloadError:
        goes_on = "What has arrived is kept: the same command or click goes on where it stopped. "
        return DownloadError(
            f"{self.file.name} could not be fetched from {urlsplit(self.file.url).netloc}: "
            f"{reason}. {goes_on if self.can_be_checked and self._bytes_present() else ''}"
            f"Download {self.file.url} in a browser and put it at {self.target}."
        )

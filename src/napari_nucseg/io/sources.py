"""Where a file's bytes come from: the disk, or a member of a zip archive read in place."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

MAX_MEMBER_BYTES = 2**28
"""The largest file that is read out of an archive; a field is 0.7 MB."""
MAX_ARCHIVE_BYTES = 2**34
"""The largest sum of unpacked sizes of an archive that is opened."""
MAX_COMPRESSION = 200
"""Unpacked over packed size above which a member is taken for a decompression bomb."""
_FORKS = "__MACOSX"
"""Folder in which macOS puts, beside the files of an archive, what it knows of them."""


@dataclass(frozen=True)
class Source:
    """A file on disk, or a member of a zip archive.

    Attributes
    ----------
    path : Path
        The file, or the archive.
    member : str or None
        Name within the archive.
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.path.name if self.member is None else member_path(self.member).name

    @property
    def stem(self) -> str:
        """File name without folders and without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Ending in lower case, with its dot."""
        return PurePosixPath(self.name).suffix.lower()

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    def read(self, limit: int = -1) -> bytes:
        """Return the file's bytes, or its first `limit` bytes.

        Raises
        ------
        OSError
            If the file is absent, unreadable, or damaged within its archive.
        """
        if self.member is None:
            with self.path.open("rb") as file:
                return file.read(limit)
        try:
            with ZipFile(self.path) as archive, archive.open(self.member) as file:
                return file.read(limit)
        except (
            BadZipFile, KeyError, EOFError, OSError, RuntimeError, LZMAError, zlib.error
        ) as error:  # fmt: skip
            raise OSError(f"{self}: damaged archive ({error}); download it again") from error

    def sha256(self) -> str:
        """Fingerprint of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.read()).hexdigest()

    def tail(self, count: int) -> bytes:
        """Return the last `count` bytes of a file on disk; all bytes of an archive's member."""
        if self.member is not None:
            return self.read()
        with self.path.open("rb") as file:
            file.seek(-min(count, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read()


def member_path(member: str) -> PurePosixPath:
    r"""Return what a member of an archive is called, as whoever made the archive saw it.

    Programs on Windows have written backslashes, and programs on macOS UTF-8 without saying so,
    which then is read as code page 437.

    Examples
    --------
    >>> str(member_path(r"masks\gr├╢├ƒe.png"))
    'masks/größe.png'
    """
    name = member
    if not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return PurePosixPath(name.replace("\\", "/"))


def list_folder(folder: Path, suffixes: tuple[str, ...]) -> list[Source]:
    """Files directly in a folder with one of the endings, sorted by name; hidden ones left out."""
    return [
        Source(path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]


def list_archive(path: Path, suffixes: tuple[str, ...]) -> list[Source]:
    """Members of a zip archive with one of the endings, sorted by name.

    Raises
    ------
    ValueError
        If the archive is damaged, leads outside itself, or unpacks to more than is sensible.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except BadZipFile as error:
        raise ValueError(f"{path}: not a whole zip archive ({error}); download it again") from error
    for member in members:
        _refuse_unsafe(path, member)
    total = sum(member.file_size for member in members)
    if total > MAX_ARCHIVE_BYTES:
        raise ValueError(
            f"{path}: unpacks to {total / 2**30:.0f} GiB, more than is opened in place; unpack it "
            "and open the folder"
        )
    sources = [
        Source(path, member.filename)
        for member in members
        if not member.is_dir() and _FORKS not in member_path(member.filename).parts
    ]
    return sorted(
        (s for s in sources if s.suffix in suffixes and not s.name.startswith(".")),
        key=lambda source: source.name,
    )


def _refuse_unsafe(path: Path, member: ZipInfo) -> None:
    name = member_path(member.filename)
    if name.is_absolute() or ".." in name.parts or (name.parts and name.parts[0].endswith(":")):
        raise ValueError(
            f"{path}: member {member.filename!r} leads outside the archive; this is not the "
            "published archive, download it again"
        )
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > MAX_MEMBER_BYTES or (
        member.file_size > 2**20 and ratio > MAX_COMPRESSION
    ):
        raise ValueError(
            f"{path}: member {member.filename!r} unpacks to {member.file_size / 2**20:.0f} MiB "
            f"from {member.compress_size / 2**20:.2f} MiB; this is not the published archive, "
            "download it again"
        )


def sha256(path: Path) -> str:
    """Fingerprint of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

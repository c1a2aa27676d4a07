"""Where files lie: on disk or in a zip archive, and in which folders those of a dataset do."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from napari_nucseg.io.limits import (
    BadFileError,
    is_zarr,
    member_path,
    refuse_longer,
    refuse_special,
    refuse_unpacking,
    refuse_unsafe,
)

IMAGES, LISTS = "images", "metadata"
TRUTHS = ("masks", "labels")
PARTS = (IMAGES, *TRUTHS, LISTS)
"""Names of the folders, or archives, that a dataset has; they may have capitals."""
ZARR_SUFFIX = ".zarr"
"""Ending of the folders of OME-Zarr, which are listed and read as files are."""
ARCHIVES = tuple(f"{part}.zip" for part in PARTS)
_SIGNS = (IMAGES, LISTS)
"""What lies beside masks that belong to a dataset, as a folder or an archive."""
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
"""What no file may be called on one of the usual systems."""
DAMAGED = (
    BadZipFile, LookupError, EOFError, OSError, RuntimeError, ValueError, LZMAError, zlib.error,
    struct.error,
)  # fmt: skip
"""All that zipfile has been seen to raise on damaged archives."""
_FORKS = "__MACOSX"
"""Folder in which macOS puts, beside the files of an archive, what it knows of them."""


@dataclass(frozen=True)
class Source:
    """A file on disk, or a member of a zip archive, or a folder of masks that are one picture.

    Attributes
    ----------
    path : Path
        The file, the archive or the folder.
    member : str or None
        Path within the archive, as `member_path` has it.
    title : str
        Name with an ending that stands for the file's own, where that is but a number, as in a
        plate; else empty.
    """

    path: Path
    member: str | None = None
    title: str = ""

    @property
    def name(self) -> str:
        """File name without folders, or the title."""
        own = self.path.name if self.member is None else PurePosixPath(self.member).name
        return self.title or own

    @property
    def stem(self) -> str:
        """File name without folders and ending (.ome.zarr is one); letters are spelt in one way.

        macOS has them in two parts, and what it packs, too.
        """
        stem = unicodedata.normalize("NFC", PurePosixPath(self.name).stem)
        return stem.removesuffix(".ome") if self.suffix == ZARR_SUFFIX else stem

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
            if self.path.is_symlink() and not self.path.exists():
                target = self.path.readlink()
                raise FileNotFoundError(f"{self}: it is a link to {target}, which is not there")
            with readable(self), self.path.open("rb") as file:
                return file.read(limit)
        try:
            with readable(self), ZipFile(self.path) as archive:
                paths = {str(member_path(one)): one for one in reversed(archive.infolist())}
                refuse_unsafe(self.path, paths[self.member])
                refuse_longer(self.path, paths[self.member])
                with archive.open(paths[self.member]) as file:
                    return file.read(limit)
        except (FileNotFoundError, PermissionError, BadFileError):
            raise
        except DAMAGED as error:
            raise OSError(f"{self}: damaged archive ({error}); download it again") from error

    def sha256(self) -> str:
        """Fingerprint of the file's bytes, in hexadecimal; of a folder's names and their bytes.

        Labels within an image of OME-Zarr are no part of the image.
        """
        if self.path.is_dir():
            files = {one.relative_to(self.path): one for one in sorted(self.path.rglob("*"))}
            lines = "".join(
                f"{sha256(path)} {name.as_posix()}\n"
                for name, path in files.items()
                if path.is_file() and "labels" not in name.parts[:-1]
            )
            return hashlib.sha256(os.fsencode(lines)).hexdigest()
        return hashlib.sha256(self.read()).hexdigest()

    def tail(self, count: int) -> bytes:
        """Return the last `count` bytes of a file on disk; all bytes of an archive's member."""
        if self.member is not None:
            return self.read()
        with readable(self), self.path.open("rb") as file:
            file.seek(-min(count, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read()


@contextmanager
def readable(source: Source) -> Iterator[None]:
    """Tell of what is gone, may not be read or is no file which it is and what to do."""
    refuse_special(source.path)
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{source}: there is no such file now; put it back") from error
    except PermissionError as error:
        raise PermissionError(f"{source}: you may not read this file; ask for it") from error


def list_folder(
    folder: Path, suffixes: tuple[str, ...], *, broken_links: bool = False
) -> list[Source]:
    """List the files directly in a folder with one of the endings, sorted by name.

    Hidden ones are left out, and links to what is not there unless they are asked for.
    """
    return [
        Source(path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and (
            path.is_file()
            or is_zarr(path)
            or (broken_links and path.is_symlink() and not path.exists())
        )
    ]


def describe_folder(folder: Path) -> str:
    """Say what there is in a folder of which nothing is read."""
    there = [path for path in sorted(folder.iterdir()) if path.name[0] != "."]
    kinds = sorted({path.suffix.lower() or "nameless" for path in there if path.is_file()})
    if kinds:
        return f"it holds {', '.join(kinds)} files, which are not read; save them as TIFF or PNG"
    inner = [path.name for path in there if path.is_dir()]
    return f"it holds folders, such as {inner[0]}; open one of them" if inner else "it is empty"


def list_archive(path: Path, suffixes: tuple[str, ...]) -> list[Source]:
    """Members of a zip archive with one of the endings, sorted by name.

    Raises
    ------
    ValueError
        If the archive is damaged, leads outside itself, or unpacks to more than is sensible.
    """
    try:
        with readable(Source(path)), ZipFile(path) as archive:
            members = archive.infolist()
    except (FileNotFoundError, PermissionError):
        raise
    except DAMAGED as error:
        raise ValueError(f"{path}: not a whole zip archive ({error}); download it again") from error
    for member in members:
        refuse_unsafe(path, member)
    refuse_unpacking(path, *members)
    named = (member for member in members if member.filename)  # zipfile fails at others
    names = (member_path(member) for member in named if not member.is_dir())
    sources = [Source(path, str(name)) for name in names if _FORKS not in name.parts]
    return sorted(
        (s for s in sources if s.suffix in suffixes and not s.name.startswith(".")),
        key=lambda source: source.name,
    )


def sha256(path: Path) -> str:
    """Fingerprint of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def root_of(folder: Path) -> Path:
    """Return the dataset's folder, given it or one of its subfolders."""
    folder = Path(os.path.abspath(folder))  # a link's own neighbours count, not its target's
    root = folder
    while root.name.lower() in PARTS:
        root = root.parent
    # The results of a run have a folder labels/, too, but no images
    return folder if folder.name.lower() == "labels" and not has_images(root) else root


def has_images(root: Path) -> bool:
    """Whether a dataset's folder has one of images, or an archive of them."""
    return part_folder(root, IMAGES).is_dir() or part_archive(root, IMAGES).is_file()


def part_folder(root: Path, part: str) -> Path:
    """Return one of the folders of a dataset, which may lie within one of the same name."""
    folder = _named(root, part, os.path.isdir)
    nested = _named(folder, part, os.path.isdir)
    return nested if os.path.isdir(nested) else folder


def part_archive(root: Path, part: str) -> Path:
    """Return the archive of one of the folders of a dataset."""
    return _named(root, f"{part}.zip", os.path.isfile)


def _named(root: Path, name: str, is_kind: Callable[[Path], bool]) -> Path:
    """Return the folder or file of a name, in capitals if there is none in small letters."""
    exact = root / name
    if os.path.exists(exact) or not root.is_dir():  # of a folder that is shut, the list tells
        return exact
    others = (path for path in sorted(root.iterdir()) if path.name.lower() == name)
    return next((path for path in others if is_kind(path)), exact)


def list_part(root: Path, part: str, suffixes: tuple[str, ...]) -> list[Source]:
    """List the files of one of the folders of a dataset, unpacked or in its archive."""
    folder, archive = part_folder(root, part), part_archive(root, part)
    unpacked = list_folder(folder, suffixes) if folder.is_dir() else []
    if not unpacked and archive.is_file():
        return list_archive(archive, suffixes)
    return unpacked


def as_file_name(name: str) -> str:
    """Make a name one of a file, which leads into no other folder.

    Examples
    --------
    >>> as_file_name("plate1/A01"), as_file_name("../x"), as_file_name("..")
    ('plate1_A01', '_x', 'labels')
    """
    return _NOT_IN_NAMES.sub("_", name).strip(". ") or "labels"


def refuse_truth(path: Path) -> None:
    """Refuse to replace a file of a dataset.

    Raises
    ------
    FileExistsError
        If the file is there, in one of the folders that datasets have or as one of their archives.
    """
    where = Path(os.path.realpath(path))  # resolve() fails at links to themselves
    folders = [part.parent for part in where.parents if part.name.lower() in PARTS]
    folders += [where.parent] if where.name.lower() in ARCHIVES else []
    found = [
        f(one, part) for one in folders for part in _SIGNS for f in (part_folder, part_archive)
    ]
    if path.exists() and any(sign.exists() for sign in found):
        raise FileExistsError(
            f"{path}: it belongs to a dataset and is not replaced; choose another name or folder"
        )

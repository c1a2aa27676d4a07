"""What a file, or a member of an archive, is and may ask for, before memory is given to it."""

from __future__ import annotations

import math
import os
import re
import stat
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

PIXELS_VARIABLE = "NUCSEG_MAX_PIXELS"
"""Environment variable that sets the largest number of pixels of an image."""
MAX_PIXELS = 2**30
"""Pixels, of all planes and channels together, above which an image is refused by default."""
MAX_MEMBER_BYTES = 2**28
"""The largest file that is read out of an archive; a field is 0.7 MB."""
MAX_ARCHIVE_BYTES = 2**34
"""The largest sum of unpacked sizes of an archive that is opened."""
MAX_COMPRESSION = 200
"""Unpacked over packed size above which a member is taken for a decompression bomb."""
DEFLATED = 1032
"""Times that deflate can make data smaller, at most."""
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")
"""Files of which a folder of Zarr has one."""
_IS_UTF_8 = 0x800
"""Bit by which a member says that its name is UTF-8; zipfile takes others for code page 437."""
_UNICODE_PATH = 0x7075
"""Number of the field in which some programs tell the name as UTF-8, beside the other one."""


class BadFileError(ValueError):
    """A file that cannot be used; the message names it and the remedy."""


def max_pixels() -> int:
    """Return how many pixels an image may have: what the user has set, or `MAX_PIXELS`.

    Raises
    ------
    ValueError
        If what is set is no whole number above 0.
    """
    chosen = os.environ.get(PIXELS_VARIABLE, "").strip()
    if not chosen:
        return MAX_PIXELS
    if not chosen.isdecimal() or int(chosen) == 0:
        raise ValueError(
            f"{PIXELS_VARIABLE}={chosen}: not a number of pixels; set a whole number above 0, or "
            "unset it"
        )
    return int(chosen)


def refuse_large(name: object, shape: Sequence[int], most: int | None = None) -> None:
    """Refuse an image of more pixels than are allowed, before memory is given to it.

    Parameters
    ----------
    name : object
        The file, as messages show it.
    shape : sequence of int
        Length of each axis, as the file declares it.
    most : int, optional
        Largest number of pixels for files of this kind, where it is less than `max_pixels`.

    Raises
    ------
    ValueError
        Naming the file and the limit.
    """
    allowed = max_pixels() if most is None else min(max_pixels(), most)
    if math.prod(shape) > allowed:
        remedy = (
            "crop it"
            if most == allowed
            else f"crop it, or set the environment variable {PIXELS_VARIABLE} to a larger number"
        )
        raise BadFileError(
            f"{name}: it declares {' x '.join(map(str, shape))} pixels, and at most {allowed:,} "
            f"are read; {remedy}"
        )


def member_path(member: ZipInfo) -> PurePosixPath:
    r"""Return what a member of an archive is called, with slashes between folders.

    A name is read where the archive says that it is UTF-8, or it is. Most archives do not say how
    others are coded: their bytes are shown as they are, so that an image and its mask stay a pair.

    Examples
    --------
    >>> str(member_path(ZipInfo(r"masks\gr├╢├ƒe.png"))), str(member_path(ZipInfo("10µm.png")))
    ('masks/größe.png', '10%E6m.png')
    """
    # zipfile changes backslashes on Windows, which may be half of a letter
    name = member.orig_filename.partition("\0")[0]
    if not name.isascii() and not member.flag_bits & _IS_UTF_8:
        with suppress(UnicodeEncodeError):  # where zipfile was told the name, not the bytes
            raw = name.encode("cp437")
            separator = b"/" if b"/" in raw else b"\\"
            name = _told_name(member.extra, raw) or "/".join(map(_spelt, raw.split(separator)))
    return PurePosixPath(name.replace("\\", "/"))


def _told_name(extra: bytes, raw: bytes) -> str:
    """Return the name that the fields behind it tell as UTF-8; empty if they tell none of it."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            with suppress(UnicodeDecodeError):
                return field[5:].decode("utf-8")
    return ""


def _spelt(part: bytes) -> str:
    """Read a part of a path as UTF-8, or show what is not ASCII, or may be half of a letter."""
    with suppress(UnicodeDecodeError):
        return part.decode("utf-8")
    return re.sub(
        r"[\x80-\xff]+\\?",
        lambda found: "%" + found[0].encode("latin-1").hex("%").upper(),
        part.decode("latin-1"),
    )


def refuse_unsafe(path: Path, member: ZipInfo) -> None:
    """Refuse a member of an archive that leads out of it, or would fill the memory.

    Raises
    ------
    ValueError
        Naming the archive and the member.
    """
    name = member_path(member)
    if name.is_absolute() or ".." in name.parts or (name.parts and name.parts[0].endswith(":")):
        raise BadFileError(
            f"{path}: member {member.filename!r} leads outside the archive; this is not the "
            "published archive, download it again"
        )
    refuse_unpacking(path, member)


def refuse_unpacking(path: Path, *members: ZipInfo) -> None:
    """Refuse members of an archive that would fill the memory, or several that are too much.

    Raises
    ------
    ValueError
        Naming the archive and the member.
    """
    for member in members:
        size, packed = member.file_size, member.compress_size
        if size > MAX_MEMBER_BYTES or (size > 2**20 and size > MAX_COMPRESSION * packed):
            raise BadFileError(
                f"{path}: member {member.filename!r} unpacks to {size / 2**20:.0f} MiB from "
                f"{packed / 2**20:.2f} MiB; this is not the published archive, download it again"
            )
    total = sum(member.file_size for member in members)
    if total > MAX_ARCHIVE_BYTES:
        raise BadFileError(
            f"{path}: unpacks to {total / 2**30:.0f} GiB, too large to open packed; unpack it "
            "and open the folder"
        )


def refuse_longer(path: Path, member: ZipInfo) -> None:
    """Refuse a member that declares more bytes than its archive has: zipfile asks memory for them.

    Raises
    ------
    ValueError
        Naming the archive and the member.
    """
    declared, there = member.compress_size, path.stat().st_size
    if declared > there:
        raise BadFileError(
            f"{path}: member {member.filename!r} declares {declared:,} bytes, more than the "
            f"{there:,} of the whole archive; download it again"
        )


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is an array, or a group of arrays, of Zarr."""
    return os.path.isdir(path) and any(os.path.isfile(path / name) for name in _ZARR_FILES)


def refuse_special(path: Path) -> None:
    """Refuse what is neither a file nor a folder: reading a pipe or a device may never end.

    What is not there is left to whoever opens it.

    Raises
    ------
    OSError
        Naming it.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(
            f"{path}: it is a pipe, socket or device and no file; copy its content to one"
        )

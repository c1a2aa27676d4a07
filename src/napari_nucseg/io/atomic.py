"""Files that are there whole or not at all, alone or together, and what keeps one from being."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

PARTIAL = ".partial"
"""Ending of a file that is not yet whole."""
_OWN = "nucseg-"
_BYTES = 4
"""Random ones, which end its name: one that went on from the file's own could be too long."""
_HEX = "[0-9a-f]" * 2 * _BYTES
_REMEDIES = {
    errno.ENOENT: "there is no such file or folder now; put it back, or choose another one",
    errno.EIO: "its disk does not answer; see whether it is connected, and try again",
    errno.ESTALE: "its disk does not answer; see whether it is connected, and try again",
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "your share of the disk is used up; free some space and try again",
    errno.EFBIG: "the file is too large for this disk; choose a folder on another one",
    errno.EROFS: "the disk is read-only; choose a folder on another one",
    errno.EACCES: "you have no permission there; choose another folder, or ask for it",
    errno.EPERM: "you have no permission there; choose another folder, or ask for it",
    errno.ENOTDIR: "a file is where a folder should be; choose another folder",
    errno.EEXIST: "a file is where a folder should be; choose another folder",
    errno.EISDIR: "a folder has this name; choose another one",
    errno.ELOOP: "its links lead in a circle; choose what is no such link",
    errno.ENAMETOOLONG: "its name is too long for this disk; rename the image, or choose another "
    "folder",
}
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name only once its content is on disk.

    What a killed process leaves behind ends in `PARTIAL`, and goes when another process first
    writes into the folder. Two writers of one file never share it.

    Raises
    ------
    OSError
        If it cannot be written; the message names it and the remedy.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_protected(path)
        _sweep_dead(path.parent)
        file = _new_partial(path.parent)
    partial = Path(file.name)
    try:
        with explained(path):
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if sys.platform != "win32":  # while it is held, so that nobody sweeps it
                    partial.replace(path)
            if sys.platform == "win32":  # which moves no file that is open
                partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _new_partial(folder: Path) -> BinaryIO:
    """Open a file for what is not yet whole, and hold it for as long as this process lives."""
    while True:
        file = _partial(folder).open("xb")
        if _hold(file):
            return file
        file.close()


def _hold(file: BinaryIO) -> bool:
    """Keep other processes from sweeping a file; False if one is at it or just did.

    Windows does so by itself, as it removes no file that is open.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a disk without locks, where nobody sweeps either
            return True
        return os.fstat(file.fileno()).st_nlink > 0
    return True


@cache
def _sweep_dead(folder: Path) -> None:
    """Remove, once a process and folder, what killed processes left half-written there."""
    for path in folder.glob(f"{_OWN}{_HEX}{PARTIAL}"):
        with suppress(OSError), path.open("r+b") as file:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its writer lives
                path.unlink()
        if sys.platform == "win32":
            with suppress(OSError):
                path.unlink()


def _refuse_protected(path: Path) -> None:
    """Refuse to replace a file that may not be written: its folder would allow it."""
    if path.is_file() and not os.access(path, os.W_OK):
        raise PermissionError(
            f"{path}: it is protected against changes; allow them, or choose another folder"
        )


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Give a file its name only once its content is on disk."""
    with whole_file(path) as file:
        write(file)


def replace_folder(path: Path, by: Path) -> None:
    """Put a folder that is whole in the place of another, if there is one.

    Parameters
    ----------
    path : Path
        The place; what is there is removed once the other has its name, and stays if that fails.
    by : Path
        The new folder, on the same disk.
    """
    old = by.with_name(f"{by.name}-replaced")
    with explained(path):
        if path.exists():
            if old.exists():  # of a process that was killed
                shutil.rmtree(old)
            path.replace(old)
        try:
            by.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def files_at_once(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder in which files are prepared, and which then take their places together.

    Parameters
    ----------
    folder : Path
        Folder that they belong in.
    names : sequence of str
        Names of all files that there can be; those that were not prepared are removed.

    Yields
    ------
    Path
        Folder to write them into.
    """
    stage = _partial(folder)
    try:
        yield stage
        for name in names:
            with explained(folder / name):
                if (stage / name).exists():
                    (stage / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep other programs and threads that ask here from writing the same file.

    Raises
    ------
    BlockingIOError
        If another has the file, and nothing may be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as busy:
            raise BlockingIOError(f"{path}: it is being written already; wait for it") from busy
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # another has just opened it, and removes it later
            Path(lock.lock_file).unlink()


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for path in folder.glob(f"*{_HEX}{PARTIAL}"):  # no others of this ending
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class WatchedFile:
    """A file to write to that keeps why a write failed, for libraries that do not tell.

    Attributes
    ----------
    failure : OSError or None
        What ended the last write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, part: bytes) -> int:
        """Write a part."""
        try:
            return self._file.write(part)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Hand over what was written."""
        self._file.flush()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Tell of a file or folder that cannot be written which it is and what to do."""
    try:
        yield
    except OSError as error:
        remedy = _remedy(error)
        if remedy is None:
            raise
        named = error.filename is not None and PARTIAL not in str(error.filename)
        raise type(error)(f"{error.filename if named else _place(path)}: {remedy}") from error


def _remedy(error: OSError) -> str | None:
    """Say what is wrong and what to do; None where that is not known."""
    if error.errno == errno.EEXIST and error.filename and os.path.islink(error.filename):
        return "it is a link to what is not there; mend it, or choose another folder"
    if error.errno == errno.ENOENT and error.filename is None:
        return "the folder that you are in is not there now; go to another one"
    return _REMEDIES.get(error.errno or 0)


def _place(path: Path) -> Path:
    """Return where a file belongs that may be one of several that are prepared."""
    return path.parent.with_name(path.name) if path.parent.name.endswith(PARTIAL) else path


def describe_error(error: Exception) -> str:
    """Say what is wrong; where the system says it, of which file, and what to do about it.

    Examples
    --------
    >>> describe_error(PermissionError(errno.EACCES, "Permission denied", "a.tif"))
    'a.tif: you have no permission there; choose another folder, or ask for it'
    """
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    said = _remedy(error) or f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    return said if error.filename is None else f"{error.filename}: {said}"


def is_of_disk(error: OSError) -> bool:
    """Whether other files could not be written either: the disk is full or takes nothing."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return cause.errno in _OF_DISK


def _partial(folder: Path) -> Path:
    return folder / f"{_OWN}{secrets.token_hex(_BYTES)}{PARTIAL}"

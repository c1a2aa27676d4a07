"""Single HTTP transfers: ask for a file or its end, read what the answer states, write its body.

TLS certificates are always verified: requests does so against certifi's list, whatever other
packages do to the default context of the standard library.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Generator, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

CHUNK = 256 * 1024
"""Bytes written at a time, at most."""
REPORTED_EVERY = 0.05
"""Seconds between two reports, at most; what arrives in between is written without one."""

TRIES = 3
"""How often connections may be cut, one after the other, without progress."""
PROGRESS = 64 * 1024
"""Bytes that are progress: what brings less, again and again, would hardly ever end."""

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a host to answer at all, so that being offline is noticed soon."""


class NoAnswer(Exception):
    """A file cannot be had and asking again will not help; the message is the reason."""


class TryAgain(Exception):
    """A transfer failed in a way that another try may mend; the message is the reason."""


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[bool]:
    """Keep other programs and threads that ask here from writing the same file.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.

    Yields
    ------
    bool
        False if another has the file, and nothing may be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # another has just opened it, and removes it later
            Path(lock.lock_file).unlink()


def insist(attempt: Callable[[], None], present: Callable[[], int]) -> None:
    """Make an attempt again as long as one in three brings progress.

    Parameters
    ----------
    attempt : callable
        Receives the file, or what is missing of it, over one connection.
    present : callable
        Tells how many bytes of the file are there.

    Raises
    ------
    NoAnswer
        As the attempt does, or when `TRIES` in a row were cut without progress.
    """
    furthest = fruitless = 0
    while True:
        try:
            return attempt()
        except TryAgain as failure:
            fruitless += 1
            if present() >= furthest + PROGRESS:
                furthest, fruitless = present(), 0
            if fruitless == TRIES:
                raise NoAnswer(f"{failure}, after {TRIES} tries without progress") from failure


def ask(session: requests.Session, url: str, start: int, timeout: float) -> requests.Response:
    """Ask for a file from one byte on.

    Parameters
    ----------
    session : requests.Session
        The session to use.
    url : str
        Where the file is published.
    start : int
        The first byte wanted. A server may send the whole file (status 200) all the same, or
        say that there is nothing from there on (416).
    timeout : float
        Seconds without a single byte after which the connection counts as cut.

    Returns
    -------
    requests.Response
        The answer, its body still to be received; to be closed by the caller.

    Raises
    ------
    NoAnswer, TryAgain
        If the file is not to be had, or the connection was cut.
    """
    import requests

    # A compressed transfer would make sizes and ranges count other bytes than those on disk.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    timeouts = (min(timeout, CONNECT_TIMEOUT), timeout)
    try:
        response = session.get(url, headers=headers, stream=True, timeout=timeouts)
    except requests.RequestException as error:
        reason = _lasting_reason(error)
        if reason is None:
            raise TryAgain(_how_it_was_cut(error)) from error
        raise NoAnswer(reason) from error
    if response.status_code not in ({200, 206, 416} if start else {200}):
        response.close()
        raise NoAnswer(f"HTTP status {response.status_code} {response.reason or ''}".strip())
    return response


def write(response: requests.Response, path: Path, start: int) -> Generator[int, None, None]:
    """Write the body of an answer to a file as it arrives, so that a cut loses nothing of it.

    Parameters
    ----------
    response : requests.Response
        The answer.
    path : Path
        The file; replaced where the answer starts at 0, else it must have `start` bytes.
    start : int
        The first byte of the answer.

    Yields
    ------
    int
        The bytes of the file so far: after `CHUNK` more, after `REPORTED_EVERY`, and at the end.

    Raises
    ------
    TryAgain
        If the connection was cut.
    """
    from urllib3.exceptions import HTTPError

    if start == 0:
        # Truncating it would leave a hole in the file of a second process that is writing it.
        path.unlink(missing_ok=True)
    with open(path, "r+b" if start else "xb") as stream:
        done = told = stream.seek(start)
        due = 0.0
        try:
            # Reading a fixed number of bytes would keep those before a cut from us.
            # Waiting for a full chunk would lose what came of it before a cut.
            while piece := response.raw.read1(told + CHUNK - done, decode_content=True):
                done += stream.write(piece)
                if done >= told + CHUNK or time.monotonic() >= due:
                    yield (told := done)
                    due = time.monotonic() + REPORTED_EVERY
        except HTTPError as error:
            raise TryAgain(_how_it_was_cut(error)) from error
        if done > told:
            yield done
        stream.flush()
        os.fsync(stream.fileno())


def starts_at(response: requests.Response, byte: int) -> bool:
    """Tell whether an answer is the part of a file from one byte on."""
    content_range = response.headers.get("Content-Range", "")
    return response.status_code == 206 and content_range.startswith(f"bytes {byte}-")


def stated_size(response: requests.Response) -> int | None:
    """Read the size of the whole file from an answer, be it all of the file or a part."""
    if response.status_code == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = response.headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else None


def stated_sha256(response: requests.Response) -> str | None:
    """Read the SHA-256 that a server states for a file.

    Hugging Face states it where it redirects to its store, whose own ETag also has 64 digits but
    is another hash: hence an ETag counts only in the first answer.
    """
    answers = [*response.history, response]
    tags = [answer.headers.get("X-Linked-ETag", "") for answer in answers]
    tags.append(answers[0].headers.get("ETag", ""))
    digits = (re.fullmatch(r'"?([0-9a-fA-F]{64})"?', tag) for tag in tags)
    return next((match[1] for match in digits if match), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to what caused it, to what caused that, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _how_it_was_cut(error: BaseException) -> str:
    stalled = any(isinstance(cause, TimeoutError) for cause in _causes(error))
    return "the connection stalled" if stalled else "the connection was cut"


def _lasting_reason(error: BaseException) -> str | None:
    """Say why no connection could be made, or None where one was made and then cut."""
    from requests import exceptions

    causes = list(_causes(error))
    if isinstance(error, exceptions.ProxyError):
        return f"the proxy server cannot be used ({causes[-1]})"
    if isinstance(error, exceptions.SSLError):
        return f"no TLS connection could be made and verified ({causes[-1]})"
    if isinstance(error, exceptions.ConnectTimeout):
        return "the host did not answer"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "the host was not found (is this computer online?)"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the connection was refused"
    cuts = (exceptions.ReadTimeout, ConnectionError, HTTPException)
    return None if any(isinstance(cause, cuts) for cause in causes) else str(causes[-1])

"""What a server's answer tells of a file, and why there is none."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

PIECE = 64 * 1024  # bytes that are waited for at once, at most
PROGRESS = 64 * 1024  # bytes; what brings less, again and again, would hardly ever end
_CRAWL = 2  # times its patience in which a connection has to bring them
_PAGE = (b"<!doctype html", b"<html")
"""What web pages begin with, in small letters."""


class TryAgain(Exception):
    """A transfer failed in a way that another try may mend; the message is the reason."""


def pieces(answer: requests.Response, patience: float) -> Iterator[bytes]:
    """Read an answer as it comes; waiting for a full piece would lose what came before a cut.

    Parameters
    ----------
    answer : requests.Response
        An answer that is being streamed.
    patience : float
        Seconds without a single byte after which a connection counts as cut.

    Raises
    ------
    TryAgain
        If the connection was cut, or is so slow that it would hardly ever end.
    """
    from urllib3.exceptions import HTTPError

    recent, since = 0, time.monotonic()
    try:
        while piece := answer.raw.read1(PIECE, decode_content=True):
            yield piece
            recent += len(piece)
            if recent >= PROGRESS:
                recent, since = 0, time.monotonic()
            elif time.monotonic() > since + _CRAWL * patience:
                raise TryAgain("the connection is too slow")
    except HTTPError as error:
        raise TryAgain(why_not(error)[0]) from error


def is_page(answer: requests.Response) -> bool:
    """Tell whether a server says that it sends a web page."""
    return answer.headers.get("Content-Type", "").lower().startswith("text/html")


def holds_page(path: Path) -> bool:
    """Tell whether a file holds a web page, whatever the server said."""
    with path.open("rb") as file:
        return file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE)


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


def why_not(error: BaseException) -> tuple[str, bool]:
    """Say why a connection failed, and whether another try may mend it."""
    from requests import exceptions

    causes = [error]
    while before := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(before)
    known: dict[type[BaseException], tuple[str, bool]] = {
        exceptions.ProxyError: (f"the proxy server cannot be used ({causes[-1]})", False),
        exceptions.SSLError: (
            f"no TLS connection could be made and verified ({causes[-1]})",
            False,
        ),
        exceptions.InvalidSchema: ("it leads to an address without TLS", False),
        exceptions.ConnectTimeout: ("the host did not answer", False),
        socket.gaierror: ("the host was not found (is this computer online?)", False),
        ConnectionRefusedError: ("the connection was refused", False),
        TimeoutError: ("the connection stalled", True),
        ConnectionError: ("the connection was cut", True),
        HTTPException: ("the connection was cut", True),
    }
    found = (why for kind, why in known.items() if any(isinstance(one, kind) for one in causes))
    return next(found, (str(causes[-1]), False))

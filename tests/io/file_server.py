"""A file server on this computer that can fail in the ways that servers and networks fail."""

from __future__ import annotations

import base64
import gzip
import re
import ssl
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KEY = """
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkxN5cKqqnjn7HWloKLJ6gqkAOK7rDGTBdYYAf+47DN+hRANC
AASzbnP1uHfOAffPYMAWydvvjv6Rbr/3t7k+FeEJglwQlIMa7Z5hQmQa5d8PlBIm/HtYpqk22p7ueIFVAmr5SNyA
"""
CERTIFICATE = """
MIIBkDCCATagAwIBAgIUcGglW9IVxuMBSCbcJjHLHtyyyWEwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJMTI3LjAuMC4xMCAX
DTI2MTEyMjE3NTUzM1oYDzIxMjYxMDI5MTc1NTMzWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASzbnP1uHfOAffPYMAWydvvjv6Rbr/3t7k+FeEJglwQlIMa7Z5hQmQa5d8PlBIm/HtYpqk22p7ueIFVAmr5SNyA
o2QwYjAdBgNVHQ4EFgQUpMPuCpquE48P/hhvNaGc0WD1hIQwHwYDVR0jBBgwFoAUpMPuCpquE48P/hhvNaGc0WD1hIQwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUCICU3zczjCFeco8sulqa61S218WofexFA
qIgqH5FZyXPWAiEApK1HcuGZi67qHjPHEAKVcFdhwAC9H5+PTdzIpeqBff4=
"""
"""A certificate for 127.0.0.1 that only its own signature vouches for, and so nobody trusts."""


@dataclass(frozen=True)
class Cut:
    """Close the connection after some bytes of the body, or before any answer."""

    after: int | None


@dataclass(frozen=True)
class Stall:
    """Fall silent after some bytes of the body, or before any answer, but stay connected."""

    after: int | None


@dataclass(frozen=True)
class Crawl:
    """Send the body byte by byte, with a pause in seconds after each."""

    pause: float


@dataclass(frozen=True)
class Whole:
    """Answer in full."""

    after: int | None = sys.maxsize


@dataclass
class FileServer:
    """Serves one content at ``/file`` and, by a redirect, at ``/moved``; use in a with statement.

    Attributes
    ----------
    content : bytes
        What to serve.
    faults : list
        How to answer the first requests, one after the other; later ones are answered in full.
    honours_range : bool
        Whether the end of the content can be asked for.
    states_size : bool
        Whether answers have a Content-Length.
    compresses : bool
        Whether bodies are compressed for clients that accept it.
    file_headers, moved_headers : dict
        Further headers of the file and of the redirect.
    secure : bool
        Whether to speak TLS, with a certificate that nobody trusts.
    ranges : list
        The Range header of each request for ``/file`` so far.
    """

    content: bytes
    faults: list[Cut | Crawl | Stall] = field(default_factory=list)
    honours_range: bool = True
    states_size: bool = True
    compresses: bool = False
    file_headers: dict[str, str] = field(default_factory=dict)
    moved_headers: dict[str, str] = field(default_factory=dict)
    secure: bool = False
    ranges: list[str | None] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        # A TLS handshake belongs to the thread of its request: here it would block the others.
        if self.secure:
            self._server.socket = _untrusted_context().wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "file") -> str:
        scheme = "https" if self.secure else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_port}/{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for them

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients of these tests hang up in the middle on purpose.
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


def _handler_for(site: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/file":
                self.send_file()
            elif self.path == "/moved":
                self.send_headers(302, {"Location": site.url(), **site.moved_headers})
            else:
                self.send_headers(404, {})

        def send_file(self) -> None:
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            fault = site.faults.pop(0) if site.faults else Whole()
            if isinstance(fault, Crawl):
                self.crawl(fault.pause)
            elif fault.after is not None:
                self.wfile.write(self.start_answer(asked)[: fault.after])
            if isinstance(fault, Stall):
                site.closing.wait()

        def crawl(self, pause: float) -> None:
            for byte in self.start_answer(None):
                self.wfile.write(bytes([byte]))
                if site.closing.wait(pause):
                    return

        def start_answer(self, asked: str | None) -> bytes:
            """Send the headers and return the body that belongs to them."""
            start = 0
            headers = dict(site.file_headers)
            if asked is not None and site.honours_range:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
                if start >= len(site.content):
                    self.send_headers(416, {"Content-Range": f"bytes */{len(site.content)}"})
                    return b""
                span = f"{start}-{len(site.content) - 1}/{len(site.content)}"
                headers["Content-Range"] = f"bytes {span}"
            body = site.content[start:]
            if site.compresses and "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body)
                headers["Content-Encoding"] = "gzip"
            if site.states_size:
                headers["Content-Length"] = str(len(body))
            self.send_headers(206 if "Content-Range" in headers else 200, headers)
            return body

        def send_headers(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the output of the tests clean."""

    return Handler


def _untrusted_context() -> ssl.SSLContext:
    key = base64.b64decode(KEY)
    label = "PRIVATE KEY"
    armoured = f"-----BEGIN {label}-----\n{base64.encodebytes(key).decode()}-----END {label}-----\n"
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        chain.write_text(armoured + ssl.DER_cert_to_PEM_cert(base64.b64decode(CERTIFICATE)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
    return context

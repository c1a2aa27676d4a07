"""Ask the servers of Cellpose's weights for what pins them: size, SHA-256 and revision.

Run it where there is a network, compare, and write what is new into
``napari_nucseg.segmenters.networks``. Files whose server states no SHA-256 are fetched to sum them
up; the exit code is 1 if a file is not what is pinned.
"""

from __future__ import annotations

import hashlib
import sys

import requests

from napari_nucseg.io.answers import stated_sha256
from napari_nucseg.io.download import RemoteFile
from napari_nucseg.segmenters.networks import PUBLISHED

_PIECE = 2**20
_PATIENCE = 30


def main() -> int:
    """Print a line for each file, as `RemoteFile` takes it."""
    differ = False
    for model in PUBLISHED:
        file = model.remote
        assert file is not None
        size, sha256, revision = look_up(file)
        known = file.size in (None, size) and file.sha256 in (None, sha256)
        differ = differ or not known
        verdict = "" if known else f"  # DIFFERS from {file.size} {file.sha256}"
        print(f'"{file.name}": ({size}, "{sha256}"),  # revision {revision}{verdict}')
    return int(differ)


def look_up(file: RemoteFile) -> tuple[int, str, str]:
    """Find a file's size and SHA-256, and the revision where the server states one."""
    address = {"url": file.url, "timeout": _PATIENCE, "headers": {"Accept-Encoding": "identity"}}
    with requests.get(**address, stream=True) as answer:
        answer.raise_for_status()
        first = [*answer.history, answer][0].headers
        revision = first.get("X-Repo-Commit", "none stated")
        stated, size = stated_sha256(answer), int(answer.headers["Content-Length"])
        if stated is not None:
            return size, stated, revision
        digest, size = hashlib.sha256(), 0
        for piece in answer.iter_content(_PIECE):
            digest.update(piece)
            size += len(piece)
        return size, digest.hexdigest(), revision


if __name__ == "__main__":
    sys.exit(main())

"""Check what is released: size and content of wheel and sdist, and what the package index shows.

Usage: ``python scripts/check_dist.py dist [tag [repository]]``. Of a release the tag has to be the
version, and the repository that of the package's links.
"""

from __future__ import annotations

import re
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

LARGEST_WHEEL = 10_000_000
WEIGHTS = "napari_nucseg/segmenters/weights/fluo-nuclei.safetensors"
NEEDED = ("napari_nucseg/napari.yaml", "napari_nucseg/icon.png", "napari_nucseg/py.typed")
_RELATIVE = re.compile(r"\]\((?!https?://|#)([^)]+)\)")


def main(folder: Path, tag: str = "", repository: str = "") -> list[str]:
    """Return what is wrong, a line each."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with ZipFile(wheel) as opened:
        names = opened.namelist()
        (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(opened.read(place))
    with tarfile.open(sdist) as opened:
        sources = opened.getnames()
    return [
        *_faults_of_wheel(names, wheel.stat().st_size),
        *(f"{sdist.name} holds {name}" for name in sources if "/tests/" in name),
        *_faults_of_metadata(metadata, tag, repository),
    ]


def _faults_of_wheel(names: list[str], size: int) -> list[str]:
    weights = [name for name in names if name.endswith((".safetensors", ".pt", ".npz"))]
    faults = [f"the wheel lacks {name}" for name in NEEDED if name not in names]
    if size > LARGEST_WHEEL:
        faults.append(f"the wheel has {size:,} bytes, more than {LARGEST_WHEEL:,}")
    if weights != [WEIGHTS]:
        faults.append(f"the wheel holds the weights {weights}, not {WEIGHTS} alone")
    return faults


def _faults_of_metadata(metadata: Message, tag: str, repository: str) -> list[str]:
    description = metadata.get_payload()
    assert isinstance(description, str)
    faults = [f"the README has the relative link {one}" for one in _RELATIVE.findall(description)]
    version, links = metadata["Version"], metadata.get_all("Project-URL", [])
    if tag and tag != f"v{version}":
        faults.append(f"the tag {tag} is not v{version}, the version of the package")
    if repository and f"Homepage, {repository}" not in links:
        faults.append(f"the package's links lead elsewhere than to {repository}: {links}")
    return faults


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), *sys.argv[2:])
    print("\n".join(found) or "Wheel and sdist are as they should be")
    sys.exit(bool(found))

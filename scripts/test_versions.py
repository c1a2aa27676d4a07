"""Test with the lowest, the newest or the coming versions of what this package needs.

Usage: ``python scripts/test_versions.py lowest newest next [-- option of uv ...]``. Each gets an
environment of its own under ``build/versions``, which takes minutes and gigabytes. uv resolves
them, because pip cannot look for the lowest.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "versions"
RESOLUTIONS = {
    "lowest": ["--resolution=lowest-direct"],
    "newest": ["--resolution=highest"],
    "next": ["--resolution=highest", "napari>=0.10.0rc1"],
}
"""What uv is told for each; the coming versions are release candidates of napari alone."""
TESTS = [
    "tests/io",
    "tests/metrics",
    "tests/batch/test_dataset_run.py",
    "tests/segmenters/test_bundled.py",
    "tests/segmenters/test_cellpose4.py",
    "tests/segmenters/test_dynamics.py",
    "tests/segmenters/test_dynamics_parts.py",
    "tests/ui/test_manifest.py",
    "tests/ui/test_reader.py",
    "tests/ui/test_segment_panel.py",
    "tests/ui/test_score_panel.py",
    "tests/cli",
]
"""A few that touch every package that is needed."""
# Old versions warn of what newer ones brought; a warning is no failure here
_PYTEST = ["-q", "-m", "not slow", "-W", "default", "-p", "no:cacheprovider"]


def main(arguments: Sequence[str]) -> int:
    """Install and test each that is named; return 1 if one fails."""
    if "--" in arguments:
        at = list(arguments).index("--")
        names, options = arguments[:at], arguments[at + 1 :]
    else:
        names, options = arguments, []
    if not names or not set(names) <= set(RESOLUTIONS):
        print(f"name one or more of {', '.join(RESOLUTIONS)}", file=sys.stderr)
        return 2
    failed = [name for name in names if not _passes(name, options)]
    print(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(names)}")
    return int(bool(failed))


def _passes(name: str, options: Sequence[str]) -> bool:
    """Install a resolution and run the tests in it."""
    place = FOLDER / name
    venv.create(place, with_pip=True, clear=True)
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    _run(python, "-m", "pip", "install", "--quiet", "uv")
    install = ["-m", "uv", "pip", "install", "--python", str(python), "--editable", f"{ROOT}[test]"]
    _run(python, *install, *RESOLUTIONS[name], *options)
    _run(python, "-m", "uv", "pip", "freeze", "--python", str(python))
    tested = subprocess.run([python, "-m", "pytest", *_PYTEST, *TESTS], cwd=ROOT, check=False)
    return tested.returncode == 0


def _run(python: Path, *arguments: str) -> None:
    subprocess.run([python, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

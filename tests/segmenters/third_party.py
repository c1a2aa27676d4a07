"""Packages of other people, installed into a folder as pip leaves them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "segmenters.md"
NAME = "local-threshold"


def example() -> str:
    """The module that the documentation shows."""
    return re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)[0]


def install(folder: Path, package: str, code: str, entries: Mapping[str, str]) -> None:
    """Put a module and what tells of its entry points into a folder."""
    module = package.replace("-", "_")
    about = folder / f"{module}-1.2.3.dist-info"
    about.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(["[napari_nucseg.segmenters]", *lines, ""]))

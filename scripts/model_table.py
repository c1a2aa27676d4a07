"""Write the table of models in docs/model_list.md from the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from napari_nucseg.segmenters import networks, otsu

DOCUMENT = Path(__file__).parents[1] / "docs" / "model_list.md"
_TABLE = re.compile(r"(<!-- models -->\n).*?(<!-- end -->)", re.DOTALL)


def with_table(document: str) -> str:
    """Return the document with the models of this package between its marks."""
    models = (networks.BUNDLED, otsu.MODEL, *networks.PUBLISHED)
    rows = [("model", "what it is", "download", "licence"), ("---", "---", "---:", "---")]
    for one in models:
        size = "" if one.remote is None else f"{one.megabytes:,} MB"
        rows.append((f"`{one.name}`", one.about, size, one.licence))
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _TABLE.sub(lambda found: found[1] + table + found[2], document)


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")

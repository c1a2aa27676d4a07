"""Write the tables of scores in docs/scores.md from the registry."""

from __future__ import annotations

import math
import re
from pathlib import Path

from napari_nucseg.metrics.registry import Metric, metrics

DOCUMENT = Path(__file__).parents[1] / "docs" / "scores.md"
_TABLE = re.compile(r"(<!-- scores: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(document: str) -> str:
    """Return the document with the table of each group between its marks."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], document)


def _table(group: str) -> str:
    rows = [_row(metric) for metric in metrics() if metric.group == group]
    return "".join(
        f"| {' | '.join(cells)} |\n"
        for cells in (("score", "in files", "definition", "values", "source"), ["---"] * 5, *rows)
    )


def _row(metric: Metric) -> list[str]:
    low, high = metric.limits
    values = f"{low:g} and more" if math.isinf(high) else f"{low:g} to {high:g}"
    if metric.better == "low":
        values += ", less is better"
    cells = metric.heading, f"`{metric.name}`", metric.formula, values
    return [cell.replace("|", r"\|") for cell in (*cells, metric.source)]


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")

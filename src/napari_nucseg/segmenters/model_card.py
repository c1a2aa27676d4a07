"""Cards beside weights that training wrote: what they learned from, and how good they became."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_nucseg.io.sources import sha256
from napari_nucseg.wording import counted


def card_of(path: Path) -> Mapping[str, Any]:
    """Read the card beside a file of weights that training wrote; empty if there is none.

    A card of other weights, or a file that is none, counts for nothing.
    """
    beside = path.with_suffix(".json")
    try:
        written = beside.stat().st_mtime_ns, path.stat().st_mtime_ns
    except OSError:
        return {}
    return _read_card(beside, path, written)


@lru_cache(maxsize=64)
def _read_card(beside: Path, path: Path, written: tuple[int, int]) -> Mapping[str, Any]:
    """Read a card, anew only if it or the weights were written (in ns) at another time."""
    try:
        card: Mapping[str, Any] = json.loads(beside.read_text("utf-8"))
        return card if card["sha256"] == sha256(path) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def describe_card(card: Mapping[str, Any]) -> Iterator[str]:
    """Say in words what a card tells a user who chooses a model."""
    if not card:
        return
    before, after = (card.get(key) or {} for key in ("before", "best"))
    fields = counted(sum(one["fields"] for one in card.get("learned_from", [])), "field")
    origin = card.get("started_from")
    yield f"learned from {fields}{f', starting from {origin}' if origin else ''}."
    if after.get("f1_50") is not None:
        was = f", before it learned {before['f1_50']:.3f}" if before.get("f1_50") else ""
        yield f"F1 of what was held out {after['f1_50']:.3f}{was}."
